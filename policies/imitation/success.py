"""Critics of success: how likely the policy is to reach the goal from here, learnt from what came of steps.

Source: Hoque et al. 2021, arXiv:2109.08273, section 4, on risk: temporal differences over the steps of policy and
expert, towards what the policy would do next. Here the error is the cross-entropy with the target, whose minimum lies
at the same mean as that of the squared error, and which also learns where a critic is wrong and sure of it. Target
critics that follow slowly: Lillicrap et al. 2016, "Continuous control with deep reinforcement learning",
arXiv:1509.02971, section 3.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus

from policies.arrays import to_arrays, to_tensors
from policies.chunks import in_chunks
from policies.descent.adam import forget
from policies.descent.gradient_step import GradientStep, flatten_parameters
from policies.experience import Actor, Outcome, Rollout
from policies.imitation.recent_steps import RecentSteps, StepBatch
from policies.imitation.risk import risk, success_target
from policies.imitation.settings import SuccessSettings
from policies.networks import ActorCritic
from policies.networks.success_critic import SuccessCritic


class _CrossEntropy(nn.Module):
    """The sum over critics of their mean cross-entropy with a common target, in nats."""

    def __init__(self, critics: nn.ModuleList) -> None:
        super().__init__()
        self.critics = critics

    def forward(self, observation_BO: Tensor, action_BF: Tensor, target_B: Tensor) -> tuple[Tensor]:
        log_odds_KB = torch.stack([critic(observation_BO, action_BF) for critic in self.critics])
        return ((softplus(log_odds_KB) - target_B * log_odds_KB).mean(1).sum(),)


class SuccessCritics:
    """Critics with a beginning of their own each, and the steps that they learn from."""

    def __init__(self, make: Callable[[], SuccessCritic], *, settings: SuccessSettings, seed: int) -> None:
        """Begin with untrained critics and no steps.

        Args:
            make: makes an untrained critic.
            settings: numbers of the fit.
            seed: of their weights.
        """
        self._settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.networks = [make() for _ in range(settings.critics)]
        self._loss = _CrossEntropy(nn.ModuleList(self.networks))
        self._flat = flatten_parameters(self._loss)
        self._targets = copy.deepcopy(self._loss)
        self._target_flat = flatten_parameters(self._targets)
        self._optimiser = torch.optim.Adam([self._flat], lr=settings.learning_rate)
        self._step = GradientStep(
            self._loss, self._flat, optimiser=self._optimiser, max_gradient_norm=settings.max_gradient_norm
        )
        self._steps = RecentSteps(most=settings.most_steps)
        self.are_fitted = False
        """Whether they have learnt anything yet."""

    def learn(
        self, rollouts: Sequence[Rollout], policy: ActorCritic, generator: torch.Generator
    ) -> dict[str, float]:
        """Take in rollouts and fit; returns the loss and the mean risk of the steps in them that the policy took.

        Args:
            rollouts: that tell of their outcomes.
            policy: see `fit`.
            generator: see `fit`.

        Raises:
            ValueError: one of them does not.
        """
        self._steps.take(*rollouts)
        loss = self.fit(policy, generator)
        if loss is None:
            return {}
        risks = [self._risks(rollout) for rollout in rollouts]
        known_P = torch.cat(risks) if risks else torch.zeros(0)
        return {"success_loss": loss} | ({"risk": float(known_P.mean())} if len(known_P) else {})

    def fit(self, policy: ActorCritic, generator: torch.Generator) -> float | None:
        """Learn from the newest steps what becomes of this policy; returns the mean loss of a critic, in nats.

        Nothing is learnt, and None returned, before there are steps and statistics by which the policy reads them.

        Args:
            policy: goes on after each step, greedily.
            generator: of the minibatches, on the CPU. The result is a function of the critics, the steps, the policy
                and its state.
        """
        if not len(self._steps) or not policy.has_observed:
            return None
        settings, losses = self._settings, []
        for network in self._all():
            network.see_as(policy)
        self._target_flat.data.copy_(self._flat.data)
        forget(self._optimiser)
        for _ in range(settings.gradient_steps):
            batch = self._steps.draw(settings.minibatch_size, generator, self._flat.device)
            action_BF = self.networks[0].read(batch.action_BA)
            loss, *_ = self._step(batch.observation_BO, action_BF, self.target(policy, batch))
            losses.append(loss.clone())
            self._target_flat.data.lerp_(self._flat.data, settings.target_rate)
        self.are_fitted = True
        return float(torch.stack(losses).mean()) / len(self.networks)

    @torch.no_grad()
    def target(self, policy: ActorCritic, batch: StepBatch) -> Tensor:
        """Return what the critics should have said of steps, [B]: see `success_target`."""
        following_BO = batch.next_observation_BO
        own_BA = policy.act_greedily(following_BO)
        critics: Any = self._targets.critics
        return success_target(
            reached_B=batch.outcome_B == Outcome.REACHED,
            terminated_B=batch.outcome_B == Outcome.FAILED,
            next_success_KB=torch.stack([critic.success(following_BO, own_BA) for critic in critics]),
            discount=self._settings.discount,
        )

    @torch.no_grad()
    def success(self, observation_PO: Tensor, action_PA: Tensor) -> Tensor:
        """Return what each critic expects of steps, [K, P]."""
        return torch.stack([in_chunks(n.success, observation_PO, action_PA) for n in self.networks])

    def _risks(self, rollout: Rollout) -> Tensor:
        """Return the risk of each step that the policy took, [P]."""
        own_TN = rollout.actor_TN == Actor.POLICY
        parts = (rollout.observation_TNO[:-1][own_TN], rollout.action_TNA[own_TN])
        observation_PO, action_PA = (torch.from_numpy(part).to(self._flat.device) for part in parts)
        return risk(self.success(observation_PO, action_PA))

    def states(self) -> list[dict[str, NDArray[np.generic]]]:
        """Return each critic's weights as arrays of their own; none before they have learnt anything."""
        if not self.are_fitted:
            return []
        return [to_arrays(network) for network in self.networks]

    def get_state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"critics": self.states(), "steps": self._steps.get_state()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` returned; critics are kept if there are as many."""
        self._steps.set_state(state["steps"])
        if len(state["critics"]) != len(self.networks):
            return
        self.are_fitted = True
        for network, own in zip(self.networks, state["critics"], strict=True):
            network.load_state_dict(to_tensors(own))

    def _all(self) -> list[SuccessCritic]:
        targets: Any = self._targets.critics
        return [*self.networks, *targets]
