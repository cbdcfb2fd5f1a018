"""Comparisons as evidence: which of two segments is better?

Axis suffixes: K member, S segment, L step of a segment, P pair, F input feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Choice, Comparison, JournalEntry, Segment
from hitl.reward.ensemble import RewardEnsemble
from hitl.reward.evidence.bootstrap import bootstrap_weights
from hitl.reward.evidence.rows import Observations, flat_observations
from hitl.reward.likelihoods.comparisons import comparison_log_likelihood
from policies.splits import is_heldout

CHOICE_INDEX = {Choice.FIRST: 0, Choice.SECOND: 1, Choice.TIE: 2}
"""Choices that are trained on, as the likelihood counts them."""
_TIE = CHOICE_INDEX[Choice.TIE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One comparison that counts."""

    offset: int
    event_id: str
    teacher_id: str
    first: Segment
    second: Segment
    choice: Choice
    arrival: int = 0
    """Number among all answers, skips left out, in the order in which they came."""

    @property
    def run_id(self) -> str:
        """The run whose journal it stands in; ids are unique in a run."""
        return self.first.address.run_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerArrays:
    """Answers ready for a batched network; shorter segments are padded with weight 0."""

    observation_SLO: Observations
    action_SLA: NDArray[np.generic]
    weight_SL: NDArray[np.float32]
    first_P: NDArray[np.int64]
    second_P: NDArray[np.int64]
    choice_P: NDArray[np.int64]
    heldout_P: NDArray[np.bool_]
    """Judges the model; every other one trains it."""
    arrival_P: NDArray[np.int64]


def arrays_of(answers: Sequence[Answer], *, heldout_share: float) -> AnswerArrays:
    """Put answers into arrays, splitting them by segment.

    An answer judges if either of its segments is held out, so no held-out segment is ever trained on.
    """
    segments = {_key(s): s for answer in answers for s in (answer.first, answer.second)}
    row = {key: index for index, key in enumerate(segments)}
    longest = max((len(segment) for segment in segments.values()), default=0)
    samples = list(segments.values())
    observation = [flat_observations(s) for s in samples]
    action = [np.asarray(s.actions) for s in samples]
    weight = np.zeros((len(samples), longest), np.float32)
    for index, segment in enumerate(samples):
        weight[index, : len(segment)] = 1
    heldout = {_key(s): is_heldout(s.segment_id, heldout_share) for s in samples}
    judges = np.array([heldout[_key(a.first)] or heldout[_key(a.second)] for a in answers], bool)
    return AnswerArrays(
        observation_SLO=_stacked(observation, longest),
        action_SLA=_stacked(action, longest),
        weight_SL=weight,
        first_P=np.array([row[_key(a.first)] for a in answers], np.int64),
        second_P=np.array([row[_key(a.second)] for a in answers], np.int64),
        choice_P=np.array([CHOICE_INDEX[a.choice] for a in answers], np.int64),
        heldout_P=judges,
        arrival_P=np.array([a.arrival for a in answers], np.int64),
    )


def _key(segment: Segment) -> tuple[str, str]:
    return segment.address.run_id, segment.segment_id


def _stacked(parts: Sequence[NDArray[Any]], longest: int) -> NDArray[Any]:
    return np.stack([np.pad(part, [(0, longest - len(part))] + [(0, 0)] * (part.ndim - 1)) for part in parts])


class ComparisonExamples:
    """`AnswerArrays` on the model's device, as the model reads them."""

    def __init__(self, arrays: AnswerArrays, ensemble: RewardEnsemble, bootstrap_KP: Tensor) -> None:
        device = ensemble.input_mean.device
        self.inputs = ensemble.inputs(
            torch.from_numpy(arrays.observation_SLO).to(device),
            torch.from_numpy(arrays.action_SLA).to(device),
        )
        self.weight_SL = torch.from_numpy(arrays.weight_SL).to(device)
        self.first_P = torch.from_numpy(arrays.first_P).to(device)
        self.second_P = torch.from_numpy(arrays.second_P).to(device)
        self.choice_P = torch.from_numpy(arrays.choice_P).to(device)
        self.heldout_E, self.bootstrap_KE = arrays.heldout_P, bootstrap_KP.to(device)
        self.block_E, self.arrival_E = np.arange(len(arrays.heldout_P)), arrays.arrival_P

    def of(self, rows_B: Tensor) -> tuple[Tensor, ...]:
        """Return inputs and weights of the segments of these pairs, first ones first, and the choices."""
        segments = torch.cat([self.first_P[rows_B], self.second_P[rows_B]])
        inputs = (part[segments] for part in self.inputs)
        return *inputs, self.weight_SL[segments], self.choice_P[rows_B]


