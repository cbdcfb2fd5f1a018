"""A fixed horizon: the length of an episode says nothing."""

from typing import Any, SupportsFloat

import gymnasium as gym

NOBODY = "handrail_nobody_acts"
"""Key in a step's info: the episode had ended before its horizon, so the action had no effect."""
DURATION = "handrail_duration"
"""Key beside it: how many steps of standing still this one stands for."""

Env = gym.Env[Any, Any]


class FixedHorizon(gym.Wrapper[Any, Any, Any, Any]):
    """Makes every episode last exactly `horizon` steps, so that its length says nothing.

    After an early end the last observation is held and the true reward is 0. At the horizon the episode is
    truncated, never terminated. Standing still is one step, which stands for all that are left.

    Source: Christiano et al. 2017, arXiv:1706.03741, appendix A, on why an early end leaks the task.
    """

    def __init__(self, env: Env, horizon: int) -> None:
        super().__init__(env)
        self.horizon = horizon
        self._steps = 0
        self._held: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        self._steps, self._held = 0, None
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, or stand still up to the horizon once the episode has ended early."""
        if self._held is not None:
            return self._held, 0.0, False, True, {NOBODY: True, DURATION: self.horizon - self._steps}
        self._steps += 1
        at_horizon = self._steps >= self.horizon
        observation, reward, terminated, truncated, info = super().step(action)
        if terminated or truncated:
            self._held = observation
        return observation, reward, False, at_horizon, info
