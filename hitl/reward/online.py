"""The reward model as it learns online: answers come in, versions come out.

It holds no process, no clock and no connection. What it becomes follows from the seed, the probe set and the order of
fits and answers; rebuilt from the journal it stands on the same answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hitl.events import Choice, Comparison, JournalEntry, Retraction, Segment
from hitl.reward import candidates
from hitl.reward.answers import CHOICE_INDEX, Answer, arrays_of, is_heldout
from hitl.reward.ensemble import InputSpace, RewardEnsemble, Weights
from hitl.reward.fitting import AnswerTensors, Fit, FitSettings, bootstrap_weights, is_worse, judge
from hitl.reward.questions import ChosenPair, Strategy, choose_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What one fit came to."""

    accepted: bool
    """False where the candidate was worse than the current version on the same held-out answers."""
    answers: int
    """That count: neither skipped nor retracted."""
    train_log_loss: float
    train_accuracy: float | None
    heldout_log_loss: float | None
    heldout_accuracy: float | None


class OnlineRewardModel:
    """An ensemble, the answers it stands on, and the gate between its versions."""

    def __init__(
        self,
        space: InputSpace,
        *,
        members: int,
        hidden: Sequence[int],
        settings: FitSettings,
        heldout_share: float,
        seed: int,
        device: torch.device | None = None,
    ) -> None:
        self._device = device or torch.device("cpu")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ensemble = RewardEnsemble(space, members=members, hidden=hidden).to(self._device)
        self._settings, self._fit = settings, Fit(self.ensemble, settings)
        self._heldout_share = heldout_share
        self._seed = seed
        self._generator = torch.Generator().manual_seed(seed)
        self._answers: dict[tuple[str, str, str], Answer] = {}
        self._retracted: set[tuple[str, str, str]] = set()
        self._probe: tuple[torch.Tensor, torch.Tensor] | None = None

    def begin_anew(self, seed: int) -> None:
        """Draw minibatches from here on as a function of this seed."""
        self._generator.manual_seed(seed)

    def set_probe(self, observation_PO: NDArray[np.float32], action_PA: NDArray[np.generic]) -> None:
        """Fix the steps that define the scale of inputs and rewards; once, before the first fit."""
        observation = torch.tensor(observation_PO, device=self._device)
        action = torch.tensor(action_PA, device=self._device)
        self._probe = (observation, action)
        self.ensemble.standardise_inputs(observation, action)
        self.ensemble.set_gauge(observation, action)

    def take(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        """Take one journal entry into account; a repeat, a skip or an unknown kind changes nothing."""
        event = entry.event
        if isinstance(event, Retraction):
            self._retracted.add((event.run_id, entry.teacher_id, event.retracted_event_id))
        elif isinstance(event, Comparison) and event.choice in CHOICE_INDEX:
            self._answers[event.run_id, entry.teacher_id, event.event_id] = Answer(
                offset=entry.offset,
                event_id=event.event_id,
                teacher_id=entry.teacher_id,
                first=segments[0],
                second=segments[1],
                choice=Choice(event.choice),
            )

    @property
    def answers(self) -> list[Answer]:
        """The answers that count, ordered by what they are about and not by when they came."""
        counted = (answer for key, answer in self._answers.items() if key not in self._retracted)
        return sorted(
            counted, key=lambda a: (a.first.segment_id, a.second.segment_id, a.teacher_id, a.offset, a.run_id)
        )

    def fit(self) -> FitReport | None:
        """Fit to all answers, and keep the result unless it is worse on held-out ones.

        Returns:
            None where there is nothing to fit to.
        """
        answers = self.answers
        arrays = arrays_of(answers, heldout_share=self._heldout_share) if answers else None
        if arrays is None or arrays.heldout_P.all() or self._probe is None:
            return None
        training = torch.from_numpy(np.flatnonzero(~arrays.heldout_P))
        heldout = torch.from_numpy(np.flatnonzero(arrays.heldout_P))
        tensors, lapse = AnswerTensors(arrays, self.ensemble), self._settings.lapse
        before, current = self.ensemble.to_arrays(), judge(self.ensemble, tensors, heldout, lapse=lapse)
        self._fit(
            tensors,
            training=training,
            bootstrap_KP=bootstrap_weights(answers, members=self.ensemble.members, seed=self._seed),
            generator=self._generator,
        )
        self.ensemble.set_gauge(*self._probe)
        candidate = judge(self.ensemble, tensors, heldout, lapse=lapse)
        accepted = not is_worse(candidate, current)
        if not accepted:
            self.ensemble.load_arrays(before)
        kept = candidate if accepted else current
        trained = judge(self.ensemble, tensors, training, lapse=lapse)
        return FitReport(
            accepted=accepted,
            answers=len(answers),
            train_log_loss=trained.log_loss or 0.0,
            train_accuracy=trained.accuracy,
            heldout_log_loss=kept.log_loss,
            heldout_accuracy=kept.accuracy,
        )

    @torch.no_grad()
    def choose(
        self, segments: list[Segment], *, count: int, pool: int, strategy: Strategy, rng: np.random.Generator
    ) -> list[ChosenPair]:
        """Choose pairs of these segments to ask about, best first, considering `pool` random ones."""
        if len(segments) < 2:
            return []
        observation, action = candidates.stack(segments)
        raw_KSL = self.ensemble.raw(
            torch.tensor(observation, device=self._device), torch.tensor(action, device=self._device)
        )
        return choose_pairs(
            return_KS=raw_KSL.sum(-1).cpu(),
            heldout_S=np.array([is_heldout(s.segment_id, self._heldout_share) for s in segments]),
            count=count,
            candidates=pool,
            strategy=strategy,
            rng=rng,
        )

    def weights(self) -> Weights:
        """Return the current version as arrays."""
        return self.ensemble.to_arrays()

    def load(self, weights: Weights) -> None:
        """Go on from a version made by `weights`."""
        self.ensemble.load_arrays(weights)
