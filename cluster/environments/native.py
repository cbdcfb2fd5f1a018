"""Environments that one program steps all at once: gymnasium's vector entry points."""

from collections import Counter
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from cluster.environments.goal import outcome_of
from cluster.environments.vector import LostReason, Stepped
from cluster.runs.imitation_config import Goal
from hitl.errors import ConfigError
from policies.experience import BoolArray, ObservationArray, Outcome
from policies.spaces import flat_dtype, flat_size, writable


class NativeEnvironments:
    """A gymnasium vector that resets an environment in the step after its episode's end.

    In that row nobody acts. Under a fixed horizon it stands for what is left of the horizon after an early end, as in
    `FixedHorizon`; otherwise it counts for nothing (see `VectorEnvironment`).
    """

    def __init__(
        self, envs: gym.vector.VectorEnv[Any, Any, Any], *, horizon: int | None = None, goal: Goal = "none"
    ) -> None:
        """Take over a vector.

        Args:
            envs: in gymnasium's autoreset mode NEXT_STEP.
            horizon: of every episode; then the vector must cut episodes there by itself.
            goal: that outcomes are told of.

        Raises:
            ConfigError: it resets environments in another way.
        """
        mode = envs.metadata.get("autoreset_mode")
        if mode != gym.vector.AutoresetMode.NEXT_STEP:
            raise ConfigError(f"environment.vectorised: {envs} resets by {mode}; only NEXT_STEP works")
        self._envs = envs
        self._horizon, self._goal = horizon, goal
        self.count = envs.num_envs
        self.observation_space = envs.single_observation_space
        self.action_space = envs.single_action_space
        self._size, self._dtype = flat_size(self.observation_space), flat_dtype(self.observation_space)
        self.lost: Counter[LostReason] = Counter()

    def reset(self, seed: int) -> ObservationArray:
        """Start an episode in each environment."""
        (own,) = np.random.SeedSequence(seed).generate_state(1)
        self._observation_NO = self._flat(self._envs.reset(seed=int(own))[0])
        self._ended_N = np.zeros(self.count, bool)
        self._steps_N = np.zeros(self.count, np.int64)
        return self._observation_NO

    def step(self, action_NA: NDArray[np.generic]) -> Stepped:
        """Take one action in each environment that is not just starting anew.

        Raises:
            ConfigError: an episode goes on beyond the horizon.
        """
        resetting_N, before_NO, left_N = self._ended_N, self._observation_NO, self._left()
        observation, reward_N, terminated_N, truncated_N, info = self._envs.step(action_NA)
        self._observation_NO = self._flat(observation)
        self._steps_N = np.where(resetting_N, 0, self._steps_N + 1)
        self._ended_N = terminated_N | truncated_N
        outcome_N = outcome_of(self._goal, terminated_N, info)
        terminated_N, truncated_N = self._shown_ends(terminated_N, truncated_N)
        truncated_N = truncated_N | resetting_N
        ended_N = terminated_N | truncated_N
        return Stepped(
            observation_NO=self._observation_NO,
            reward_N=reward_N,
            terminated_N=terminated_N,
            truncated_N=truncated_N,
            nobody_N=resetting_N,
            duration_N=np.where(resetting_N, left_N, 1),
            outcome_N=np.where(resetting_N, np.uint8(Outcome.OPEN), outcome_N),
            final_observation_KO=np.where(resetting_N[:, None], before_NO, self._observation_NO)[ended_N],
        )

    def _left(self) -> NDArray[np.int64] | int:
        """Steps that are left of each horizon."""
        return 0 if self._horizon is None else self._horizon - self._steps_N

    def _shown_ends(self, terminated_N: BoolArray, truncated_N: BoolArray) -> tuple[BoolArray, BoolArray]:
        """What the learner sees of the ends: under a fixed horizon only the horizon."""
        if self._horizon is None:
            return terminated_N, truncated_N
        at_horizon_N = self._steps_N >= self._horizon
        if (at_horizon_N & ~self._ended_N).any():
            raise ConfigError("environment.fixed_horizon: this vector pays no heed to max_episode_steps")
        return np.zeros_like(at_horizon_N), at_horizon_N

    def _flat(self, observation: Any) -> ObservationArray:
        # Anew: vectors may write their next observations over these.
        flat_NO = np.empty((self.count, self._size), self._dtype)
        shown = writable(self.observation_space, flat_NO)
        if isinstance(self.observation_space, gym.spaces.Box):
            shown[:] = observation
            return flat_NO
        for n, own in enumerate(gym.vector.utils.iterate(self._envs.observation_space, observation)):
            shown[n] = own
        return flat_NO

    def close(self) -> None:
        """Close the environments."""
        self._envs.close()
