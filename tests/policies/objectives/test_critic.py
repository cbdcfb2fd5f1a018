import pytest
import torch

from policies.objectives.critic import clipped_value_loss, value_loss


def test_the_critics_loss_is_half_the_mean_square() -> None:
    value, target = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.0, 6.0])
    assert float(value_loss(value_B=value, target_B=target)) == pytest.approx((0 + 4 + 9) / 6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_the_clipped_loss_and_its_gradient_by_hand(dtype: torch.dtype, tolerance: float) -> None:
    """Detail 9: half the mean of max((v - t)^2, (old + clip(v - old) - t)^2)."""
    generator, clip = torch.Generator().manual_seed(1), 0.2
    value, old, target = torch.randn(3, 30, generator=generator, dtype=torch.float64)
    total, slopes, kinds = 0.0, [], set()
    for v, o, t in zip(value.tolist(), old.tolist(), target.tolist(), strict=True):
        near = min(max(v, o - clip), o + clip)
        own, clipped = (v - t) ** 2, (near - t) ** 2
        kinds.add((near != v, own >= clipped))
        total += max(own, clipped) / 2 / 30
        slopes.append((v - t) / 30 if own >= clipped else 0.0)
    assert kinds >= {(False, True), (True, True), (True, False)}
    leaf = value.to(dtype).requires_grad_()
    loss = clipped_value_loss(value_B=leaf, old_value_B=old.to(dtype), target_B=target.to(dtype), clip=clip)
    loss.backward()
    assert loss.item() == pytest.approx(total, abs=tolerance)
    torch.testing.assert_close(
        leaf.grad.double(), torch.tensor(slopes, dtype=torch.float64), rtol=0, atol=tolerance
    )
