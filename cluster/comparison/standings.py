"""What a comparison has found so far, as JSON."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from hitl.voting.posterior import Score, Standings
from hitl.voting.tally import Tally
from hitl.voting.winners import condorcet_winner

Ending = Literal["known", "budget"]
"""Why it is over: the winner is known as surely as was asked for, or there were as many answers as asked for."""


def to_json(
    names: Sequence[str], counted: Tally, known: Standings, *, budget: int, confidence: float, asked: int
) -> dict[str, Any]:
    """Return everything that people are told of a comparison.

    Args:
        names: of the policies.
        counted: the answers.
        known: what they tell.
        budget: answers at most.
        confidence: at which it is over.
        asked: questions so far.
    """
    answers_IJ = counted.answers_IJ
    share_IJ = np.divide(counted.wins_IJ, answers_IJ, out=np.full_like(answers_IJ, 0.5), where=answers_IJ > 0)
    winner = condorcet_winner(share_IJ)
    return {
        "policies": list(names),
        "comparisons": counted.said,
        "budget": budget,
        "asked": asked,
        "ties": counted.ties,
        "skipped": counted.skipped,
        "cannot_tell": counted.cannot_tell,
        "first_preferred": counted.first_preferred,
        "second_preferred": counted.second_preferred,
        "confidence": confidence,
        "condorcet": {
            "winner": None if winner is None else names[winner],
            "probability": _rounded(known.condorcet_chance_I),
            "probability_of_none": round(max(0.0, 1.0 - float(known.condorcet_chance_I.sum())), 4),
        },
        "copeland": _score(names, known.copeland),
        "borda": _score(names, known.borda),
        # A row has how often its policy was preferred to that of each column; a tie is half a win for each.
        "wins": counted.wins_IJ.tolist(),
        "tied": counted.ties_IJ.tolist(),
    }


def _score(names: Sequence[str], score: Score) -> dict[str, Any]:
    return {
        "winner": names[int(score.chance_I.argmax())],
        "probability": _rounded(score.chance_I),
        "score": _rounded(score.score_I),
        "interval": [
            [low, high] for low, high in zip(_rounded(score.low_I), _rounded(score.high_I), strict=True)
        ],
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]
