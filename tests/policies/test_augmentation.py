"""Value augmentation against the policy gradient theorem with Q + beta H written out, state by state."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

from policies.advantages import Advantages, augmented
from policies.batch import Augmentation, Batch, make_batch
from policies.experience import Actor
from policies.networks import ActorCritic
from policies.rewards import environment_reward
from policies.steps import steps_on
from tests.policies.objectives.small_policies import settings
from tests.policies.rollouts import ACTION_SPACE, COLUMNS, OBSERVATION_SPACE, made_up_rollout, waves
from tests.policies.updates import make_update

CASES = [np.random.default_rng(seed) for seed in range(6)]
CPU = torch.device("cpu")


@pytest.mark.parametrize("rng", CASES)
def test_the_policy_gradient_is_the_theorems_with_the_sum_in_the_place_of_q(rng: np.random.Generator) -> None:
    """Every action of every state once, so that the expectation is exact; a baseline changes nothing."""
    states, actions, beta = 4, 3, rng.uniform(0.1, 2)
    q, h, visited = (
        rng.normal(size=(states, actions)),
        rng.normal(size=(states, actions)),
        rng.dirichlet([1] * states),
    )
    preference = torch.tensor(rng.normal(size=(states, actions)), requires_grad=True)
    log_prob = torch.log_softmax(preference, -1)

    wanted = torch.zeros(states, actions, dtype=torch.float64)
    for s in range(states):
        for a in range(actions):
            (gradient,) = torch.autograd.grad(log_prob[s, a].exp(), preference, retain_graph=True)
            wanted += visited[s] * gradient * (q[s, a] + beta * h[s, a])

    chance = log_prob.detach().exp()
    value = (chance * torch.tensor(q)).sum(1, keepdim=True)
    # Time is the action here, and the environment the state.
    shape = (actions, states)
    estimate = Advantages(
        advantage_TN=(torch.tensor(q) - value).T, target_TN=torch.zeros(shape), return_TN=torch.tensor(q).T
    )
    found = augmented(
        estimate,
        reward_TNA=torch.tensor(h).expand(actions, states, actions),
        log_prob_TNA=log_prob.detach().expand(actions, states, actions),
        action_TN=torch.arange(actions)[:, None].expand(shape),
        weight=beta,
    )
    assert found.target_TN is estimate.target_TN
    for weighing in (found.return_TN, found.advantage_TN):
        surrogate = (torch.tensor(visited) * chance.T * log_prob.T * weighing).sum()
        (gradient,) = torch.autograd.grad(surrogate, preference, retain_graph=True)
        torch.testing.assert_close(gradient, wanted, atol=1e-9, rtol=0)
    mean = (chance.T * found.advantage_TN).sum(0)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-9, rtol=0)


def network(space: gym.Space[Any] = ACTION_SPACE, **changes: Any) -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(OBSERVATION_SPACE, space, hidden=(8,), **changes)


def worth(observation_PO: Tensor) -> Tensor:
    """H: action 1 is good where the first number is above 0."""
    return torch.stack([-observation_PO[:, 0], observation_PO[:, 0]], -1)


def made(augmentation: Augmentation | None, *, subtracts_baseline: bool, **changes: Any) -> Batch:
    policy = network(**changes)
    rollout = made_up_rollout(memory_NH=waves(COLUMNS, 4) if changes else None)
    steps = steps_on(CPU, rollout)
    return make_batch(
        policy,
        rollout,
        steps,
        environment_reward(steps),
        settings(normalise_advantages=False, sequence_steps=4 if changes else None),
        subtracts_baseline=subtracts_baseline,
        augmentation=augmentation,
    )


@pytest.mark.parametrize("subtracts_baseline", [True, False])
def test_a_batch_is_weighed_by_the_sum_and_its_targets_stay(subtracts_baseline: bool) -> None:
    plain = made(None, subtracts_baseline=subtracts_baseline)
    found = made(Augmentation(worth, 0.7), subtracts_baseline=subtracts_baseline)
    torch.testing.assert_close(found.target_B, plain.target_B, rtol=0, atol=0)
    policy = network()
    for b in range(len(plain.weight_B)):
        observation, action = plain.observation_BO[b], int(plain.action_BA[b])
        h = [-float(observation[0]), float(observation[0])]
        chance = torch.softmax(policy.policy(observation), -1).tolist()
        mean = sum(p * x for p, x in zip(chance, h, strict=True)) if subtracts_baseline else 0.0
        difference = float(found.advantage_B[b] - plain.advantage_B[b])
        assert difference == pytest.approx(0.7 * (h[action] - mean), abs=1e-5)


def test_recurrent_policies_are_asked_with_what_they_remember() -> None:
    plain = made(None, subtracts_baseline=True, recurrent=4)
    found = made(Augmentation(worth, 0.7), subtracts_baseline=True, recurrent=4)
    assert found.advantage_B.shape == plain.advantage_B.shape
    assert not torch.equal(found.advantage_B, plain.advantage_B)


def test_without_weight_nothing_is_asked() -> None:
    def never(observation_PO: Tensor) -> Tensor:
        raise AssertionError

    plain, found = (
        made(None, subtracts_baseline=True),
        made(Augmentation(never, 0.0), subtracts_baseline=True),
    )
    torch.testing.assert_close(found.advantage_B, plain.advantage_B, rtol=0, atol=0)


def test_actions_that_cannot_all_be_looked_at_are_refused() -> None:
    box = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    policy, rollout = network(box), made_up_rollout(action_TNA=waves(8, 4, 2))
    steps = steps_on(CPU, rollout)
    with pytest.raises(TypeError, match="Discrete"):
        make_batch(
            policy,
            rollout,
            steps,
            environment_reward(steps),
            settings(),
            augmentation=Augmentation(worth, 1.0),
        )


@pytest.mark.parametrize("objective", ["q_actor_critic", "a2c", "ppo_clip"])
def test_a_policy_follows_what_people_say_where_the_environment_says_nothing(objective: str) -> None:
    policy, rollout = network(), made_up_rollout()
    update = make_update(policy, settings(objective=objective, epochs=5, minibatch_size=64))
    shown = steps_on(CPU, rollout).observation_TNO
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        with torch.no_grad():
            action, log_prob = policy.act(shown, generator=generator)
        acted = made_up_rollout(
            action_TNA=action.numpy(),
            log_prob_TN=log_prob.numpy(),
            environment_reward_TN=np.zeros(log_prob.shape, np.float32),
        )
        update(acted, generator, augmentation=Augmentation(worth, 1.0))
    seen = shown[torch.tensor(rollout.actor_TN == Actor.POLICY)]
    assert (policy.act_greedily(seen) == (seen[:, 0] > 0)).float().mean() > 0.9
