"""A rollout as tensors on the learner's device, and what the epochs read of it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from policies import advantages, popart
from policies.advantages import Advantages, Rows
from policies.experience import Actor, Rollout
from policies.networks import ActorCritic
from policies.rewards import Steps
from policies.settings import UpdateSettings


class Batch(NamedTuple):
    """What the epochs read, flat over steps; B = T * N."""

    observation_BO: Tensor
    action_BA: Tensor
    behaviour_log_prob_B: Tensor
    advantage_B: Tensor
    """What the objective weighs actions by, scaled."""
    target_B: Tensor
    """Of the critic, normalised."""
    weight_B: Tensor
    """1 where the policy acted."""
    counts_B: Tensor | None = None
    """1 where the row stands for a time, 0 where its duration is 0; only where there is such a row."""
    old_value_B: Tensor | None = None
    """The critic's before the update, normalised; only where its loss is clipped."""
    old_output_BA: Tensor | None = None
    """The policy's before the update; only where the objective asks."""
    reference_output_BA: Tensor | None = None
    """The frozen reference policy's; only where there is one."""

    def at(self, index: Tensor | slice) -> "Batch":
        """Return some of the steps."""
        return Batch(*[None if part is None else part[index] for part in self])  # type: ignore[arg-type]


def steps_on(device: torch.device, rollout: Rollout) -> Steps:
    """Move a rollout to the learner's device, once, and find each step's true next observation."""
    observation = torch.tensor(rollout.observation_TNO, device=device)
    steps, columns = rollout.terminated_TN.shape
    following = observation[1:].flatten(0, 1).clone()
    if len(rollout.final_index_K):
        index = torch.tensor(rollout.final_index_K, device=device)
        following[index] = torch.tensor(rollout.final_observation_KO, device=device)
    reward, counts = rollout.environment_reward_TN, rollout.duration_TN > 0
    return Steps(
        observation_TNO=observation[:-1].flatten(2),
        action_TNA=torch.tensor(rollout.action_TNA, device=device),
        next_observation_TNO=following.view(steps, columns, -1),
        cut_TN=torch.tensor(
            rollout.terminated_TN | rollout.truncated_TN | _meets_override(rollout), device=device
        ),
        environment_reward_TN=None if reward is None else torch.tensor(reward, device=device),
        counts_TN=None if counts.all() else torch.tensor(counts, dtype=torch.float32, device=device),
    )


def _meets_override(rollout: Rollout) -> NDArray[np.bool_]:
    """Where a step or the one after it was overridden: the policy's return ends there, and is bootstrapped."""
    overridden_TN = (rollout.actor_TN == Actor.EXPERT) | (rollout.actor_TN == Actor.TEACHER)
    following_TN = np.concatenate([overridden_TN[1:], np.zeros_like(overridden_TN[:1])])
    meets: NDArray[np.bool_] = overridden_TN | following_TN
    return meets


@torch.no_grad()
def make_batch(
    network: ActorCritic,
    rollout: Rollout,
    steps: Steps,
    reward_TN: Tensor,
    settings: UpdateSettings,
    *,
    subtracts_baseline: bool = True,
) -> Batch:
    """Turn relabelled experience into advantages and targets, and update the critic's scale."""
    device = reward_TN.device
    earned_TN, discount_TN = advantages.over_duration(
        reward_TN=reward_TN,
        duration_TN=torch.tensor(rollout.duration_TN, device=device),
        discount=settings.discount,
    )
    rows = Rows(
        reward_TN=earned_TN,
        value_TN=network.value(steps.observation_TNO),
        next_value_TN=network.value(steps.next_observation_TNO),
        terminated_TN=torch.tensor(rollout.terminated_TN, device=device),
        cut_TN=steps.cut_TN,
        discount_TN=discount_TN,
    )
    log_prob_TN = torch.tensor(rollout.log_prob_TN, device=device)
    acted_TN = torch.tensor(rollout.actor_TN == Actor.POLICY, device=device)
    estimate = _estimate(rows, settings, lambda: _log_ratio(network, steps, log_prob_TN, acted_TN))
    weight_TN, counts_TN = acted_TN.to(reward_TN.dtype), steps.counts_TN
    counted_P = estimate.target_TN if counts_TN is None else estimate.target_TN[counts_TN > 0]
    popart.update_statistics(network, target_P=counted_P, rate=settings.popart_rate)
    weighing_TN = _weighing(
        estimate,
        weight_TN,
        subtracts_baseline=subtracts_baseline,
        normalise=settings.normalise_advantages,
    )
    return Batch(
        observation_BO=steps.observation_TNO.flatten(0, 1),
        action_BA=steps.action_TNA.flatten(0, 1),
        behaviour_log_prob_B=log_prob_TN.flatten(),
        advantage_B=weighing_TN.flatten(),
        target_B=network.normalise(estimate.target_TN).flatten(),
        weight_B=weight_TN.flatten(),
        counts_B=None if counts_TN is None else counts_TN.flatten(),
        old_value_B=network.normalise(rows.value_TN).flatten() if settings.value_clip else None,
    )


def _log_ratio(network: ActorCritic, steps: Steps, log_prob_TN: Tensor, acted_TN: Tensor) -> Tensor:
    """How much likelier actions are now, as a logarithm; 0 where the policy did not act: nothing to correct."""
    now_TN, _ = network.evaluate(steps.observation_TNO, steps.action_TNA)
    return torch.where(acted_TN, now_TN - log_prob_TN, 0.0)


def _estimate(rows: Rows, settings: UpdateSettings, log_ratio: Callable[[], Tensor]) -> Advantages:
    match settings.estimator:
        case "gae":
            return advantages.gae(rows, gae_lambda=settings.gae_lambda)
        case "n_step":
            return advantages.n_step(rows, n=settings.n_step)
        case "reward_to_go":
            return advantages.reward_to_go(rows)
        case "total_return":
            return advantages.total_return(rows)
        case "vtrace":
            return advantages.vtrace(
                rows,
                log_ratio_TN=log_ratio(),
                trace_lambda=settings.gae_lambda,
                rho_bar=settings.vtrace.rho_bar,
                c_bar=settings.vtrace.c_bar,
            )


def _weighing(
    estimate: Advantages, weight_TN: Tensor, *, subtracts_baseline: bool, normalise: bool
) -> Tensor:
    """What the objective weighs actions by; without a baseline no mean is taken off either: it would be one."""
    if not normalise:
        return estimate.advantage_TN if subtracts_baseline else estimate.return_TN
    if subtracts_baseline:
        return advantages.standardise(estimate.advantage_TN, weight=weight_TN)
    return advantages.to_unit_scale(estimate.return_TN, weight=weight_TN)
