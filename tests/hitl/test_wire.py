from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from hitl.errors import InvalidRequest
from hitl.events import (
    Choice,
    Comparison,
    Correction,
    Event,
    Outcome,
    PairQuestion,
    Progress,
    Retraction,
    Run,
    Segment,
    Showing,
    Signal,
    StepAddress,
    Task,
)
from hitl.tensors import decode_tensor, encode_tensor
from hitl.v1 import types_pb2
from hitl.wire.events import decode_entry, decode_event, decode_refusal, encode_event, encode_refusal
from hitl.wire.questions import decode_question, encode_question
from hitl.wire.runs import decode_progress, decode_run, decode_task, encode_progress, encode_run, encode_task
from hitl.wire.segments import decode_segment, decode_true_rewards, encode_segment

WHEN = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SEGMENT = Segment(
    segment_id="segment",
    address=StepAddress(task_id="task", run_id="run", source="runner", episode=3, begin=5, end=8, agent=1),
    observations={"camera": np.zeros((3, 2, 2), np.uint8), "speed": np.ones((3, 1), np.float64)},
    actions=np.array([1, 0, 1]),
    policy_version=9,
)
QUESTION = PairQuestion(
    question_id="question",
    run_id="run",
    first_segment_id="a",
    second_segment_id="b",
    value=0.5,
    policy_version=4,
    reward_version=2,
    expire_time=WHEN,
)
COMPARISON = Comparison(
    run_id="run", question_id="question", choice=Choice.TIE, thinking_time=timedelta(seconds=1.25)
)
RETRACTION = Retraction(run_id="run", retracted_event_id="event")
SHOWN = replace(
    SEGMENT,
    showing=Showing(
        stage_id="stage",
        first_frame=40,
        seconds=np.array([0.5, 0.75, 1.25]),
        policy_versions=np.array([8, 9, 9]),
        teacher_id="ann",
    ),
    outcome=Outcome(
        observations={"camera": np.ones((2, 2), np.uint8), "speed": np.array([2.0])}, terminated=True
    ),
)
SIGNAL = Signal(run_id="run", stage_id="stage", frame=41, value=-0.5, offset=timedelta(seconds=0.25))
CORRECTION = Correction(
    run_id="run", stage_id="stage", frame=41, actions=np.array([[0.5, -1.0]]), offset=timedelta(seconds=2)
)
RUN = Run(
    run_id="run",
    task_id="task",
    epoch=3,
    progress=Progress(env_steps=100, policy_version=5, reward_version=6),
    open_questions=1,
    answered_questions=2,
    closed_questions=3,
    journal_end=4,
    create_time=WHEN,
)
TASK = Task(task_id="task", name="CartPole-v1", fingerprint='{"id": "CartPole-v1"}')


def test_a_segment_comes_back_as_it_was() -> None:
    back = decode_segment(encode_segment(SEGMENT))
    assert (back.segment_id, back.address, back.policy_version) == ("segment", SEGMENT.address, 9)
    assert back.observations.keys() == SEGMENT.observations.keys()
    for name, array in SEGMENT.observations.items():
        np.testing.assert_array_equal(back.observations[name], array, strict=True)
    np.testing.assert_array_equal(back.actions, SEGMENT.actions, strict=True)


def test_a_segment_that_was_shown_comes_back_as_it_was() -> None:
    back, showing = decode_segment(encode_segment(SHOWN)).showing, SHOWN.showing
    assert back is not None
    assert showing is not None
    assert (back.stage_id, back.first_frame, back.end_frame, back.teacher_id) == ("stage", 40, 43, "ann")
    np.testing.assert_array_equal(back.seconds, showing.seconds, strict=True)
    np.testing.assert_array_equal(back.policy_versions, showing.policy_versions, strict=True)


@pytest.mark.parametrize("flags", [{}, {"terminated": True}, {"truncated": True}])
def test_where_the_last_step_led_to_comes_back_as_it_was(flags: dict[str, bool]) -> None:
    assert SHOWN.outcome is not None
    outcome = Outcome(observations=SHOWN.outcome.observations, **flags)
    back = decode_segment(encode_segment(replace(SHOWN, outcome=outcome))).outcome
    assert back is not None
    assert (back.terminated, back.truncated) == (outcome.terminated, outcome.truncated)
    assert back.observations.keys() == outcome.observations.keys()
    for name, array in outcome.observations.items():
        np.testing.assert_array_equal(back.observations[name], array, strict=True)
    assert decode_segment(encode_segment(SEGMENT)).outcome is None


def test_a_correction_comes_back_as_it_was() -> None:
    back = decode_event(encode_event(CORRECTION))
    assert back == CORRECTION
    assert isinstance(back, Correction)
    np.testing.assert_array_equal(back.actions, CORRECTION.actions, strict=True)


