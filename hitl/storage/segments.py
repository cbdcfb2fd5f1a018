"""Segments: what teachers judge, stored before anybody can name them; true rewards lie apart."""

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, Table, insert, select

from hitl.errors import NotFound
from hitl.events import Showing
from hitl.stages import Clip
from hitl.storage import schema
from hitl.storage.blobs import Blobs
from hitl.storage.clock import now_us
from hitl.storage.showings import insert_showings

_MAX_INLINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment ready for its row: its message compressed, here if it is small or else in a durable blob."""

    segment_id: str
    payload: bytes | None
    blob: str | None
    true_rewards: bytes | None
    showing: Showing | None = None
    """Where a stage has shown it."""
    clip: "StoredClip | None" = None


@dataclass(frozen=True, slots=True)
class StoredClip:
    """Where a durable clip lies, and what it is."""

    blob: str
    media_type: str


def prepare_segment(
    blobs: Blobs,
    segment_id: str,
    message: bytes,
    true_rewards: bytes | None,
    showing: Showing | None = None,
    clip: Clip | None = None,
) -> StoredSegment:
    """Compress a segment and, where it is big, make it durable as a blob, as its clip: before any row names them."""
    stored_clip = StoredClip(blobs.put(clip.data), clip.media_type) if clip else None
    # Level 1: on arrays of floats higher levels cost much and win little.
    payload = zlib.compress(message, 1)
    if len(payload) <= _MAX_INLINE_BYTES:
        return StoredSegment(segment_id, payload, None, true_rewards, showing, stored_clip)
    return StoredSegment(segment_id, None, blobs.put(payload), true_rewards, showing, stored_clip)


def insert_segments(connection: Connection, run_id: str, stored: Iterable[StoredSegment]) -> None:
    """Store segments; one whose id exists changes nothing, not even its true rewards or clip.

    The caller has locked the run.
    """
    wanted = {segment.segment_id: segment for segment in reversed(list(stored))}
    known = known_segments(connection, run_id, wanted)
    now = now_us()
    rows, reward_rows, clip_rows = [], [], []
    for segment_id, segment in wanted.items():
        if segment_id in known:
            continue
        key = {"run_id": run_id, "segment_id": segment_id}
        rows.append({**key, "payload": segment.payload, "blob": segment.blob, "create_us": now})
        if segment.true_rewards is not None:
            reward_rows.append({**key, "payload": segment.true_rewards})
        if segment.clip is not None:
            clip_rows.append({**key, "media_type": segment.clip.media_type, "blob": segment.clip.blob})
    if rows:
        connection.execute(insert(schema.segments), rows)
    if reward_rows:
        connection.execute(insert(schema.true_rewards), reward_rows)
    if clip_rows:
        connection.execute(insert(schema.clips), clip_rows)
    new = {row["segment_id"] for row in rows}
    insert_showings(
        connection, run_id, {id: s.showing for id, s in wanted.items() if s.showing and id in new}
    )


def known_segments(connection: Connection, run_id: str, segment_ids: Collection[str]) -> set[str]:
    """Return which of these segments are stored."""
    table = schema.segments
    query = select(table.c.segment_id).where(table.c.run_id == run_id, table.c.segment_id.in_(segment_ids))
    return set(connection.execute(query).scalars())


def load_segments(
    connection: Connection, blobs: Blobs, run_id: str, segment_ids: Sequence[str]
) -> list[bytes]:
    """Return the messages of these segments, in the order asked for.

    Raises:
        NotFound: one of them is not stored.
    """
    rows = _rows(connection, schema.segments, run_id, segment_ids)
    messages = {
        row["segment_id"]: zlib.decompress(row["payload"] if row["blob"] is None else blobs.get(row["blob"]))
        for row in rows
    }
    missing = [segment_id for segment_id in segment_ids if segment_id not in messages]
    if missing:
        raise NotFound(f"run {run_id} has no segment {missing[0]}; publish segments before naming them")
    return [messages[segment_id] for segment_id in segment_ids]


def load_true_rewards(
    connection: Connection, run_id: str, segment_ids: Collection[str]
) -> Mapping[str, bytes]:
    """Return the messages with the true rewards of these segments, where known. For oracles only."""
    rows = _rows(connection, schema.true_rewards, run_id, segment_ids)
    return {row["segment_id"]: bytes(row["payload"]) for row in rows}


def load_clip(connection: Connection, blobs: Blobs, run_id: str, segment_id: str) -> Clip | None:
    """Return a segment's clip; None where there is none.

    Raises:
        NotFound: the segment is not stored.
    """
    if rows := _rows(connection, schema.clips, run_id, [segment_id]):
        return Clip(data=blobs.get(rows[0]["blob"]), media_type=rows[0]["media_type"])
    if not known_segments(connection, run_id, [segment_id]):
        raise NotFound(f"run {run_id} has no segment {segment_id}")
    return None


def _rows(
    connection: Connection, table: Table, run_id: str, segment_ids: Collection[str]
) -> Sequence[RowMapping]:
    query = select(table).where(table.c.run_id == run_id, table.c.segment_id.in_(segment_ids))
    return connection.execute(query).mappings().all()
