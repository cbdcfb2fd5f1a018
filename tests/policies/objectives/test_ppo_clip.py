import math

import pytest
import torch
from torch import Tensor

from policies.objectives.ppo_clip import ppo_clip

CLIP = 0.2
B = 40


def _inputs() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    behaviour = -torch.rand(B, generator=generator, dtype=torch.float64)
    return {
        "log_prob_B": behaviour + 0.4 * torch.randn(B, generator=generator, dtype=torch.float64),
        "behaviour_log_prob_B": behaviour,
        "advantage_B": torch.randn(B, generator=generator, dtype=torch.float64),
        "weight_B": (torch.rand(B, generator=generator) < 0.8).double(),
    }


def _by_the_paper(x: dict[str, Tensor], b: int) -> float:
    """Equation 7: min(r A, clip(r, 1 - epsilon, 1 + epsilon) A)."""
    ratio = math.exp(float(x["log_prob_B"][b])) / math.exp(float(x["behaviour_log_prob_B"][b]))
    advantage = float(x["advantage_B"][b])
    return min(ratio * advantage, min(max(ratio, 1 - CLIP), 1 + CLIP) * advantage)


def test_the_clipped_surrogate_is_that_of_the_paper() -> None:
    x = _inputs()
    counted = [b for b in range(B) if x["weight_B"][b]]
    expected = -sum(_by_the_paper(x, b) for b in counted) / len(counted)
    assert 0 < len(counted) < B
    assert float(ppo_clip(**x, clip=CLIP)) == pytest.approx(expected)


def test_each_step_is_that_of_the_paper() -> None:
    x = _inputs()
    for b in range(B):
        one = {name: value[b : b + 1] for name, value in x.items()} | {"weight_B": torch.ones(1)}
        assert float(ppo_clip(**one, clip=CLIP)) == pytest.approx(-_by_the_paper(x, b))


def test_the_gradient_is_zero_exactly_where_clipped_or_not_counted() -> None:
    x = _inputs()
    log_prob = x.pop("log_prob_B").requires_grad_()
    ppo_clip(log_prob_B=log_prob, **x, clip=CLIP).backward()
    ratio, advantage = (log_prob - x["behaviour_log_prob_B"]).exp().detach(), x["advantage_B"]
    clipped = ((ratio > 1 + CLIP) & (advantage > 0)) | ((ratio < 1 - CLIP) & (advantage < 0))
    moves = ~clipped & (x["weight_B"] > 0)
    assert log_prob.grad is not None
    assert clipped.any()
    torch.testing.assert_close(log_prob.grad != 0, moves)
    expected = -(ratio * advantage / x["weight_B"].sum())[moves]
    torch.testing.assert_close(log_prob.grad[moves], expected)


def test_a_step_that_does_not_count_changes_nothing() -> None:
    x = _inputs()
    before = ppo_clip(**x, clip=CLIP)
    idle = x["weight_B"] == 0
    x["log_prob_B"][idle] += 1.0
    x["advantage_B"][idle] -= 9.0
    assert ppo_clip(**x, clip=CLIP) == before
    x["advantage_B"] -= 9.0
    assert ppo_clip(**x, clip=CLIP) != before


def test_no_step_that_counts_is_no_loss() -> None:
    x = _inputs() | {"weight_B": torch.zeros(B, dtype=torch.float64)}
    assert float(ppo_clip(**x, clip=CLIP)) == 0.0
