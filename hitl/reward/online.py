"""The reward model as it learns online: what people say comes in, versions come out.

It holds no process, no clock and no connection. What it becomes follows from the seed, the probe set and the order of
fits and events; rebuilt from the journal it stands on the same evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hitl.events import JournalEntry, Retraction, Segment
from hitl.reward.checks.alarms import OnPolicy
from hitl.reward.checks.baseline import PlainBaseline
from hitl.reward.checks.calibration import Reliability, of_comparisons
from hitl.reward.checks.on_policy import StepArrays, on_policy
from hitl.reward.checks.prequential import Prequential
from hitl.reward.checks.rollback import KeptVersions
from hitl.reward.evidence.evidence import Evidence, Teachers
from hitl.reward.evidence.rows import Observations
from hitl.reward.fitting import Fit, Judgement, Part, is_worse, judge, predicted
from hitl.reward.network.conservatism import Conservatism, without_conservatism
from hitl.reward.network.ensemble import RewardEnsemble, Weights
from hitl.reward.network.inputs import InputSpace
from hitl.reward.rationality import Heard, Rationality, heard, rationalities, turned_over
from hitl.reward.settings import FitSettings, TeacherSettings

_QUICK_PROBE_STEPS = 1024
_QUICK_PROBE_IMAGES = 256
_REFRESH_SHARE = 0.1
"""Of all evidence may be new where few gradient steps are to learn it."""
_REFRESH_JUDGED = 128
"""About so many training pieces of a kind are looked at after these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindReport:
    """How well a version explains one kind of evidence; None where nothing was judged."""

    count: int = 0
    """Pieces that count: neither skipped nor retracted."""
    train_log_loss: float | None = None
    train_accuracy: float | None = None
    heldout_log_loss: float | None = None
    heldout_accuracy: float | None = None
    teachers: Mapping[str, Rationality] = field(default_factory=dict)
    """How much each looks at the reward, by id; empty where they are taken for alike."""
    plain_heldout_log_loss: float | None = None
    plain_heldout_accuracy: float | None = None
    """Of a model that takes all teachers for alike, where this one does not."""
    reliability: Reliability | None = None
    """On held-out comparisons, after a whole fit."""
    fresh_count: int = 0
    """The newest pieces, each judged by the version before the first fit that knew of it; see `Prequential`."""
    fresh_log_loss: float | None = None
    fresh_accuracy: float | None = None
    newest_log_losses: tuple[float, ...] = ()
    """Of the pieces that came since the last fit, in nats; of nothing that trained the version that judged them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What one fit came to."""

    accepted: bool
    """False where the candidate was worse than the current version on the same held-out evidence."""
    rolled_back: bool = False
    """Before it, people's newest answers spoke for an earlier version, which took the place of the newest one."""
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
        kind_weights: Mapping[str, float] | None = None,
        teachers: Teachers | None = None,
        teacher_settings: TeacherSettings | None = None,
        conservatism: Conservatism | None = None,
        earlier_versions: int = 0,
    ) -> None:
        """Begin without evidence.

        Args:
            space: what the model reads.
            members: of the ensemble.
            hidden: units of each hidden layer.
            settings: numbers of a fit.
            evidence: the kinds that it learns from.
            heldout_share: of the segments.
            seed: of the first weights, and of minibatches.
            device: the CPU if it is None.
            kind_weights: of each kind beside the others; 1 where it is not named.
            teachers: as the kinds number them.
            teacher_settings: how they are told from each other; None: they are taken for alike.
            conservatism: how the members' rewards become one; None: their mean.
            earlier_versions: that are kept, to go back to.
        """
        self._device = device or torch.device("cpu")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ensemble = RewardEnsemble(space, members=members, hidden=hidden).to(self._device)
        self.ensemble.conservatism = conservatism or Conservatism()
        self._settings, self._fit = settings, Fit(self.ensemble, settings)
        self.kept = KeptVersions(earlier_versions)
        self.evidence = {kind.name: kind for kind in evidence}
        """What people have said, by kind."""
        self.heldout_share = heldout_share
        """Of segments, which only judge."""
        self._generator = torch.Generator().manual_seed(seed)
        self._probe: tuple[torch.Tensor, torch.Tensor] | None = None
        self._kind_weights = kind_weights or {}
        self._teachers, self._teacher_settings = teachers or Teachers(), teacher_settings or TeacherSettings()
        self._baseline_seed = seed
        self._baseline: PlainBaseline | None = None
        self._fresh = {name: Prequential() for name in self.evidence}

    def begin_anew(self, seed: int) -> None:
        """Draw minibatches from here on as a function of this seed, and judge the newest pieces anew."""
        self._generator.manual_seed(seed)
        for fresh in self._fresh.values():
            fresh.clear()

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
        parts = self._parts()
        if self._probe is None or not any(len(part.training) for part in parts.values()):
            return None
        # A model that no fit has made knows nobody.
        known = {} if is_first else self._tell_teachers_apart(parts)
        is_refresh = quick_steps is None and self._has_few_new(parts)
        judged = {name: fresh.judge(self.ensemble, parts.get(name)) for name, fresh in self._fresh.items()}
        rolled_back = self.kept.go_back(
            self.ensemble, [(parts[n], rows) for n, rows in judged.items() if len(rows)]
        )
        before, current = self.ensemble.to_arrays(), self._judge(parts)
        steps = self._settings.refresh_steps if is_refresh else quick_steps
        anew = quick_steps is None or rolled_back
        self._fit_to(parts, gradient_steps=steps, newest=newest, anew=anew)
        if is_first and (known := self._tell_teachers_apart(parts)):
            self._fit_to(parts, gradient_steps=steps)
        # A part of it is nearly as good, and a teacher is waiting.
        few = _QUICK_PROBE_STEPS if self.ensemble.convolutions is None else _QUICK_PROBE_IMAGES
        rows = None if quick_steps is None else few
        self.ensemble.set_gauge(*(part[:rows] for part in self._probe))
        candidate = self._judge(parts)
        accepted = is_first or not is_worse(list(candidate.values()), list(current.values()))
        if accepted:
            self.kept.keep(self.weights())
        else:
            self.ensemble.load_arrays(before)
        kept = candidate if accepted else current
        # A quick fit has no time for it.
        trained = {
            n: judge(self.ensemble, p, p.training[:: max(1, len(p.training) // _REFRESH_JUDGED)])
            if is_refresh
            else judge(self.ensemble, p, p.training)
            for n, p in parts.items()
            if quick_steps is None
        }
        plain = self._plain(parts) if known and quick_steps is None else {}
        kinds = {
            name: KindReport(
                count=len(self.evidence[name]),
                train_log_loss=trained[name].log_loss if name in trained else None,
                train_accuracy=trained[name].accuracy if name in trained else None,
                heldout_log_loss=kept[name].log_loss,
                heldout_accuracy=kept[name].accuracy,
                teachers=known.get(name, {}),
                plain_heldout_log_loss=plain[name].log_loss if name in plain else None,
                plain_heldout_accuracy=plain[name].accuracy if name in plain else None,
                reliability=of_comparisons(self.ensemble, part)
                if name == "comparisons" and quick_steps is None
                else None,
                fresh_count=len(self._fresh[name]),
                fresh_log_loss=self._fresh[name].log_loss,
                fresh_accuracy=self._fresh[name].accuracy,
                newest_log_losses=self._fresh[name].newest,
            )
            for name, part in parts.items()
        }
        return FitReport(accepted=accepted, rolled_back=rolled_back, kinds=kinds)

    def _fit_to(self, parts: Mapping[str, Part], **settings: Any) -> None:
        training = [part for part in parts.values() if len(part.training)]
        self._fit(training, generator=self._generator, **settings)

    def _parts(self) -> dict[str, Part]:
        found = {name: kind.examples(self.ensemble) for name, kind in self.evidence.items()}
        return {
            name: Part(
                likelihood=self.evidence[name].likelihood,
                examples=examples,
                batch=self.evidence[name].batch,
                weight=self._kind_weights.get(name, 1.0),
            )
            for name, examples in found.items()
            if examples is not None
        }

    def _has_few_new(self, parts: Mapping[str, Part]) -> bool:
        """Whether so little is new that few steps are to learn it.

        They see what is new as often as all else: a model that sees it in every minibatch believes it too much.
        """
        unseen = [fresh.unseen(parts.get(name)) for name, fresh in self._fresh.items()]
        known = [count for count in unseen if count is not None]
        total = sum(len(part.examples.heldout_E) for part in parts.values())
        is_known = self._settings.refresh_steps is not None and len(known) == len(unseen)
        return is_known and sum(known) <= _REFRESH_SHARE * total

    def _tell_teachers_apart(self, parts: dict[str, Part]) -> dict[str, dict[str, Rationality]]:
        """Weigh the teachers of each kind by what the model as it is expects of them; returns how much, by kind.

        It is a function of the model and the evidence alone, so that one who goes on from a version finds the same.
        """
        if not self._teacher_settings.weighted or len(self._teachers.ids) < 2:
            return {}
        # Sums depend on their order: by name, not by who came first, which one who goes on does not know.
        ids = sorted(self._teachers.ids)
        place_T = np.array([ids.index(teacher_id) for teacher_id in self._teachers.ids])
        teacher_of = {name: place_T[part.examples.teacher_E] for name, part in parts.items()}
        said = turned_over({name: self._heard(part, teacher_of[name]) for name, part in parts.items()})
        known = {}
        for name, part in parts.items():
            found = rationalities(said[name], self._teacher_settings)
            weight_E = np.array([found[teacher].weight for teacher in teacher_of[name]], np.float32)
            parts[name] = replace(part, rationality_E=torch.from_numpy(weight_E).to(self._device))
            known[name] = {ids[teacher]: one for teacher, one in found.items()}
        return known

    def _heard(self, part: Part, teacher_E: NDArray[np.int64]) -> Heard:
        examples = part.examples
        prediction_KE, said_E = predicted(self.ensemble, part, torch.arange(len(examples.heldout_E)))
        heldout_E = torch.from_numpy(examples.heldout_E).to(self._device)
        return heard(
            self.ensemble,
            part.likelihood,
            prediction_KE,
            said_E,
            unseen_KE=(examples.bootstrap_KE == 0) | heldout_E,
            teacher_E=teacher_E,
            block_E=examples.block_E,
            settings=self._teacher_settings,
        )

    def _plain(self, parts: Mapping[str, Part]) -> dict[str, Judgement]:
        if self._baseline is None:
            self._baseline = PlainBaseline(self.ensemble, self._settings, seed=self._baseline_seed)
        return self._baseline.fit(parts)

    def _judge(self, parts: Mapping[str, Part]) -> dict[str, Judgement]:
        return {name: judge(self.ensemble, part, part.heldout) for name, part in parts.items()}

    def look(self, policy: StepArrays, judged: StepArrays) -> OnPolicy:
        """Hold the policy's newest steps against those that people judged; there is a probe set."""
        assert self._probe is not None
        return on_policy(self.ensemble, policy, judged, self._probe)

    def weights(self) -> Weights:
        """Return the current version as arrays."""
        return self.ensemble.to_arrays()

    def load(self, weights: Weights) -> None:
        """Go on from a version made by `weights`; what has come may have trained it, or not."""
        # Its conservatism is the run file's, though another one made the version.
        self.ensemble.load_arrays({**without_conservatism(weights), **self.ensemble.conservatism.to_arrays()})
        self.kept.versions = [self.weights()]
        for fresh in self._fresh.values():
            fresh.forget()

    def has_learnt(self) -> None:
        """Take note that the version loaded has learnt all that has come, and nothing else."""
        for name, kind in self.evidence.items():
            self._fresh[name].has_learnt(kind.examples(self.ensemble))
