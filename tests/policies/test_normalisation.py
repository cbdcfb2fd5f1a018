"""Observations and rewards on one scale, against plain statistics of everything that was seen."""

import copy
import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch

from cluster.loop.learning.learner import acting_weights
from policies.acting.inference import NumpyPolicy, acting_policy
from policies.acting.torch_inference import TorchPolicy
from policies.experience import Rollout, join
from policies.networks import ActorCritic
from policies.normalisation.moments import Moments
from policies.normalisation.reward_scale import RewardScale
from policies.settings import FURTHEST
from policies.steps import steps_on
from tests.policies.objectives.small_policies import settings
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION_SPACE, made_up_rollout, waves
from tests.policies.updates import make_update

CPU = torch.device("cpu")
MIXED = gym.spaces.Dict(
    {"far": gym.spaces.Box(-1e3, 1e3, (2,), np.float32), "kind": gym.spaces.Discrete(3)}  # type: ignore[arg-type]
)


@pytest.mark.parametrize("sizes", [[1, 1, 1], [40], [7, 0, 30, 1]])
def test_moments_are_those_of_all_values(sizes: list[int]) -> None:
    moments, values = (
        Moments(3),
        100 + 5 * torch.randn(sum(sizes), 3, generator=torch.Generator().manual_seed(0)),
    )
    for part in torch.split(values, sizes):  # type: ignore[no-untyped-call]
        moments.take(part)
    torch.testing.assert_close(moments.mean, values.mean(0))
    torch.testing.assert_close(moments.variance, values.var(0, correction=0), rtol=1e-4, atol=1e-5)


def _network(space: gym.Space = OBSERVATION_SPACE) -> ActorCritic:  # type: ignore[type-arg]
    torch.manual_seed(0)
    return ActorCritic(space, ACTION_SPACE, hidden=(8,), normalise_observations=True)


def test_policy_and_critic_read_normalised_observations() -> None:
    network = _network()
    torch.manual_seed(0)
    plain = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8,))
    observation = 50 + 3 * torch.from_numpy(waves(30, 3))
    network.observe(observation)
    expected = ((observation - observation.mean(0)) / observation.std(0, correction=0)).clamp(-10, 10)
    torch.testing.assert_close(network.policy(observation), plain.policy(expected))
    torch.testing.assert_close(network.value(observation), plain.value(expected))
    far = torch.full((1, 3), 1e6)
    torch.testing.assert_close(network.policy(far), plain.policy(torch.full((1, 3), FURTHEST)))


def test_only_numbers_are_normalised() -> None:
    network = _network(MIXED)
    observation = torch.tensor([[500.0, -300.0, 0.0, 1.0, 0.0], [700.0, 100.0, 1.0, 0.0, 0.0]])
    network.observe(observation)
    normalised = network.policy[0](observation)
    assert normalised.tolist() == pytest.approx(
        np.array([[-1, -1, 0, 1, 0], [1, 1, 1, 0, 0]], np.float32), abs=1e-4
    )
    with pytest.raises(ValueError, match="set it to false"):
        _network(gym.spaces.Discrete(3))  # type: ignore[arg-type]


def test_acting_without_torch_normalises_alike() -> None:
    network = _network()
    network.observe(50 + 3 * torch.from_numpy(waves(30, 3)))
    own = {"hidden": (8,), "normalise_observations": True}
    fast = acting_policy(OBSERVATION_SPACE, ACTION_SPACE, seed=0, **own)
    slow = TorchPolicy(OBSERVATION_SPACE, ACTION_SPACE, seed=0, **own)
    assert isinstance(fast, NumpyPolicy)
    observation = 40 + 30 * waves(200, 3)
    for policy in (fast, slow):
        policy.load(acting_weights(network))
        action, log_prob = policy.act(observation)
        expected, _ = network.evaluate(torch.from_numpy(observation), torch.from_numpy(action))
        np.testing.assert_allclose(log_prob, expected.detach(), atol=1e-5)
    assert np.abs(network.policy(torch.from_numpy(observation)).detach()).max() > 0


def test_a_policy_with_a_memory_reads_normalised_observations() -> None:
    torch.manual_seed(0)
    network = ActorCritic(
        OBSERVATION_SPACE, ACTION_SPACE, hidden=(8,), recurrent=4, normalise_observations=True
    )
    rollout = made_up_rollout()
    memory_NH = np.zeros((rollout.terminated_TN.shape[1], 4), np.float32)
    rollout = dataclasses.replace(rollout, memory_NH=memory_NH, observation_TNO=rollout.observation_TNO + 5)
    make_update(network, settings(sequence_steps=4))(rollout, torch.Generator().manual_seed(0))
    (moments,) = [module for module in network.modules() if isinstance(module, Moments)]
    seen = torch.from_numpy(rollout.observation_TNO[:-1]).flatten(0, 1)
    torch.testing.assert_close(moments.mean, seen.mean(0))


