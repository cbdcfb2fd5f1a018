"""A rollout as tensors on the learner's device, and what the epochs read of it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from policies import advantages, popart
from policies.advantages import Advantages, Rows
from policies.chunks import in_chunks
from policies.experience import Actor, Rollout
from policies.networks import ActorCritic
from policies.settings import UpdateSettings
from policies.steps import Steps


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
    value_TN, next_value_TN = _values(network, steps)
    rows = Rows(
        reward_TN=earned_TN,
        value_TN=value_TN,
        next_value_TN=next_value_TN,
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


def _values(network: ActorCritic, steps: Steps) -> tuple[Tensor, Tensor]:
    """Return the critic's value of what each action was an answer to, and of what truly followed it, each [T, N].

    What was shown after one step is what the next one answers, so each observation is looked at once.
    """
    shown_TN = in_chunks(network.value, steps.shown_TNO.flatten(0, 1)).view(steps.shown_TNO.shape[:2])
    final_K = in_chunks(network.value, steps.final_observation_KO)
    return shown_TN[:-1], steps.with_finals(shown_TN[1:], final_K)


def _log_ratio(network: ActorCritic, steps: Steps, log_prob_TN: Tensor, acted_TN: Tensor) -> Tensor:
    """How much likelier actions are now, as a logarithm; 0 where the policy did not act: nothing to correct."""
    now_P = in_chunks(
        lambda *rows: network.evaluate(*rows)[0],
        steps.observation_TNO.flatten(0, 1),
        steps.action_TNA.flatten(0, 1),
    )
    return torch.where(acted_TN, now_P.view(log_prob_TN.shape) - log_prob_TN, 0.0)


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
