"""The parts together: DAgger against behaviour cloning, with the same number of labels."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from policies.imitation.cloning import Cloning
from policies.imitation.gates import BetaMixture, Moment
from policies.imitation.labels import LabelStore
from policies.imitation.schedules import BetaSchedule, IndicatorBeta
from policies.imitation.settings import CloningSettings
from policies.networks import ActorCritic

FURTHEST, STEPS, EPISODES, ROUNDS = 12, 40, 4, 5
OBSERVATIONS: gym.Space[Any] = gym.spaces.Discrete(2 * FURTHEST + 1)
ACTIONS: gym.Space[Any] = gym.spaces.Discrete(3)
SLIPS = 0.5


class Always:
    """Behaviour cloning: the expert gathers all labels."""

    def __call__(self, round_number: int) -> float:
        return 1.0


class Line:
    """Episodes side by side on a line: stay near its middle, by steps of -1, 0 or 1.

    The expert is steady; the policy's actions slip, so it gets to where the expert never is.
    """

    def __init__(self, network: ActorCritic, seed: int) -> None:
        self._network, self._random = network, np.random.default_rng(seed)

    def play(
        self, beta: float, episodes: int, store: LabelStore | None = None, name: str = ""
    ) -> NDArray[np.float64]:
        """Return the mean distance from the middle in each episode."""
        gates = [BetaMixture(beta, seed=int(self._random.integers(2**31))) for _ in range(episodes)]
        position, places, right = self._random.integers(-1, 2, episodes), [], []
        for t in range(STEPS):
            places.append(position)
            right.append(1 - np.sign(position))
            expert_acts = [gate.expert_acts(Moment(begins=t == 0)) for gate in gates]
            position = position + np.where(expert_acts, right[-1], self._slipping(position)) - 1
            position = position.clip(-FURTHEST, FURTHEST)
        for number in range(episodes if store else 0):
            assert store is not None
            seen = np.eye(2 * FURTHEST + 1, dtype=np.float32)[np.array(places)[:, number] + FURTHEST]
            store.add(seen, np.array(right)[:, number], group=f"{name}/{number}")
        return np.asarray(np.abs(places).mean(0))

    def _slipping(self, position: NDArray[np.int64]) -> NDArray[np.int64]:
        seen = torch.eye(2 * FURTHEST + 1)[position + FURTHEST]
        with torch.no_grad():
            action = self._network.act_greedily(seen).numpy()
        slips = self._random.random(len(action)) < SLIPS
        return np.where(slips, self._random.integers(0, 3, len(action)), action)


class Learner:
    """Learns from nothing, time after time; the gradient steps are traced once."""

    def __init__(self) -> None:
        self._network = ActorCritic(OBSERVATIONS, ACTIONS, hidden=(16,))
        settings = CloningSettings(epochs=10, learning_rate=2e-2, minibatch_size=64)
        self._cloning = Cloning(self._network, settings)

    def learn(self, seed: int, schedule: BetaSchedule) -> tuple[float, int]:
        """Return the policy's mean distance from the middle after some rounds, and the number of labels."""
        torch.manual_seed(seed)
        self._network.load_state_dict(ActorCritic(OBSERVATIONS, ACTIONS, hidden=(16,)).state_dict())
        store = LabelStore(OBSERVATIONS, ACTIONS, heldout_share=0.2)
        line, generator = Line(self._network, seed), torch.Generator().manual_seed(seed)
        for number in range(1, ROUNDS + 1):
            line.play(schedule(number), EPISODES, store, f"{seed}/{number}")
            self._cloning.fit(store.labels(), generator)
        return float(Line(self._network, 1000).play(0.0, 50).mean()), len(store.labels())


def test_dagger_beats_cloning_with_as_many_labels() -> None:
    learner = Learner()
    for seed in range(5):
        cloned, labels = learner.learn(seed, Always())
        score, as_many = learner.learn(seed, IndicatorBeta())
        assert as_many == labels == ROUNDS * EPISODES * STEPS
        assert score < 0.7 * cloned
