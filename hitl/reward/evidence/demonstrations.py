"""Demonstrations as evidence: what people do is better than what the policy does by itself.

Axis suffixes: K member, B demonstrated window, C segment to choose from.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from hitl.events import Demonstration, JournalEntry, Segment
from hitl.reward.evidence.bootstrap import bootstrap_weights
from hitl.reward.evidence.choices import ChoiceLikelihood
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.evidence.judgements import Judged, JudgementArrays, JudgementExamples
from hitl.reward.evidence.segments import part_of, returns_of
from hitl.reward.network.ensemble import RewardEnsemble
from policies.splits import generator, number

_KEPT = 512
"""Own segments of the policy that are kept, the newest."""


class Demonstrations:
    """The demonstrations that count, in windows as long as the policy's segments, each against some of these."""

    name = "demonstrations"

    def __init__(
        self,
        teachers: Teachers,
        *,
        steps: int,
        alternatives: int,
        batch: int,
        heldout_share: float,
        seed: int,
    ) -> None:
        """Begin without any.

        Args:
            teachers: gives them their numbers.
            steps: of a window; a demonstration's last one may reach back into the one before.
            alternatives: own segments of the policy that each window is held against.
            batch: windows of a minibatch.
            heldout_share: of the demonstrations' segments, which only judge.
            seed: of the bootstrap, and of who is held against whom.
        """
        self.likelihood, self.batch = ChoiceLikelihood("demonstrations", returns_of), batch
        self._teachers, self._steps, self._alternatives = teachers, steps, alternatives
        self._heldout_share, self._seed = heldout_share, seed
        self._windows: dict[tuple[str, str, str], list[Judged]] = {}
        self._retracted: set[tuple[str, str, str]] = set()
        self._own: dict[str, Segment] = {}

    def take(self, entry: JournalEntry, segments: Sequence[Segment]) -> None:
        """See `Evidence`."""
        event = entry.event
        if isinstance(event, Demonstration):
            self.add(event.run_id, entry.teacher_id, event.event_id, segments, offset=entry.offset)

    def add(
        self, run_id: str, teacher_id: str, event_id: str, segments: Iterable[Segment], *, offset: int = -1
    ) -> None:
        """Take a demonstration that stands in no journal, such as a recorded one; a repeat changes nothing."""
        windows = [window for segment in segments for window in self._cut(segment)]
        taken = sum(map(len, self._windows.values()))
        self._windows.setdefault(
            (run_id, teacher_id, event_id),
            [
                Judged(
                    offset=offset,
                    teacher_id=teacher_id,
                    segments=(window,),
                    arrival=taken + number,
                    said=np.array(0),
                )
                for number, window in enumerate(windows)
            ],
        )

    def _cut(self, segment: Segment) -> Iterable[Segment]:
        ends = [*range(self._steps, len(segment) + 1, self._steps)]
        if not ends or ends[-1] < len(segment):
            ends.append(len(segment))
        return (part_of(segment, max(0, end - self._steps), end) for end in ends)

    def retract(self, run_id: str, teacher_id: str, event_id: str) -> None:
        """See `Evidence`."""
        self._retracted.add((run_id, teacher_id, event_id))

    def show_own(self, segments: Iterable[Segment]) -> None:
        """Take note of what the policy does by itself; the newest are kept."""
        for segment in segments:
            self._own.pop(segment.segment_id, None)
            self._own[segment.segment_id] = segment
        for old in list(self._own)[: max(0, len(self._own) - _KEPT)]:
            del self._own[old]

    def forget_own(self) -> None:
        """Begin again without any of the policy's segments."""
        self._own.clear()

    def __len__(self) -> int:
        return sum(len(windows) for key, windows in self._windows.items() if key not in self._retracted)

    def examples(self, ensemble: RewardEnsemble) -> JudgementExamples | None:
        """See `Evidence`; None also while nothing is known of the policy. Each fit draws others to hold against."""
        if not len(self) or not self._own:
            return None
        counted = (windows for key, windows in self._windows.items() if key not in self._retracted)
        judged = sorted((one for windows in counted for one in windows), key=lambda one: one.order)
        own = list(self._own.values())
        rng = generator(f"{self._seed}/{own[-1].segment_id}/{len(judged)}")
        against_EC = rng.integers(len(own), size=(len(judged), self._alternatives))
        together = [
            replace(one, segments=(*one.segments, *(own[row] for row in against_C)))
            for one, against_C in zip(judged, against_EC, strict=True)
        ]
        arrays = JudgementArrays.of(
            together,
            self._teachers,
            heldout_share=self._heldout_share,
            splits=slice(0, 1),
            reads=ensemble.space.reads,
        )
        names = [f"{one.segments[0].segment_id}/{one.segments[0].address.begin}" for one in together]
        bootstrap_KE = bootstrap_weights(names, members=ensemble.members, seed=self._seed)
        blocks = [number(one.segments[0].segment_id) for one in together]
        return JudgementExamples(arrays, ensemble, bootstrap_KE, block_E=np.array(blocks, np.int64))
