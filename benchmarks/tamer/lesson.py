"""A lesson: an agent acts greedily on a reward that a simulated teacher teaches it, on a clock that is only counted."""

import heapq
import math
from collections import deque
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from hitl.credit import DelayDensity, credit, place
from hitl.reward.linear import LinearReward
from hitl.reward.network.features import ActionFeatures
from hitl.teachers.live import LiveTeacher

_SMALLEST_SHARE = 0.5
PAUSE_SECONDS = 3.0
"""For which an episode's last step stays on show."""

Opinion = Callable[[NDArray[Any], int], float]
"""What the teacher thinks of an action in the place of an observation: 1, 0 or -1."""


class Lesson:
    """TAMER (Knox and Stone 2009): no value function, no discount, greedy on the reward learnt so far."""

    def __init__(
        self,
        env: gym.Env[Any, Any],
        *,
        features: ActionFeatures,
        reward: LinearReward,
        delay: DelayDensity,
        teacher: LiveTeacher,
        opinion: Opinion,
        step_seconds: float,
        seed: int,
    ) -> None:
        """Prepare.

        Args:
            env: with discrete actions.
            features: of each action.
            reward: learns.
            delay: what the learner supposes of the teacher's delays.
            teacher: watches and presses.
            opinion: the teacher's, hidden from the learner.
            step_seconds: for which each step is on show.
            seed: of the environment, and of the choice between equally good actions.
        """
        self._env, self._features, self._reward, self._delay = env, features, reward, delay
        self._teacher, self._opinion, self._step_seconds = teacher, opinion, step_seconds
        self._rng = np.random.default_rng(seed)
        self._env.reset(seed=seed)
        self._clock = 0.0
        self._episode = 0
        self._steps: deque[tuple[float, int, NDArray[np.float32]]] = deque()
        self._under_way: list[tuple[float, float]] = []
        self.steps = 0
        self.signals = 0
        self.unplaced = 0

    def play(self, *, stop: Callable[[float], bool] = lambda total: False) -> float:
        """Play an episode, or until `stop` says so of the return so far; returns the return."""
        observation, _ = self._env.reset()
        self._episode += 1
        total, ended = 0.0, False
        while not ended and not stop(total):
            self._hear(self._clock)
            feature_AF = self._features(observation[None])[0]
            worth_A = self._reward.reward(feature_AF)
            action = int(self._rng.choice(np.flatnonzero(worth_A == worth_A.max())))
            self._steps.append((self._clock, self._episode, feature_AF[action]))
            following, pay, terminated, truncated, _ = self._env.step(action)
            press = self._teacher.watch(self._clock, self._opinion(observation, action))
            if press is not None:
                heapq.heappush(self._under_way, (press.seconds, press.value))
            observation, ended = following, terminated or truncated
            total += float(pay)
            self.steps += 1
            self._clock += self._step_seconds
        self._clock += PAUSE_SECONDS
        self._hear(self._clock)
        return total

    def _hear(self, until: float) -> None:
        """Learn from the keys pressed by now."""
        while self._under_way and self._under_way[0][0] <= until:
            self._learn(*heapq.heappop(self._under_way))

    def _learn(self, press: float, value: float) -> None:
        earliest = press - self._delay.longest_seconds
        while len(self._steps) > 1 and self._steps[1][0] < earliest:
            self._steps.popleft()
        begin_T = np.array([begin for begin, _, _ in self._steps])
        end_T = np.append(begin_T[1:], math.inf)
        episode_T = np.array([episode for _, episode, _ in self._steps])
        credit_ST = credit(
            self._delay,
            press_S=np.array([press]),
            begin_T=begin_T,
            end_T=end_T,
            episode_T=episode_T,
            shown_episode_S=np.array([self._episode]),
        )
        (credit_T,), (placed,) = place(credit_ST, smallest_share=_SMALLEST_SHARE)
        self.signals += 1
        if not placed:
            self.unplaced += 1
            return
        self._reward.take(credit_T @ np.stack([feature for _, _, feature in self._steps]), value)
