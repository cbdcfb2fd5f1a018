"""What the epochs read of a rollout: advantages, targets and what the policy did."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from policies import advantages
from policies.advantages import Advantages, Rows
from policies.chunks import in_chunks
from policies.distributions import Categorical
from policies.experience import Actor, Rollout
from policies.networks import ActorCritic, Context
from policies.normalisation import popart
from policies.sequences import Seen, context_of_sequences, in_sequences, look
from policies.settings import UpdateSettings
from policies.steps import Steps


class Augmentation(NamedTuple):
    """What is added to the values of Discrete actions; see `policies.advantages.augmentation`."""

    of_actions: Callable[[Tensor], Tensor]
    """H of every action, [P, A], in the states whose observations are [P, O]."""
    weight: float
    """Beta."""


class Batch(NamedTuple):
    """What the epochs read, flat over steps; B = T * N.

    With a recurrent policy B is a sequence, and each part but `memory_BH` has an axis of its steps behind B.
    """

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
    memory_BH: Tensor | None = None
    """What a recurrent policy remembers before each sequence."""
    begin_BL: Tensor | None = None
    """Where in them an episode begins."""

    @property
    def context(self) -> Context | None:
        """What a recurrent policy needs beside the observations."""
        if self.memory_BH is None or self.begin_BL is None:
            return None
        return Context(self.memory_BH, self.begin_BL)

    def at(self, index: Tensor | slice) -> "Batch":
        """Return some of the steps, or of the sequences."""
        return Batch(*[None if part is None else part[index] for part in self])  # type: ignore[arg-type]

    def split(self, size: int) -> "Iterator[Batch]":
        """Yield the steps, or the sequences, so many at a time; the last ones may be fewer."""
        there = [name for name, part in self._asdict().items() if part is not None]
        for parts in zip(*(torch.split(getattr(self, name), size) for name in there), strict=True):
            yield Batch(**dict(zip(there, parts, strict=True)))

    def seen_by(self, network: ActorCritic, read: Callable[..., Tensor]) -> Tensor:
        """Return what is read of what the network sees, of the whole batch, in parts that fit into memory.

        Args:
            network: sees the observations.
            read: of what it sees and the actions; what it returns has the same leading axes.
        """

        def part(observation: Tensor, action: Tensor, *context: Tensor) -> Tensor:
            return read(network.see(observation, Context(*context) if context else None), action)

        return in_chunks(part, self.observation_BO, self.action_BA, *(self.context or ()))

    def output_of(self, network: ActorCritic) -> Tensor:
        """Return what a policy puts out for the whole batch."""
        return self.seen_by(network, lambda seen, _: network.policy(seen))


@torch.no_grad()
def make_batch(
    network: ActorCritic,
    rollout: Rollout,
    steps: Steps,
    reward_TN: Tensor,
    settings: UpdateSettings,
    *,
    subtracts_baseline: bool = True,
    augmentation: Augmentation | None = None,
) -> Batch:
    """Turn relabelled experience into advantages and targets, and update the critic's scale.

    Raises:
        TypeError: values are augmented, but actions are not Discrete.
    """
    device = reward_TN.device
    seen = look(network, rollout, steps)
    rows = rows_of(network, rollout, steps, seen, reward_TN, discount=settings.discount)
    log_prob_TN = torch.tensor(rollout.log_prob_TN, device=device)
    acted_TN = torch.tensor(rollout.actor_TN == Actor.POLICY, device=device)
    seen_TNF = seen.now_TNH if seen else steps.observation_TNO
    estimate = _estimate(rows, settings, lambda: _log_ratio(network, seen_TNF, steps, log_prob_TN, acted_TN))
    if augmentation is not None and augmentation.weight:
        estimate = _augmented(network, estimate, augmentation, seen_TNF, steps)
    weight_TN, counts_TN = acted_TN.to(reward_TN.dtype), steps.counts_TN
    if settings.value_targets == "pop_art":
        targets_P = steps.counted(estimate.target_TN)
        popart.update_statistics(network, target_P=targets_P, rate=settings.popart_rate)
    weighing_TN = _weighing(
        estimate,
        weight_TN,
        subtracts_baseline=subtracts_baseline,
        normalise=settings.normalise_advantages,
    )
    length = settings.sequence_steps or len(reward_TN)
    context = context_of_sequences(seen, length) if seen else None

    def lay(values_TN: Tensor) -> Tensor:
        return values_TN.flatten(0, 1) if context is None else in_sequences(values_TN, length)

    return Batch(
        observation_BO=lay(steps.observation_TNO),
        action_BA=lay(steps.action_TNA),
        behaviour_log_prob_B=lay(log_prob_TN),
        advantage_B=lay(weighing_TN),
        target_B=lay(network.normalise(estimate.target_TN)),
        weight_B=lay(weight_TN),
        counts_B=None if counts_TN is None else lay(counts_TN),
        old_value_B=lay(network.normalise(rows.value_TN)) if settings.value_clip else None,
        memory_BH=context.memory_SH if context else None,
        begin_BL=context.begin_SL if context else None,
    )


@torch.no_grad()
def rows_of(
    network: ActorCritic,
    rollout: Rollout,
    steps: Steps,
    seen: Seen | None,
    reward_TN: Tensor,
    *,
    discount: float,
) -> Rows:
    """Return what estimators read of relabelled experience.

    Args:
        network: whose critic values it, as it is now.
        rollout: the experience.
        steps: the same on the learner's device.
        seen: what a recurrent policy sees of it.
        reward_TN: of each environment step of a row.
        discount: gamma per environment step.
    """
    device = reward_TN.device
    earned_TN, discount_TN = advantages.over_duration(
        reward_TN=reward_TN, duration_TN=torch.tensor(rollout.duration_TN, device=device), discount=discount
    )
    value_TN, next_value_TN = _values(network, steps, seen)
    return Rows(
        reward_TN=earned_TN,
        value_TN=value_TN,
        next_value_TN=next_value_TN,
        terminated_TN=torch.tensor(rollout.terminated_TN, device=device),
        cut_TN=steps.cut_TN,
        discount_TN=discount_TN,
    )


def _values(network: ActorCritic, steps: Steps, seen: Seen | None) -> tuple[Tensor, Tensor]:
    """Return the critic's value of what each action was an answer to, and of what truly followed it, each [T, N].

    What was shown after one step is what the next one answers, so each observation is looked at once.
    """
    if seen is not None:
        return network.value(seen.now_TNH), network.value(seen.next_TNH)
    shown_TN = in_chunks(network.value, steps.shown_TNO.flatten(0, 1)).view(steps.shown_TNO.shape[:2])
    final_K = in_chunks(network.value, steps.final_observation_KO)
    return shown_TN[:-1], steps.with_finals(shown_TN[1:], final_K)


def _log_ratio(
    network: ActorCritic, seen_TNF: Tensor, steps: Steps, log_prob_TN: Tensor, acted_TN: Tensor
) -> Tensor:
    """How much likelier actions are now, as a logarithm; 0 where the policy did not act: nothing to correct."""
    now_P = in_chunks(
        lambda *rows: network.evaluate(*rows)[0], seen_TNF.flatten(0, 1), steps.action_TNA.flatten(0, 1)
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


def _augmented(
    network: ActorCritic, estimate: Advantages, augmentation: Augmentation, seen_TNF: Tensor, steps: Steps
) -> Advantages:
    if not isinstance(network.distribution, Categorical):
        raise TypeError("value augmentation needs Discrete actions: it looks at what each of them is worth")
    reward_PA = in_chunks(augmentation.of_actions, steps.observation_TNO.flatten(0, 1))
    output_PA = in_chunks(network.policy, seen_TNF.flatten(0, 1))
    axes = (*steps.action_TNA.shape, -1)
    return advantages.augmented(
        estimate,
        reward_TNA=reward_PA.view(axes),
        log_prob_TNA=torch.log_softmax(output_PA, -1).view(axes),
        action_TN=steps.action_TNA,
        weight=augmentation.weight,
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
