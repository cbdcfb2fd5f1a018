"""Updates by traced gradient steps against the same ones by autograd, for all that is maximised and all actions."""

import copy
import gc
from typing import Any

import gymnasium as gym
import pytest
import torch

from policies.experience import Rollout
from policies.networks import ActorCritic
from policies.objectives import OBJECTIVES, make_objective
from policies.settings import AdaptiveKLSettings, UpdateSettings
from policies.update import Update
from tests.policies.objectives.small_policies import OBSERVATION_SPACE, SPACES, settings
from tests.policies.rollouts import COLUMNS, STEPS, made_up_rollout, waves
from tests.policies.updates import make_update

PLAIN: dict[str, Any] = {"minibatch_size": 8, "ppo_kl": AdaptiveKLSettings(target=1e-4, coefficient=3.0)}
RICH = PLAIN | {"entropy_coefficient": 0.1, "reference_coefficient": 0.3, "value_clip": 0.2}
UPDATES = 3


def _network(space: gym.Space[Any], seed: int) -> ActorCritic:
    torch.manual_seed(seed)
    return ActorCritic(OBSERVATION_SPACE, space, hidden=(8, 8))


def _update(
    network: ActorCritic, space: gym.Space[Any], own: UpdateSettings, *, traced: bool = True
) -> Update:
    reference = _network(space, 5).to(network.value_mean.device) if own.reference_coefficient else None
    update = make_update(network, own, objective=make_objective(own, reference))
    update._step._is_traced = traced
    return update


def _rollout(network: ActorCritic, number: int) -> Rollout:
    generator = torch.Generator().manual_seed(number)
    observation = waves(STEPS + 1, COLUMNS, 3, phase=float(number))
    with torch.no_grad():
        action, log_prob = network.act(torch.from_numpy(observation[:-1]), generator=generator)
    return made_up_rollout(
        observation_TNO=observation,
        action_TNA=action.numpy(),
        log_prob_TN=log_prob.numpy() + 0.2 * waves(STEPS, COLUMNS, phase=3.0 + number),
        environment_reward_TN=waves(STEPS, COLUMNS, phase=4.0 + number),
    )


@pytest.mark.parametrize("numbers", [PLAIN, RICH], ids=["plain", "rich"])
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_several_updates_are_those_of_autograd(name: Any, space: gym.Space[Any], numbers: Any) -> None:
    traced, plain = (_network(space, 0) for _ in range(2))
    own = settings(objective=name, **numbers)
    updates = [_update(traced, space, own), _update(plain, space, own, traced=False)]
    before = copy.deepcopy(traced.state_dict())
    for number in range(UPDATES):
        rollout = _rollout(plain, number)
        ours, expected = (
            update(copy.deepcopy(rollout), torch.Generator().manual_seed(number)) for update in updates
        )
        assert ours == pytest.approx(expected, rel=1e-3, abs=1e-5)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(traced.state_dict()[key], value, rtol=1e-3, atol=1e-5, msg=key)
    assert not torch.equal(before["policy.0.weight"], traced.state_dict()["policy.0.weight"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_captured_graph_keeps_what_it_reads(name: Any) -> None:
    space = SPACES["box"]
    own = settings(objective=name, **RICH)
    captured, plain = _network(space, 0).cuda(), _network(space, 0)
    updates = [_update(captured, space, own), _update(plain, space, own)]
    for number in range(10):
        rollout = _rollout(plain, number)
        ours, expected = (
            update(copy.deepcopy(rollout), torch.Generator().manual_seed(number)) for update in updates
        )
        assert ours == pytest.approx(expected, rel=1e-2, abs=1e-4)
        gc.collect()
        # Whatever was let go is written over.
        [torch.full((size,), 1e9, device="cuda") for size in (1, 2, 8, 16, 64) for _ in range(50)]
