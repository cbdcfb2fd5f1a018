"""One update: a batch of experience becomes new weights.

The order is relabel, value, advantages, epochs of minibatches; `policies.objectives` says what is maximised. Which
of "The 37 implementation details of PPO" (Huang et al. 2022) are here is told in `docs/ppo_details.md`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from policies.advantages import share_of, weighted_mean
from policies.batch import Augmentation, Batch, make_batch
from policies.beside import Beside, BesideBatch
from policies.critic_warm_up import warm_up_critic
from policies.descent.gradient_step import GradientStep
from policies.descent.ranks import ALONE, Ranks
from policies.experience import Rollout
from policies.networks import ActorCritic, Heads
from policies.normalisation.reward_scale import RewardScale
from policies.objectives.change import policy_change
from policies.objectives.critic import clipped_value_loss, value_loss
from policies.objectives.objective import Objective, PolicyLoss
from policies.rewards import ObservingSource, RewardSource, weighted_sum
from policies.settings import UpdateSettings
from policies.steps import Steps, steps_on


class Update:
    """What turns batches into new weights, one after the other."""

    def __init__(
        self,
        *,
        network: ActorCritic,
        flat: nn.Parameter,
        optimiser: torch.optim.Adam,
        objective: Objective,
        sources: Mapping[str, RewardSource],
        source_weights: Mapping[str, float],
        settings: UpdateSettings,
        ranks: Ranks = ALONE,
    ) -> None:
        """Prepare.

        Args:
            network: the policy and its critic.
            flat: its parameters, by `policies.descent.gradient_step.flatten_parameters`.
            optimiser: over `flat`.
            objective: what the policy maximises, made from the same settings.
            sources: reward sources by name, evaluated here for the whole batch.
            source_weights: the weighted sum.
            settings: numbers of the update.
            ranks: who else makes the same update; all are given the same batches, and generators of the same seed.
        """
        self._objective = objective
        self._network, self._settings, self._ranks = network, settings, ranks
        self._optimiser = optimiser
        self._sources, self._source_weights = sources, source_weights
        device = network.value_mean.device
        self._reward_scale = (
            RewardScale(discount=settings.discount, device=device) if settings.normalise_rewards else None
        )
        self._loss = UpdateLoss(network, objective, settings, ranks)
        self._step = GradientStep(
            self._loss,
            flat,
            optimiser=optimiser,
            max_gradient_norm=settings.max_gradient_norm,
            ranks=ranks,
            traced=network.memory is None,
        )

    def __call__(
        self,
        rollout: Rollout,
        generator: torch.Generator,
        labels: Beside | None = None,
        signals: Beside | None = None,
        augmentation: Augmentation | None = None,
        silent: Collection[str] = (),
    ) -> dict[str, float]:
        """Learn from one batch, in place.

        Args:
            rollout: the batch.
            generator: shuffles the minibatches, on the CPU.
            labels: whose imitation joins the objective.
            signals: whose reading does.
            augmentation: of what actions are weighed by.
            silent: reward sources that have nothing to say now, whatever their weights.

        Returns:
            Means over the last epoch's minibatches, before their steps: policy_loss, value_loss, gradient_norm; of the
            whole batch, after the update: entropy, approximate_kl, clip_share; reward_<source>, the mean of each
            weighted source; and what the objective adds.
        """
        network, objective, settings = self._network, self._objective, self._settings
        steps = steps_on(network.value_mean.device, rollout)
        with torch.no_grad():
            weights = self._weights(silent)
            reward_TN, means = weighted_sum(self._sources, weights, steps)
            if self._reward_scale:
                reward_TN = self._reward_scale(rollout, steps, reward_TN)
        subtracts_baseline = objective.subtracts_baseline
        batch = make_batch(
            network,
            rollout,
            steps,
            reward_TN,
            settings,
            subtracts_baseline=subtracts_baseline,
            augmentation=augmentation,
        )
        batch = objective.begin(network, batch)
        watched = self._epochs(batch, generator, [there for there in (labels, signals) if there])
        rewards = {f"reward_{name}": mean for name, mean in means.items()}
        everything = watched | _change(network, batch, settings) | rewards | objective.finish(network, batch)
        # Last, so that the policy that was learnt from is the one that acted.
        network.observe(steps.counted(steps.observation_TNO))
        for source in (self._sources[name] for name in weights):
            if isinstance(source, ObservingSource):
                source.observe(steps)
        # One trip from the device for all.
        return dict(zip(everything, torch.stack(list(everything.values())).tolist(), strict=True))

    def warm_up(
        self, experience: Sequence[Rollout], generator: torch.Generator, silent: Collection[str] = ()
    ) -> dict[str, float]:
        """Fit the critic alone to a reward that has changed; see `policies.critic_warm_up.warm_up_critic`.

        Args:
            experience: recent batches.
            generator: of the minibatches, on the CPU.
            silent: as above.
        """
        weights, scale = self._weights(silent), self._reward_scale

        def judge(rollout: Rollout, steps: Steps) -> Tensor:
            reward_TN, _ = weighted_sum(self._sources, weights, steps)
            return scale.scaled(reward_TN) if scale else reward_TN

        return warm_up_critic(
            self._network,
            experience,
            judge,
            self._settings,
            generator,
            learning_rate=float(self._optimiser.param_groups[0]["lr"]),
            ranks=self._ranks,
        )

    def _weights(self, silent: Collection[str]) -> dict[str, float]:
        return {
            name: weight for name, weight in self._source_weights.items() if weight and name not in silent
        }

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep beside network and optimiser, as numbers and arrays."""
        scale = self._reward_scale.get_state() if self._reward_scale else {}
        return {"objective": self._objective.get_state(), "reward_scale": scale}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take over a state made by `get_state`."""
        self._objective.set_state(state["objective"])
        if self._reward_scale and state["reward_scale"]:
            self._reward_scale.set_state(state["reward_scale"])

    def _epochs(
        self, batch: Batch, generator: torch.Generator, beside: Sequence[Beside]
    ) -> dict[str, Tensor]:
        whole = self._objective.whole_batch
        # In sequences where the policy is recurrent: they are never torn apart.
        size = max(1, self._settings.minibatch_size // batch.weight_B[0].numel())
        if whole:
            size = len(batch.weight_B)
        watched: list[tuple[Tensor, ...]] = []
        for _ in range(1 if whole else self._settings.epochs):
            watched = [
                self._step(*self._loss.inputs(part, *(other.draw(generator) for other in beside)))
                for part in shuffled(batch, size, generator)
            ]
        _, *means = (torch.stack(values).mean() for values in zip(*watched, strict=True))
        return dict(zip([*self._loss.watched, "gradient_norm"], means, strict=True))


def shuffled(batch: Batch, size: int, generator: torch.Generator) -> Iterator[Batch]:
    """Yield minibatches that visit each step (or each sequence) once, in random order.

    Args:
        batch: on any device.
        size: steps (or sequences) of a minibatch; the last one has what is left.
        generator: of the order, on the CPU.
    """
    steps = len(batch.weight_B)
    if size >= steps:
        yield batch
        return
    # One gather an epoch: minibatches are then slices of it.
    order = torch.randperm(steps, generator=generator).to(batch.weight_B.device)
    shuffled = batch.at(order)
    yield from shuffled.split(size)


class UpdateLoss(nn.Module):
    """The loss of a minibatch: the objective's and the critic's."""

    def __init__(
        self, network: ActorCritic, objective: Objective, settings: UpdateSettings, ranks: Ranks = ALONE
    ) -> None:
        super().__init__()
        self.network, self.objective, self._settings, self._ranks = network, objective, settings, ranks
        self._fields: tuple[str, ...] = ()
        self._beside: tuple[Any, ...] = ()
        """The kinds of minibatches that its inputs hold beside experience."""
        self.watched: tuple[str, ...] = ("value_loss", "policy_loss")
        """What it returns beside the loss; no policy_loss where only the critic learns by gradient steps."""

    def inputs(self, minibatch: Batch, *beside: BesideBatch) -> tuple[Tensor, ...]:
        """Return the parts that there are, what is beside, and how much of the whole this learner's part is."""
        self._beside = tuple(type(other) for other in beside)
        mine, shares = (minibatch, ()) if self._ranks.alone else _share(minibatch, self._ranks)
        self._fields = tuple(name for name, part in mine._asdict().items() if part is not None)
        tensors: list[Any] = [mine, *beside, shares]
        return tuple(part for parts in tensors for part in parts if part is not None)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the loss and its parts."""
        parts, rest = inputs[: len(self._fields)], inputs[len(self._fields) :]
        beside: list[BesideBatch] = []
        for kind in self._beside:
            beside.append(kind(*rest[: len(kind._fields)]))
            rest = rest[len(kind._fields) :]
        minibatch = Batch(**dict(zip(self._fields, parts, strict=True)))
        heads: Heads = self.network(minibatch.observation_BO, minibatch.context)
        value = _value_loss(heads.value, minibatch, self._settings)
        policy = self.objective.loss(self.network, minibatch, heads.output)
        if rest:
            value_share, policy_share = rest
            value = value * value_share
            policy = policy and PolicyLoss(policy.total * policy_share, policy.surrogate * policy_share)
        loss = self._settings.value_coefficient * value
        told: list[Tensor] = []
        for other in beside:
            # Every learner sees all of it, and their losses are added up.
            told.append(other.loss(self.network, self._settings) / self._ranks.count)
            loss = loss + other.coefficient * told[-1]
        named = tuple(other.told_as for other in beside)
        if policy is None:
            self.watched = ("value_loss", *named)
            return loss, value, *told
        self.watched = ("value_loss", "policy_loss", *named)
        return policy.total + loss, value, policy.surrogate, *told


def _share(minibatch: Batch, ranks: Ranks) -> tuple[Batch, tuple[Tensor, Tensor]]:
    """Return one learner's rows, and what their means count for in those of all: the critic's and the policy's."""
    counts_B = torch.ones_like(minibatch.weight_B) if minibatch.counts_B is None else minibatch.counts_B
    whole = minibatch._replace(counts_B=counts_B)
    rows = ranks.rows(len(counts_B))
    mine = whole.at(rows if rows.start < rows.stop else slice(0, 1))
    if rows.start == rows.stop:
        nothing = torch.zeros_like(mine.weight_B)
        mine = mine._replace(weight_B=nothing, counts_B=nothing)
    assert mine.counts_B is not None
    return mine, (share_of(mine.counts_B, counts_B), share_of(mine.weight_B, whole.weight_B))


def _value_loss(value_B: Tensor, minibatch: Batch, settings: UpdateSettings) -> Tensor:
    if settings.value_clip is None:
        return value_loss(value_B=value_B, target_B=minibatch.target_B, counts_B=minibatch.counts_B)
    assert minibatch.old_value_B is not None
    return clipped_value_loss(
        value_B=value_B,
        old_value_B=minibatch.old_value_B,
        target_B=minibatch.target_B,
        clip=settings.value_clip,
        counts_B=minibatch.counts_B,
    )


@torch.no_grad()
def _change(network: ActorCritic, batch: Batch, settings: UpdateSettings) -> dict[str, Tensor]:
    """What people watch of the policy after its update."""
    log_prob_B, entropy_B = batch.seen_by(
        network, lambda *seen_and_action: torch.stack(network.evaluate(*seen_and_action), -1)
    ).unbind(-1)
    change = policy_change(
        log_prob_B=log_prob_B,
        behaviour_log_prob_B=batch.behaviour_log_prob_B,
        weight_B=batch.weight_B,
        clip=settings.clip,
    )
    return {"entropy": weighted_mean(entropy_B, batch.weight_B)} | change._asdict()