@dataclass(frozen=True, slots=True)
class ComparisonLikelihood:
    """Bradley-Terry with ties and lapses; see `hitl.reward.likelihoods`."""

    lapse: float

    def predict(self, ensemble: RewardEnsemble, *inputs: Tensor) -> Tensor:
        """Return each member's margin of the first half of the segments over the second, [K, P]."""
        *read, weight_SL = inputs
        first_KP, second_KP = (ensemble(*read) * weight_SL).sum(-1).chunk(2, 1)
        margin_KP: Tensor = first_KP - second_KP
        return margin_KP

    def log_likelihood(self, ensemble: RewardEnsemble, prediction_KB: Tensor, said_B: Tensor) -> Tensor:
        """See `Likelihood`; what is said is a choice by `CHOICE_INDEX`."""
        return comparison_log_likelihood(
            margin_KP=prediction_KB, choice_P=said_B, log_tie=ensemble.log_tie, lapse=self.lapse
        )

    def is_right(self, prediction_B: Tensor, said_B: Tensor) -> tuple[Tensor, Tensor]:
        """See `Likelihood`; ties have no sign."""
        return (prediction_B > 0) == (said_B == CHOICE_INDEX[Choice.FIRST]), said_B != _TIE


class Comparisons:
    """The comparisons that count."""

    name = "comparisons"

    def __init__(self, *, lapse: float, batch: int, heldout_share: float, seed: int) -> None:
        """Begin without any.

        Args:
            lapse: chance that an answer is given at random.
            batch: pairs of a minibatch.
            heldout_share: of the segments, whose comparisons only judge.
            seed: of the bootstrap.
        """
        self.likelihood, self.batch = ComparisonLikelihood(lapse), batch
        self._heldout_share, self._seed = heldout_share, seed
        self._answers: dict[tuple[str, str, str], Answer] = {}
        self._retracted: set[tuple[str, str, str]] = set()
        self._arrays: tuple[AnswerArrays, Tensor] | None = None
        """Of the answers that count, with their bootstrap; None after they have changed."""

    def take(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        """See `Evidence`; skips never count."""
        event = entry.event
        if not isinstance(event, Comparison) or event.choice not in CHOICE_INDEX:
            return
        key = (event.run_id, entry.teacher_id, event.event_id)
        if key not in self._answers:
            self._arrays = None
            self._answers[key] = Answer(
                offset=entry.offset,
                event_id=event.event_id,
                teacher_id=entry.teacher_id,
                first=segments[0],
                second=segments[1],
                choice=Choice(event.choice),
                arrival=len(self._answers),
            )

    def retract(self, run_id: str, teacher_id: str, event_id: str) -> None:
        """See `Evidence`."""
        self._arrays = None
        self._retracted.add((run_id, teacher_id, event_id))

    @property
    def answers(self) -> list[Answer]:
        """Those that count, ordered by what they are about and not by when they came."""
        counted = (answer for key, answer in self._answers.items() if key not in self._retracted)
        return sorted(
            counted, key=lambda a: (a.first.segment_id, a.second.segment_id, a.teacher_id, a.offset, a.run_id)
        )

    def __len__(self) -> int:
        return len(self._answers.keys() - self._retracted)

    def examples(self, ensemble: RewardEnsemble) -> ComparisonExamples | None:
        """See `Evidence`."""
        if not len(self):
            return None
        if self._arrays is None:
            answers = self.answers
            names = [f"{answer.first.segment_id}/{answer.second.segment_id}" for answer in answers]
            self._arrays = (
                arrays_of(answers, heldout_share=self._heldout_share),
                bootstrap_weights(names, members=ensemble.members, seed=self._seed),
            )
        arrays, bootstrap_KP = self._arrays
        return ComparisonExamples(arrays, ensemble, bootstrap_KP)
