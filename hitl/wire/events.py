"""What teachers say, and what became of it, to messages and back."""

from hitl.errors import REQUEST_ERRORS, InvalidRequest, RequestError
from hitl.events import (
    Abstention,
    Choice,
    Comparison,
    Correction,
    Event,
    JournalEntry,
    Receipt,
    Relabel,
    Retraction,
    Signal,
)
from hitl.fields import check_count, check_id, decode_duration, decode_time, encode_duration, encode_time
from hitl.tensors import Array, decode_tensor, encode_tensor
from hitl.v1 import teaching_pb2, types_pb2

_CHOICES = {
    types_pb2.CHOICE_FIRST: Choice.FIRST,
    types_pb2.CHOICE_SECOND: Choice.SECOND,
    types_pb2.CHOICE_TIE: Choice.TIE,
    types_pb2.CHOICE_SKIP: Choice.SKIP,
    types_pb2.CHOICE_CANNOT_TELL: Choice.CANNOT_TELL,
}
_CHOICE_CODES = {choice: code for code, choice in _CHOICES.items()}
_ABSTENTIONS = {
    types_pb2.ABSTENTION_SKIP: Abstention.SKIP,
    types_pb2.ABSTENTION_CANNOT_TELL: Abstention.CANNOT_TELL,
}
_ABSTENTION_CODES = {abstention: code for code, abstention in _ABSTENTIONS.items()}
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
    if isinstance(event, Comparison):
        message.thinking_time.CopyFrom(encode_duration(event.thinking_time))
        message.comparison.question_id = event.question_id
        message.comparison.choice = _CHOICE_CODES[event.choice]
    elif isinstance(event, Signal):
        message.signal.stage_id, message.signal.frame = event.stage_id, event.frame
        message.signal.offset.CopyFrom(encode_duration(event.offset))
        message.signal.value = event.value
    elif isinstance(event, Correction):
        message.correction.stage_id, message.correction.frame = event.stage_id, event.frame
        message.correction.offset.CopyFrom(encode_duration(event.offset))
        message.correction.actions.CopyFrom(encode_tensor(event.actions))
    elif isinstance(event, Relabel):
        message.thinking_time.CopyFrom(encode_duration(event.thinking_time))
        message.relabel.question_id, message.relabel.step = event.question_id, event.step
        if isinstance(event.answer, Abstention):
            message.relabel.abstention = _ABSTENTION_CODES[event.answer]
        else:
            message.relabel.action.CopyFrom(encode_tensor(event.answer))
    else:
        message.retraction.retracted_event_id = event.retracted_event_id
    return message


def decode_event(message: types_pb2.FeedbackEvent, what: str = "event") -> Event:
    """Read a teacher's statement of a kind that this program knows."""
    kind = message.WhichOneof("kind")
    event_id = check_id(message.event_id, f"{what}.event_id")
    run_id = check_id(message.run_id, f"{what}.run_id")
    if kind == "comparison":
        choice = _CHOICES.get(message.comparison.choice)
        if choice is None:
            raise InvalidRequest(f"{what}.comparison.choice: {message.comparison.choice} is not an answer")
        return Comparison(
            run_id=run_id,
            event_id=event_id,
            question_id=check_id(message.comparison.question_id, f"{what}.comparison.question_id"),
            choice=choice,
            thinking_time=decode_duration(message.thinking_time, f"{what}.thinking_time"),
        )
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
    if kind == "relabel":
        return Relabel(
            run_id=run_id,
            event_id=event_id,
            question_id=check_id(message.relabel.question_id, f"{what}.relabel.question_id"),
            step=check_count(message.relabel.step, f"{what}.relabel.step"),
            answer=_decode_relabelled(message.relabel, f"{what}.relabel"),
            thinking_time=decode_duration(message.thinking_time, f"{what}.thinking_time"),
        )
    raise InvalidRequest(
        f"{what}.kind: unset, or newer than this program; known: comparison, retraction, signal, correction, relabel"
    )


def _decode_relabelled(message: types_pb2.Relabel, what: str) -> Array | Abstention:
    if message.WhichOneof("answer") == "action":
        return decode_tensor(message.action, what=f"{what}.action")
    abstention = _ABSTENTIONS.get(message.abstention)
    if abstention is None:
        raise InvalidRequest(f"{what}.answer: neither an action nor a reason why there is none")
    return abstention


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