def test_everything_else_comes_back_as_it_was() -> None:
    assert decode_question(encode_question(QUESTION)) == QUESTION
    assert decode_event(encode_event(COMPARISON)) == COMPARISON
    assert decode_event(encode_event(RETRACTION)) == RETRACTION
    assert decode_event(encode_event(SIGNAL)) == SIGNAL
    assert decode_run(encode_run(RUN)) == RUN
    unborn = replace(RUN, create_time=None)
    assert decode_run(encode_run(unborn)) == unborn
    assert decode_progress(encode_progress(RUN.progress)) == RUN.progress
    assert decode_task(encode_task(TASK)) == TASK
    for choice in Choice:
        event = Comparison(run_id="run", question_id="question", choice=choice)
        assert decode_event(encode_event(event)) == event


def test_a_refusal_comes_back_as_the_error_it_was() -> None:
    back = decode_refusal(encode_refusal(InvalidRequest("choice: 9 is not an answer")))
    assert type(back) is InvalidRequest
    assert str(back) == "choice: 9 is not an answer"


Spoil = Callable[[types_pb2.Segment], object]


@pytest.mark.parametrize(
    ("field", "spoil"),
    [
        ("segment.segment_id", lambda m: setattr(m, "segment_id", "")),
        ("segment.segment_id", lambda m: setattr(m, "segment_id", "x" * 201)),
        ("segment.segment_id", lambda m: setattr(m, "segment_id", "a\nb")),
        ("segment.address.task_id", lambda m: m.address.ClearField("task_id")),
        ("segment.address.source", lambda m: m.address.ClearField("source")),
        ("segment.address.begin", lambda m: setattr(m.address, "begin", -1)),
        ("segment.address.end", lambda m: setattr(m.address, "end", 5)),
        ("segment.address.agent", lambda m: setattr(m.address, "agent", -1)),
        ("segment.address.episode", lambda m: setattr(m.address, "episode", -1)),
        ("segment.policy_version", lambda m: setattr(m, "policy_version", -1)),
        ("segment.observations", lambda m: m.observations.clear()),
        ("segment.observations['speed']", lambda m: m.observations["speed"].shape.__setitem__(0, 2)),
        ("segment.observations['speed']", lambda m: m.observations["speed"].CopyFrom(_tensor(2, 1))),
        ("segment.actions", lambda m: m.actions.CopyFrom(_tensor())),
        ("segment.actions", lambda m: m.ClearField("actions")),
    ],
)
def test_a_malformed_segment_is_refused_by_field(field: str, spoil: Spoil) -> None:
    message = encode_segment(SEGMENT)
    spoil(message)
    with pytest.raises(InvalidRequest) as refused:
        decode_segment(message)
    assert str(refused.value).startswith(f"{field}: ")


def _tensor(*shape: int) -> types_pb2.Tensor:
    return encode_tensor(np.zeros(shape))


@pytest.mark.parametrize(
    ("complaint", "spoil"),
    [
        ("unknown dtype 0", lambda m: m.ClearField("dtype")),
        ("unknown dtype 77", lambda m: setattr(m, "dtype", 77)),
        ("takes 16 bytes, got 15", lambda m: setattr(m, "data", b"x" * 15)),
        ("takes 32 bytes, got 16", lambda m: m.shape.append(2)),
        ("is not one of at most 8 sizes", lambda m: m.shape.__setitem__(0, -2)),
        ("is not one of at most 8 sizes", lambda m: m.shape.extend([1] * 8)),
    ],
)
def test_a_malformed_tensor_is_refused(complaint: str, spoil: Callable[[types_pb2.Tensor], object]) -> None:
    message = _tensor(2)
    spoil(message)
    with pytest.raises(InvalidRequest, match=complaint):
        decode_tensor(message)


def test_a_boolean_is_0_or_1() -> None:
    message = encode_tensor(np.array([True, False]))
    message.data = b"\x01\x02"
    with pytest.raises(InvalidRequest, match="stored as 0 or 1"):
        decode_tensor(message)


def test_an_array_of_another_dtype_cannot_be_sent() -> None:
    with pytest.raises(InvalidRequest, match="dtype object cannot be sent"):
        encode_tensor(np.array([{}], dtype=object))


@pytest.mark.parametrize(
    "rewards", [np.zeros(3), np.zeros((4, 1)), np.zeros(4, np.int64), np.array([0, 1, np.nan, 2])]
)
def test_true_rewards_are_one_finite_float_a_step(rewards: np.ndarray) -> None:
    with pytest.raises(InvalidRequest, match="true_rewards: "):
        decode_true_rewards(encode_tensor(rewards), 4)


