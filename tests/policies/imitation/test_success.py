"""Critics of success: what they learn of a step, and that they can be kept."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from policies.acting.counsel import Counsel, with_committee, without_committee
from policies.experience import Actor, Outcome, Rollout
from policies.imitation.recent_steps import StepBatch
from policies.imitation.risk import risk
from policies.imitation.settings import SuccessSettings
from policies.imitation.success import SuccessCritics
from policies.networks import ActorCritic
from policies.networks.success_critic import SuccessCritic
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION_SPACE, made_up_rollout, waves

HIDDEN = 5
SEEN = gym.spaces.Box(-10.0, 10.0, (1,), np.float32)


def outcomes() -> NDArray[np.uint8]:
    rollout = made_up_rollout()
    outcome_TN = np.where(rollout.terminated_TN, Outcome.FAILED, Outcome.OPEN).astype(np.uint8)
    outcome_TN[4:6, 1:3] = Outcome.REACHED
    return outcome_TN


def told(**changes: Any) -> Rollout:
    """The made-up rollout, with goals that are reached also where episodes go on."""
    actor_TN = made_up_rollout().actor_TN
    actor_TN[1, 1:3] = Actor.EXPERT
    return made_up_rollout(outcome_TN=outcomes(), actor_TN=actor_TN, **changes)


def critics(
    seen: gym.Space[Any] = OBSERVATION_SPACE,
    actions: gym.Space[Any] = ACTION_SPACE,
    *,
    seed: int = 1,
    config: dict[str, Any] | None = None,
    **settings: Any,
) -> SuccessCritics:
    own = {"hidden": (HIDDEN,)} | (config or {})
    return SuccessCritics(
        lambda: SuccessCritic(seen, actions, **own), settings=SuccessSettings(**settings), seed=seed
    )


def policy(seed: int = 0, **config: Any) -> ActorCritic:
    torch.manual_seed(seed)
    network = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(HIDDEN,), **config)
    with torch.no_grad():
        network.policy[-1].weight.mul_(300.0)
    return network


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Slowly:
    """The same in float64, one step at a time: weights of K critics, their targets, Adam's moments."""

    def __init__(self, one: SuccessCritics, settings: SuccessSettings) -> None:
        self.settings = settings
        self.weights = [
            [p.detach().double().clone() for p in network.parameters()] for network in one.networks
        ]
        self.targets = [[p.clone() for p in weights] for weights in self.weights]
        self.mean = [[torch.zeros_like(p) for p in weights] for weights in self.weights]
        self.square = [[torch.zeros_like(p) for p in weights] for weights in self.weights]
        self.steps = 0

    @staticmethod
    def log_odds(weights: list[torch.Tensor], observation: NDArray[Any], action: int) -> torch.Tensor:
        first, first_bias, last, last_bias = weights
        read = torch.tensor([*observation.tolist(), float(action == 0), float(action == 1)]).double()
        return (last @ torch.tanh(first @ read + first_bias) + last_bias)[0]

    def target(self, network: ActorCritic, row: tuple[Any, ...]) -> float:
        _, _, following, outcome = row
        if outcome == Outcome.REACHED:
            return 1.0
        if outcome == Outcome.FAILED:
            return 0.0
        with torch.no_grad():
            action = int(network.policy(torch.from_numpy(following[None]))[0].argmax())
            odds = [float(self.log_odds(weights, following, action)) for weights in self.targets]
        return self.settings.discount * min(1 / (1 + math.exp(-z)) for z in odds)

    def step(self, network: ActorCritic, rows: list[tuple[Any, ...]]) -> float:
        targets = [self.target(network, row) for row in rows]
        learnt = [p.requires_grad_() for weights in self.weights for p in weights]
        loss = torch.zeros((), dtype=torch.float64)
        for weights in self.weights:
            for (observation, action, _, _), target in zip(rows, targets, strict=True):
                p = torch.sigmoid(self.log_odds(weights, observation, action))
                loss = loss - (target * p.log() + (1 - target) * (1 - p).log()) / len(rows)
        gradients = torch.autograd.grad(loss, learnt)
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
        shorter = min(1.0, self.settings.max_gradient_norm / (norm + 1e-6))
        self.steps += 1
        places = [(k, i) for k, weights in enumerate(self.weights) for i in range(len(weights))]
        for (k, i), gradient in zip(places, gradients, strict=True):
            g = gradient * shorter
            self.mean[k][i] = 0.9 * self.mean[k][i] + 0.1 * g
            self.square[k][i] = 0.999 * self.square[k][i] + 0.001 * g**2
            mean, square = (
                self.mean[k][i] / (1 - 0.9**self.steps),
                self.square[k][i] / (1 - 0.999**self.steps),
            )
            new = self.weights[k][i].detach() - self.settings.learning_rate * mean / (square.sqrt() + 1e-8)
            self.weights[k][i] = new
            rate = self.settings.target_rate
            self.targets[k][i] = (1 - rate) * self.targets[k][i] + rate * new
        return float(loss.detach()) / len(self.weights)