def test_an_update_learns_from_the_policy_that_acted_and_then_takes_the_statistics() -> None:
    network, rollout = _network(), made_up_rollout()
    moments = network.policy[0].moments
    rollout = dataclasses.replace(rollout, observation_TNO=rollout.observation_TNO + 5)
    update = make_update(network, settings(minibatch_size=32, epochs=1))
    before = copy.deepcopy(network)
    watched = update(rollout, torch.Generator().manual_seed(0))
    seen = torch.from_numpy(rollout.observation_TNO[:-1]).flatten(0, 1)
    torch.testing.assert_close(moments.mean, seen.mean(0))
    assert network.critic[0].moments is moments
    # The first loss is that of the network as it was: ratios of 1 to itself.
    output = before.evaluate(seen, torch.from_numpy(rollout.action_TNA).flatten())[0]
    ratio = (output - torch.from_numpy(rollout.log_prob_TN).flatten()).exp().detach()
    assert watched["policy_loss"] == pytest.approx(_surrogate(before, rollout, ratio), rel=1e-3)


def _surrogate(network: ActorCritic, rollout: Rollout, ratio_B: torch.Tensor) -> float:
    from policies.batch import make_batch

    steps = steps_on(CPU, rollout)
    assert rollout.environment_reward_TN is not None
    reward = torch.from_numpy(rollout.environment_reward_TN)
    batch = make_batch(copy.deepcopy(network), rollout, steps, reward, settings())
    low, high = 0.8, 1.2
    surrogate = torch.minimum(ratio_B * batch.advantage_B, ratio_B.clamp(low, high) * batch.advantage_B)
    return float(-(surrogate * batch.weight_B).sum() / batch.weight_B.sum())


def _slow_returns(rollouts: list[Rollout], discount: float) -> list[float]:
    """Each environment's discounted returns, step by step, over the edges of its rollouts."""
    returns = []
    for n in range(rollouts[0].terminated_TN.shape[1]):
        earned = 0.0
        for rollout in rollouts:
            cut_TN = steps_on(CPU, rollout).cut_TN.numpy()
            assert rollout.environment_reward_TN is not None
            for t in range(len(cut_TN)):
                earned += float(rollout.environment_reward_TN[t, n])
                returns.append(earned)
                earned = 0.0 if cut_TN[t, n] else discount * earned
    return returns


def _going_on(rollout: Rollout) -> Rollout:
    """Rows of one step each, in episodes that began earlier."""
    return dataclasses.replace(
        rollout,
        step_TN=rollout.step_TN + 5,
        duration_TN=np.ones_like(rollout.duration_TN),
        environment_reward_TN=waves(*rollout.terminated_TN.shape, phase=2.0),
    )


def test_rewards_are_divided_by_the_deviation_of_returns() -> None:
    first = dataclasses.replace(_going_on(made_up_rollout()), source="a")
    second = dataclasses.replace(first, source="b", environment_reward_TN=3 + waves(8, 4))
    scale = RewardScale(discount=0.9, device=CPU)
    for _ in range(2):
        batch = join([first, second])
        assert batch.environment_reward_TN is not None
        reward = torch.from_numpy(batch.environment_reward_TN)
        scaled = scale(batch, steps_on(CPU, batch), reward.clone())
    returns = _slow_returns([first, first], 0.9) + _slow_returns([second, second], 0.9)
    torch.testing.assert_close(scaled, reward / float(np.std(returns)), rtol=1e-4, atol=1e-5)


def test_a_reward_far_out_is_clipped() -> None:
    """Detail 9 of those for continuous actions: one outlier among 32 rows is 32 ** 0.5 deviations at most."""
    rollouts = [dataclasses.replace(_going_on(made_up_rollout()), source=f"{n}") for n in range(8)]
    batch = join(rollouts)
    reward = torch.zeros(batch.terminated_TN.shape)
    reward[-1, 0], reward[-1, -1] = 1000.0, -0.001
    scaled = RewardScale(discount=0.9, device=CPU)(batch, steps_on(CPU, batch), reward)
    assert scaled[-1, 0] == 10.0
    assert scaled[-1, -1] == pytest.approx(-0.001 / 1000 * reward.numel() ** 0.5, rel=0.1)


def test_a_new_episode_begins_with_nothing() -> None:
    going_on = _going_on(made_up_rollout())
    anew = dataclasses.replace(going_on, step_TN=going_on.step_TN - 5)
    scale, again = (RewardScale(discount=0.9, device=CPU) for _ in range(2))
    assert anew.environment_reward_TN is not None
    reward, steps = torch.from_numpy(anew.environment_reward_TN), steps_on(CPU, anew)
    for _ in range(2):
        once = scale(anew, steps, reward.clone())
    both = join([anew, dataclasses.replace(anew, source="b")])
    twice = again(both, steps_on(CPU, both), torch.cat([reward, reward], 1))
    torch.testing.assert_close(once, twice[:, :4])


def test_the_scale_survives_a_checkpoint() -> None:
    network, rollout = _network(), made_up_rollout()
    update = make_update(network, settings(normalise_rewards=True))
    update(rollout, torch.Generator().manual_seed(0))
    other = make_update(copy.deepcopy(network), settings(normalise_rewards=True))
    other.set_state(update.get_state())
    states = [one.get_state()["reward_scale"] for one in (update, other)]
    assert states[0]["count"] > 0
    assert states[0] == states[1]
