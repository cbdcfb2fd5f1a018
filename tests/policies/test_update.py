import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from policies.advantages import Rows, gae, over_duration, standardise
from policies.batch import make_batch
from policies.experience import Actor, Rollout, join
from policies.networks import ActorCritic
from policies.objectives import OBJECTIVES
from policies.rewards import environment_reward
from policies.settings import EstimatorName, ObjectiveName
from policies.steps import Steps, steps_on
from tests.policies.objectives.small_policies import settings
from tests.policies.rollouts import (
    ACTION_SPACE,
    COLUMNS,
    OBSERVATION,
    OBSERVATION_SPACE,
    STEPS,
    made_up_rollout,
    waves,
)
from tests.policies.updates import make_update, steps_taken

CPU = torch.device("cpu")
SETTINGS = settings(discount=0.95, gae_lambda=0.9, epochs=3, minibatch_size=10, entropy_coefficient=0.01)


def _network(seed: int = 0) -> ActorCritic:
    torch.manual_seed(seed)
    return ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8, 8))


def _learn(network: ActorCritic, rollout: Rollout, *, seed: int = 0, **changes: Any) -> dict[str, float]:
    return make_update(network, SETTINGS, **changes)(rollout, torch.Generator().manual_seed(seed))


def test_what_follows_a_step_is_never_the_next_episodes_first_observation() -> None:
    rollout = made_up_rollout()
    steps = steps_on(CPU, rollout)
    finals = dict(zip(rollout.final_index_K.tolist(), rollout.final_observation_KO, strict=True))
    for t in range(STEPS):
        for n in range(COLUMNS):
            expected = finals.get(t * COLUMNS + n, rollout.observation_TNO[t + 1, n])
            np.testing.assert_array_equal(steps.next_observation_TNO[t, n], expected)
    np.testing.assert_array_equal(steps.observation_TNO, rollout.observation_TNO[:-1])
    np.testing.assert_array_equal(steps.cut_TN, rollout.terminated_TN | rollout.truncated_TN)


def test_a_rollout_keeps_its_arrays_when_it_becomes_tensors() -> None:
    rollout = made_up_rollout()
    before = copy.deepcopy(rollout.observation_TNO)
    steps_on(CPU, rollout).next_observation_TNO.fill_(0)
    np.testing.assert_array_equal(rollout.observation_TNO, before)


def test_observations_with_more_axes_are_flattened() -> None:
    ends = len(made_up_rollout().final_index_K)
    rollout = made_up_rollout(
        observation_TNO=waves(STEPS + 1, COLUMNS, 2, 3), final_observation_KO=waves(ends, 2, 3)
    )
    steps = steps_on(CPU, rollout)
    assert steps.observation_TNO.shape == steps.next_observation_TNO.shape == (STEPS, COLUMNS, 6)
    np.testing.assert_array_equal(steps.observation_TNO[3, 1], rollout.observation_TNO[3, 1].ravel())


def test_a_batch_holds_the_advantages_of_its_critic_and_normalised_targets() -> None:
    network, rollout = _network(), made_up_rollout()
    before, steps = copy.deepcopy(network), steps_on(CPU, rollout)
    reward = torch.from_numpy(rollout.environment_reward_TN)
    batch = make_batch(network, rollout, steps, reward, SETTINGS)
    earned, discount = over_duration(
        reward_TN=reward, duration_TN=torch.from_numpy(rollout.duration_TN), discount=SETTINGS.discount
    )
    with torch.no_grad():
        rows = Rows(
            reward_TN=earned,
            value_TN=before.value(steps.observation_TNO),
            next_value_TN=before.value(steps.next_observation_TNO),
            terminated_TN=torch.from_numpy(rollout.terminated_TN),
            cut_TN=steps.cut_TN,
            discount_TN=discount,
        )
        estimate = gae(rows, gae_lambda=SETTINGS.gae_lambda)
    weight = torch.from_numpy(rollout.actor_TN == Actor.POLICY).float()
    assert torch.equal(batch.weight_B, weight.flatten())
    torch.testing.assert_close(batch.advantage_B, standardise(estimate.advantage_TN, weight=weight).flatten())
    target = batch.target_B * network.value_std + network.value_mean
    torch.testing.assert_close(target, estimate.target_TN.flatten())
    assert network.value_std != before.value_std
    assert torch.equal(batch.action_BA, torch.from_numpy(rollout.action_TNA).flatten())
    row = 3 * COLUMNS + 1
    np.testing.assert_array_equal(batch.observation_BO[row], rollout.observation_TNO[3, 1])
    assert batch.behaviour_log_prob_B[row] == rollout.log_prob_TN[3, 1]


