"""The reward model as it learns online: what people say comes in, versions come out.

It holds no process, no clock and no connection. What it becomes follows from the seed, the probe set and the order of
fits and events; rebuilt from the journal it stands on the same evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hitl.events import JournalEntry, Retraction, Segment
from hitl.reward.ensemble import RewardEnsemble, Weights
from hitl.reward.evidence.evidence import Evidence
from hitl.reward.evidence.rows import Observations
from hitl.reward.fitting import Fit, Judgement, Part, is_worse, judge
from hitl.reward.inputs import InputSpace
from hitl.reward.settings import FitSettings

_QUICK_PROBE_STEPS = 1024
_QUICK_PROBE_IMAGES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class KindReport:
    """How well a version explains one kind of evidence; None where nothing was judged."""

    count: int = 0
    """Pieces that count: neither skipped nor retracted."""
    train_log_loss: float | None = None
    train_accuracy: float | None = None
    heldout_log_loss: float | None = None
    heldout_accuracy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What one fit came to."""

    accepted: bool
    """False where the candidate was worse than the current version on the same held-out evidence."""
    kinds: Mapping[str, KindReport]


class OnlineRewardModel:
    """An ensemble, the evidence it stands on, and the gate between its versions."""

    def __init__(
        self,
        space: InputSpace,
        *,
        members: int,
        hidden: Sequence[int],
        settings: FitSettings,
        evidence: Sequence[Evidence],
        heldout_share: float,
        seed: int,
        device: torch.device | None = None,
    ) -> None:
        self._device = device or torch.device("cpu")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ensemble = RewardEnsemble(space, members=members, hidden=hidden).to(self._device)
        self._settings, self._fit = settings, Fit(self.ensemble, settings)
        self.evidence = {kind.name: kind for kind in evidence}
        """What people have said, by kind."""
        self.heldout_share = heldout_share
        """Of segments, which only judge."""
        self._generator = torch.Generator().manual_seed(seed)
        self._probe: tuple[torch.Tensor, torch.Tensor] | None = None

    def begin_anew(self, seed: int) -> None:
        """Draw minibatches from here on as a function of this seed."""
        self._generator.manual_seed(seed)

    def set_probe(self, observation_PO: Observations, action_PA: NDArray[np.generic]) -> None:
        """Fix the steps that define the scale of inputs and rewards; once, before the first fit."""
        observation = torch.tensor(observation_PO, device=self._device)
        action = torch.tensor(action_PA, device=self._device)
        self._probe = (observation, action)
        self.ensemble.standardise_inputs(observation, action)
        self.ensemble.set_gauge(observation, action)

    def take(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        """Take one journal entry into account; a repeat, a skip or an unknown kind changes nothing."""
        event = entry.event
        for kind in self.evidence.values():
            if isinstance(event, Retraction):
                kind.retract(event.run_id, entry.teacher_id, event.retracted_event_id)
            else:
                kind.take(entry, segments)

    def fit(
        self, *, quick_steps: int | None = None, newest: int = 0, is_first: bool = False
    ) -> FitReport | None:
        """Fit to all that counts, and keep the result unless it is worse on what is held out.

        Args:
            quick_steps: so few gradient steps, the optimiser going on from the fit before; None for a whole fit.
            newest: pieces of each kind that have come since the last fit, for a quick one; see `Fit`.
            is_first: nobody uses a version yet, so there is none to be worse than, and the result is kept.

        Returns:
            None where there is nothing to fit to.
        """
        found = {name: kind.examples(self.ensemble) for name, kind in self.evidence.items()}
        parts = {
            name: Part(
                likelihood=self.evidence[name].likelihood, examples=examples, batch=self.evidence[name].batch
            )
            for name, examples in found.items()
            if examples is not None
        }
        training = [part for part in parts.values() if len(part.training)]
        if not training or self._probe is None:
            return None
        before, current = self.ensemble.to_arrays(), self._judge(parts)
        self._fit(
            training,
            generator=self._generator,
            gradient_steps=quick_steps,
            newest=newest,
            anew=quick_steps is None,
        )
        # A part of it is nearly as good, and a teacher is waiting.
        few = _QUICK_PROBE_STEPS if self.ensemble.convolutions is None else _QUICK_PROBE_IMAGES
        rows = None if quick_steps is None else few
        self.ensemble.set_gauge(*(part[:rows] for part in self._probe))
        candidate = self._judge(parts)
        accepted = is_first or not is_worse(list(candidate.values()), list(current.values()))
        if not accepted:
            self.ensemble.load_arrays(before)
        kept = candidate if accepted else current
        # A quick fit has no time for it.
        trained = {n: judge(self.ensemble, p, p.training) for n, p in parts.items() if quick_steps is None}
        kinds = {
            name: KindReport(
                count=len(self.evidence[name]),
                train_log_loss=trained[name].log_loss if name in trained else None,
                train_accuracy=trained[name].accuracy if name in trained else None,
                heldout_log_loss=kept[name].log_loss,
                heldout_accuracy=kept[name].accuracy,
            )
            for name in parts
        }
        return FitReport(accepted=accepted, kinds=kinds)

    def _judge(self, parts: Mapping[str, Part]) -> dict[str, Judgement]:
        return {name: judge(self.ensemble, part, part.heldout) for name, part in parts.items()}

    def weights(self) -> Weights:
        """Return the current version as arrays."""
        return self.ensemble.to_arrays()

    def load(self, weights: Weights) -> None:
        """Go on from a version made by `weights`."""
        self.ensemble.load_arrays(weights)
