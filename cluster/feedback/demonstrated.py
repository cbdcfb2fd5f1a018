"""What teachers demonstrate comes from environments of their own: does it fit the task?"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from hitl.errors import InvalidRequest
from hitl.events import Segment
from hitl.spaces import action_space_of
from policies.spaces import flat_dtype, flat_size


def complaint(
    segments: Sequence[Segment], observation_space: gym.Space[Any], action_space: gym.Space[Any]
) -> str | None:
    """Return why steps are none of a task, if they are not.

    Args:
        segments: what was demonstrated, in order.
        observation_space: of the task.
        action_space: of the task.
    """
    size, in_bytes = flat_size(observation_space), flat_dtype(observation_space) == np.uint8
    for segment in segments:
        if "obs" not in segment.observations:
            return f"it has observations {sorted(segment.observations)}; flat ones go under the name 'obs'"
        observation = np.asarray(segment.observations["obs"])
        if observation.size != size * len(segment) or (observation.dtype == np.uint8) != in_bytes:
            kind = "bytes" if in_bytes else "numbers"
            return f"its observations are {observation.dtype} of shape {observation.shape[1:]}, not {size} {kind}"
        after = [np.asarray(segment.outcome.observations["obs"])] if segment.outcome else []
        if not all(np.isfinite(part.astype(np.float64)).all() for part in (observation, *after)):
            return "not all of its observations are finite"
        try:
            action_space_of(action_space).check(np.asarray(segment.actions), "its actions")
        except InvalidRequest as error:
            return str(error)
    return None
