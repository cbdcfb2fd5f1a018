"""Signals on made-up steps."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from policies.networks import ActorCritic
from policies.signals.signal_batch import SignalBatch
from policies.signals.signal_loss import SignalMinibatch
from policies.signals.signal_store import SignalStore

S, L, OBSERVATION = 6, 5, 3


def minibatch(network: ActorCritic, seed: int = 1) -> SignalMinibatch:
    """In double precision; the last row only fills up, and rows end with steps of nobody."""
    generator = torch.Generator().manual_seed(seed)
    observation = torch.randn(S, L, OBSERVATION, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        action, _ = network.act(observation, generator=generator)
    credit = torch.rand(S, L, generator=generator, dtype=torch.float64)
    credit[torch.arange(L) >= 1 + torch.arange(S)[:, None] % L] = 0
    value = 2 * torch.rand(S, generator=generator, dtype=torch.float64) - 1
    first = torch.full((S, L), torch.nan, dtype=torch.float64)
    return SignalMinibatch(observation, action, credit, value, (torch.arange(S) < S - 1).double(), first)


def in_single_precision(signals: SignalMinibatch) -> SignalMinibatch:
    return SignalMinibatch(*(part.float() if part.is_floating_point() else part for part in signals))


def signal(observation: Any, action: Any, value: float, **changes: Any) -> dict[str, Any]:
    """On one step, or on several of which the last has all the credit."""
    steps = len(action)
    given = {
        "value": value,
        "observation_LO": np.asarray(observation, np.float32),
        "action_LA": np.asarray(action),
        "credit_L": np.arange(steps) == steps - 1,
        "policy_version_L": np.zeros(steps, np.int64),
    }
    return given | changes


def batch_of(space: gym.Space[Any], actions: gym.Space[Any], signals: list[dict[str, Any]]) -> SignalBatch:
    store = SignalStore(space, actions, about_policy=False)
    for number, given in enumerate(signals):
        store.add(key=str(number), **given)
    return store.batch()