@pytest.mark.parametrize("actor", [Actor.EXPERT, Actor.TEACHER])
def test_returns_end_before_and_after_an_overridden_step(actor: Actor) -> None:
    rollout = made_up_rollout()
    overridden = rollout.actor_TN.copy()
    overridden[4, 2] = actor
    before = steps_on(CPU, rollout)
    after = steps_on(CPU, dataclasses.replace(rollout, actor_TN=overridden))
    moved = torch.nonzero(after.cut_TN != before.cut_TN).tolist()
    assert moved == [[3, 2], [4, 2]]
    assert torch.equal(after.next_observation_TNO, before.next_observation_TNO)


def test_v_trace_corrects_only_what_the_policy_did() -> None:
    """A step in which nobody acted, or a person, has no probability under the policy to correct by."""
    settings = dataclasses.replace(SETTINGS, advantages="vtrace")
    actor = made_up_rollout().actor_TN.copy()
    actor[2, 3] = Actor.TEACHER

    def targets(place: tuple[int, int] | None) -> Tensor:
        rollout, network = made_up_rollout(actor_TN=actor), _network()
        if place:
            rollout.log_prob_TN[place] += 5.0
        reward = torch.from_numpy(rollout.environment_reward_TN)
        return make_batch(network, rollout, steps_on(CPU, rollout), reward, settings).target_B

    before = targets(None)
    assert actor[6, 2] == Actor.NOBODY
    assert torch.equal(targets((6, 2)), before)
    assert torch.equal(targets((2, 3)), before)
    assert not torch.equal(targets((2, 2)), before)


def test_every_step_is_visited_once_an_epoch() -> None:
    """32 steps in minibatches of 10: the last one has what is left."""
    update = make_update(_network(), SETTINGS)
    update(made_up_rollout(), torch.Generator())
    assert steps_taken(update) == SETTINGS.epochs * 4


LEARNERS: list[tuple[ObjectiveName, EstimatorName | None, dict[str, Any]]] = [
    ("ppo_clip", None, {}),
    ("ppo_clip", "vtrace", {"value_clip": 0.2}),
    ("ppo_kl", None, {}),
    ("trpo", None, {}),
    ("a2c", None, {}),
    ("a2c", "n_step", {}),
    ("a2c", "vtrace", {}),
    ("q_actor_critic", None, {}),
    ("reinforce", None, {}),
    ("reinforce", "total_return", {}),
    ("reinforce", "reward_to_go", {"baseline": False}),
]


@pytest.mark.parametrize(
    ("name", "advantages", "numbers"), LEARNERS, ids=[f"{name} {how} {more}" for name, how, more in LEARNERS]
)
def test_the_better_action_becomes_likelier(
    name: ObjectiveName, advantages: EstimatorName | None, numbers: dict[str, Any]
) -> None:
    """A bandit: the second action earns 1, the first nothing."""
    network, generator = _network(), torch.Generator().manual_seed(1)
    observation = torch.from_numpy(waves(STEPS + 1, COLUMNS, OBSERVATION))
    bandit = dataclasses.replace(SETTINGS, objective=name, advantages=advantages, discount=0.0, **numbers)
    update = make_update(network, bandit)
    for _ in range(40):
        with torch.no_grad():
            action, log_prob = network.act(observation[:-1], generator=generator)
        rollout = made_up_rollout(
            action_TNA=action.numpy(),
            log_prob_TN=log_prob.numpy(),
            environment_reward_TN=action.float().numpy(),
        )
        statistics = update(rollout, torch.Generator().manual_seed(0))
        probability = torch.softmax(network.policy(observation[:-1]), -1)[..., 1].mean().item()
        if probability > 0.9:
            break
    assert probability > 0.9
    assert statistics["reward_environment"] == pytest.approx(float(action.float().mean()))
    assert {"policy_loss", "value_loss", "entropy", "approximate_kl", "clip_share", "gradient_norm"} <= set(
        statistics
    )


