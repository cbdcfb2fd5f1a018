"""Segments that could be asked about, made up, for tests of choosing."""

from typing import Any

import numpy as np
import torch

from hitl.reward.questions.choosing import Choice, choose_pairs
from hitl.reward.questions.prospects import Prospects
from hitl.reward.questions.settings import ChoiceSettings, StrategyName

SEGMENTS = 12


def prospects(segments: int = SEGMENTS, *, seed: int = 0, **changes: Any) -> Prospects:
    rng = np.random.default_rng(seed)
    feature_SF = rng.standard_normal((segments, 3))
    made = {
        "return_KS": torch.from_numpy(2 * rng.standard_normal((4, segments))),
        "log_tie": -0.5,
        "lapse": 0.1,
        "heldout_S": np.arange(segments) % 3 == 0,
        "steps_S": np.full(segments, 5),
        "version_S": np.arange(segments) // 4,
        "look": lambda rows: feature_SF[rows],
    }
    return Prospects(**(made | changes))  # type: ignore[arg-type]


def choose(
    given: Prospects | None = None,
    strategy: StrategyName = "disagreement",
    *,
    count: int = 4,
    seed: int = 0,
    seconds: Any = None,
    **settings: Any,
) -> Choice:
    return choose_pairs(
        given or prospects(),
        count=count,
        settings=ChoiceSettings(**({"shares": {strategy: 1.0}, "candidates": 200} | settings)),
        seconds=seconds or (lambda steps: 1.0),
        rng=np.random.default_rng(seed),
    )
