"""Judgements of whole segments, of whatever kind: which count, and their arrays.

Axis suffixes: K member, E judgement, B those of a minibatch, C segment of a judgement, L step of a segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hitl.events import Event, JournalEntry, Segment
from hitl.reward.evidence.bootstrap import bootstrap_weights
from hitl.reward.evidence.evidence import Likelihood, Teachers
from hitl.reward.evidence.segments import SegmentArrays, SegmentInputs, stacked
from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.settings import Reads
from policies.splits import is_heldout

_ALL = slice(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One judgement that counts."""

    offset: int
    teacher_id: str
    segments: tuple[Segment, ...]
    arrival: int
    """Its number among all judgements of the kind, in the order in which they came."""
    said: NDArray[Any]
    """As the kind's likelihood takes it; of the same shape for all judgements of as many segments."""

    @property
    def order(self) -> tuple[object, ...]:
        """By what it is about, and not by when it came."""
        ids = tuple(segment.segment_id for segment in self.segments)
        return (ids, self.teacher_id, self.offset, self.segments[0].address.run_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementArrays:
    """Judgements ready for a batched network; one about fewer segments is padded with the first one."""

    segments: SegmentArrays
    segment_EC: NDArray[np.int64]
    """Rows of the segments."""
    said_E: NDArray[Any]
    """Padded with 0."""
    teacher_E: NDArray[np.int64]
    arrival_E: NDArray[np.int64]
    heldout_E: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        judged: Sequence[Judged],
        teachers: Teachers,
        *,
        heldout_share: float,
        splits: slice = _ALL,
        reads: Reads = "state_action",
    ) -> "JudgementArrays":
        """Put judgements into arrays, splitting them by segment.

        One judges the model if any of its segments is held out, so no held-out segment is ever trained on; `splits`
        says which of its segments decide. `reads` is what the model does.
        """
        segments = SegmentArrays((segment for one in judged for segment in one.segments), reads)
        most = max(len(one.segments) for one in judged)
        rows = [segments.rows(one.segments) for one in judged]
        said_EX = stacked([np.atleast_1d(one.said) for one in judged])
        return cls(
            segments=segments,
            segment_EC=np.array([row + row[:1] * (most - len(row)) for row in rows], np.int64),
            said_E=said_EX[:, 0] if judged[0].said.ndim == 0 else said_EX,
            teacher_E=np.array([teachers.number(one.teacher_id) for one in judged], np.int64),
            arrival_E=np.array([one.arrival for one in judged], np.int64),
            heldout_E=np.array(
                [
                    any(is_heldout(s.segment_id, heldout_share) for s in one.segments[splits])
                    for one in judged
                ],
                bool,
            ),
        )


class JudgementExamples:
    """`JudgementArrays` on the model's device, as the model reads them."""

    def __init__(
        self,
        arrays: JudgementArrays,
        ensemble: RewardEnsemble,
        bootstrap_KE: Tensor,
        block_E: NDArray[np.int64] | None = None,
    ) -> None:
        device = ensemble.input_mean.device
        self._segments = SegmentInputs(arrays.segments, ensemble)
        self._segment_EC = torch.from_numpy(arrays.segment_EC).to(device)
        self._said_E = torch.from_numpy(arrays.said_E).to(device)
        self.heldout_E, self.teacher_E = arrays.heldout_E, arrays.teacher_E
        self.arrival_E = arrays.arrival_E
        self.bootstrap_KE = bootstrap_KE.to(device)
        self.block_E = np.arange(len(arrays.heldout_E)) if block_E is None else block_E

    def of(self, rows_B: Tensor) -> tuple[Tensor, ...]:
        """Return inputs and weights of the segments [B, C, L], as `returns_of` takes them, and what was said."""
        return *self._segments.of(self._segment_EC[rows_B]), self._said_E[rows_B]


class Judgements:
    """The judgements of one kind that count; each kind says what of an event it reads, in `said`."""

    name: str

    def __init__(
        self,
        likelihood: Likelihood,
        teachers: Teachers,
        *,
        batch: int,
        heldout_share: float,
        seed: int,
    ) -> None:
        """Begin without any.

        Args:
            likelihood: of what is said in this way.
            teachers: gives them their numbers.
            batch: judgements of a minibatch.
            heldout_share: of the segments, whose judgements only judge.
            seed: of the bootstrap.
        """
        self.likelihood, self.batch = likelihood, batch
        self._teachers, self._heldout_share, self._seed = teachers, heldout_share, seed
        self._judged: dict[tuple[str, str, str], Judged] = {}
        self._retracted: set[tuple[str, str, str]] = set()
        self._arrays: tuple[JudgementArrays, Tensor] | None = None
        """Of the judgements that count, with their bootstrap; None after they have changed."""

    def said(self, event: Event | None) -> NDArray[Any] | None:
        """Return what an event says, [] or [C]; None if it is of another kind, or says nothing."""
        raise NotImplementedError

    def take(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        """See `Evidence`; skips never count, nor what is about segments that are lost."""
        said = self.said(entry.event)
        if said is None or entry.event is None or not segments:
            return
        key = (entry.event.run_id, entry.teacher_id, entry.event.event_id)
        if key in self._judged:
            return
        self._arrays = None
        self._judged[key] = Judged(
            offset=entry.offset,
            teacher_id=entry.teacher_id,
            segments=tuple(segments),
            arrival=len(self._judged),
            said=said,
        )

    def retract(self, run_id: str, teacher_id: str, event_id: str) -> None:
        """See `Evidence`."""
        self._arrays = None
        self._retracted.add((run_id, teacher_id, event_id))

    @property
    def counted(self) -> list[Judged]:
        """Those that count, ordered by what they are about and not by when they came."""
        counted = (one for key, one in self._judged.items() if key not in self._retracted)
        return sorted(counted, key=lambda one: one.order)

    def __len__(self) -> int:
        return len(self._judged.keys() - self._retracted)

    def examples(self, ensemble: RewardEnsemble) -> JudgementExamples | None:
        """See `Evidence`."""
        if not len(self):
            return None
        if self._arrays is None:
            judged = self.counted
            names = ["/".join(segment.segment_id for segment in one.segments) for one in judged]
            self._arrays = (
                JudgementArrays.of(
                    judged, self._teachers, heldout_share=self._heldout_share, reads=ensemble.space.reads
                ),
                bootstrap_weights(names, members=ensemble.members, seed=self._seed),
            )
        arrays, bootstrap_KE = self._arrays
        return JudgementExamples(arrays, ensemble, bootstrap_KE)
