import math

import pytest
import torch

from policies.objectives.change import policy_change

CLIP = 0.2


def test_the_divergence_estimate_is_unbiased() -> None:
    """Weighted by the behaviour's own probabilities it is KL(behaviour || policy) exactly."""
    behaviour = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    policy = torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64)
    estimate = policy_change(
        log_prob_B=policy.log(), behaviour_log_prob_B=behaviour.log(), weight_B=behaviour, clip=CLIP
    ).approximate_kl
    expected = sum(p * math.log(p / q) for p, q in zip(behaviour.tolist(), policy.tolist(), strict=True))
    assert float(estimate) == pytest.approx(expected)


def test_no_part_of_the_divergence_estimate_is_negative() -> None:
    """Schulman 2020, k3: r - 1 - log r of each step."""
    ratio = [0.5, 1.0, 2.0]
    weight, zeros = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    log_prob = torch.tensor(ratio, dtype=torch.float64).log()
    parts = [
        policy_change(log_prob_B=log_prob, behaviour_log_prob_B=zeros, weight_B=one, clip=CLIP).approximate_kl
        for one in weight
    ]
    assert [float(part) for part in parts] == pytest.approx([r - 1 - math.log(r) for r in ratio])


def test_the_clip_share_counts_ratios_outside() -> None:
    ratio = torch.tensor([1.0, 1.19, 1.21, 0.79, 0.81, 3.0], dtype=torch.float64)
    weight = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    zeros = torch.zeros(6, dtype=torch.float64)
    change = policy_change(log_prob_B=ratio.log(), behaviour_log_prob_B=zeros, weight_B=weight, clip=CLIP)
    assert float(change.clip_share) == pytest.approx(2 / 5)


def test_where_no_step_counts_nothing_has_changed() -> None:
    one = torch.ones(3, dtype=torch.float64)
    change = policy_change(log_prob_B=one, behaviour_log_prob_B=-one, weight_B=0 * one, clip=CLIP)
    assert [float(value) for value in change] == [0.0, 0.0]
