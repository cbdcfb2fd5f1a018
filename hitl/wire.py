"""Typed objects to messages and back; everything that comes in is checked here, field by field.

Every `decode_*` raises InvalidRequest, naming the field, where a message is malformed.
"""

import math

import numpy as np

from hitl.errors import REQUEST_ERRORS, InvalidRequest, RequestError
from hitl.events import (
    Choice,
    Comparison,
    Event,
    JournalEntry,
    PairQuestion,
    Progress,
    Question,
    Receipt,
    Retraction,
    Run,
    Segment,
    StepAddress,
    Task,
)
from hitl.fields import check_count, check_id, decode_duration, decode_time, encode_duration, encode_time
from hitl.tensors import Array, decode_tensor, decode_tensors, encode_tensor, encode_tensors
from hitl.v1 import teaching_pb2, training_pb2, types_pb2

_MAX_FINGERPRINT_LENGTH = 100_000

_CHOICES = {
    types_pb2.CHOICE_FIRST: Choice.FIRST,
    types_pb2.CHOICE_SECOND: Choice.SECOND,
    types_pb2.CHOICE_TIE: Choice.TIE,
    types_pb2.CHOICE_SKIP: Choice.SKIP,
    types_pb2.CHOICE_CANNOT_TELL: Choice.CANNOT_TELL,
}
_CHOICE_CODES = {choice: code for code, choice in _CHOICES.items()}

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


def encode_segment(segment: Segment) -> types_pb2.Segment:
    """Put a segment into a message."""
    address = segment.address
    return types_pb2.Segment(
        segment_id=segment.segment_id,
        address=types_pb2.StepAddress(
            task_id=address.task_id,
            run_id=address.run_id,
            source=address.source,
            episode=address.episode,
            agent=address.agent,
            begin=address.begin,
            end=address.end,
        ),
        observations=encode_tensors(segment.observations),
        actions=encode_tensor(segment.actions),
        policy_version=segment.policy_version,
    )


def decode_segment(message: types_pb2.Segment, what: str = "segment") -> Segment:
    """Read a segment; every array must have one row a step."""
    segment = Segment(
        segment_id=check_id(message.segment_id, f"{what}.segment_id"),
        address=_decode_address(message.address, f"{what}.address"),
        observations=decode_tensors(message.observations, what=f"{what}.observations"),
        actions=decode_tensor(message.actions, what=f"{what}.actions"),
        policy_version=check_count(message.policy_version, f"{what}.policy_version"),
    )
    if not segment.observations:
        raise InvalidRequest(f"{what}.observations: none; a plain observation goes under the key 'obs'")
    for name, array in segment.observations.items():
        check_id(name, f"{what}.observations key")
        _check_steps(array, len(segment), f"{what}.observations[{name!r}]")
    _check_steps(segment.actions, len(segment), f"{what}.actions")
    return segment


def _decode_address(message: types_pb2.StepAddress, what: str) -> StepAddress:
    begin = check_count(message.begin, f"{what}.begin")
    if message.end <= begin:
        raise InvalidRequest(f"{what}.end: {message.end} is not after begin, {begin}")
    return StepAddress(
        task_id=check_id(message.task_id, f"{what}.task_id"),
        run_id=check_id(message.run_id, f"{what}.run_id"),
        source=check_id(message.source, f"{what}.source"),
        episode=check_count(message.episode, f"{what}.episode"),
        agent=check_count(message.agent, f"{what}.agent"),
        begin=begin,
        end=message.end,
    )


def _check_steps(array: Array, steps: int, what: str) -> None:
    if array.ndim == 0 or array.shape[0] != steps:
        raise InvalidRequest(
            f"{what}: shape {array.shape} does not begin with the {steps} steps of the address"
        )


def decode_true_rewards(message: types_pb2.Tensor, steps: int, what: str = "true_rewards") -> Array:
    """Read the environment's rewards of a segment: finite floats of shape [steps]."""
    rewards = decode_tensor(message, what=what)
    if rewards.shape != (steps,) or not np.issubdtype(rewards.dtype, np.floating):
        raise InvalidRequest(
            f"{what}: {rewards.dtype} of shape {rewards.shape}, not floats of shape ({steps},)"
        )
    if not np.isfinite(rewards).all():
        raise InvalidRequest(f"{what}: not every reward is finite")
    return rewards


