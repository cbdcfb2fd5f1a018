"""Means and scales over the steps that count."""

from torch import Tensor

_TINY = 1e-8


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of the values that count; 0 where none does."""
    return (values * weight).sum() / weight.sum().clamp_min(1.0)


def share_of(part_weight: Tensor, weight: Tensor) -> Tensor:
    """Return what the weighted mean of a part counts for in that of the whole; these products add up to the whole's."""
    return part_weight.sum().clamp_min(1.0) / weight.sum().clamp_min(1.0)


def to_unit_scale(values: Tensor, *, weight: Tensor) -> Tensor:
    """Scale to a weighted root mean square of 1; zeros stay zeros.

    Args:
        values: any shape.
        weight: same shape, 0 where a value does not count; those are scaled along.
    """
    return values / (weighted_mean(values**2, weight).sqrt() + _TINY)


def standardise(values: Tensor, *, weight: Tensor) -> Tensor:
    """Shift and scale to a weighted mean of 0 and standard deviation of 1; the arguments are as above."""
    return to_unit_scale(values - weighted_mean(values, weight), weight=weight)
