"""A copy of a network's policy that learns apart: without the critic, with an optimiser of its own."""

from typing import Protocol

import torch
from torch import nn

from policies.networks import ActorCritic


class PolicyStudent(Protocol):
    """A loss whose parameters are a policy's."""

    policy: nn.Sequential
    log_scale: nn.Parameter


@torch.no_grad()
def take_over(student: PolicyStudent, network: ActorCritic) -> None:
    """Copy the policy's weights, and the statistics by which it reads observations, into a student."""
    student.policy.load_state_dict(network.policy.state_dict())
    student.log_scale.copy_(network.log_scale)


@torch.no_grad()
def hand_back(student: PolicyStudent, network: ActorCritic) -> None:
    """Copy what a student has learnt into the network's parameters where they lie."""
    network.log_scale.copy_(student.log_scale)
    for parameter, learnt in zip(network.policy.parameters(), student.policy.parameters(), strict=True):
        parameter.copy_(learnt)
