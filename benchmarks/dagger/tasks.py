"""The tasks, and how good a policy is on them: 0 as good as chance, 1 as good as the expert.

Nothing but gymnasium, numpy and the experts is imported, so that both sides are judged by this code, each in an
environment of its own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from benchmarks.dagger.experts import Climber, Swinger, labels_of
from hitl.teachers.cartpole import Balancer

EPISODES = 100
"""That judge a policy, and that measured the scores of chance and expert below; they start the same for all."""
TARGET = 0.95
"""Normalised score at which a task counts as learnt."""
_FIRST_START = 10_000

Act = Callable[[NDArray[np.float32]], Any]
"""Returns actions, [N] or [N, A], for flat observations, [N, O]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An environment, who knows how to act in it, and two true returns; `measure_scores` measured both."""

    env_id: str
    expert: Any
    horizon: int
    """Steps after which an episode is cut."""
    random_score: float
    expert_score: float

    def normalised(self, score: float) -> float:
        """Bring a true return to a scale on which chance is 0 and the expert 1."""
        return (score - self.random_score) / (self.expert_score - self.random_score)


TASKS = {
    "cartpole": Task(
        env_id="CartPole-v1", expert=Balancer(), horizon=500, random_score=22.78, expert_score=500.0
    ),
    "mountaincar": Task(
        env_id="MountainCar-v0", expert=Climber(), horizon=200, random_score=-200.0, expert_score=-100.94
    ),
    "pendulum": Task(
        env_id="Pendulum-v1", expert=Swinger(), horizon=200, random_score=-1187.92, expert_score=-136.08
    ),
}


def returns_of(act: Act, env_id: str, episodes: int = EPISODES) -> NDArray[np.float64]:
    """Play episodes side by side and return the true return of each, [N].

    Args:
        act: the policy.
        env_id: of gymnasium.
        episodes: how many; the n-th one starts the same for every policy.
    """
    envs = [gym.make(env_id, disable_env_checker=True) for _ in range(episodes)]
    observations = [env.reset(seed=_FIRST_START + number)[0] for number, env in enumerate(envs)]
    returns, playing = np.zeros(episodes), list(range(episodes))
    while playing:
        actions = act(np.stack([observations[number] for number in playing]))
        still = []
        for number, action in zip(playing, actions, strict=True):
            observations[number], reward, terminated, truncated, _ = envs[number].step(action)
            returns[number] += float(reward)
            if not (terminated or truncated):
                still.append(number)
        playing = still
    return returns


def measure_scores(task: Task, episodes: int = EPISODES) -> tuple[float, float]:
    """Return the mean true returns of uniformly random actions and of the expert."""
    space = gym.make(task.env_id).action_space
    space.seed(0)
    by_chance = returns_of(lambda seen: [space.sample() for _ in seen], task.env_id, episodes)
    by_expert = returns_of(lambda seen: labels_of(task.expert, seen), task.env_id, episodes)
    return float(by_chance.mean()), float(by_expert.mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How good a policy is after one of its rounds."""

    labels: int
    """Used so far."""
    true_return: float
    """Mean of the greedy policy over `EPISODES`."""
    score: float
    """The same, normalised."""


def labels_to(target: float, rounds: Iterable[Judged]) -> int | None:
    """Return the labels after which a normalised score is first reached, by rounds in order; None: never."""
    return next((judged.labels for judged in rounds if judged.score >= target), None)
