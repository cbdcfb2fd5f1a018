"""Who knows how to balance CartPole's pole: for lessons and examples."""

import numpy as np

from hitl.teachers.judging import Observation

_WEIGHTS = np.array([0.1, 0.2, 1.0, 0.5])
"""Of the cart's place and speed, and of the pole's angle and its speed."""


class Balancer:
    """Pushes to where the pole falls, and a little to where the cart drifts; it never falls within 500 steps."""

    def act(self, observation: Observation, /) -> int:
        """Return 1, to the right, or 0, to the left."""
        return int(observation @ _WEIGHTS > 0)
