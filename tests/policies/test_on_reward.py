import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from policies.acting.inference import acting_policy
from policies.acting.on_reward import (
    ActingOnReward,
    ActionBiasing,
    CandidateActions,
    ControlSharing,
    action_biased,
    control_shared,
)
from policies.networks import ActorCritic

SEEN = gym.spaces.Box(-1.0, 1.0, (3,))
CASES = [np.random.default_rng(seed) for seed in range(10)]


class Table:
    """The same worth of actions in every state."""

    def __init__(self, *worth: float) -> None:
        self.worth = np.array(worth, np.float32)

    def of_actions(self, observation_NO: Any, action_C: Any) -> Any:
        return np.tile(self.worth[np.asarray(action_C, np.int64)], (len(observation_NO), 1))


class Nearest:
    """A Box action is worth the more the nearer it is to a place."""

    def __init__(self, place: list[float]) -> None:
        self.place = np.array(place, np.float32)

    def of_actions(self, observation_NO: Any, action_C: Any) -> Any:
        distance = np.abs(np.asarray(action_C) - self.place).sum(-1)
        return np.tile(-distance, (len(observation_NO), 1)).astype(np.float32)


def candidates(space: gym.Space[Any], count: int = 64) -> CandidateActions:
    return CandidateActions(space, count=count, rng=np.random.default_rng(0))


def log_softmax(rng: np.random.Generator, actions: int = 4) -> Any:
    preference = rng.normal(0, 2, (2, actions))
    return preference - np.log(np.exp(preference).sum(1, keepdims=True))


def test_greedy_takes_the_best_and_chooses_between_equals_by_chance() -> None:
    greedy = ActingOnReward(
        Table(0.0, 2.0, 2.0, -1.0), candidates(gym.spaces.Discrete(4)), temperature=0.0, seed=0
    )
    action, log_prob = greedy.act(np.zeros((2000, 3), np.float32))
    assert set(action.tolist()) == {1, 2}
    assert np.mean(action == 1) == pytest.approx(0.5, abs=0.04)
    assert not log_prob.any()


@pytest.mark.parametrize("temperature", [0.1, 0.7, 5.0])
def test_a_temperature_draws_in_proportion_to_the_exponential_of_the_reward(temperature: float) -> None:
    rewards = [0.0, 0.4, 0.3, -1.0]
    acting = ActingOnReward(
        Table(*rewards), candidates(gym.spaces.Discrete(4)), temperature=temperature, seed=0
    )
    action, _ = acting.act(np.zeros((20_000, 3), np.float32))
    weight = [math.exp(reward / temperature) for reward in rewards]
    for a in range(4):
        assert np.mean(action == a) == pytest.approx(weight[a] / sum(weight), abs=0.015)


def test_where_all_known_actions_are_punished_others_are_tried_and_hardly_where_one_is_praised() -> None:
    def share_of_others(*rewards: float) -> float:
        acting = ActingOnReward(Table(*rewards), candidates(gym.spaces.Discrete(3)), temperature=0.3, seed=0)
        action, _ = acting.act(np.zeros((5000, 3), np.float32))
        return float(np.mean(action != np.argmax(rewards)))

    assert share_of_others(-0.7, -0.8, -0.9) > 0.4
    assert share_of_others(1.0, -0.8, -0.9) < 0.01


def test_greedy_over_many_axes_considers_every_combination() -> None:
    space = gym.spaces.MultiDiscrete([2, 3])
    drawn = candidates(space).draw()
    assert sorted(map(tuple, drawn.tolist())) == [(a, b) for a in range(2) for b in range(3)]
    assert len(np.unique(candidates(gym.spaces.MultiDiscrete([16, 16]), 50).draw(), axis=0)) == 256
    many = candidates(gym.spaces.MultiDiscrete([9, 9, 9]), 50).draw()
    assert many.shape == (50, 3)
    assert many.min() >= 0
    assert many.max() <= 8
    assert len(np.unique(many)) == 9


def test_greedy_over_a_box_comes_near_the_best_and_stays_inside() -> None:
    space = gym.spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 4.0], np.float32))
    greedy = ActingOnReward(Nearest([0.5, 3.0]), candidates(space, 2000), temperature=0.0, seed=0)
    action, _ = greedy.act(np.zeros((5, 3), np.float32))
    assert all(space.contains(one) for one in action)
    np.testing.assert_allclose(action, np.tile([0.5, 3.0], (5, 1)), atol=0.2)


@pytest.mark.parametrize("rng", CASES)
def test_action_biasing_is_a_softmax_of_preference_and_advice(rng: np.random.Generator) -> None:
    log_prob, reward, beta = log_softmax(rng), rng.normal(0, 1, (2, 4)).astype(np.float32), rng.uniform(0, 3)
    found = action_biased(log_prob, reward, weight=beta)
    for n in range(2):
        weight = [math.exp(log_prob[n, a]) * math.exp(beta * reward[n, a]) for a in range(4)]
        for a in range(4):
            assert found[n, a] == pytest.approx(math.log(weight[a] / sum(weight)))


@pytest.mark.parametrize("rng", CASES)
def test_control_sharing_is_a_mixture_with_the_greedy_action(rng: np.random.Generator) -> None:
    log_prob, beta = log_softmax(rng), rng.uniform(0, 1.5)
    reward = rng.integers(0, 3, (2, 4)).astype(np.float32)
    found = np.exp(control_shared(log_prob, reward, weight=beta))
    for n in range(2):
        best = [a for a in range(4) if reward[n, a] == max(reward[n])]
        for a in range(4):
            share = min(beta, 1.0)
            expected = share * (a in best) / len(best) + (1 - share) * math.exp(log_prob[n, a])
            assert found[n, a] == pytest.approx(expected)


def test_without_weight_the_policy_acts() -> None:
    log_prob = log_softmax(np.random.default_rng(0))
    reward = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    for mixed in (action_biased, control_shared):
        np.testing.assert_allclose(mixed(log_prob, reward, weight=0.0), log_prob, atol=1e-12)


@pytest.mark.parametrize("mixture", [ActionBiasing, ControlSharing])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_mixture_draws_what_it_says_that_it_draws(mixture: Any, activation: str) -> None:
    """Frequencies of many draws are the probabilities whose logarithms it returns, for both ways to act."""
    actions = gym.spaces.Discrete(3)
    # Layers this wide are for torch.
    hidden = (8,) if activation == "tanh" else (300,)
    policy: Any = acting_policy(SEEN, actions, seed=0, hidden=hidden, activation=activation)
    network = ActorCritic(SEEN, actions, hidden=hidden, activation=activation)
    policy.load({name: value.detach().numpy() for name, value in network.state_dict().items()})
    acts = mixture(policy, Table(0.0, 1.0, -1.0), actions, seed=0)
    acts.weight = 0.4
    action, log_prob = acts.act(np.full((20000, 3), 0.3, np.float32))
    for one in range(3):
        chosen = action == one
        assert np.ptp(log_prob[chosen]) < 1e-5
        assert chosen.mean() == pytest.approx(float(np.exp(log_prob[chosen][0])), abs=0.015)


def test_a_mixture_needs_discrete_actions() -> None:
    box = gym.spaces.Box(-1.0, 1.0, (2,))
    with pytest.raises(TypeError, match="Discrete"):
        ActionBiasing(acting_policy(SEEN, box, seed=0), Table(0.0), box, seed=0)  # type: ignore[arg-type]
