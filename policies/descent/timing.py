"""How long a gradient step takes, measured on made-up experience."""

import copy
import time
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import torch

from policies.batch import Batch
from policies.descent.gradient_step import GradientStep, flatten_parameters
from policies.networks import ActorCritic
from policies.objectives import make_objective
from policies.settings import UpdateSettings
from policies.spaces import flat_dtype, flat_size
from policies.update import UpdateLoss, shuffled

_WARM_UPS = 5
"""Steps that are not counted: kernels are chosen and traced in them."""


def made_up_batch(network: ActorCritic, observation_space: gym.Space[Any], rows: int) -> Batch:
    """Return steps of a policy without a memory on random observations, on the network's device."""
    device, size = network.value_mean.device, flat_size(observation_space)
    if flat_dtype(observation_space) == "uint8":
        observation_BO = torch.randint(256, (rows, size), dtype=torch.uint8, device=device)
    else:
        observation_BO = torch.randn(rows, size, device=device)
    with torch.no_grad():
        action_BA, log_prob_B = network.act(observation_BO)
    return Batch(
        observation_BO=observation_BO,
        action_BA=action_BA,
        behaviour_log_prob_B=log_prob_B,
        advantage_B=torch.randn(rows, device=device),
        target_B=torch.randn(rows, device=device),
        weight_B=torch.ones(rows, device=device),
        old_value_B=torch.zeros(rows, device=device),
    )


def seconds_per_step(
    network: ActorCritic,
    observation_space: gym.Space[Any],
    settings: UpdateSettings,
    *,
    rows: int,
    device: torch.device,
    repeats: int = 30,
    traced: bool = True,
) -> float:
    """Return the mean time of a gradient step, in seconds, with its share of shuffling the batch.

    Args:
        network: the policy and its critic, without a memory; it stays as it is.
        observation_space: what it reads.
        settings: the minibatch's size and the objective.
        rows: of the batch, which lies on the device.
        device: where to measure.
        repeats: steps that are counted.
        traced: False for autograd's own way.
    """
    network = copy.deepcopy(network).to(device)
    flat, objective = flatten_parameters(network), make_objective(settings)
    batch = objective.begin(network, made_up_batch(network, observation_space, rows))
    loss = UpdateLoss(network, objective, settings)
    step = GradientStep(
        loss,
        flat,
        optimiser=torch.optim.Adam([flat], lr=1e-4, eps=1e-5, fused=True),
        max_gradient_norm=settings.max_gradient_norm,
        traced=traced,
    )
    minibatches = _again_and_again(batch, rows if objective.whole_batch else settings.minibatch_size)
    start = 0.0
    for number in range(_WARM_UPS + repeats):
        if number == _WARM_UPS:
            _wait_for(device)
            start = time.perf_counter()
        step(*loss.inputs(next(minibatches)))
    _wait_for(device)
    return (time.perf_counter() - start) / repeats


def _again_and_again(batch: Batch, size: int) -> Iterator[Batch]:
    """Yield the minibatches of one epoch after the other."""
    generator = torch.Generator().manual_seed(0)
    while True:
        yield from shuffled(batch, size, generator)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
