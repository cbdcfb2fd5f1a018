"""Each reading makes the right policy of a small world from the signals of a teacher who means it so."""

import dataclasses
from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest
import torch

from policies.networks import ActorCritic
from policies.signals.settings import SignalSettings
from policies.signals.signal_learner import SignalLearner
from policies.signals.signal_store import SignalStore
from tests.policies.signals.made_up import signal

STATES, DISCOUNT = 3, 0.9
SPACE, ACTIONS = gym.spaces.Box(-1.0, 1.0, (STATES,), np.float32), gym.spaces.Discrete(2)
REWARD_SA = np.array([[0.3, 0.0], [0.3, 0.0], [0.3, 1.0]])
NEXT_SA = np.array([[0, 1], [0, 2], [0, 2]])
"""Action 0 pays at once and leads back; only action 1, time after time, comes to where it pays more."""
BEST = [1, 1, 1]
ONE_HOT = np.eye(STATES, dtype=np.float32)


def action_values(chance_SA: np.ndarray) -> np.ndarray:
    """Q of a policy, solved."""
    transition = np.einsum("sa,sat->st", chance_SA, ONE_HOT[NEXT_SA])
    value_S = np.linalg.solve(np.eye(STATES) - DISCOUNT * transition, (chance_SA * REWARD_SA).sum(1))
    return REWARD_SA + DISCOUNT * value_S[NEXT_SA]


