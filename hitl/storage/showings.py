"""Which frames of a stage are durable, and in which segments."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, bindparam, func, insert, select

from hitl.events import Showing
from hitl.storage import schema

CREDIT_SECONDS = 10.0
"""A signal names the steps shown up to so long before its frame."""

_table = schema.showings
_of_stage = (_table.c.run_id == bindparam("run_id")) & (_table.c.stage_id == bindparam("stage_id"))
_SHOWN_BEFORE = (
    select(_table.c.first_seconds)
    .where(_of_stage, _table.c.first_frame <= bindparam("frame"))
    .order_by(_table.c.first_frame.desc())
    .limit(1)
)
_NAMED = (
    select(_table.c.segment_id)
    .where(
        _of_stage,
        _table.c.first_frame <= bindparam("frame"),
        _table.c.last_seconds >= bindparam("earliest"),
    )
    .order_by(_table.c.first_frame)
)


def insert_showings(connection: Connection, run_id: str, showings: Mapping[str, Showing]) -> None:
    """Note where frames lie; by segment, all of them new. The caller has locked the run."""
    rows = [
        {
            "run_id": run_id,
            "stage_id": showing.stage_id,
            "first_frame": showing.first_frame,
            "end_frame": showing.end_frame,
            "first_seconds": float(showing.seconds[0]),
            "last_seconds": float(showing.seconds[-1]),
            "segment_id": segment_id,
        }
        for segment_id, showing in showings.items()
    ]
    if rows:
        connection.execute(insert(_table), rows)


def end_frame(connection: Connection, run_id: str, stage_id: str) -> int:
    """Return the frame behind the last durable one of a stage; 0 where there is none."""
    query = select(func.max(_table.c.end_frame)).where(_of_stage)
    return connection.execute(query, {"run_id": run_id, "stage_id": stage_id}).scalar() or 0


def all_shown(connection: Connection, run_id: str) -> tuple[str, ...]:
    """Return all segments that the stages of a run have shown, stage by stage, oldest first."""
    query = (
        select(_table.c.segment_id)
        .where(_table.c.run_id == run_id)
        .order_by(_table.c.stage_id, _table.c.first_frame)
    )
    return tuple(connection.execute(query).scalars())


def shown_up_to(connection: Connection, run_id: str, stage_id: str, frame: int) -> tuple[str, ...]:
    """Return the segments that a stage showed in the last `CREDIT_SECONDS` up to a frame, oldest first.

    Where the frame itself is lost, or shows no step, they are those up to the newest one before it.
    """
    place = {"run_id": run_id, "stage_id": stage_id, "frame": frame}
    seconds = connection.execute(_SHOWN_BEFORE, place).scalar()
    if seconds is None:
        return ()
    named: Iterable[str] = connection.execute(
        _NAMED, {**place, "earliest": seconds - CREDIT_SECONDS}
    ).scalars()
    return tuple(named)
