"""What a critic learns of a new reward, and what does not move meanwhile."""

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from policies import critic_warm_up
from policies.advantages import reward_to_go
from policies.batch import rows_of
from policies.critic_warm_up import own_parameters
from policies.experience import Rollout
from policies.networks import ActorCritic
from policies.steps import Steps, steps_on
from tests.policies.rollouts import (
    ACTION_SPACE,
    COLUMNS,
    OBSERVATION_SPACE,
    STEPS,
    made_up_rollout,
    waves,
)
from tests.policies.updates import make_update
from tests.policies.warm_ups import KINDS, REWARD, Scaled, made, new_generator, settings, two_batches


@pytest.mark.parametrize("targets", ["pop_art", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_critic_comes_nearer_to_the_new_reward(kind: str, targets: Any) -> None:
    _, update, reward = made(settings(value_targets=targets), **KINDS[kind])
    reward.scale = REWARD
    told = update.warm_up(two_batches(kind == "recurrent"), new_generator())
    assert told["warmed_critic_loss"] < 0.9 * told["stale_critic_loss"]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_moves_that_the_policy_depends_on(kind: str) -> None:
    network, update, reward = made(settings(), **KINDS[kind])
    before = copy.deepcopy(network)
    reward.scale = REWARD
    update.warm_up(two_batches(kind == "recurrent"), new_generator())
    for then, now in zip(before.policy_parameters(), network.policy_parameters(), strict=True):
        assert torch.equal(then, now)
    assert not torch.equal(before.critic[-1].weight, network.critic[-1].weight)


def test_a_critic_of_its_own_moves_in_all_its_layers() -> None:
    network, *_ = made(settings())
    assert len(own_parameters(network)) == len(list(network.critic.parameters()))
    network, *_ = made(settings(), shared=True)
    assert len(own_parameters(network)) == 2


def _ended() -> Rollout:
    """Every piece of an episode ends in a terminal state: nothing follows it."""
    rollout = made_up_rollout()
    ended = rollout.terminated_TN | rollout.truncated_TN
    ended[-1] = True
    (index,) = np.nonzero(ended.flatten())
    return dataclasses.replace(
        rollout,
        terminated_TN=ended,
        truncated_TN=np.zeros_like(ended),
        final_index_K=index,
        final_observation_KO=waves(len(index), 3),
    )


def test_targets_are_what_came_of_each_step_by_the_new_reward() -> None:
    """The critic's scale is theirs: their mean and standard deviation."""
    network, update, reward = made(settings(steps=1))
    reward.scale = REWARD
    rollout = _ended()
    with torch.no_grad():
        stale_NT = network.value(steps_on(torch.device("cpu"), rollout).observation_TNO).T
    told = update.warm_up([rollout], new_generator())
    targets: list[float] = []
    for n in range(COLUMNS):
        for t in range(STEPS):
            total, weight = 0.0, 1.0
            for later in range(t, STEPS):
                seconds = int(rollout.duration_TN[later, n])
                for _ in range(seconds):
                    total += weight * REWARD * float(rollout.observation_TNO[later, n, 0])
                    weight *= 0.9
                if rollout.terminated_TN[later, n] or rollout.truncated_TN[later, n]:
                    break
            targets.append(total)
    assert float(network.value_mean) == pytest.approx(np.mean(targets), rel=1e-4)
    assert float(network.value_std) == pytest.approx(np.std(targets), rel=1e-4)
    off = (stale_NT.flatten().numpy() - np.array(targets)) / np.std(targets)
    assert told["stale_critic_loss"] == pytest.approx(float(np.mean(off**2)) / 2, rel=1e-4)


def test_another_scale_alone_leaves_nothing_to_learn() -> None:
    """Where the new reward is the old one times a number, the critic is as right as it was, before any step."""
    losses = {}
    for scale in (1.0, 50.0, 0.02):
        _, update, reward = made(settings(steps=400))
        fitted = update.warm_up(two_batches(), new_generator())["warmed_critic_loss"]
        reward.scale = scale
        update._optimiser.param_groups[0]["lr"] = 1e-9
        losses[scale] = update.warm_up(two_batches(), new_generator())["warmed_critic_loss"]
    assert losses[1.0] == pytest.approx(fitted, rel=0.1)
    assert losses[50.0] == pytest.approx(losses[1.0], rel=0.05)
    assert losses[0.02] == pytest.approx(losses[1.0], rel=0.05)


def test_the_scale_is_that_of_targets_by_the_critic_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its first estimate was rough: outputs that are preserved then make the same targets."""
    monkeypatch.setattr(critic_warm_up, "_RESCALED", 1)
    network, update, reward = made(settings(steps=1))
    reward.scale = REWARD
    update._optimiser.param_groups[0]["lr"] = 1e-9
    rollout = made_up_rollout()
    update.warm_up([rollout], new_generator())
    steps = steps_on(torch.device("cpu"), rollout)
    rows = rows_of(network, rollout, steps, None, reward(steps), discount=0.9)
    target_TN = reward_to_go(rows).target_TN
    assert float(network.value_mean) == pytest.approx(float(target_TN.mean()), rel=1e-4)
    assert float(network.value_std) == pytest.approx(float(target_TN.std(correction=0)), rel=1e-4)


def test_without_experience_or_steps_nothing_happens() -> None:
    cases: list[tuple[int, list[Rollout]]] = [(10, []), (0, two_batches())]
    for steps, experience in cases:
        network, update, _ = made(settings(steps))
        before, generator = copy.deepcopy(network.state_dict()), new_generator()
        assert update.warm_up(experience, generator) == {}
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
        assert torch.equal(generator.get_state(), new_generator().get_state())


def test_an_update_goes_on_as_if_the_critic_had_always_been_so() -> None:
    """Its parameters are moved where they lie: the next gradient steps start from them."""
    network, update, reward = made(settings())
    update(made_up_rollout(), new_generator())
    reward.scale = REWARD
    update.warm_up(two_batches(), new_generator())
    other, other_update, other_reward = made(settings())
    other_update(made_up_rollout(), new_generator())
    other_reward.scale = REWARD
    other.load_state_dict(network.state_dict())
    for each in (update, other_update):
        each(made_up_rollout(), new_generator())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], rtol=0, atol=0)


def test_rewards_are_scaled_as_those_of_updates() -> None:
    network, update, _ = made(settings(steps=1, normalise_rewards=True))
    network.critic[-1].weight.data.zero_()
    update(made_up_rollout(), new_generator())
    assert update._reward_scale is not None
    scaled = float(update._reward_scale.scaled(torch.ones(())))
    assert scaled != pytest.approx(1.0, rel=0.05)
    before = update._reward_scale.get_state()
    experience = [
        dataclasses.replace(r, duration_TN=np.ones((STEPS, COLUMNS), np.int64)) for r in two_batches()
    ]
    plain, plain_update, plain_reward = made(settings(steps=1))
    plain.load_state_dict(network.state_dict())
    plain_reward.scale = scaled
    for each in (update, plain_update):
        each.warm_up(experience, new_generator())
    assert float(plain.value_std) == pytest.approx(float(network.value_std), rel=1e-4)
    np.testing.assert_equal(update._reward_scale.get_state(), before)


def test_value_targets_none_leaves_them_as_they_are() -> None:
    for targets, moves in (("pop_art", True), ("none", False)):
        network, update, reward = made(settings(value_targets=targets))
        reward.scale = REWARD
        update(made_up_rollout(), new_generator())
        update.warm_up(two_batches(), new_generator())
        assert (float(network.value_mean) != 0.0) == moves
        assert (float(network.value_std) != 1.0) == moves


def test_a_silent_source_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    _, update, reward = made(settings())
    reward.scale = REWARD
    told = update(made_up_rollout(), new_generator(), silent=("learned",))
    assert "reward_learned" not in told
    asked: list[Steps] = []
    monkeypatch.setattr(
        Scaled, "__call__", lambda self, steps: (asked.append(steps), steps.observation_TNO[..., 0])[1]
    )
    update.warm_up(two_batches(), new_generator(), silent=("learned",))
    assert not asked
    update.warm_up(two_batches(), new_generator())
    assert len(asked) == len(two_batches())


class _Watching(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    def __call__(self, steps: Steps) -> Tensor:
        self.log.append("judges")
        return super().__call__(steps)

    def observe(self, steps: Steps) -> None:
        self.log.append("observes")


def test_a_source_that_watches_sees_each_batch_once_after_it_was_judged() -> None:
    watching = _Watching()
    torch.manual_seed(0)
    network = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8,))
    update = make_update(network, settings(4), sources={"new": watching}, weights={"new": 1.0})
    update(made_up_rollout(), new_generator())
    assert watching.log == ["judges", "observes"]
    watching.log.clear()
    update.warm_up(two_batches(), new_generator())
    assert set(watching.log) == {"judges"}
    watching.log.clear()
    update(made_up_rollout(), new_generator(), silent=("new",))
    assert not watching.log