def soft_log_policy(temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """The best policy with an entropy bonus, and its advantages, by value iteration."""
    value_S = np.zeros(STATES)
    for _ in range(1000):
        q_SA = REWARD_SA + DISCOUNT * value_S[NEXT_SA]
        value_S = temperature * np.log(np.exp(q_SA / temperature).sum(1))
    return (q_SA - value_S[:, None]) / temperature, q_SA - value_S[:, None]


class World:
    """A learner that acts, and a teacher who sees it."""

    def __init__(self, settings: SignalSettings, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.network = ActorCritic(SPACE, ACTIONS, hidden=(16,))
        self.learner = SignalLearner(self.network, settings)
        self.store = SignalStore(SPACE, ACTIONS, about_policy=settings.about_policy)
        self.settings, self.rng, self.version = settings, np.random.default_rng(seed), 0
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def chance_SA(self) -> np.ndarray:
        with torch.no_grad():
            return torch.softmax(self.network.policy(torch.from_numpy(ONE_HOT)), -1).double().numpy()

    def teach(self, says: Callable[[np.ndarray], np.ndarray], *, rounds: int, signals: int) -> None:
        """Each round the policy is seen from random states, judged as it is now, and learns."""
        for _ in range(rounds):
            said_SA = says(self.chance_SA)
            for _ in range(signals):
                state = int(self.rng.integers(STATES))
                action = int(self.rng.random() > self.chance_SA[state, 0])
                value = float(np.clip(said_SA[state, action] + 0.1 * self.rng.normal(), -1, 1))
                given = signal(ONE_HOT[[state]], [action], value, policy_version_L=[self.version])
                self.store.add(key=f"{self.version}/{len(self.store)}/{self.rng.random()}", **given)
            self.learner.learn(self.store.batch(), self.generator)
            self.version += 1
            self.store.drop_older(self.version - self.settings.most_versions)


ADVANTAGE = SignalSettings(reading="advantage", learning_rate=0.01, most_versions=1, trace_decay=0.0)


def advantage_of(chance_SA: np.ndarray) -> np.ndarray:
    q_SA = action_values(chance_SA)
    return q_SA - (chance_SA * q_SA).sum(1, keepdims=True)


def test_what_is_greedily_good_is_not_the_best_here() -> None:
    uniform = np.full((STATES, 2), 0.5)
    assert REWARD_SA.argmax(1).tolist() == [0, 0, 1]
    assert action_values(np.eye(2)[BEST]).argmax(1).tolist() == BEST
    assert action_values(uniform).argmax(1).tolist() != [0, 0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_coach_converges_on_feedback_that_depends_on_the_policy(seed: int) -> None:
    """MacGlashan et al. 2017, theorem 1: the feedback is the advantage of what was done, as the policy is now."""
    world = World(ADVANTAGE, seed)
    world.teach(advantage_of, rounds=150, signals=20)
    assert world.chance_SA[np.arange(STATES), BEST].min() > 0.9
    assert world.store.expired == 150 * 20 - len(world.store)
    assert len(world.store) == 20


@pytest.mark.parametrize("seed", range(3))
def test_returns_of_a_teacher_who_only_praises_lead_to_the_best(seed: int) -> None:
    """Every action is said to be good, the better ones more; returns are those of the policy as it is."""
    settings = dataclasses.replace(ADVANTAGE, reading="return", learning_rate=0.02, clip=0.9)
    world = World(settings, seed)

    def praise(chance_SA: np.ndarray) -> np.ndarray:
        return np.asarray(0.1 + 0.08 * action_values(chance_SA))

    assert praise(np.full((STATES, 2), 0.5)).min() > 0.1
    world.teach(praise, rounds=200, signals=32)
    assert world.chance_SA[np.arange(STATES), BEST].min() > 0.8


def test_praise_for_everything_moves_only_who_takes_it_for_an_advantage() -> None:
    moved = {}
    for reading in ("advantage", "return"):
        world = World(dataclasses.replace(ADVANTAGE, reading=reading, entropy_coefficient=0.0))
        given = [signal(ONE_HOT[[s]], [0], 0.7) for s in range(STATES) for _ in range(4)]
        for number, one in enumerate(given):
            world.store.add(key=str(number), **one)
        before = world.chance_SA
        for _ in range(10):
            world.learner.learn(world.store.batch(), world.generator)
        moved[reading] = (world.chance_SA - before)[:, 0].min()
    assert moved["advantage"] > 0.2
    assert abs(moved["return"]) < 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_regret_recovers_the_best_policy_from_what_anyone_did(seed: int) -> None:
    """Signals are scaled and shifted advantages of the best policy; actions are chosen by a coin."""
    alpha, scale, offset = 0.5, 0.4, 0.3
    log_policy_SA, advantage_SA = soft_log_policy(alpha)
    np.testing.assert_allclose(np.exp(log_policy_SA).sum(1), 1.0)
    said_SA = offset + scale * advantage_SA
    assert np.abs(said_SA).max() < 1
    rng, given = np.random.default_rng(seed), []
    for number in range(400):
        state, action = int(rng.integers(STATES)), int(rng.integers(2))
        given.append(signal(ONE_HOT[[state]], [action], said_SA[state, action], acted_L=[number % 3 > 0]))
    deviation = float(np.std([one["value"] for one in given]))
    settings = SignalSettings(
        reading="regret",
        temperature=scale * alpha / deviation,
        entropy_coefficient=0.0,
        learning_rate=0.01,
        gradient_steps=800,
    )
    world = World(settings, seed)
    for number, one in enumerate(given):
        world.store.add(key=str(number), **one)
    world.learner.learn(world.store.batch(), world.generator)
    assert world.store.drop_older(10) == 0
    np.testing.assert_allclose(world.chance_SA, np.exp(log_policy_SA), atol=0.02)
    assert world.chance_SA.argmax(1).tolist() == BEST


def test_regret_of_segments_tells_which_of_their_steps_were_wrong() -> None:
    """Each signal is about three steps, with equal credit, in any states."""
    _, advantage_SA = soft_log_policy(0.5)
    rng = np.random.default_rng(0)
    settings = SignalSettings(
        reading="regret", temperature=0.5, learning_rate=0.01, gradient_steps=600, entropy_coefficient=0.0
    )
    world = World(settings)
    for number in range(400):
        state_L, action_L = rng.integers(0, STATES, 3), rng.integers(0, 2, 3)
        value = 0.3 + 0.4 * advantage_SA[state_L, action_L].mean()
        given = signal(ONE_HOT[state_L], action_L, value, credit_L=np.full(3, 1 / 3))
        world.store.add(key=str(number), **given)
    world.learner.learn(world.store.batch(), world.generator)
    assert world.chance_SA.argmax(1).tolist() == BEST


def test_what_is_taken_back_is_unlearnt_by_a_learner_that_begins_anew() -> None:
    """The same weights, to the bit, as if the wrong signals had never come."""
    results = []
    for wrong in (True, False):
        world = World(dataclasses.replace(ADVANTAGE, reading="regret"))
        for number in range(30):
            state, action = number % STATES, number % 2
            good = signal(ONE_HOT[[state]], [action], 1.0 if action == BEST[state] else -1.0)
            world.store.add(key=f"good {number}", **good)
        if wrong:
            for number in range(30):
                world.store.add(key=f"bad {number}", **signal(ONE_HOT[[number % STATES]], [0], 1.0))
                world.store.retract(f"bad {number}")
        world.learner.learn(world.store.batch(), world.generator)
        results.append(world.network.state_dict())
    torch.testing.assert_close(*results, rtol=0, atol=0)