def test_every_objective_is_seen_to_learn() -> None:
    assert {name for name, _, _ in LEARNERS} == set(OBJECTIVES)


def test_where_nobody_acts_no_policy_weight_moves() -> None:
    network = _network()
    before = copy.deepcopy(network.state_dict())
    _learn(network, made_up_rollout(actor_TN=np.full((STEPS, COLUMNS), Actor.NOBODY, np.uint8)))
    after = network.state_dict()
    for name in after:
        if name.startswith("policy."):
            assert torch.equal(after[name], before[name]), name
    assert not torch.equal(after["critic.0.weight"], before["critic.0.weight"])


def test_equal_seeds_give_equal_weights() -> None:
    first, again, other = _network(), _network(), _network()
    statistics = [_learn(n, made_up_rollout(), seed=s) for n, s in ((first, 1), (again, 1), (other, 2))]
    assert statistics[0] == statistics[1]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.policy[0].weight, other.policy[0].weight)


def test_a_reward_of_weight_0_moves_no_weight() -> None:
    """The counter-assertion: the same change moves weights where it is a source."""

    def weights(reward_TN: np.ndarray[Any, Any], environment: float) -> Tensor:
        network = _network()
        sources = {"environment": environment_reward, "ours": _first_number}
        share = {"environment": environment, "ours": 1.0}
        rollout = made_up_rollout(environment_reward_TN=reward_TN)
        _learn(network, rollout, sources=sources, weights=share)
        return network.policy[0].weight

    one, two = waves(STEPS, COLUMNS), 9 * waves(STEPS, COLUMNS, phase=1.0)
    assert torch.equal(weights(one, 0.0), weights(two, 0.0))
    assert not torch.equal(weights(one, 1.0), weights(two, 1.0))


def _first_number(steps: Steps) -> Tensor:
    return steps.observation_TNO[..., 0]


def _lost_column() -> Rollout:
    """An environment that was lost in each of its steps: nothing in it counts."""
    shape = (STEPS, 1)
    return dataclasses.replace(
        made_up_rollout(),
        observation_TNO=waves(STEPS + 1, 1, OBSERVATION, phase=8.0),
        action_TNA=np.zeros(shape, np.int64),
        log_prob_TN=np.zeros(shape, np.float32),
        terminated_TN=np.zeros(shape, bool),
        truncated_TN=np.ones(shape, bool),
        final_index_K=np.arange(STEPS),
        final_observation_KO=waves(STEPS, OBSERVATION, phase=9.0),
        actor_TN=np.full(shape, Actor.NOBODY, np.uint8),
        episode_TN=np.arange(STEPS).reshape(shape),
        step_TN=np.zeros(shape, np.int64),
        duration_TN=np.zeros(shape, np.int64),
        environment_reward_TN=np.full(shape, 5.0, np.float32),
    )


@pytest.mark.parametrize(
    ("objective", "value_clip"), [*((name, None) for name in OBJECTIVES), ("ppo_clip", 0.1)]
)
def test_rows_that_stand_for_no_time_change_nothing(
    objective: ObjectiveName, value_clip: float | None
) -> None:
    settings = dataclasses.replace(
        SETTINGS, objective=objective, value_clip=value_clip, minibatch_size=1000, entropy_coefficient=0.0
    )
    alone, beside = _network(), _network()
    rollout = made_up_rollout()
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    expected = make_update(alone, settings)(rollout, generators[0])
    statistics = make_update(beside, settings)(join([rollout, _lost_column()]), generators[1])
    assert statistics == pytest.approx(expected, rel=1e-4, abs=1e-6)
    for name, value in beside.state_dict().items():
        torch.testing.assert_close(value, alone.state_dict()[name], rtol=1e-4, atol=1e-6)
