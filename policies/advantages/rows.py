"""What every estimator reads, what it returns, and the recursion that they share."""

from typing import NamedTuple

from torch import Tensor


class Rows(NamedTuple):
    """Rewards, values and edges of a rollout, each [T, N]; its last row is always an edge."""

    reward_TN: Tensor
    """Earned in each row."""
    value_TN: Tensor
    """Of the observation before the step, in reward units."""
    next_value_TN: Tensor
    """Of the observation that truly followed the step: where an episode was cut that is its own last one, never
    the next episode's first."""
    terminated_TN: Tensor
    """bool, the step led to a terminal state, whose value is 0."""
    cut_TN: Tensor
    """bool, the next row does not continue this one: terminated, truncated, or overridden."""
    discount_TN: Tensor
    """Gamma from the start of each row to its end, in [0, 1]."""

    @property
    def following(self) -> Tensor:
        """What the critic says of the time after each step, discounted to before it."""
        return self.discount_TN * (1.0 - self.terminated_TN.to(self.reward_TN.dtype)) * self.next_value_TN

    @property
    def carry(self) -> Tensor:
        """The discount within an episode, 0 where the next row belongs to something else."""
        return self.discount_TN * (1.0 - self.cut_TN.to(self.reward_TN.dtype))


class Advantages(NamedTuple):
    """Estimates for each step, each [T, N], in reward units."""

    advantage_TN: Tensor
    """What came of the action, less a baseline that does not depend on it."""
    target_TN: Tensor
    """What the critic should have said of the observation before the step."""
    return_TN: Tensor
    """What came of the action: the advantage without its baseline, an estimate of Q."""


def summed_backwards(part_TN: Tensor, carry_TN: Tensor) -> Tensor:
    """Return x with x[t] = part[t] + carry[t] * x[t + 1], and 0 after the last row.

    In log2(T) passes over all rows, each of which doubles how far every sum reaches.

    Source: Hillis and Steele 1986, "Data parallel algorithms", section on parallel prefix.
    """
    sum_TN, reach = part_TN.clone(), carry_TN
    rows = 1
    while rows < len(part_TN):
        sum_TN[:-rows] += reach[: len(part_TN) - rows] * sum_TN[rows:]
        reach = reach[:-rows] * reach[rows:]
        rows *= 2
    return sum_TN


def over_duration(*, reward_TN: Tensor, duration_TN: Tensor, discount: float) -> tuple[Tensor, Tensor]:
    """Return the discounted reward of each row over its duration, and the discount from its start to its end.

    A row of duration k earns its reward k times and is followed by what comes k steps later.

    Source: Sutton, Precup and Singh 1999, "Between MDPs and semi-MDPs", section 3, equation 9.

    Args:
        reward_TN: reward of each environment step of a row.
        duration_TN: environment steps that the row stands for.
        discount: gamma per environment step, in [0, 1].
    """
    steps_TN = duration_TN.to(reward_TN.dtype)
    discount_TN = discount**steps_TN
    if discount == 1:
        return reward_TN * steps_TN, discount_TN
    return reward_TN * (1 - discount_TN) / (1 - discount), discount_TN
