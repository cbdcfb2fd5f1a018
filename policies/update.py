"""One update: a batch of experience becomes new weights.

The order is relabel, value, advantages, epochs of minibatches. Of "The 37 implementation details of PPO"
(Huang et al. 2022) those of the update are here, but for value clipping, which hurts as often as it helps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policies import advantages, objectives, popart
from policies.experience import Actor, Rollout
from policies.networks import ActorCritic
from policies.rewards import RewardSource, Steps, weighted_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSettings:
    """Numbers of an update; see `cluster.runs.config.LearnerConfig`."""

    discount: float
    gae_lambda: float
    clip: float
    epochs: int
    minibatch_size: int
    value_coefficient: float
    entropy_coefficient: float
    max_gradient_norm: float
    popart_rate: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the epochs read, flat over steps; B = T * N."""

    observation_BO: Tensor
    action_BA: Tensor
    behaviour_log_prob_B: Tensor
    advantage_B: Tensor
    target_B: Tensor
    weight_B: Tensor
    """1 where the policy acted."""

    def at(self, index: Tensor | slice) -> "Batch":
        """Return some of the steps."""
        return Batch(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def steps_on(device: torch.device, rollout: Rollout) -> Steps:
    """Move a rollout to the learner's device, once, and find each step's true next observation."""
    observation = torch.tensor(rollout.observation_TNO, device=device)
    steps, columns = rollout.terminated_TN.shape
    following = observation[1:].flatten(0, 1).clone()
    if len(rollout.final_index_K):
        index = torch.tensor(rollout.final_index_K, device=device)
        following[index] = torch.tensor(rollout.final_observation_KO, device=device)
    reward = rollout.environment_reward_TN
    return Steps(
        observation_TNO=observation[:-1].flatten(2),
        action_TNA=torch.tensor(rollout.action_TNA, device=device),
        next_observation_TNO=following.view(steps, columns, -1),
        cut_TN=torch.tensor(
            rollout.terminated_TN | rollout.truncated_TN | _meets_override(rollout), device=device
        ),
        environment_reward_TN=None if reward is None else torch.tensor(reward, device=device),
    )


def _meets_override(rollout: Rollout) -> NDArray[np.bool_]:
    """Where a step or the one after it was overridden: the policy's return ends there, and is bootstrapped."""
    overridden_TN = (rollout.actor_TN == Actor.EXPERT) | (rollout.actor_TN == Actor.TEACHER)
    following_TN = np.concatenate([overridden_TN[1:], np.zeros_like(overridden_TN[:1])])
    meets: NDArray[np.bool_] = overridden_TN | following_TN
    return meets


@torch.no_grad()
def make_batch(
    network: ActorCritic, rollout: Rollout, steps: Steps, reward_TN: Tensor, settings: UpdateSettings
) -> Batch:
    """Turn relabelled experience into advantages and targets, and update the critic's scale."""
    device = reward_TN.device
    acted_TN = torch.tensor(rollout.actor_TN == Actor.POLICY, device=device)
    earned_TN, discount_TN = advantages.over_duration(
        reward_TN=reward_TN,
        duration_TN=torch.tensor(rollout.duration_TN, device=device),
        discount=settings.discount,
    )
    estimate = advantages.gae(
        reward_TN=earned_TN,
        value_TN=network.value(steps.observation_TNO),
        next_value_TN=network.value(steps.next_observation_TNO),
        terminated_TN=torch.tensor(rollout.terminated_TN, device=device),
        cut_TN=steps.cut_TN,
        discount_TN=discount_TN,
        gae_lambda=settings.gae_lambda,
    )
    weight_TN = acted_TN.to(reward_TN.dtype)
    popart.update_statistics(network, target_P=estimate.target_TN, rate=settings.popart_rate)
    return Batch(
        observation_BO=steps.observation_TNO.flatten(0, 1),
        action_BA=steps.action_TNA.flatten(0, 1),
        behaviour_log_prob_B=torch.tensor(rollout.log_prob_TN, device=device).flatten(),
        advantage_B=advantages.standardise(estimate.advantage_TN, weight=weight_TN).flatten(),
        target_B=((estimate.target_TN - network.value_mean) / network.value_std).flatten(),
        weight_B=weight_TN.flatten(),
    )


def ppo_update(
    *,
    network: ActorCritic,
    optimiser: torch.optim.Optimizer,
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
        rollout: the batch.
        sources: reward sources by name, evaluated here for the whole batch.
        source_weights: the weighted sum.
        settings: numbers of the update.
        generator: shuffles the minibatches, on the CPU.

    Returns:
        Means over the last epoch's minibatches: policy_loss, value_loss, entropy, approximate_kl, clip_share,
        gradient_norm; and reward_<source>, the mean of each weighted source.
    """
    device = network.value_mean.device
    steps = steps_on(device, rollout)
    with torch.no_grad():
        reward_TN, means = weighted_sum(sources, source_weights, steps)
    batch = make_batch(network, rollout, steps, reward_TN, settings)
    sums: dict[str, Tensor] = {}
    size, count = settings.minibatch_size, 0
    for epoch in range(settings.epochs):
        # One gather an epoch: minibatches are then slices of it.
        shuffled = batch.at(torch.randperm(rollout.steps, generator=generator).to(device))
        for start in range(0, rollout.steps, size):
            minibatch = shuffled.at(slice(start, start + size))
            losses = _minibatch_step(network, optimiser, minibatch, settings)
            if epoch == settings.epochs - 1:
                count += 1
                for name, value in (losses | _watch(network, minibatch, settings)).items():
                    sums[name] = sums[name] + value if name in sums else value
    statistics = {name: float(value) / count for name, value in sums.items()}
    return statistics | {f"reward_{name}": float(mean) for name, mean in means.items()}


def _minibatch_step(
    network: ActorCritic, optimiser: torch.optim.Optimizer, minibatch: Batch, settings: UpdateSettings
) -> dict[str, Tensor]:
    output = network.policy(minibatch.observation_BO)
    distribution, log_scale = network.distribution, network.log_scale
    policy = objectives.ppo_clip(
        log_prob_B=distribution.log_prob(output, log_scale, minibatch.action_BA),
        behaviour_log_prob_B=minibatch.behaviour_log_prob_B,
        advantage_B=minibatch.advantage_B,
        weight_B=minibatch.weight_B,
        clip=settings.clip,
    )
    value_B = network.normalised_value(minibatch.observation_BO)
    value = objectives.value_loss(value_B=value_B, target_B=minibatch.target_B)
    loss = policy + settings.value_coefficient * value
    if settings.entropy_coefficient:
        entropy_B = distribution.entropy(output, log_scale)
        loss = loss - settings.entropy_coefficient * advantages.weighted_mean(entropy_B, minibatch.weight_B)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), settings.max_gradient_norm, foreach=True)
    optimiser.step()
    return {"policy_loss": policy.detach(), "value_loss": value.detach(), "gradient_norm": norm}


@torch.no_grad()
def _watch(network: ActorCritic, minibatch: Batch, settings: UpdateSettings) -> dict[str, Tensor]:
    """What people watch of a minibatch, after its step."""
    log_prob_B, entropy_B = network.evaluate(minibatch.observation_BO, minibatch.action_BA)
    change = objectives.policy_change(
        log_prob_B=log_prob_B,
        behaviour_log_prob_B=minibatch.behaviour_log_prob_B,
        weight_B=minibatch.weight_B,
        clip=settings.clip,
    )
    return {
        "entropy": advantages.weighted_mean(entropy_B, minibatch.weight_B),
        "approximate_kl": change.approximate_kl,
        "clip_share": change.clip_share,
    }
