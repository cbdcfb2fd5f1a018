"""A row of the table of events: what it says, and whether that can be."""

from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from cluster.recorded.naming import Naming
from cluster.recorded.readable import CHECKED, readable
from cluster.recorded.tables import Row
from hitl.events import Choice, Comparison, Event, Retraction
from hitl.fields import check_id
from hitl.storage.clock import to_us
from hitl.storage.journal import kind_of
from hitl.storage.records import RecordedEvent
from hitl.v1 import types_pb2
from hitl.wire.events import decode_event, encode_event

_NOBODY = "recorded"
"""The teacher of rows that name none."""
_UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def event_of(row: Row, naming: Naming) -> tuple[str, RecordedEvent, Event | None]:
    """Read a row.

    Returns:
        Its run, as it is called here; the event; and what it says, None where its kind is newer than this program.

    Raises:
        ConfigError: something about it is wrong.
    """
    if row.get("message") is None:
        event: Event | None = _written(row, naming)
        assert event is not None
        message, kind = encode_event(event), kind_of(event)
        body = message.SerializeToString(deterministic=True)
    else:
        message, event, kind = _stored(row)
        body = row.needed("message")
    run_id = naming.new(message.run_id)
    if run_id != message.run_id:
        message.run_id = run_id
        body = message.SerializeToString(deterministic=True)
    with row.about("teacher_id"):
        teacher_id = check_id(row.get("teacher_id", _NOBODY), "teacher_id")
    recorded = RecordedEvent(
        teacher_id=teacher_id,
        event_id=message.event_id,
        kind=kind,
        body=body,
        segment_ids=_segment_ids(row, event),
        record_us=to_us(row.get("record_time", _UNKNOWN_TIME)),
    )
    return run_id, recorded, event


def _written(row: Row, naming: Naming) -> Event:
    """Read what somebody has written by hand: a comparison, or that an event no longer counts."""
    kind = row.get("kind")
    if kind not in (None, "comparison", "retraction"):
        raise row.complaint(
            "message", f"it is empty, and only a comparison or a retraction can do without; this is a {kind}"
        )
    with row.about("run_id"):
        run_id = check_id(naming.run_of(row), "run_id")
    with row.about("event_id"):
        event_id = check_id(row.get("event_id", f"row-{row.number}"), "event_id")
    if kind == "retraction" or (kind is None and row.get("retracted_event_id") is not None):
        with row.about("retracted_event_id"):
            retracted = check_id(row.needed("retracted_event_id"), "retracted_event_id")
        return Retraction(run_id=run_id, event_id=event_id, retracted_event_id=retracted)
    choice = row.needed("choice")
    if choice not in list(Choice):
        raise row.complaint("choice", f"{choice!r} is none of {', '.join(Choice)}")
    with row.about("question_id"):
        question_id = check_id(row.get("question_id", event_id), "question_id")
    return Comparison(run_id=run_id, event_id=event_id, question_id=question_id, choice=Choice(choice))


def _stored(row: Row) -> tuple[types_pb2.FeedbackEvent, Event | None, str]:
    try:
        message = types_pb2.FeedbackEvent.FromString(row.needed("message"))
    except DecodeError:
        raise row.complaint("message", "it is no FeedbackEvent") from None
    row.agreed("run_id", message.run_id)
    row.agreed("event_id", message.event_id)
    with row.about("message"):
        check_id(message.run_id, "run_id")
        check_id(message.event_id, "event_id")
    if message.WhichOneof("kind") is None:
        return message, None, str(row.needed("kind"))
    with row.about("message"):
        event = decode_event(message)
    row.agreed("kind", kind_of(event))
    says = readable(message)
    for column in CHECKED:
        row.agreed(column, says.get(column))
    return message, event, kind_of(event)


def _segment_ids(row: Row, event: Event | None) -> tuple[str, ...]:
    ids = tuple(row.get("segment_ids", ()))
    with row.about("segment_ids"):
        for segment_id in ids:
            check_id(segment_id or "", "segment_ids")
    if isinstance(event, Comparison) and (len(ids) != 2 or ids[0] == ids[1]):
        raise row.complaint("segment_ids", f"{list(ids)} are not two different segments to compare")
    return ids
