"""How the critic comes nearer to a new reward: targets, minibatches, gradient steps, and others who learn."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from policies import critic_warm_up
from policies.critic_warm_up import own_parameters
from policies.networks import ActorCritic
from policies.steps import Steps, steps_on
from tests.policies.rollouts import ACTION_SPACE, COLUMNS, OBSERVATION_SPACE, STEPS
from tests.policies.updates import make_update
from tests.policies.warm_ups import REWARD, Scaled, made, new_generator, settings, two_batches


def test_so_many_steps_are_taken_whatever_the_minibatches(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: (taken.append(1), step(self))[1])
    for steps in (1, 3, 10):
        taken.clear()
        _, update, _ = made(settings(steps))
        update.warm_up(two_batches(), new_generator())
        assert len(taken) == steps


class _Steady(Scaled):
    """As much at every step."""

    def __call__(self, steps: Steps) -> Tensor:
        return torch.full_like(steps.observation_TNO[..., 0], self.scale)


def test_targets_are_estimated_anew_while_the_critic_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says of the time after a rollout is in them: with a reward of 1, and 10 to come, it begins with 0."""
    endless = [
        dataclasses.replace(
            rollout,
            terminated_TN=np.zeros((STEPS, COLUMNS), bool),
            truncated_TN=np.zeros((STEPS, COLUMNS), bool),
            final_index_K=np.zeros(0, np.int64),
            final_observation_KO=np.zeros((0, 3), np.float32),
            duration_TN=np.ones((STEPS, COLUMNS), np.int64),
        )
        for rollout in two_batches()
    ]
    said = {}
    for times in (critic_warm_up._TARGETS, 1):
        monkeypatch.setattr(critic_warm_up, "_TARGETS", times)
        torch.manual_seed(0)
        network = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(16,))
        update = make_update(
            network, settings(400, value_targets="none"), sources={"new": _Steady()}, weights={"new": 1.0}
        )
        update._optimiser.param_groups[0]["lr"] = 0.01
        update.warm_up(endless, new_generator())
        steps = steps_on(torch.device("cpu"), endless[0])
        with torch.no_grad():
            said[times] = float(network.value(steps.observation_TNO).mean())
    often, once = said.values()
    assert once < often < 10.5
    assert 10 - often < 0.8 * (10 - once)


def test_gradients_are_limited() -> None:
    """Below what Adam adds to its denominator they move next to nothing."""
    for most, moves in ((10.0, True), (1e-9, False)):
        network, update, reward = made(dataclasses.replace(settings(), max_gradient_norm=most))
        before, reward.scale = copy.deepcopy(network), REWARD
        update.warm_up(two_batches(), new_generator())
        moved = (before.critic[-1].weight - network.critic[-1].weight).detach().abs().max()
        assert (float(moved) > 1e-3) == moves


@pytest.mark.parametrize(("rows", "size"), [(6, 2), (7, 2), (5, 8)])
def test_each_row_comes_once_and_then_all_of_them_again(rows: int, size: int) -> None:
    """A rest that is too small for a minibatch is left out."""
    in_each = max(rows // size, 1)
    seen = list(critic_warm_up._minibatches(rows, size, 3 * in_each, new_generator()))
    assert {len(minibatch) for minibatch in seen} == {min(size, rows)}
    for begin in range(0, 3 * in_each, in_each):
        together = torch.cat(seen[begin : begin + in_each]).tolist()
        assert len(set(together)) == len(together) == in_each * min(size, rows)


class _Others:
    """Who else learns; the first one's result is 0.5 everywhere."""

    def agree(self, tensor: Tensor) -> None:
        tensor.fill_(0.5)


def test_the_result_of_the_first_learner_holds_for_all() -> None:
    network, _, reward = made(settings(), shared=True)
    before = [parameter.detach().clone() for parameter in network.policy_parameters()]
    critic_warm_up.warm_up_critic(
        network,
        two_batches(),
        lambda rollout, steps: reward(steps),
        settings(4),
        new_generator(),
        learning_rate=1e-3,
        ranks=_Others(),  # type: ignore[arg-type]
    )
    for tensor in (*own_parameters(network), network.value_mean, network.value_std):
        assert bool((tensor == 0.5).all())
    for then, now in zip(before, network.policy_parameters(), strict=True):
        assert torch.equal(then, now)