@pytest.mark.parametrize(
    ("field", "spoil"),
    [
        ("question.kind", lambda m: m.ClearField("pair")),
        ("question.question_id", lambda m: m.ClearField("question_id")),
        ("question.run_id", lambda m: m.ClearField("run_id")),
        ("question.pair.first_segment_id", lambda m: m.pair.ClearField("first_segment_id")),
        ("question.pair", lambda m: setattr(m.pair, "first_segment_id", "b")),
        ("question.value", lambda m: setattr(m, "value", float("nan"))),
        ("question.reward_version", lambda m: setattr(m, "reward_version", -1)),
        ("question.expire_time", lambda m: setattr(m.expire_time, "seconds", 10**15)),
    ],
)
def test_a_malformed_question_is_refused_by_field(
    field: str, spoil: Callable[[types_pb2.Question], object]
) -> None:
    message = encode_question(QUESTION)
    spoil(message)
    with pytest.raises(InvalidRequest) as refused:
        decode_question(message)
    assert str(refused.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("field", "spoil"),
    [
        ("event.kind", lambda m: m.ClearField("comparison")),
        ("event.event_id", lambda m: m.ClearField("event_id")),
        ("event.run_id", lambda m: m.ClearField("run_id")),
        ("event.comparison.choice", lambda m: m.comparison.ClearField("choice")),
        ("event.comparison.choice", lambda m: setattr(m.comparison, "choice", 77)),
        ("event.comparison.question_id", lambda m: m.comparison.ClearField("question_id")),
        ("event.thinking_time", lambda m: setattr(m.thinking_time, "seconds", -1)),
        ("event.thinking_time", lambda m: setattr(m.thinking_time, "seconds", 2**62)),
        ("event.retraction.retracted_event_id", lambda m: m.retraction.SetInParent()),
    ],
)
def test_a_malformed_event_is_refused_by_field(
    field: str, spoil: Callable[[types_pb2.FeedbackEvent], object]
) -> None:
    message = encode_event(COMPARISON)
    spoil(message)
    with pytest.raises(InvalidRequest) as refused:
        decode_event(message)
    assert str(refused.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("event", "field", "spoil"),
    [
        (SIGNAL, "signal.stage_id", lambda m: m.signal.ClearField("stage_id")),
        (SIGNAL, "signal.frame", lambda m: setattr(m.signal, "frame", -1)),
        (SIGNAL, "signal.value", lambda m: setattr(m.signal, "value", 1.01)),
        (SIGNAL, "signal.value", lambda m: setattr(m.signal, "value", float("nan"))),
        (SIGNAL, "signal.offset", lambda m: setattr(m.signal.offset, "seconds", -1)),
        (CORRECTION, "correction.stage_id", lambda m: m.correction.ClearField("stage_id")),
        (CORRECTION, "correction.frame", lambda m: setattr(m.correction, "frame", -1)),
        (CORRECTION, "correction.offset", lambda m: setattr(m.correction.offset, "seconds", -1)),
        (CORRECTION, "correction.actions", lambda m: m.correction.ClearField("actions")),
        (CORRECTION, "correction.actions", lambda m: m.correction.actions.CopyFrom(_tensor(0, 2))),
    ],
)
def test_what_is_malformed_about_a_stage_is_refused_by_field(
    event: Event, field: str, spoil: Callable[[types_pb2.FeedbackEvent], object]
) -> None:
    message = encode_event(event)
    spoil(message)
    with pytest.raises(InvalidRequest) as refused:
        decode_event(message)
    assert str(refused.value).startswith(f"event.{field}")


@pytest.mark.parametrize(
    ("field", "spoil"),
    [
        ("segment.showing.stage_id", lambda m: m.showing.ClearField("stage_id")),
        ("segment.showing.first_frame", lambda m: setattr(m.showing, "first_frame", -1)),
        ("segment.showing.seconds", lambda m: m.showing.seconds.CopyFrom(encode_tensor(np.zeros(2)))),
        ("segment.showing", lambda m: m.showing.seconds.CopyFrom(encode_tensor(np.zeros(3, np.float32)))),
        (
            "segment.showing.policy_versions",
            lambda m: m.showing.policy_versions.CopyFrom(encode_tensor(np.zeros(2, np.int64))),
        ),
        ("segment.outcome.observations", lambda m: m.outcome.observations["speed"].CopyFrom(_tensor(2))),
        ("segment.outcome.observations", lambda m: m.outcome.observations["camera"].CopyFrom(_tensor(2, 2))),
        ("segment.outcome.observations", lambda m: m.outcome.observations.pop("speed")),
        ("segment.outcome.observations['speed']", lambda m: m.outcome.observations["speed"].Clear()),
    ],
)
def test_a_malformed_showing_is_refused_by_field(field: str, spoil: Spoil) -> None:
    message = encode_segment(SHOWN)
    spoil(message)
    with pytest.raises(InvalidRequest) as refused:
        decode_segment(message)
    assert str(refused.value).startswith(f"{field}: ")


def test_an_entry_of_an_unknown_kind_is_read_without_its_event() -> None:
    # Field 99 is a kind that a newer program may add.
    newer = types_pb2.FeedbackEvent.FromString(
        types_pb2.FeedbackEvent(event_id="event", run_id="run").SerializeToString() + b"\x9a\x06\x00"
    )
    entry = decode_entry(types_pb2.JournalEntry(offset=5, teacher_id="ann", event=newer, segment_ids=["a"]))
    assert (entry.offset, entry.teacher_id, entry.event, entry.segment_ids) == (5, "ann", None, ("a",))
