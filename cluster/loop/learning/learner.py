"""The learner: RLlib's Learner around our update.

RLlib gives it a module, a device, an optimiser in its state and a place to run; `learn` takes references to rollouts
and calls `policies.update`. Arrays never travel through the driver when the learner is an actor.
"""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner

from cluster.loop.learning.reward_sources import RewardSources
from cluster.loop.learning.saved_policy import load_policy
from hitl.errors import ConfigError
from policies.acting.counsel import with_committee
from policies.batch import Augmentation
from policies.descent.gradient_step import flatten_parameters
from policies.descent.ranks import ALONE, Ranks
from policies.experience import Rollout, join
from policies.imitation.beside import LabelsBeside
from policies.imitation.cloning import Cloning
from policies.imitation.committee import Committee
from policies.imitation.labels import Labels
from policies.imitation.success import SuccessCritics
from policies.networks import ActorCritic
from policies.networks.convolutional import set_precision
from policies.networks.success_critic import SuccessCritic
from policies.objectives import Objective, make_objective
from policies.signals.beside import SignalsBeside
from policies.signals.signal_batch import SignalBatch
from policies.signals.signal_learner import SignalLearner
from policies.threads import use_threads
from policies.update import Update

_OURS = "handrail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What an update comes to."""

    acting_weights: Mapping[str, NDArray[np.generic]]
    """What env runners need; see `HITLLearner.acting_weights`."""
    statistics: dict[str, float]
    lost: int
    """Rollouts that died with their env runner before they could be fetched."""


def _fetch(rollout: ray.ObjectRef) -> Rollout | None:
    try:
        fetched: Rollout = ray.get(rollout)
    except ray.exceptions.ObjectLostError:
        return None
    return fetched


def acting_weights(network: ActorCritic) -> dict[str, NDArray[np.generic]]:
    """Return what acting needs of a network, as arrays: the critic stays behind."""
    return {
        name: value.detach().cpu().numpy().copy()
        for name, value in network.state_dict().items()
        if not name.startswith(("critic.", "value_"))
    }


def _repeat_bits() -> None:
    """Let CUDA compute the same bits for the same numbers; torch warns of a kernel that cannot."""
    # Read when the first matrix product starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


