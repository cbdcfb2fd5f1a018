"""One update: a batch of experience becomes new weights.

The order is relabel, value, advantages, epochs of minibatches; `policies.objectives` says what is maximised. Which
of "The 37 implementation details of PPO" (Huang et al. 2022) are here is told in `docs/objectives.md`.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from policies.advantages import weighted_mean
from policies.batch import Batch, make_batch, steps_on
from policies.experience import Rollout
from policies.networks import ActorCritic
from policies.objectives.change import policy_change
from policies.objectives.critic import clipped_value_loss, value_loss
from policies.objectives.objective import Objective
from policies.rewards import RewardSource, weighted_sum
from policies.settings import UpdateSettings


class Losses(NamedTuple):
    """What a gradient step minimised; scalars."""

    policy_loss: Tensor | None
    """None where only the critic learnt."""
    value_loss: Tensor
    gradient_norm: Tensor
    """Before it was shortened."""


def update(
    *,
    network: ActorCritic,
    optimiser: torch.optim.Optimizer,
    objective: Objective,
    rollout: Rollout,
    sources: Mapping[str, RewardSource],
    source_weights: Mapping[str, float],
    settings: UpdateSettings,
    generator: torch.Generator,
) -> dict[str, float]:
    """Learn from one batch, in place.

    Args:
        network: the policy and its critic.
        optimiser: over the network's parameters.
        objective: what the policy maximises, made from the same settings.
        rollout: the batch.
        sources: reward sources by name, evaluated here for the whole batch.
        source_weights: the weighted sum.
        settings: numbers of the update.
        generator: shuffles the minibatches, on the CPU.

    Returns:
        Means over the last epoch's minibatches: policy_loss, value_loss, entropy, approximate_kl, clip_share,
        gradient_norm; reward_<source>, the mean of each weighted source; and what the objective adds.
    """
    steps = steps_on(network.value_mean.device, rollout)
    with torch.no_grad():
        reward_TN, means = weighted_sum(sources, source_weights, steps)
    subtracts_baseline = objective.subtracts_baseline
    batch = make_batch(network, rollout, steps, reward_TN, settings, subtracts_baseline=subtracts_baseline)
    batch = objective.begin(network, batch)
    epochs, size = (1, rollout.steps) if objective.whole_batch else (settings.epochs, settings.minibatch_size)
    watched: list[dict[str, Tensor]] = []
    for epoch in range(epochs):
        for minibatch in _shuffled(batch, size, generator):
            losses = _step(network, optimiser, objective, minibatch, settings)
            if epoch == epochs - 1:
                watched.append(_watch(network, minibatch, settings, losses))
    statistics = {name: torch.stack([one[name] for one in watched]).mean() for name in watched[0]}
    rewards = {f"reward_{name}": mean for name, mean in means.items()}
    everything = statistics | rewards | objective.finish(network, batch)
    # One trip from the device for all.
    return dict(zip(everything, torch.stack(list(everything.values())).tolist(), strict=True))


def _shuffled(batch: Batch, size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Yield minibatches that visit each step once, in random order."""
    steps = len(batch.weight_B)
    if size >= steps:
        yield batch
        return
    # One gather an epoch: minibatches are then slices of it.
    order = torch.randperm(steps, generator=generator).to(batch.weight_B.device)
    shuffled = batch.at(order)
    for start in range(0, steps, size):
        yield shuffled.at(slice(start, start + size))


def _step(
    network: ActorCritic,
    optimiser: torch.optim.Optimizer,
    objective: Objective,
    minibatch: Batch,
    settings: UpdateSettings,
) -> Losses:
    value = _value_loss(network, minibatch, settings)
    loss = settings.value_coefficient * value
    policy = objective.loss(network, minibatch)
    if policy is not None:
        loss = policy.total + loss
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), settings.max_gradient_norm, foreach=True)
    optimiser.step()
    return Losses(None if policy is None else policy.surrogate, value.detach(), norm)


def _value_loss(network: ActorCritic, minibatch: Batch, settings: UpdateSettings) -> Tensor:
    value_B = network.normalised_value(minibatch.observation_BO)
    if settings.value_clip is None:
        return value_loss(value_B=value_B, target_B=minibatch.target_B)
    assert minibatch.old_value_B is not None
    return clipped_value_loss(
        value_B=value_B,
        old_value_B=minibatch.old_value_B,
        target_B=minibatch.target_B,
        clip=settings.value_clip,
    )


@torch.no_grad()
def _watch(
    network: ActorCritic, minibatch: Batch, settings: UpdateSettings, losses: Losses
) -> dict[str, Tensor]:
    """What people watch of a minibatch, after its step."""
    log_prob_B, entropy_B = network.evaluate(minibatch.observation_BO, minibatch.action_BA)
    change = policy_change(
        log_prob_B=log_prob_B,
        behaviour_log_prob_B=minibatch.behaviour_log_prob_B,
        weight_B=minibatch.weight_B,
        clip=settings.clip,
    )
    named = {name: value for name, value in losses._asdict().items() if value is not None}
    return named | {"entropy": weighted_mean(entropy_B, minibatch.weight_B)} | change._asdict()
