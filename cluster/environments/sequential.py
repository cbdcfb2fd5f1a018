"""Environments in Python, stepped one after the other in this process."""

import contextlib
import logging
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cluster.environments.fixed_horizon import DURATION, NOBODY, Env
from cluster.environments.goal import OUTCOME
from cluster.environments.vector import LostReason, Stepped, one_by_one
from hitl.errors import ConfigError
from policies.experience import ObservationArray, Outcome
from policies.spaces import flat_dtype, flat_size, writable

logger = logging.getLogger(__name__)

MOST_FAILURES = 3
"""So often in a row may one environment fail and be made anew."""


class EnvironmentLost(Exception):
    """An environment is of no use any more."""

    def __init__(self, reason: LostReason, words: str) -> None:
        super().__init__(words)
        self.reason: LostReason = reason


class SequentialEnvironments:
    """Many single environments; each starts anew in the step in which its episode ends.

    One that raises an error in `step` or `reset` is made anew, and the others go on. Its episode ends with a row that
    counts for nothing (see `VectorEnvironment`).
    """

    def __init__(self, make: Callable[[], Env], count: int) -> None:
        self._make = make
        self.envs = [make() for _ in range(count)]
        self.count = count
        self.observation_space = self.envs[0].observation_space
        self.action_space = self.envs[0].action_space
        self.lost: Counter[LostReason] = Counter()
        self._steps = 0
        self._failures: dict[int, tuple[int, int]] = {}
        """Of an environment: how often in a row it failed, and at which step last."""
        space = self.observation_space
        self._observation_NO = np.zeros((count, flat_size(space)), flat_dtype(space))
        self._shown = writable(space, self._observation_NO)
        self._reward_N = np.zeros(count, np.float32)
        self._terminated_N, self._truncated_N = np.zeros(count, bool), np.zeros(count, bool)
        self._nobody_N, self._duration_N = np.zeros(count, bool), np.ones(count, np.int64)
        self._outcome_N = np.full(count, Outcome.OPEN, np.uint8)

    def reset(self, seed: int) -> ObservationArray:
        """Start an episode in each environment."""
        sequence = np.random.SeedSequence(seed)
        self._new_seeds = np.random.default_rng(sequence.spawn(1)[0])
        self._failures.clear()
        for n, own in enumerate(sequence.generate_state(self.count)):
            try:
                self._shown[n], _ = self.envs[n].reset(seed=int(own))
            except Exception as error:
                self._renew(n, error)
        return self._observation_NO

    def step(self, action_NA: NDArray[np.generic]) -> Stepped:
        """Take one action in each environment.

        Raises:
            ConfigError: one fails again and again.
        """
        self._steps += 1
        shown, reward_N = self._shown, self._reward_N
        terminated_N, truncated_N = self._terminated_N, self._truncated_N
        nobody_N, duration_N, outcome_N = self._nobody_N, self._duration_N, self._outcome_N
        nobody_N.fill(False)
        duration_N.fill(1)
        outcome_N.fill(Outcome.OPEN)
        final: list[ObservationArray] = []
        actions = one_by_one(action_NA, self.action_space)
        for n, (env, action) in enumerate(zip(self.envs, actions, strict=True)):
            try:
                observation, reward, terminated, truncated, info = env.step(action)
            except Exception as error:
                final.append(self._observation_NO[n].copy())
                reward_N[n], terminated_N[n], truncated_N[n] = 0.0, False, True
                nobody_N[n], duration_N[n] = True, 0
                self._renew(n, error)
                continue
            shown[n], reward_N[n], terminated_N[n], truncated_N[n] = (
                observation,
                reward,
                terminated,
                truncated,
            )
            if info and NOBODY in info:
                nobody_N[n], duration_N[n] = True, info[DURATION]
            elif info and OUTCOME in info:
                outcome_N[n] = info[OUTCOME]
            if terminated or truncated:
                final.append(self._observation_NO[n].copy())
                try:
                    shown[n], _ = env.reset()
                except Exception as error:
                    self._renew(n, error)
        return Stepped(
            observation_NO=self._observation_NO,
            reward_N=reward_N,
            terminated_N=terminated_N,
            truncated_N=truncated_N,
            nobody_N=nobody_N,
            duration_N=duration_N,
            outcome_N=outcome_N,
            final_observation_KO=final,
        )

    def _renew(self, n: int, error: Exception) -> None:
        """Put a new environment in the place of one that failed, and start an episode in it."""
        self.lost[error.reason if isinstance(error, EnvironmentLost) else "error"] += 1
        count, last = self._failures.get(n, (0, 0))
        count = count + 1 if last >= self._steps - 1 else 1
        self._failures[n] = count, self._steps
        if count > MOST_FAILURES:
            raise ConfigError(
                f"an environment failed {count} times in a row, though it was made anew each time: {error!r}"
            ) from error
        logger.warning("environment %d failed and is made anew: %r", n, error)
        with contextlib.suppress(Exception):
            self.envs[n].close()  # type: ignore[no-untyped-call]
        try:
            self.envs[n] = self._make()
            self._shown[n], _ = self.envs[n].reset(seed=int(self._new_seeds.integers(2**32)))
        except Exception as again:
            self._renew(n, again)

    def close(self) -> None:
        """Close the environments."""
        for env in self.envs:
            env.close()  # type: ignore[no-untyped-call]
