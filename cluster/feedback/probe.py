"""The probe set: the experience that the scale of inputs and rewards is fixed on, once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.feedback.questions.fresh import FreshRollouts
from hitl.reward.evidence.rows import Observations
from hitl.reward.network.inputs import InputSpace
from hitl.reward.questions.candidates import cut, stack

_STEPS = 4096
_BYTES = 16 * 2**20
"""The probe set is in every version, so a few hundred big images must do."""
FEWEST_STEPS = 256


def draw_probe(
    fresh: FreshRollouts, space: InputSpace, *, segment_steps: int, rng: np.random.Generator
) -> tuple[Observations, NDArray[Any]]:
    """Draw steps that env runners have gathered, as the model reads them.

    Args:
        fresh: their rollouts; there must be some.
        space: what the model looks at.
        segment_steps: of the segments that people judge.
        rng: draws.

    Returns:
        Observations [P, O] and actions [P, ...]. For a model that remembers, whole segments: [S, L, O] and [S, L, ...].
    """
    rollouts = [rollout for _, rollout in fresh.gathered]
    size = space.observation_size * rollouts[0].observation_TNO.dtype.itemsize
    most = max(min(_STEPS, _BYTES // size), FEWEST_STEPS)
    if not space.memory_units:
        return fresh.draw_steps(most, rng, with_next=space.reads == "state_action_next")
    windows = [
        window.segment
        for rollout in rollouts
        for window in cut(rollout, steps=segment_steps, task_id="", run_id="", rng=rng, outcomes=True)
    ]
    count = min(len(windows), max(1, most // segment_steps))
    chosen = rng.choice(len(windows), count, replace=False)
    return stack([windows[place] for place in chosen], space.reads)
