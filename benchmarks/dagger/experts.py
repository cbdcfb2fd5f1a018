"""Scripted experts: functions of one flat observation, without a state of their own.

They import numpy alone, and `hitl`'s balancer, so that a peer can ask the very same experts in an environment of its
own.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Observation = NDArray[np.float32]
"""Flat, [O]."""


class Climber:
    """Gets MountainCar's car up the hill: swings left while another swing still pays, else pushes right.

    Form: Xiao, "Reinforcement Learning: Theory and Python Implementation", closed-form policy of MountainCar-v0
    (github.com/ZhiqingXiao/rl-book), which needs 106 steps on average and up to 191. Its bound from above is left out
    and the other constants were fitted by random search over starts: 98 steps, as many as value iteration on a grid
    of 121 x 121 needs, and at most 105.
    """

    def act(self, observation: Observation, /) -> int:
        """Return 2, to the right, or 0, to the left, by position and velocity."""
        position, velocity = float(observation[0]), float(observation[1])
        left_of_the_valley = 0.27 * (position + 0.88) ** 4 - 0.008
        right_of_it = 0.025 - 0.09 * (position + 0.28) ** 2
        return 2 if velocity > min(left_of_the_valley, right_of_it) else 0


class Swinger:
    """Swings Pendulum's pole up by its energy, and holds it there.

    Source: Astrom and Furuta 2000, "Swinging up a pendulum by energy control", Automatica 36(2), section 3; near the
    top a proportional-derivative controller takes over. Gains are by hand.
    """

    _TOP = 5.0
    """Energy of the pole at rest at the top, in J: mass 1 kg, length 1 m, gravity 10 m/s^2."""
    _MOST = 2.0
    """Torque, in N m."""

    def act(self, observation: Observation, /) -> NDArray[np.float32]:
        """Return the torque in N m, [1], by the angle's cosine and sine and its speed in rad/s."""
        cosine, sine, speed = (float(x) for x in observation)
        if cosine > 0.8:
            torque = -10.0 * math.atan2(sine, cosine) - 2.0 * speed
        else:
            energy = speed**2 / 6 + self._TOP * cosine
            torque = speed * (self._TOP - energy)
        return np.array([min(max(torque, -self._MOST), self._MOST)], np.float32)


def labels_of(expert: Any, observation_NO: NDArray[np.float32]) -> NDArray[Any]:
    """Return an expert's action for each observation, [N] or [N, A]."""
    return np.stack([np.asarray(expert.act(observation)) for observation in observation_NO])
