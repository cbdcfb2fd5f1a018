"""A journal's entries without a service."""

from collections.abc import Sequence
from datetime import UTC, datetime

from hitl.events import Event, JournalEntry, Segment

Said = tuple[Event, list[Segment]]
"""What somebody says, and what it is about."""


def entry_of(event: Event, teacher_id: str, segments: Sequence[Segment], *, offset: int) -> JournalEntry:
    """Return the entry that a journal would have for an event."""
    return JournalEntry(
        offset=offset,
        teacher_id=teacher_id,
        record_time=datetime(2030, 1, 1, tzinfo=UTC),
        event=event,
        segment_ids=tuple(segment.segment_id for segment in segments),
    )
