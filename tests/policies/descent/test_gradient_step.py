import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policies.descent.gradient_step import GradientStep, flatten_parameters
from policies.networks import ActorCritic
from policies.networks.convolutional import set_precision
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION_SPACE, waves

MAX_NORM = 0.3


def _network() -> ActorCritic:
    torch.manual_seed(0)
    return ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8, 8))


def _loss(network: ActorCritic, observation: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    value_loss = ((network.value(observation) - target) ** 2).mean()
    entropy = network.distribution.entropy(network.policy(observation), network.log_scale).mean()
    return value_loss - entropy, entropy


class _Loss(nn.Module):
    def __init__(self, network: ActorCritic) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return _loss(self.network, *inputs)


def _inputs(rows: int) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(waves(rows, 3)), torch.from_numpy(waves(rows, phase=1.0))


def _traced(network: ActorCritic, traced: bool = True) -> GradientStep:
    flat = flatten_parameters(network)
    optimiser = torch.optim.Adam([flat], 0.01, eps=1e-5)
    return GradientStep(_Loss(network), flat, optimiser=optimiser, max_gradient_norm=MAX_NORM, traced=traced)


def _by_autograd(
    network: ActorCritic, optimiser: torch.optim.Optimizer, inputs: tuple[Tensor, ...]
) -> Tensor:
    loss, _ = _loss(network, *inputs)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_NORM)
    optimiser.step()
    return norm


@pytest.mark.parametrize(("kind", "decay"), [(torch.optim.Adam, 0.0), (torch.optim.AdamW, 0.1)])
def test_the_optimiser_is_torchs(kind: type[torch.optim.Adam], decay: float) -> None:
    """To single precision over many steps, also where it goes on from a saved state at another step size."""
    settings = {"lr": 0.01, "eps": 1e-5, "weight_decay": decay, "betas": (0.8, 0.99)}
    network, plain = _network(), _network()
    flat = flatten_parameters(network)
    ours, theirs = kind([flat], **settings), kind(plain.parameters(), **settings)
    step = GradientStep(_Loss(network), flat, optimiser=ours, max_gradient_norm=MAX_NORM)
    for number in range(20):
        if number == 10:
            ours.load_state_dict(copy.deepcopy(ours.state_dict()))
            for group in (*ours.param_groups, *theirs.param_groups):
                group["lr"] = 0.002
        _by_autograd(plain, theirs, _inputs(6))
        step(*_inputs(6))
    expected = torch.cat([parameter.detach().flatten() for parameter in plain.parameters()])
    torch.testing.assert_close(flat.data, expected, rtol=1e-5, atol=1e-6)
    assert int(ours.state[flat]["step"]) == 20


@pytest.mark.parametrize("traced", [True, False], ids=["traced", "by autograd"])
@pytest.mark.parametrize("rows", [[6, 6, 6], [6, 4, 6, 1, 4]], ids=["one shape", "several shapes"])
def test_steps_are_those_of_autograd(rows: list[int], traced: bool) -> None:
    network, plain = _network(), _network()
    step, optimiser = _traced(network, traced), torch.optim.Adam(plain.parameters(), 0.01, eps=1e-5)
    for number in rows:
        loss, entropy = (float(x.detach()) for x in _loss(plain, *_inputs(number)))
        expected_norm = _by_autograd(plain, optimiser, _inputs(number))
        watched = step(*_inputs(number))
        assert [float(x) for x in watched] == pytest.approx([loss, entropy, float(expected_norm)], rel=1e-5)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, msg=name)
    assert not torch.equal(network.policy[0].weight, _network().policy[0].weight)


def test_convolutions_in_bfloat16_are_traced_as_autograd_takes_them() -> None:
    """What is small in both ways of rounding a sum in bfloat16 is as good as equal."""
    torch.manual_seed(0)
    image = gym.spaces.Box(0, 255, (8, 8, 1), np.uint8)
    network = ActorCritic(image, ACTION_SPACE, hidden=(8,), filters=[(4, 3, 2)], image_features=8)
    set_precision(network, "bfloat16")
    plain, before = copy.deepcopy(network), copy.deepcopy(network)
    step, optimiser = _traced(network), torch.optim.Adam(plain.parameters(), 0.01, eps=1e-5)
    observation = torch.randint(256, (6, 64), dtype=torch.uint8)
    inputs = (observation, torch.from_numpy(waves(6, phase=1.0)))
    for _ in range(3):
        *_, norm = step(*inputs)
        torch.testing.assert_close(norm, _by_autograd(plain, optimiser, inputs), rtol=2e-2, atol=0)
    for ours, theirs, first in zip(
        network.parameters(), plain.parameters(), before.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-3)
        assert not torch.equal(ours, first) or not len(ours)


def test_buffers_may_change_between_steps() -> None:
    network, plain = _network(), _network()
    step, optimiser = _traced(network), torch.optim.Adam(plain.parameters(), 0.01, eps=1e-5)
    for std in (1.0, 5.0):
        for one in (network, plain):
            one.value_std.fill_(std)
        _by_autograd(plain, optimiser, _inputs(5))
        step(*_inputs(5))
    for one in (network, plain):
        one.value_std = torch.full_like(one.value_std, 3.0)
    _by_autograd(plain, optimiser, _inputs(5))
    step(*_inputs(5))
    torch.testing.assert_close(network.critic[-1].weight, plain.critic[-1].weight)
    assert len(step._kernels) == 1, "it was traced anew"


def test_weights_that_are_loaded_are_learnt_on() -> None:
    network, plain = _network(), _network()
    step = _traced(network)
    step(*_inputs(5))
    network.load_state_dict(plain.state_dict())
    loss, *_ = step(*_inputs(5))
    assert float(loss) == pytest.approx(float(_loss(plain, *_inputs(5))[0].detach()), rel=1e-5)
    assert not torch.equal(network.policy[0].weight, plain.policy[0].weight)


def test_parameters_keep_their_values_and_become_views() -> None:
    network, before = _network(), copy.deepcopy(_network().state_dict())
    flat = flatten_parameters(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    flat.data.fill_(2.0)
    assert all((parameter == 2.0).all() for parameter in network.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_steps_on_cuda_are_those_on_the_cpu() -> None:
    network, plain = _network().cuda(), _network()
    flat, on_cpu = flatten_parameters(network), _traced(plain)
    optimiser = torch.optim.Adam([flat], 0.01, eps=1e-5, fused=True)
    step = GradientStep(_Loss(network), flat, optimiser=optimiser, max_gradient_norm=MAX_NORM)
    for number, rows in enumerate([6, 6, 4, 6]):
        optimiser.param_groups[0]["lr"] = on_cpu._optimiser.param_groups[0]["lr"] = 0.01 / (1 + number)
        if number == 2:
            optimiser.load_state_dict(copy.deepcopy(optimiser.state_dict()))
        watched = step(*(x.cuda() for x in _inputs(rows)))
        expected = on_cpu(*_inputs(rows))
        torch.testing.assert_close([x.cpu() for x in watched], list(expected), rtol=1e-4, atol=1e-5)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name].cpu(), value, msg=name)
