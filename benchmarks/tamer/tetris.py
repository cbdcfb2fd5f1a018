"""Tetris, taught by a program that knows a good player."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tamer.lesson import Lesson
from cluster.environments.tetris import (
    Placements,
    Tetris,
    afterstate_features,
    column_heights,
    column_transitions,
    holes,
    placements,
    read_observation,
    row_transitions,
    wells,
)
from hitl.credit import GAMMA
from hitl.reward.linear import LinearReward
from hitl.reward.network.features import RelativeFeatures
from hitl.teachers.live import LiveSettings, LiveTeacher, approval

EVALUATOR = (
    "Dellacherie's six numbers and weights (as in Thiery and Scherrer 2009): -landing height + eroded cells "
    "- row transitions - column transitions - 4 holes - wells"
)
FEATURES = (
    "the eight of Thiery and Scherrer 2009 relative to the alternatives; they contain the evaluator's six numbers, "
    "whose weights the learner does not know"
)
PIECE_SECONDS = 1.0
MOST_LINES = 1000
GAMES = 3
_GOOD_SHARE, _BAD_SHARE = 0.1, 0.4
_PRIOR_STD = 0.05


def hidden_score(after: Placements) -> NDArray[np.float64]:
    """Return what the evaluator thinks of each placement, [A]; the learner never sees it."""
    board_ARC = after.board_ARC
    landing_A = after.bottom_A + (after.height_A - 1) / 2
    score_A = (
        -landing_A
        + after.lines_A * after.eroded_A
        - row_transitions(board_ARC)
        - column_transitions(board_ARC)
        - 4 * holes(board_ARC, column_heights(board_ARC))
        - wells(board_ARC)
    )
    return np.where(after.fits_A, score_A, -np.inf)


def opinion(observation: NDArray[Any], action: int) -> float:
    """Approve of the best tenth of placements, disapprove of those that are worse than two fifths."""
    score_A = hidden_score(placements(*read_observation(observation)))
    return approval(score_A, action, good_share=_GOOD_SHARE, bad_share=_BAD_SHARE)


def lines_by_game(seed: int, games: int = GAMES) -> dict[str, Any]:
    """Teach from nothing; returns the lines of each game."""
    env, features = Tetris(), RelativeFeatures(afterstate_features)
    size = features(env.reset(seed=seed)[0][None]).shape[-1]
    lesson = Lesson(
        env,
        features=features,
        reward=LinearReward(size, prior_std=_PRIOR_STD),
        delay=GAMMA,
        teacher=LiveTeacher(LiveSettings(seed=seed, miss=0.2, mistake=0.05, signals_per_second=1.0)),
        opinion=opinion,
        step_seconds=PIECE_SECONDS,
        seed=seed,
    )
    lines = [lesson.play(stop=lambda total: total >= MOST_LINES) for _ in range(games)]
    return {
        "seed": seed,
        "lines": [int(total) for total in lines],
        "pieces": lesson.steps,
        "signals": lesson.signals,
        "unplaced": lesson.unplaced,
    }