def rows_of(rollout: Rollout) -> list[tuple[Any, ...]]:
    """Every step in which somebody acted: state, action, what truly followed, outcome."""
    assert rollout.outcome_TN is not None
    final = dict(zip(rollout.final_index_K.tolist(), rollout.final_observation_KO, strict=True))
    rows = []
    steps, columns = rollout.actor_TN.shape
    for t in range(steps):
        for n in range(columns):
            if rollout.actor_TN[t, n] != Actor.NOBODY:
                following = final.get(t * columns + n, rollout.observation_TNO[t + 1, n])
                action = int(rollout.action_TNA[t, n])
                rows.append((rollout.observation_TNO[t, n], action, following, int(rollout.outcome_TN[t, n])))
    return rows


@pytest.mark.parametrize("most_gradient", [10.0, 0.05])
def test_a_fit_is_that_of_the_paper_step_by_step(most_gradient: float) -> None:
    settings: dict[str, Any] = {
        "gradient_steps": 6,
        "minibatch_size": 9,
        "learning_rate": 0.05,
        "target_rate": 0.3,
        "discount": 0.9,
        "critics": 3,
        "max_gradient_norm": most_gradient,
    }
    one, network, rollout = critics(**settings), policy(), told()
    slowly, rows = Slowly(one, SuccessSettings(**settings)), rows_of(rollout)
    losses, draws = [], generator()
    for _ in range(6):
        chosen = torch.randint(len(rows), (9,), generator=draws).tolist()
        losses.append(slowly.step(network, [rows[row] for row in chosen]))
    said = one.learn([rollout], network, generator())
    assert said["success_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    for own, weights in zip(one.networks, slowly.weights, strict=True):
        for parameter, expected in zip(own.parameters(), weights, strict=True):
            torch.testing.assert_close(parameter.double(), expected, rtol=1e-4, atol=1e-5)


def test_the_rollout_tries_every_way_on() -> None:
    """Whoever acted counts, and of each outcome there is a step; the policy does not always choose the same."""
    rollout, network = told(), policy()
    assert {outcome for *_, outcome in rows_of(rollout)} == set(Outcome)
    assert (rollout.actor_TN == Actor.EXPERT).any()
    seen = torch.from_numpy(np.stack([following for _, _, following, _ in rows_of(rollout)]))
    assert len(set(network.act_greedily(seen).tolist())) == 2


def test_the_risk_that_is_told_is_that_of_the_policys_own_steps() -> None:
    one, network, rollout = critics(gradient_steps=3), policy(), told()
    said = one.learn([rollout], network, generator())
    expected = []
    for t, n in np.argwhere(rollout.actor_TN == Actor.POLICY):
        seen = torch.from_numpy(rollout.observation_TNO[t, n][None])
        action = torch.tensor([int(rollout.action_TNA[t, n])])
        expected.append(1 - float(one.success(seen, action).min()))
    assert said["risk"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_where_the_policy_took_no_step_there_is_no_risk_to_tell() -> None:
    actor_TN = np.full_like(made_up_rollout().actor_TN, Actor.EXPERT)
    rollout = made_up_rollout(outcome_TN=outcomes(), actor_TN=actor_TN)
    assert set(critics(gradient_steps=1).learn([rollout], policy(), generator())) == {"success_loss"}


def test_untrained_critics_expect_little_of_anything() -> None:
    success_KP = critics().success(torch.from_numpy(waves(50, 3)), torch.zeros(50, dtype=torch.int64))
    assert 0.005 < float(success_KP.min()) <= float(success_KP.max()) < 0.25


def test_the_oldest_steps_make_room_for_new_ones() -> None:
    one = critics(most_steps=40, gradient_steps=1)
    rollout, count = told(), len(rows_of(told()))
    assert 20 < count < 40
    other = told(observation_TNO=rollout.observation_TNO + 1)
    one.learn([rollout, other], policy(), generator())
    kept = one.get_state()["steps"]
    expected = [*rows_of(rollout), *rows_of(other)][-40:]
    assert len(kept["outcome_B"]) == 40
    for column, name in enumerate(["observation_BO", "action_BA", "next_observation_BO", "outcome_B"]):
        np.testing.assert_array_equal(kept[name], [row[column] for row in expected])


def test_a_rollout_that_tells_of_no_goal_is_refused() -> None:
    with pytest.raises(ValueError, match="share_outcome"):
        critics().learn([made_up_rollout()], policy(), generator())


def _bits(one: SuccessCritics) -> list[NDArray[Any]]:
    return [value for state in one.states() for value in state.values()]


def test_critics_are_a_function_of_their_seed_and_go_on_from_their_state() -> None:
    config = {"normalise_observations": True}
    network = policy(normalise_observations=True)
    network.observe(torch.from_numpy(waves(30, 3)))
    first, again, other = (critics(seed=s, config=config, gradient_steps=20) for s in (1, 1, 2))
    for one in (first, again, other):
        one.learn([told()], network, generator())
    np.testing.assert_equal(_bits(first), _bits(again))
    assert not all(np.array_equal(a, b) for a, b in zip(_bits(first), _bits(other), strict=True))
    later = critics(seed=1, config=config, gradient_steps=20)
    later.set_state(first.get_state())
    assert later.are_fitted
    network.observe(torch.from_numpy(waves(30, 3, phase=1.0)))
    before = _bits(first)
    for one in (first, later):
        one.learn([told(action_TNA=1 - told().action_TNA)], network, generator(4))
    np.testing.assert_equal(_bits(first), _bits(later))
    assert not all(np.array_equal(a, b) for a, b in zip(_bits(first), before, strict=True))


def test_critics_see_what_the_policy_sees() -> None:
    """Those that say what follows, too: with a target rate of 1 they are the newest ones."""
    config = {"normalise_observations": True}
    network = policy(normalise_observations=True)
    network.observe(torch.from_numpy(waves(30, 3) * 3 + 1))
    one = critics(config=config, gradient_steps=2, target_rate=1.0, discount=0.5)
    one.learn([told()], network, generator())
    known = network.policy[0].state_dict()
    for critic in one.networks:
        torch.testing.assert_close(dict(critic.encoder[0].state_dict()), dict(known))
    following = torch.from_numpy(waves(7, 3, phase=4.0))
    batch = StepBatch(following, torch.zeros(7, dtype=torch.int64), following, torch.zeros(7))
    expected = 0.5 * one.success(following, network.act_greedily(following)).amin(0)
    torch.testing.assert_close(one.target(network, batch), expected)


def test_what_was_gathered_before_the_first_fit_is_kept_as_well() -> None:
    """There may be steps before there is a label by which the policy knows what observations are like."""
    config = {"normalise_observations": True}
    blind, seeing = (policy(normalise_observations=True) for _ in range(2))
    seeing.observe(torch.from_numpy(waves(30, 3)))
    first, later = (critics(config=config, gradient_steps=5) for _ in range(2))
    assert first.learn([told()], blind, generator()) == {}
    assert first.states() == []
    later.set_state(first.get_state())
    assert not later.are_fitted
    for one in (first, later):
        assert one.fit(seeing, generator()) is not None
    np.testing.assert_equal(_bits(first), _bits(later))


def test_the_global_generator_is_left_alone() -> None:
    network = policy()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    critics(gradient_steps=2).learn([told()], network, generator())
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("space", "action", "read"),
    [
        (gym.spaces.Discrete(3), [2, 0], [[0, 0, 1], [1, 0, 0]]),
        (gym.spaces.MultiDiscrete([2, 3]), [[1, 0], [0, 2]], [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]),
        (gym.spaces.Box(-1, np.array([1, 2], np.float32)), [[5.0, 0.5], [-3.0, 9.0]], [[1, 0.5], [-1, 2]]),
    ],
    ids=["Discrete", "MultiDiscrete", "Box"],
)
def test_critics_read_actions_as_the_environment_takes_them(
    space: gym.Space[Any], action: list[Any], read: list[Any]
) -> None:
    critic = SuccessCritic(SEEN, space, hidden=(HIDDEN,), normalise_observations=True, encoder="mlp")
    torch.testing.assert_close(critic.read(torch.tensor(action)), torch.tensor(read, dtype=torch.float32))
    assert critic.success(torch.zeros(2, 1), torch.tensor(action)).shape == (2,)


def test_a_critic_has_no_memory() -> None:
    with pytest.raises(ValueError, match="recurrent"):
        SuccessCritic(SEEN, ACTION_SPACE, recurrent=3)


def test_where_the_policy_acts_the_same_risk_is_said_once_there_are_critics() -> None:
    config: dict[str, Any] = {"hidden": (HIDDEN,), "normalise_observations": True}
    network = policy(normalise_observations=True)
    network.observe(torch.from_numpy(waves(30, 3) * 3 + 1))
    one = critics(config=config, gradient_steps=30)
    counsel = Counsel(OBSERVATION_SPACE, ACTION_SPACE, **config)
    seen, action = waves(6, 3), np.array([0, 1, 0, 1, 1, 0])
    counsel.load(with_committee({}, [], one.states()))
    assert counsel.risk(seen, action) is None
    one.learn([told()], network, generator())
    weights = with_committee({"policy": np.zeros(1)}, [], one.states())
    counsel.load(weights)
    expected = risk(one.success(torch.from_numpy(seen), torch.from_numpy(action)))
    said = counsel.risk(seen, action)
    assert said is not None
    np.testing.assert_allclose(said, expected.numpy(), atol=1e-6)
    assert set(without_committee(weights)) == {"policy"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"discount": 1.0},
        {"discount": -0.1},
        {"target_rate": 0.0},
        {"target_rate": 1.1},
        {"critics": 0},
        {"learning_rate": 0.0},
        {"minibatch_size": 0},
        {"gradient_steps": 0},
        {"most_steps": 0},
        {"max_gradient_norm": 0.0},
    ],
    ids=lambda wrong: "-".join(f"{k} {v}" for k, v in wrong.items()),
)
def test_numbers_out_of_their_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SuccessSettings(**wrong)
