"""Recorded feedback into the store of a service, as runs that nobody drives."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from sqlalchemy import Connection

from cluster.recorded.layout import SEGMENTS
from cluster.recorded.place import ServicePlace
from cluster.recorded.recording import Piece, Recording
from hitl.errors import ConfigError, Conflict
from hitl.storage.blobs import Blobs
from hitl.storage.records import append_journals, prepare_runs
from hitl.storage.runs import lock_run
from hitl.storage.segments import (
    StoredSegment,
    insert_segments,
    known_segments,
    load_segments,
    prepare_segment,
)
from hitl.storage.storage import Storage

_TOGETHER = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of it."""

    runs: Mapping[str, int]
    """Events of each, known or new."""
    new_events: int
    new_segments: int


def import_feedback(recording: Recording, place: ServicePlace) -> Imported:
    """Check all of it, store the segments, and last all that was said, in one step.

    Killed before that, nothing counts, and the next time goes on; after it, the next time changes nothing. The service
    may be running.

    Raises:
        ConfigError: a row is wrong, or a run of the same id is there and holds something else; nothing is changed.
        StorageError: it cannot be written.
    """
    journals = recording.check()
    try:
        with place.writing() as storage:
            storage.write(prepare_runs, recording.task, journals).result()
            new_segments = sum(_store(storage, pieces) for pieces in _parts(recording.segments()))
            new_events = storage.write(append_journals, journals, recording.questions()).result()
    except Conflict as error:
        raise ConfigError(f"{recording.folder}: {error}") from None
    counts = {run_id: len(journal) for run_id, journal in journals.items()}
    return Imported(runs=counts, new_events=new_events, new_segments=new_segments)


def _parts(pieces: Iterator[Piece]) -> Iterator[tuple[str, list[Piece]]]:
    """Cut into parts of one run each."""
    for run_id, of_run in groupby(pieces, key=lambda piece: piece.segment.address.run_id):
        while part := list(islice(of_run, _TOGETHER)):
            yield run_id, part


def _store(storage: Storage, part: tuple[str, list[Piece]]) -> int:
    run_id, pieces = part
    stored = [
        prepare_segment(
            storage.blobs,
            piece.segment.segment_id,
            piece.message,
            piece.true_rewards,
            piece.segment.showing,
            piece.clip,
        )
        for piece in pieces
    ]
    messages = {piece.segment.segment_id: piece.message for piece in pieces}
    return storage.write(_insert, storage.blobs, run_id, stored, messages).result()


def _insert(
    connection: Connection,
    blobs: Blobs,
    run_id: str,
    stored: Sequence[StoredSegment],
    messages: Mapping[str, bytes],
) -> int:
    lock_run(connection, run_id)
    known = sorted(known_segments(connection, run_id, messages))
    for segment_id, message in zip(known, load_segments(connection, blobs, run_id, known), strict=True):
        if message != messages[segment_id]:
            raise Conflict(
                f"run {run_id} is there already, with another segment {segment_id} than that of {SEGMENTS}; "
                "give the recorded run another id with --as"
            )
    insert_segments(connection, run_id, stored)
    return len(stored) - len(known)