class HITLLearner(TorchLearner):  # type: ignore[misc]
    """Owns the policy, the critic, their optimiser and a copy of the reward model."""

    def build(self) -> None:
        """Build what RLlib's learner has, the reward model and the source of shuffles."""
        super().build()
        if self._device.type == "cpu":
            use_threads(1)
        elif self.config.lockstep:
            _repeat_bits()
        module = self.module[DEFAULT_MODULE_ID]
        self.network: ActorCritic = module.network
        set_precision(self.network, self.config.precision)
        self._ranks = Ranks.of_process_group() if self.distributed else ALONE
        for tensor in (self._flat.data, *self.network.buffers()):
            self._ranks.agree(tensor)
        self._generator = torch.Generator().manual_seed(self.config.seed_for("learner"))
        spaces = module.observation_space, module.action_space
        self._reward = RewardSources(self.config, *spaces, self._flat.device)
        self._update = self._new_update()
        self._cloning: Cloning | None = None
        self._signals: SignalLearner | None = None
        if self.config.heeds_alone:
            self._signals = SignalLearner(self.network, self.config.signals.settings)
        imitation = self.config.imitation
        self._committee: Committee | None = None
        self._success: SuccessCritics | None = None
        if imitation.has_committee:
            self._committee = Committee(
                lambda: self._new_network(module),
                members=imitation.help.members,
                settings=imitation.cloning,
                seed=self.config.seed_for("committee"),
            )
        if imitation.help.goal != "none":
            self._success = SuccessCritics(
                lambda: SuccessCritic(*spaces, **self.config.model_config).to(self._flat.device),
                settings=imitation.help.success.settings,
                seed=self.config.seed_for("success"),
            )

    def _new_network(self, module: Any) -> ActorCritic:
        network = ActorCritic(module.observation_space, module.action_space, **self.config.model_config)
        return network.to(self._flat.device)

    @property
    def acting_weights(self) -> dict[str, NDArray[np.generic]]:
        """What env runners and stages need: the policy, and the committee and the critics of success that are asked."""
        members = self._committee.networks if self._committee else []
        return with_committee(
            acting_weights(self.network),
            [acting_weights(member) for member in members],
            self._success.states() if self._success else [],
        )

    def _new_update(self) -> Update:
        return Update(
            network=self.network,
            flat=self._flat,
            optimiser=self.get_optimizer(DEFAULT_MODULE_ID),
            objective=self._new_objective(),
            sources=self._reward.by_name,
            source_weights=self.config.reward_sources.model_dump(),
            settings=self.config.update_settings,
            ranks=self._ranks,
        )

    def _new_objective(self) -> Objective:
        """Make the objective; its reference is the policy as it is now, where the run file names no other."""
        reference = None
        if self.config.objective.reference.coefficient:
            checkpoint = self.config.objective.reference.checkpoint
            network = load_policy(checkpoint) if checkpoint else self.network
            if network.distribution != self.network.distribution:
                raise ConfigError(
                    "learner.reference.checkpoint is a policy for other actions than this run's"
                )
            reference = copy.deepcopy(network).to(self.network.value_mean.device)
            set_precision(reference, self.config.precision)
        return make_objective(self.config.update_settings, reference)

    def _make_modules_ddp_if_necessary(self) -> None:
        """Leave the module as it is: the update adds up gradients itself."""

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Make Adam, with the epsilon of "The 37 implementation details of PPO", detail 3."""
        module = self._module[module_id]
        self._flat = flatten_parameters(module.network)
        optimiser = torch.optim.Adam([self._flat], lr=config.lr, eps=1e-5, fused=True)
        self.register_optimizer(module_id=module_id, optimizer=optimiser, params=[self._flat])

    def learn(
        self,
        *,
        rollouts: Sequence[ray.ObjectRef],
        reward_model: ray.ObjectRef | None,
        progress: float,
        labels: ray.ObjectRef | None = None,
        imitation_weight: float = 0.0,
        signals: ray.ObjectRef | None = None,
        signal_weight: float = 0.0,
        augmentation_weight: float = 0.0,
        silent: tuple[str, ...] = (),
    ) -> Learnt | None:
        """Do one update; None where every rollout is lost, because the env runners that hold them died.

        Args:
            rollouts: references to rollouts, in the order in which they count.
            reward_model: reference to the arrays of a newer reward version, or None to keep the current one.
            progress: share of the run that is done, in [0, 1]; anneals the learning rate.
            labels: reference to the newest `Labels`; None where there are none.
            imitation_weight: of their imitation beside the objective; 0 leaves it out.
            signals: reference to the newest `SignalBatch`; None where there are none.
            signal_weight: of their reading's loss beside the objective; 0 leaves it out.
            augmentation_weight: of the reward model's opinion of actions beside their values.
            silent: reward sources that have nothing to say now.
        """
        self._reward.change(None if reward_model is None else ray.get(reward_model), silent)
        arrived = self._fetch_all(rollouts)
        if not arrived:
            return None
        optimiser = self.get_optimizer(DEFAULT_MODULE_ID)
        for group in optimiser.param_groups:
            group["lr"] = self.config.lr * (1.0 - progress)
        device, imitated, heeded = self._flat.device, None, None
        if labels is not None and imitation_weight:
            size = self.config.imitation.minibatch_size
            imitated = LabelsBeside(ray.get(labels), size=size, coefficient=imitation_weight, device=device)
        if signals is not None and signal_weight:
            settings = self.config.signals.settings
            heeded = SignalsBeside(ray.get(signals), settings, coefficient=signal_weight, device=device)
        batch = join(arrived)
        warmed = self._update.warm_up(self._reward.take_stale(), self._generator, silent)
        statistics = warmed | self._update(
            batch,
            self._generator,
            labels=imitated or None,
            signals=heeded or None,
            augmentation=Augmentation(self._reward.learned.of_actions, augmentation_weight),
            silent=silent,
        )
        self._reward.keep(batch)
        lost = len(rollouts) - len(arrived)
        return Learnt(acting_weights=self.acting_weights, statistics=statistics, lost=lost)

    def _fetch_all(self, rollouts: Sequence[ray.ObjectRef]) -> list[Rollout]:
        """Return those that every learner has: one may be lost between two looks, and all must learn from the same."""
        fetched = [_fetch(rollout) for rollout in rollouts]
        there = self._ranks.everywhere([rollout is not None for rollout in fetched], self._flat.device)
        return [r for r, everywhere in zip(fetched, there, strict=True) if r is not None and everywhere]

    def begin_anew(self) -> None:
        """In lockstep, make what follows a function of what a checkpoint holds."""
        self._reward.begin_anew()

    def heed(self, *, signals: ray.ObjectRef) -> Learnt:
        """Let the policy learn from signals about it, and from nothing else.

        Args:
            signals: reference to a `SignalBatch`; all learners learn from the same one, and come to the same policy.
        """
        batch: SignalBatch = ray.get(signals)
        assert self._signals is not None
        if not self.network.has_observed:
            seen_PO = np.array(batch.observation_SLO[batch.policy_version_SL >= 0])
            self.network.observe(torch.from_numpy(seen_PO).to(self._flat.device))
        statistics = self._signals.learn(batch, self._generator)
        return Learnt(acting_weights=self.acting_weights, statistics=statistics, lost=0)

    def imitate(
        self, *, labels: ray.ObjectRef | None = None, rollouts: Sequence[ray.ObjectRef] = ()
    ) -> Learnt | None:
        """Fit the policy to labels, and critics of success to what it came to; None where nothing was learnt.

        Args:
            labels: reference to a `Labels` to fit the policy to, from where it stands; None: it stays. All learners fit
                to the same ones, and come to the same policy.
            rollouts: references to rollouts that tell of their outcomes; not read where the run has no goal.
        """
        statistics = self._fit_policy(ray.get(labels)) if labels is not None else {}
        lost = 0
        if self._success is not None:
            arrived = self._fetch_all(rollouts)
            lost = len(rollouts) - len(arrived)
            statistics |= self._success.learn(arrived, self.network, self._generator)
        if not statistics:
            return None
        return Learnt(acting_weights=self.acting_weights, statistics=statistics, lost=lost)

    def _fit_policy(self, known: Labels) -> dict[str, float]:
        """Fit it; returns its losses, none where all labels only judge."""
        if not known.training_B.any():
            return {}
        if not self.network.has_observed:
            # There is no update whose experience would have shown it what observations are like.
            self.network.observe(torch.from_numpy(np.array(known.observation_BO)).to(self._flat.device))
        if self._cloning is None:
            self._cloning = Cloning(self.network, self.config.imitation.cloning)
        report = self._cloning.fit(known, self._generator)
        if self._committee is not None:
            self._committee.fit(self.network, known, self._generator)
        judged = {"imitation_loss": report.train_loss, "heldout_imitation_loss": report.heldout_loss}
        return {name: value for name, value in judged.items() if value is not None}

    def compute_loss_for_module(self, **kwargs: Any) -> Any:
        """RLlib's own update is not used."""
        raise NotImplementedError("HITLLearner learns through `learn`, not through RLlib's `update`")

    def get_state(
        self, components: Any = None, *, not_components: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return RLlib's state with the reward model, the source of shuffles and what the objective keeps."""
        state: dict[str, Any] = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(_OURS, components, not_components):
            state[_OURS] = {
                **self._reward.get_state(),
                "generator": self._generator.get_state().numpy(),
                "update": self._update.get_state(),
                "committee": self._committee.states() if self._committee else None,
                "signals": self._signals.get_state() if self._signals else None,
                "success": self._success.get_state() if self._success else None,
            }
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over a state made by `get_state`."""
        super().set_state(state)
        if _OURS in state:
            self._reward.set_state(state[_OURS])
            self._generator.set_state(torch.from_numpy(np.array(state[_OURS]["generator"])))
            # Anew, so that a reference that the state lacks is the restored policy, not the initial one.
            self._update = self._new_update()
            self._update.set_state(state[_OURS]["update"])
            if self._committee is not None and state[_OURS].get("committee"):
                self._committee.load(state[_OURS]["committee"])
            if self._signals is not None and state[_OURS].get("signals"):
                self._signals.set_state(state[_OURS]["signals"])
            if self._success is not None and state[_OURS].get("success"):
                self._success.set_state(state[_OURS]["success"])
