"""What teachers say, and what became of it, to messages and back."""

from hitl.errors import REQUEST_ERRORS, InvalidRequest, RequestError
from hitl.events import (
    Answer,
    Correction,
    Demonstration,
    Event,
    JournalEntry,
    Receipt,
    Retraction,
    Signal,
)
from hitl.fields import check_count, check_id, decode_duration, decode_time, encode_duration, encode_time
from hitl.tensors import decode_tensor, encode_tensor
from hitl.v1 import teaching_pb2, types_pb2
from hitl.wire.answers import ANSWER_KINDS, decode_answer, encode_answer

_KINDS = (*ANSWER_KINDS, "retraction", "signal", "correction", "demonstration")
_DIGEST_BYTES = 32
_STATUSES = {
    2: "UNKNOWN",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    10: "ABORTED",
    14: "UNAVAILABLE",
    16: "UNAUTHENTICATED",
}
"""The numbers of google.rpc.Code."""
_STATUS_CODES = {status: code for code, status in _STATUSES.items()}


def encode_event(event: Event) -> types_pb2.FeedbackEvent:
    """Put a teacher's statement into a message."""
    message = types_pb2.FeedbackEvent(event_id=event.event_id, run_id=event.run_id)
    if isinstance(event, Answer):
        encode_answer(event, message)
    elif isinstance(event, Signal):
        message.signal.stage_id, message.signal.frame = event.stage_id, event.frame
        message.signal.offset.CopyFrom(encode_duration(event.offset))
        message.signal.value = event.value
    elif isinstance(event, Correction):
        message.correction.stage_id, message.correction.frame = event.stage_id, event.frame
        message.correction.offset.CopyFrom(encode_duration(event.offset))
        message.correction.actions.CopyFrom(encode_tensor(event.actions))
    elif isinstance(event, Demonstration):
        message.demonstration.episode = event.episode
        message.demonstration.begin, message.demonstration.end = event.begin, event.end
        message.demonstration.digest = event.digest
    else:
        message.retraction.retracted_event_id = event.retracted_event_id
    return message


def decode_event(message: types_pb2.FeedbackEvent, what: str = "event") -> Event:
    """Read a teacher's statement of a kind that this program knows."""
    kind = message.WhichOneof("kind")
    event_id = check_id(message.event_id, f"{what}.event_id")
    run_id = check_id(message.run_id, f"{what}.run_id")
    if kind in ANSWER_KINDS:
        return decode_answer(message, kind, what)
    if kind == "retraction":
        return Retraction(
            run_id=run_id,
            event_id=event_id,
            retracted_event_id=check_id(
                message.retraction.retracted_event_id, f"{what}.retraction.retracted_event_id"
            ),
        )
    if kind == "signal":
        return _decode_signal(message, event_id, run_id, f"{what}.signal")
    if kind == "correction":
        return _decode_correction(message, event_id, run_id, f"{what}.correction")
    if kind == "demonstration":
        return _decode_demonstration(message, event_id, run_id, f"{what}.demonstration")
    raise InvalidRequest(f"{what}.kind: unset, or newer than this program; known: {', '.join(_KINDS)}")


def _decode_signal(message: types_pb2.FeedbackEvent, event_id: str, run_id: str, what: str) -> Signal:
    value = message.signal.value
    if not -1 <= value <= 1:
        raise InvalidRequest(f"{what}.value: {value} is not from -1 to 1")
    return Signal(
        run_id=run_id,
        event_id=event_id,
        stage_id=check_id(message.signal.stage_id, f"{what}.stage_id"),
        frame=check_count(message.signal.frame, f"{what}.frame"),
        offset=decode_duration(message.signal.offset, f"{what}.offset"),
        value=value,
    )


def _decode_correction(message: types_pb2.FeedbackEvent, event_id: str, run_id: str, what: str) -> Correction:
    actions = decode_tensor(message.correction.actions, what=f"{what}.actions")
    if not actions.ndim or not len(actions):
        raise InvalidRequest(
            f"{what}.actions: shape {actions.shape} has no steps; one action a step, at least one"
        )
    return Correction(
        run_id=run_id,
        event_id=event_id,
        stage_id=check_id(message.correction.stage_id, f"{what}.stage_id"),
        frame=check_count(message.correction.frame, f"{what}.frame"),
        offset=decode_duration(message.correction.offset, f"{what}.offset"),
        actions=actions,
    )


def _decode_demonstration(
    message: types_pb2.FeedbackEvent, event_id: str, run_id: str, what: str
) -> Demonstration:
    said = message.demonstration
    begin = check_count(said.begin, f"{what}.begin")
    if said.end <= begin:
        raise InvalidRequest(f"{what}.end: {said.end} is not after begin, {begin}")
    if len(said.digest) != _DIGEST_BYTES:
        raise InvalidRequest(f"{what}.digest: {len(said.digest)} bytes, not {_DIGEST_BYTES}")
    return Demonstration(
        run_id=run_id,
        event_id=event_id,
        episode=check_count(said.episode, f"{what}.episode"),
        begin=begin,
        end=said.end,
        digest=said.digest,
    )


def decode_entry(message: types_pb2.JournalEntry) -> JournalEntry:
    """Read an entry of the journal; its event is None where this program does not know its kind."""
    try:
        event = decode_event(message.event)
    except InvalidRequest:
        event = None
    return JournalEntry(
        offset=message.offset,
        teacher_id=message.teacher_id,
        record_time=decode_time(message.record_time, "entry.record_time"),
        event=event,
        segment_ids=tuple(message.segment_ids),
    )


def encode_receipt(receipt: Receipt) -> teaching_pb2.Receipt:
    """Put a receipt into a message."""
    return teaching_pb2.Receipt(
        run_id=receipt.run_id,
        event_id=receipt.event_id,
        offset=receipt.offset,
        record_time=encode_time(receipt.record_time),
    )


def decode_receipt(message: teaching_pb2.Receipt) -> Receipt:
    """Read a receipt."""
    return Receipt(
        run_id=message.run_id,
        event_id=message.event_id,
        offset=message.offset,
        record_time=decode_time(message.record_time, "receipt.record_time"),
    )


def encode_refusal(error: RequestError) -> teaching_pb2.Refusal:
    """Put the reason why an event was refused into a message."""
    return teaching_pb2.Refusal(code=_STATUS_CODES[error.status], message=str(error))


def decode_refusal(message: teaching_pb2.Refusal) -> RequestError:
    """Read why an event was refused."""
    return REQUEST_ERRORS.get(_STATUSES.get(message.code, ""), RequestError)(message.message)
