"""A rollout as a recurrent policy sees it: what it remembers at each step, and sequences to learn from.

Axis suffixes: T step, N environment, S sequence, L step of a sequence, H unit of memory.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from policies.experience import Rollout
from policies.networks import ActorCritic, Context
from policies.steps import Steps


class Seen(NamedTuple):
    """What a recurrent policy and its critic read."""

    now_TNH: Tensor
    """After each step's observation."""
    next_TNH: Tensor
    """After what truly followed, still in the same episode where that ended."""
    context: Context
    """Of whole columns as sequences."""


def look(network: ActorCritic, rollout: Rollout, steps: Steps) -> Seen | None:
    """See a rollout with the weights as they are now, from what was remembered before its first row.

    Returns:
        None where the policy has no memory.
    """
    if network.memory is None:
        return None
    assert rollout.memory_NH is not None
    device = steps.cut_TN.device
    ended_TN = rollout.terminated_TN | rollout.truncated_TN
    # What comes before the first row is forgotten already where an episode begins there.
    begin_TN = np.concatenate([np.zeros_like(ended_TN[:1]), ended_TN[:-1]])
    memory_NH, begin_NT = (
        torch.tensor(rollout.memory_NH, device=device),
        torch.tensor(begin_TN.T, device=device),
    )
    context = Context(memory_NH, begin_NT)
    now_TNH = network.see(steps.observation_TNO.transpose(0, 1), context).transpose(0, 1)
    last_NH = network.memory.step(steps.shown_TNO[-1], now_TNH[-1])
    final_KH = network.memory.step(steps.final_observation_KO, now_TNH.flatten(0, 1)[steps.final_index_K])
    next_TNH = steps.with_finals(torch.cat([now_TNH[1:], last_NH[None]]), final_KH)
    # A row that stands for no step shows nothing new: it is as if the row before it had been the last.
    empty_TN = torch.tensor(rollout.duration_TN == 0, device=device)
    return Seen(now_TNH, torch.where(empty_TN[..., None], now_TNH, next_TNH), context)


def in_sequences(values_TN: Tensor, length: int) -> Tensor:
    """Cut columns into sequences, [S, L, ...].

    Raises:
        RuntimeError: T is no multiple of the length.
    """
    steps, *others = values_TN.shape
    return values_TN.reshape(steps // length, length, *others).transpose(1, 2).flatten(0, 1)


def context_of_sequences(seen: Seen, length: int) -> Context:
    """Return what goes with the observations that `in_sequences` cuts."""
    before_TNH = torch.cat([seen.context.memory_SH[None], seen.now_TNH[:-1]])
    return Context(
        memory_SH=before_TNH[::length].flatten(0, 1), begin_SL=in_sequences(seen.context.begin_SL.T, length)
    )
