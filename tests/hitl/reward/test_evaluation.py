"""The ensemble without gradients is the ensemble."""

import pytest
import torch

from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace

SPACE = InputSpace(observation_size=3, action_size=4, discrete=True)


@pytest.mark.parametrize("hidden", [(), (5,), (64, 64), (300, 200, 7)])
@pytest.mark.parametrize("axes", [(1,), (7,), (129, 33), (3, 700, 2)])
def test_in_parts_it_is_the_same_but_for_rounding(hidden: tuple[int, ...], axes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    ensemble = RewardEnsemble(SPACE, members=3, hidden=hidden)
    ensemble.weights[-1].data.mul_(10)
    for bias in ensemble.biases:
        bias.data.normal_()
    seen, action = torch.randn(*axes, 3), torch.randint(4, axes)
    ensemble.standardise_inputs(torch.randn(50, 3), torch.randint(4, (50,)))
    ensemble.set_gauge(torch.randn(50, 3), torch.randint(4, (50,)))
    whole = ensemble.raw(seen, action)
    assert whole.requires_grad
    with torch.no_grad():
        parts = ensemble.raw(seen, action)
        reward = ensemble.reward(seen, action)
    assert parts.shape == (3, *axes)
    torch.testing.assert_close(parts, whole.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reward, ensemble.on_scale(whole).mean(0).detach(), rtol=1e-4, atol=1e-4)


def test_one_observation_stands_for_all_actions() -> None:
    torch.manual_seed(0)
    ensemble = RewardEnsemble(SPACE, members=2, hidden=(6,))
    seen = torch.randn(5, 3)
    whole = ensemble.of_actions(seen, torch.arange(4))
    with torch.no_grad():
        torch.testing.assert_close(ensemble.of_actions(seen, torch.arange(4)), whole.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_it_learns_nothing_is_put_aside(dtype: torch.dtype) -> None:
    ensemble = RewardEnsemble(SPACE, members=2, hidden=(6,)).to(dtype)
    ensemble.raw(torch.randn(5, 3, dtype=dtype), torch.randint(4, (5,))).sum().backward()
    assert all(weight.grad is not None for weight in ensemble.weights)
    with torch.no_grad():
        assert ensemble.raw(torch.randn(5, 3, dtype=dtype), torch.randint(4, (5,))).dtype == dtype
