"""A recurrent policy by plain loops: one environment, one step at a time, with `torch.nn.GRUCell`."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from policies.experience import Rollout
from policies.networks import ActorCritic
from tests.policies.rollouts import ACTION_SPACE, COLUMNS, OBSERVATION_SPACE, STEPS, made_up_rollout, waves

UNITS = 5


def recurrent(seed: int = 0, space: gym.Space[Any] = OBSERVATION_SPACE, **model: Any) -> ActorCritic:
    """A recurrent policy whose weights are nowhere 0, in double precision."""
    torch.manual_seed(seed)
    network = ActorCritic(space, ACTION_SPACE, recurrent=UNITS, **({"hidden": (4,)} | model)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return network


def remembering_rollout(**changes: Any) -> Rollout:
    """A rollout in the middle of whose episodes it begins, but for column 1; in row 5 environment 0 was lost."""
    memory = 0.9 * waves(COLUMNS, UNITS, phase=8.0)
    memory[1] = 0.0
    rollout = made_up_rollout(**({"memory_NH": memory} | changes))
    rollout.duration_TN[5, 0] = 0
    return rollout


def step(network: ActorCritic, observation: Any, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return output, value and what is remembered after one step of one environment."""
    assert network.memory is not None
    encoded = network.memory.encoder(torch.as_tensor(observation).double())
    after = network.memory.cell(encoded[None], memory[None])[0]
    value = network.critic(after)[0] * network.value_std + network.value_mean
    return network.policy(after), value, after


class Recalled:
    """What was seen at each step of a rollout, and at what truly followed it."""

    def __init__(self, network: ActorCritic, rollout: Rollout) -> None:
        assert rollout.memory_NH is not None
        final = dict(zip(rollout.final_index_K.tolist(), rollout.final_observation_KO, strict=True))
        self.output: dict[tuple[int, int], Tensor] = {}
        self.value: dict[tuple[int, int], Tensor] = {}
        self.next_value: dict[tuple[int, int], Tensor] = {}
        self.before: dict[tuple[int, int], Tensor] = {}
        for n in range(COLUMNS):
            memory = torch.tensor(rollout.memory_NH[n]).double()
            for t in range(STEPS):
                self.before[t, n] = memory
                self.output[t, n], self.value[t, n], after = step(
                    network, rollout.observation_TNO[t, n], memory
                )
                ended = bool(rollout.terminated_TN[t, n] or rollout.truncated_TN[t, n])
                following = final[t * COLUMNS + n] if ended else rollout.observation_TNO[t + 1, n]
                _, self.next_value[t, n], _ = step(network, following, after)
                if rollout.duration_TN[t, n] == 0:
                    self.next_value[t, n] = self.value[t, n]
                memory = torch.zeros_like(after) if ended else after

    def grid(self, part: str) -> Tensor:
        """One part as [T, N, ...]."""
        own = getattr(self, part)
        return torch.stack([torch.stack([own[t, n] for n in range(COLUMNS)]) for t in range(STEPS)])


def assert_close(ours: Any, expected: Any) -> None:
    np.testing.assert_allclose(torch.as_tensor(ours).detach(), expected.detach(), atol=1e-6)
