"""How mistakes grow with the horizon: behaviour cloning against DAgger on a tightrope, with as many labels.

Theory: a clone that errs with probability e where the expert goes makes up to e T^2 mistakes in T steps, because
after one it is where nobody taught it; DAgger's grow like T. Sources: Ross and Bagnell 2010, "Efficient reductions for
imitation learning", theorem 2.1; Ross, Gordon and Bagnell 2011, arXiv:1011.0686, theorem 3.2.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.intervals import Scores, interval
from policies.imitation.cloning import Cloning
from policies.imitation.gates import BetaMixture, Moment
from policies.imitation.labels import LabelStore
from policies.imitation.schedules import BetaSchedule, IndicatorBeta
from policies.imitation.settings import CloningSettings
from policies.networks import ActorCritic

HORIZONS = (12, 25, 50, 100, 200)
ROUNDS, ROUND_LABELS = 8, 600
"""As many for every horizon: of shorter episodes there are more."""
JUDGED_EPISODES = 1000
_FURTHEST = 5
_OBSERVATIONS = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
_ACTIONS: gym.Space[Any] = gym.spaces.Discrete(3)


class Tightrope:
    """Walkers side by side, each on a rope of its own, in gusts that are seen right before they blow.

    A gust moves a walker by -1, 0 or 1, and so does an action. The expert undoes the gust and steps back towards the
    rope, so that it is always on it; whoever repeats what the expert does there never comes back after one mistake.
    """

    def __init__(self, walkers: int, seed: int) -> None:
        """Begin on the rope."""
        self._random = np.random.default_rng(seed)
        self._place_N = np.zeros(walkers, np.int64)
        self._feel()

    def _feel(self) -> None:
        self._wind_N = self._random.uniform(-1, 1, len(self._place_N)).astype(np.float32)

    @property
    def observation_NO(self) -> NDArray[np.float32]:
        """Place, as a share of the furthest one, and wind."""
        return np.stack([self._place_N.astype(np.float32) / _FURTHEST, self._wind_N], 1)

    @property
    def expert_N(self) -> NDArray[np.int64]:
        """What the expert does: 0, 1 or 2 for -1, 0 or 1."""
        return np.asarray(1 - np.clip(self._place_N + self._gust_N, -1, 1))

    @property
    def _gust_N(self) -> NDArray[np.int64]:
        return np.digitize(self._wind_N, [-1 / 3, 1 / 3]) - 1

    def step(self, action_N: NDArray[np.int64]) -> None:
        """Walk on."""
        self._place_N = np.clip(self._place_N + self._gust_N + action_N - 1, -_FURTHEST, _FURTHEST)
        self._feel()


class Learner:
    """Gathers labels in rounds and learns from them; one for all lessons, so that gradient steps are traced once."""

    def __init__(self) -> None:
        self._network = self._begun()
        self._cloning = Cloning(self._network, CloningSettings(epochs=10, learning_rate=3e-3))

    @staticmethod
    def _begun() -> ActorCritic:
        return ActorCritic(_OBSERVATIONS, _ACTIONS, hidden=(32, 32))

    def act(self, observation_NO: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the policy's most probable actions."""
        with torch.no_grad():
            action_N = self._network.act_greedily(torch.from_numpy(observation_NO))
        return np.asarray(action_N.numpy())

    def learn(self, schedule: BetaSchedule, *, horizon: int, seed: int) -> int:
        """Learn from nothing; returns the number of labels.

        Args:
            schedule: beta of each round.
            horizon: steps of an episode, which divide the labels of a round.
            seed: of everything that is drawn.
        """
        torch.manual_seed(seed)
        self._network.load_state_dict(self._begun().state_dict())
        store, generator = LabelStore(_OBSERVATIONS, _ACTIONS, heldout_share=0.0), torch.Generator()
        generator.manual_seed(seed)
        walkers = ROUND_LABELS // horizon
        for number in range(1, ROUNDS + 1):
            first = (seed * ROUNDS + number) * (walkers + 1)
            rope = Tightrope(walkers, seed=first)
            gates = [BetaMixture(schedule(number), seed=first + 1 + n) for n in range(walkers)]
            for t in range(horizon):
                observation_NO, expert_N = rope.observation_NO, rope.expert_N
                store.add(observation_NO, expert_N, group="")
                expert_acts_N = [gate.expert_acts(Moment(begins=t == 0)) for gate in gates]
                rope.step(np.where(expert_acts_N, expert_N, self.act(observation_NO)))
            self._cloning.fit(store.labels(), generator)
        return len(store.labels())

    def mistakes(self, horizon: int) -> float:
        """Return how often the policy differs from the expert in an episode, on average over fresh episodes."""
        rope, wrong = Tightrope(JUDGED_EPISODES, seed=1_000_000), 0
        for _ in range(horizon):
            action_N = self.act(rope.observation_NO)
            wrong += int((action_N != rope.expert_N).sum())
            rope.step(action_N)
        return wrong / JUDGED_EPISODES


def always(round_number: int) -> float:
    """Return beta of behaviour cloning: the expert gathers all labels, also after round 1."""
    return 1.0


SCHEDULES: dict[str, BetaSchedule] = {"cloning": always, "dagger": IndicatorBeta()}


def growth(mistakes: Scores) -> float:
    """Return the exponent of the horizon that fits mistakes best, by least squares of logarithms.

    Args:
        mistakes: of each of `HORIZONS`, means of an episode, one for each seed.
    """
    means = np.array([of_horizon.mean() for of_horizon in mistakes])
    # One mistake in all judged episodes stands for none, which has no logarithm.
    slope, _ = np.polyfit(np.log(HORIZONS), np.log(np.maximum(means, 1 / JUDGED_EPISODES)), 1)
    return float(slope)


def measure(seeds: Sequence[int]) -> dict[str, Any]:
    """Return mistakes an episode by horizon, and the exponent of their growth, of each way to learn.

    Ten seeds take about four minutes on one core.
    """
    learner = Learner()
    figures: dict[str, Any] = {"labels": ROUNDS * ROUND_LABELS, "seeds": list(seeds)}
    for name, schedule in SCHEDULES.items():
        mistakes = [
            np.array([_mistakes(learner, schedule, horizon, seed) for seed in seeds]) for horizon in HORIZONS
        ]
        figures[name] = {
            "mistakes": dict(zip(HORIZONS, map(_mean, mistakes), strict=True)),
            "exponent": round(growth(mistakes), 2),
            "interval": interval(growth, mistakes),
        }
    return figures


def _mistakes(learner: Learner, schedule: BetaSchedule, horizon: int, seed: int) -> float:
    labels = learner.learn(schedule, horizon=horizon, seed=seed)
    assert labels == ROUNDS * ROUND_LABELS
    return learner.mistakes(horizon)


def _mean(of_horizon: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "mean": round(float(of_horizon.mean()), 3),
        "interval": interval(lambda scores: float(scores[0].mean()), [of_horizon]),
    }
