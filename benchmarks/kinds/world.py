"""CartPole with a horizon and without an end: a fallen pole lies for a while, then it is put up again."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from benchmarks.questions.policies import PolicyTask

HORIZON, LYING = 500, 12
"""Steps of an episode, and of lying after a fall."""
_State = NDArray[np.float32]


class PutUpAgain(gym.Wrapper[_State, int, _State, int]):
    """The true reward is 1, but 0 while the pole lies: then nothing moves, whatever is done.

    Where a fall ended all that can be done, whole kinds of feedback would never be about what follows it, and a policy
    taught by them alone would live for that: nobody corrects what to do about a pole that lies, and nobody watches it.
    """

    def __init__(self) -> None:
        super().__init__(gym.make("CartPole-v1", max_episode_steps=-1, disable_env_checker=True))
        self._steps, self._lying = 0, 0
        self._held: _State = np.zeros(4, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[_State, dict[str, Any]]:
        """Start an episode, with the pole up."""
        self._steps, self._lying = 0, 0
        return super().reset(seed=seed, options=options)

    def step(self, action: int) -> tuple[_State, float, bool, bool, dict[str, Any]]:
        """Push, or lie."""
        self._steps += 1
        ends = self._steps >= HORIZON
        if self._lying:
            self._lying -= 1
            observation = self._held if self._lying else super().reset()[0]
            return observation, 0.0, False, ends, {}
        observation, _, has_fallen, _, _ = self.env.step(action)
        if has_fallen:
            self._lying, self._held = LYING, observation
        return observation, 1.0, False, ends, {}


ENVIRONMENT = f"{PutUpAgain.__module__}:{PutUpAgain.__qualname__}"
TASK = PolicyTask(
    run_file="cartpole_comparisons.yaml",
    settings=(
        "--environment.id", ENVIRONMENT,
        "--environment.fixed_horizon", "null",
        "--reward.signals.baseline", "none",
        "--reward.questions.strategy", "disagreement",
    ),
    random_return=329.0,
    expert_return=float(HORIZON),
)  # fmt: skip
"""The run file whose numbers the model, the learner and the questions have."""
