"""Every kind of space is learnt: the policy repeats what it sees."""

from typing import Any

import numpy as np
import pytest
import torch

from cluster.environments.making import make_vector
from cluster.loop.evaluation import evaluate
from cluster.loop.learning.learner import acting_weights
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import EnvironmentConfig
from policies.acting.inference import acting_policy
from policies.networks import ActorCritic
from tests.cluster.identities import SPACES
from tests.policies.objectives.small_policies import settings
from tests.policies.updates import make_update

SETTINGS = settings(discount=0.0, gae_lambda=1.0, epochs=4, minibatch_size=128)
SMALL = ((8, 4, 2), (16, 3, 1))


def solve(kind: str, *, updates: int, **model: Any) -> tuple[float, str]:
    """Learn, and play greedily; returns the mean reward of a step, and how the env runner acted."""
    environment = EnvironmentConfig(id="tests.cluster.identities:Identity", kwargs={"kind": kind})
    model = {"hidden": (32,), "image_features": 32, "filters": ()} | model
    torch.manual_seed(0)
    network = ActorCritic(*SPACES[kind], **model)
    update = make_update(network, SETTINGS)
    acting = acting_policy(*SPACES[kind], seed=0, **model)
    collector = Collector(make_vector(environment, 16), acting, source="r", seed=0, share_reward=True)
    generator = torch.Generator().manual_seed(0)
    for version in range(updates):
        acting.load(acting_weights(network))
        update(collector.collect(32, policy_version=version).rollout, generator)
    returns = evaluate(network, environment, episodes=20, seed=1)
    return float(np.mean(returns)) / 8, type(acting).__name__


@pytest.mark.parametrize(
    ("kind", "updates", "enough", "acting", "model"),
    [
        ("discrete", 8, 0.99, "NumpyPolicy", {}),
        ("discrete", 8, 0.99, "NumpyPolicy", {"shared": True}),
        ("multi discrete", 12, 0.99, "NumpyPolicy", {}),
        ("box", 30, 0.85, "NumpyPolicy", {}),
        ("image", 8, 0.99, "TorchPolicy", {}),
        ("image", 8, 0.99, "TorchPolicy", {"shared": True, "filters": SMALL}),
        ("dict", 40, 0.99, "TorchPolicy", {"filters": SMALL}),
    ],
    ids=lambda value: str(value) if not isinstance(value, dict) else "-".join(value) or "default",
)
def test_it_is_solved(kind: str, updates: int, enough: float, acting: str, model: dict[str, Any]) -> None:
    reward, acted = solve(kind, updates=updates, **model)
    assert reward >= enough
    assert acted == acting
