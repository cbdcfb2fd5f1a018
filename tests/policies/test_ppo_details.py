"""Details of PPO that vanish unseen (Huang et al. 2022): each test fails where its detail is removed.

The learner's own, Adam's epsilon and annealing, are in `tests/cluster/loop/test_objectives.py`; the clipped surrogate
and the entropy bonus in `tests/policies/objectives/test_gradients.py`.
"""

import copy
import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from policies.batch import make_batch
from policies.networks import ActorCritic
from policies.steps import steps_on
from tests.policies.objectives.small_policies import settings
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION_SPACE, made_up_rollout, waves
from tests.policies.updates import make_update, steps_taken

SETTINGS = settings(epochs=1, minibatch_size=8)


def _network() -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8,))


def _gradient_norm(**changes: Any) -> float:
    """Learn with one step; returns the length of the gradient that Adam was given."""
    update = make_update(_network(), dataclasses.replace(SETTINGS, **changes), weights={"environment": 100.0})
    update(made_up_rollout(), torch.Generator().manual_seed(0))
    assert steps_taken(update) == 1
    (state,) = update._step._optimiser.state.values()
    return (state["exp_avg"] / 0.1).norm().item()


def test_weights_start_orthogonal_and_the_policy_nearly_uniform() -> None:
    """Detail 2: gains sqrt(2), 0.01 for the policy, 1 for the critic; biases 0."""
    network = _network()
    for layers, gain in ((network.policy, 0.01), (network.critic, 1.0)):
        first, last = layers[0].weight.double(), layers[-1].weight.double()
        torch.testing.assert_close(first.T @ first, 2 * torch.eye(3).double(), rtol=0, atol=1e-5)
        rows = last @ last.T
        torch.testing.assert_close(rows, gain**2 * torch.eye(len(last)).double(), rtol=0, atol=1e-5)
        assert all(not layer.bias.any() for layer in (layers[0], layers[-1]))
    observation = torch.from_numpy(waves(50, 3))
    entropy = network.evaluate(observation, torch.zeros(50, dtype=torch.int64))[1]
    assert entropy.min().item() == pytest.approx(math.log(2), abs=1e-3)


def test_advantages_are_normalised() -> None:
    rollout = made_up_rollout()
    reward = 30 + 10 * torch.from_numpy(rollout.environment_reward_TN)
    batch = make_batch(_network(), rollout, steps_on(torch.device("cpu"), rollout), reward, SETTINGS)
    counted = batch.advantage_B[batch.weight_B > 0]
    assert counted.mean().item() == pytest.approx(0, abs=1e-5)
    assert counted.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_minibatches_are_shuffled_anew_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    own = dataclasses.replace(SETTINGS, epochs=2)
    network, rollout = _network(), made_up_rollout()
    update = make_update(network, own)
    inner = update._step

    def watching(*inputs: Tensor) -> tuple[Tensor, ...]:
        seen.append(inputs[0])
        return inner(*inputs)

    monkeypatch.setattr(update, "_step", watching)
    update(rollout, torch.Generator().manual_seed(0))
    steps = torch.from_numpy(rollout.observation_TNO[:-1]).flatten(0, 1)
    orders = []
    for epoch in (torch.cat(seen[:4]), torch.cat(seen[4:])):
        orders.append([int((steps == row).all(-1).nonzero()[0]) for row in epoch])
        assert sorted(orders[-1]) == list(range(len(steps)))
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])


def test_a_long_gradient_is_shortened() -> None:
    whole = {"minibatch_size": 32, "popart_rate": 1e-12}
    assert _gradient_norm(**whole, max_gradient_norm=0.25) == pytest.approx(0.25, rel=1e-3)
    assert _gradient_norm(**whole, max_gradient_norm=1e9) > 1


def test_the_clip_of_the_critic_holds_it() -> None:
    """The loss of a step that has gone its way is flat, so later epochs leave it."""

    def furthest(value_clip: float | None) -> float:
        own = settings(epochs=60, minibatch_size=32, value_clip=value_clip, max_gradient_norm=1e9)
        network, rollout = _network(), made_up_rollout()
        reward = torch.from_numpy(rollout.environment_reward_TN)
        steps = steps_on(torch.device("cpu"), rollout)
        unlearnt = copy.deepcopy(network)
        make_batch(unlearnt, rollout, steps, 100 * reward, own)
        old = unlearnt.normalised_value(steps.observation_TNO)
        update = make_update(network, own, weights={"environment": 100.0})
        update(rollout, torch.Generator().manual_seed(0))
        return (network.normalised_value(steps.observation_TNO) - old).abs().max().item()

    assert furthest(0.05) < 0.5 * furthest(None)


@pytest.mark.parametrize("name", ["a2c", "q_actor_critic", "reinforce"])
def test_one_step_on_the_whole_batch(name: Any) -> None:
    network, own = _network(), settings(objective=name, epochs=5, minibatch_size=4)
    update = make_update(network, own)
    update(made_up_rollout(), torch.Generator().manual_seed(0))
    assert steps_taken(update) == 1
