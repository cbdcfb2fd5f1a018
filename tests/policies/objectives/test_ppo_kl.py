import copy

import pytest
import torch
from torch import Tensor

from policies.objectives.penalties import Penalties
from policies.objectives.ppo_kl import PPOAdaptiveKL, adapted
from policies.settings import AdaptiveKLSettings
from tests.policies.objectives.small_policies import DISCRETE, batch_of, policy, settings


def _objective(coefficient: float = 1.0, target: float = 0.01) -> PPOAdaptiveKL:
    own = settings(objective="ppo_kl", ppo_kl=AdaptiveKLSettings(coefficient=coefficient, target=target))
    return PPOAdaptiveKL(own, Penalties(own))


@pytest.mark.parametrize(
    ("divergence", "expected"), [(0.0, 2.0), (0.0066, 2.0), (0.0067, 4.0), (0.0149, 4.0), (0.0151, 8.0)]
)
def test_the_coefficient_follows_the_paper(divergence: float, expected: float) -> None:
    """Section 4: halved below target / 1.5, doubled above target * 1.5."""
    next_one = adapted(torch.tensor(4.0), divergence=torch.tensor(divergence), target=0.01)
    assert next_one.item() == expected


def _after_an_update(objective: PPOAdaptiveKL, *, moves: float) -> dict[str, Tensor]:
    network = policy(DISCRETE)
    batch = objective.begin(network, batch_of(network, DISCRETE))
    with torch.no_grad():
        network.policy[-1].bias[0] += moves
    return objective.finish(network, batch)


def test_a_policy_that_moves_too_far_is_held_tighter_in_the_next_update() -> None:
    objective = _objective()
    assert _after_an_update(objective, moves=1.0)["kl"] > 0.015
    assert _after_an_update(objective, moves=0.0)["kl_coefficient"].item() == 2.0
    assert _after_an_update(objective, moves=0.0)["kl_coefficient"].item() == 1.0


def test_a_policy_that_stands_still_for_long_is_held_again_soon() -> None:
    objective = _objective()
    for _ in range(50):
        _after_an_update(objective, moves=0.0)
    for _ in range(10):
        _after_an_update(objective, moves=1.0)
    assert objective.get_state()["kl_coefficient"] == 1.0


def test_the_coefficient_survives_a_checkpoint() -> None:
    kept, restored = _objective(), _objective()
    _after_an_update(kept, moves=1.0)
    restored.set_state(copy.deepcopy(kept.get_state()))
    assert restored.get_state() == kept.get_state() == {"kl_coefficient": 2.0}
