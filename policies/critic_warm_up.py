"""A critic that follows the reward when that changes, before the policy is updated with it.

A new reward makes the critic's values those of another task, and advantages are differences from them. So the critic
alone is fitted to recent experience that the new reward has judged; the policy does not move. Its targets are what
came of each step to the end of its rollout, not GAE's: those would ask the stale critic a few steps on.

First its scale moves, without PopArt's preserving: outputs in the old reward's units are no values that should stay.

Sources: relabelling what was gathered before: Lee, Smith and Abbeel 2021, "PEBBLE", arXiv:2106.05091, section 4.2; why
the critic is to be right before the policy moves: Konda and Tsitsiklis 2000, "Actor-critic algorithms", on two time
scales.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from policies import advantages
from policies.advantages import Rows
from policies.batch import rows_of
from policies.chunks import in_chunks
from policies.descent.ranks import ALONE, Ranks
from policies.experience import Rollout
from policies.networks import ActorCritic
from policies.normalisation import popart
from policies.objectives.critic import value_loss
from policies.sequences import Seen, look
from policies.settings import UpdateSettings
from policies.steps import Steps, steps_on

_RESCALED = 20
"""How often the scale is estimated, each time with the one before: targets hold the critic's word about the time after
a rollout."""
_TARGETS = 4
"""How often targets are estimated anew while the critic is fitted to them."""


class _Judged(NamedTuple):
    """A recent batch with its new reward."""

    rollout: Rollout
    steps: Steps
    seen: Seen | None
    reward_TN: Tensor

    def rows(self, network: ActorCritic, settings: UpdateSettings) -> Rows:
        """Return what its targets are made of, valued by the critic as it is now."""
        return rows_of(network, *self, discount=settings.discount)

    def target_P(self, rows: Rows) -> Tensor:
        """Return what came of each step that counts, in reward units."""
        return self.steps.counted(advantages.reward_to_go(rows).target_TN)

    @property
    def seen_PF(self) -> Tensor:
        """What the critic reads of these steps."""
        return self.steps.counted(self.steps.observation_TNO if self.seen is None else self.seen.now_TNH)


def warm_up_critic(
    network: ActorCritic,
    experience: Sequence[Rollout],
    judge: Callable[[Rollout, Steps], Tensor],
    settings: UpdateSettings,
    generator: torch.Generator,
    *,
    learning_rate: float,
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Fit the critic to a new reward, in place; nothing that the policy depends on moves.

    Args:
        network: whose critic it is. Layers that the policy stands on, too, stay as they are.
        experience: recent batches; without any nothing happens.
        judge: the new reward of each of a batch's steps, [T, N].
        settings: of the update; `critic_warm_up.steps` gradient steps of `minibatch_size` are taken.
        generator: of the minibatches, on the CPU.
        learning_rate: of Adam, which begins anew.
        ranks: who else does the same; the first one's result holds for all.

    Returns:
        stale_critic_loss and warmed_critic_loss: half the mean squared error of the critic as it was, and as it is, to
        the last targets, as `policies.objectives.critic` has it; nothing where nothing was done.
    """
    steps = settings.critic_warm_up.steps
    if not experience or not steps:
        return {}
    learnt, scales = own_parameters(network), settings.value_targets == "pop_art"
    optimiser = torch.optim.Adam(learnt, lr=learning_rate, eps=1e-5)
    judged = _judge(network, experience, judge)
    seen_PF = torch.cat([part.seen_PF for part in judged])
    stale_P = _values(network, seen_PF)
    if scales:
        _rescale(network, judged, settings)
    for part in range(_TARGETS):
        target_P = torch.cat([batch.target_P(batch.rows(network, settings)) for batch in judged])
        if scales:
            popart.update_statistics(network, target_P=target_P, rate=1.0)
        target_P = network.normalise(target_P)
        count = steps * (part + 1) // _TARGETS - steps * part // _TARGETS
        for rows in _minibatches(len(target_P), settings.minibatch_size, count, generator):
            value_P = network.normalised_value(seen_PF[rows.to(target_P.device)])
            loss = value_loss(value_B=value_P, target_B=target_P[rows.to(target_P.device)])
            for parameter, gradient in zip(learnt, torch.autograd.grad(loss, learnt), strict=True):
                parameter.grad = gradient
            nn.utils.clip_grad_norm_(learnt, settings.max_gradient_norm)
            optimiser.step()
    optimiser.zero_grad()
    told = {
        "stale_critic_loss": value_loss(value_B=network.normalise(stale_P), target_B=target_P),
        "warmed_critic_loss": value_loss(
            value_B=network.normalise(_values(network, seen_PF)), target_B=target_P
        ),
    }
    for tensor in (*(parameter.data for parameter in learnt), network.value_mean, network.value_std):
        ranks.agree(tensor)
    return {name: float(loss) for name, loss in told.items()}


def own_parameters(network: ActorCritic) -> list[nn.Parameter]:
    """Return what the critic has for itself: all its layers, or the last one where the others are the policy's."""
    others = {id(parameter) for parameter in network.policy_parameters()}
    return [parameter for parameter in network.critic.parameters() if id(parameter) not in others]


@torch.no_grad()
def _judge(
    network: ActorCritic, experience: Sequence[Rollout], judge: Callable[[Rollout, Steps], Tensor]
) -> list[_Judged]:
    judged = []
    for rollout in experience:
        steps = steps_on(network.value_mean.device, rollout)
        judged.append(_Judged(rollout, steps, look(network, rollout, steps), judge(rollout, steps)))
    return judged


@torch.no_grad()
def _rescale(network: ActorCritic, judged: Sequence[_Judged], settings: UpdateSettings) -> None:
    """Find the scale on which the critic's own outputs make targets of that scale, from 0 on."""
    rows = [batch.rows(network, settings) for batch in judged]
    rows = [own._replace(next_value_TN=network.normalise(own.next_value_TN)) for own in rows]
    mean = std = torch.zeros_like(network.value_std)
    for _ in range(_RESCALED):
        scaled = [own._replace(next_value_TN=own.next_value_TN * std + mean) for own in rows]
        target_P = torch.cat([batch.target_P(own) for batch, own in zip(judged, scaled, strict=True)])
        mean, std = target_P.mean(), target_P.std(correction=0)
    popart.rescale(network, target_P=target_P)


def _minibatches(rows: int, size: int, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield so many minibatches: each row once, in random order, and then all of them again."""
    size, order = min(size, rows), torch.zeros(0, dtype=torch.long)
    for _ in range(count):
        if len(order) < size:
            order = torch.randperm(rows, generator=generator)
        yield order[:size]
        order = order[size:]


@torch.no_grad()
def _values(network: ActorCritic, seen_PF: Tensor) -> Tensor:
    return in_chunks(network.value, seen_PF)