def encode_question(question: Question) -> types_pb2.Question:
    """Put a question into a message."""
    message = types_pb2.Question(
        question_id=question.question_id,
        run_id=question.run_id,
        pair=types_pb2.PairQuestion(
            first_segment_id=question.first_segment_id, second_segment_id=question.second_segment_id
        ),
        value=question.value,
        policy_version=question.policy_version,
        reward_version=question.reward_version,
    )
    if question.expire_time is not None:
        message.expire_time.CopyFrom(encode_time(question.expire_time))
    return message


def decode_question(message: types_pb2.Question, what: str = "question") -> Question:
    """Read a question of a kind that this program knows."""
    if message.WhichOneof("kind") != "pair":
        raise InvalidRequest(f"{what}.kind: unset, or newer than this program; known: pair")
    if not math.isfinite(message.value):
        raise InvalidRequest(f"{what}.value: {message.value} is not finite")
    question = PairQuestion(
        question_id=check_id(message.question_id, f"{what}.question_id"),
        run_id=check_id(message.run_id, f"{what}.run_id"),
        first_segment_id=check_id(message.pair.first_segment_id, f"{what}.pair.first_segment_id"),
        second_segment_id=check_id(message.pair.second_segment_id, f"{what}.pair.second_segment_id"),
        value=message.value,
        policy_version=check_count(message.policy_version, f"{what}.policy_version"),
        reward_version=check_count(message.reward_version, f"{what}.reward_version"),
        expire_time=decode_time(message.expire_time, f"{what}.expire_time")
        if message.HasField("expire_time")
        else None,
    )
    if question.first_segment_id == question.second_segment_id:
        raise InvalidRequest(f"{what}.pair: a segment cannot be compared with itself")
    return question


def encode_event(event: Event) -> types_pb2.FeedbackEvent:
    """Put a teacher's statement into a message."""
    message = types_pb2.FeedbackEvent(event_id=event.event_id, run_id=event.run_id)
    if isinstance(event, Comparison):
        message.thinking_time.CopyFrom(encode_duration(event.thinking_time))
        message.comparison.question_id = event.question_id
        message.comparison.choice = _CHOICE_CODES[event.choice]
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
    raise InvalidRequest(f"{what}.kind: unset, or newer than this program; known: comparison, retraction")


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


def encode_progress(progress: Progress) -> types_pb2.RunProgress:
    """Put a run's progress into a message."""
    return types_pb2.RunProgress(
        env_steps=progress.env_steps,
        policy_version=progress.policy_version,
        reward_version=progress.reward_version,
    )


def decode_progress(message: types_pb2.RunProgress, what: str = "progress") -> Progress:
    """Read a run's progress."""
    return Progress(
        env_steps=check_count(message.env_steps, f"{what}.env_steps"),
        policy_version=check_count(message.policy_version, f"{what}.policy_version"),
        reward_version=check_count(message.reward_version, f"{what}.reward_version"),
    )


def encode_run(run: Run) -> types_pb2.Run:
    """Put a run into a message."""
    message = types_pb2.Run(
        run_id=run.run_id,
        task_id=run.task_id,
        epoch=run.epoch,
        progress=encode_progress(run.progress),
        questions=types_pb2.QuestionCounts(
            open=run.open_questions, answered=run.answered_questions, closed=run.closed_questions
        ),
        journal_end=run.journal_end,
    )
    if run.create_time is not None:
        message.create_time.CopyFrom(encode_time(run.create_time))
    return message


def decode_run(message: types_pb2.Run) -> Run:
    """Read a run."""
    return Run(
        run_id=message.run_id,
        task_id=message.task_id,
        epoch=message.epoch,
        progress=decode_progress(message.progress),
        open_questions=message.questions.open,
        answered_questions=message.questions.answered,
        closed_questions=message.questions.closed,
        journal_end=message.journal_end,
        create_time=decode_time(message.create_time, "run.create_time")
        if message.HasField("create_time")
        else None,
    )


def encode_task(task: Task) -> training_pb2.Task:
    """Put a task into a message."""
    return training_pb2.Task(task_id=task.task_id, name=task.name, fingerprint=task.fingerprint)


def decode_task(message: training_pb2.Task, what: str = "task") -> Task:
    """Read a task."""
    if not message.fingerprint or len(message.fingerprint) > _MAX_FINGERPRINT_LENGTH:
        raise InvalidRequest(f"{what}.fingerprint: needs 1 to {_MAX_FINGERPRINT_LENGTH} characters")
    return Task(
        task_id=check_id(message.task_id, f"{what}.task_id"),
        name=check_id(message.name, f"{what}.name"),
        fingerprint=message.fingerprint,
    )
