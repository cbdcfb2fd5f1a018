"""Whatever is in a journal comes back to the byte; and a process that is killed on the way loses nothing."""

import signal
import string
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.recorded.exporting import export_feedback
from cluster.recorded.importing import import_feedback
from cluster.recorded.place import ServicePlace
from cluster.recorded.recording import Recording
from hitl.errors import ConfigError
from hitl.events import (
    Abstention,
    Choice,
    Comparison,
    Correction,
    Event,
    Outcome,
    PairQuestion,
    Relabel,
    Retraction,
    Segment,
    Showing,
    Signal,
    StepAddress,
    Task,
)
from hitl.stages import Clip
from hitl.storage.journal import kind_of
from hitl.storage.records import (
    RecordedEvent,
    RecordedQuestion,
    append_journals,
    prepare_runs,
    recorded_events,
    recorded_questions,
    recorded_segments,
)
from hitl.storage.segments import insert_segments, prepare_segment
from hitl.tensors import encode_tensor
from hitl.tokens import load_or_create_secret, mint
from hitl.v1 import types_pb2
from hitl.wire.events import encode_event
from hitl.wire.questions import encode_question
from hitl.wire.segments import encode_segment
from tests.cluster.recorded.taught import TASK

_LETTERS = string.ascii_letters + string.digits + "/.-_ '\"äß中√"
_DTYPES = (np.bool_, np.uint8, np.int32, np.int64, np.float32, np.float64)
_UNKNOWN = b"\x9a\x06\x03abc"
"""A field of the number 99, of any message."""


class Maker:
    """Draws what a service can hold."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def chance(self, share: float = 0.5) -> bool:
        return bool(self.rng.random() < share)

    def count(self, most: int, least: int = 0) -> int:
        return int(self.rng.integers(least, most + 1))

    def name(self) -> str:
        return "".join(self.rng.choice(list(_LETTERS), self.count(12, 1))).strip() + str(self.count(10**6))

    def array(self, *shape: int) -> Any:
        dtype = np.dtype(_DTYPES[self.count(5)])
        array = self.rng.integers(0, 2, shape) if dtype == np.bool_ else self.rng.normal(size=shape) * 100
        if dtype.kind == "f" and array.size and self.chance(0.3):
            array.flat[0] = self.rng.choice([np.nan, np.inf, -0.0, 1e-45])
        with np.errstate(all="ignore"):
            return np.asarray(np.abs(array) if dtype.kind == "u" else array).astype(dtype)

    def shape(self) -> tuple[int, ...]:
        return tuple(self.count(3) for _ in range(self.count(3)))

    def segment(self, run_id: str, number: int) -> bytes:
        steps = self.count(4, 1)
        names = ["obs", *(self.name() for _ in range(self.count(2)))][self.count(1) :] or ["obs"]
        observations = {name: self.array(steps, *self.shape()) for name in names}
        showing = Showing(
            stage_id=self.name(),
            first_frame=number * 10,
            seconds=np.sort(self.rng.random(steps)),
            policy_versions=np.arange(steps),
            teacher_id=self.name() if self.chance() else "",
        )
        states = {name: np.zeros(array.shape[1:], array.dtype) for name, array in observations.items()}
        begin = self.count(10**12)
        segment = Segment(
            segment_id=f"{number}-{self.name()}",
            address=StepAddress(
                task_id=TASK.task_id,
                run_id=run_id,
                source=self.name(),
                episode=self.count(2**40),
                agent=self.count(3),
                begin=begin,
                end=begin + steps,
            ),
            observations=observations,
            actions=self.array(steps, *self.shape()),
            policy_version=self.count(9),
            showing=showing if self.chance() else None,
            outcome=Outcome(observations=states, truncated=self.chance()) if self.chance() else None,
        )
        message = encode_segment(segment).SerializeToString(deterministic=True)
        return message + _UNKNOWN if self.chance(0.2) else message

    def event(self, run_id: str, said: list[RecordedEvent]) -> Event:
        common: dict[str, Any] = {"run_id": run_id, "event_id": self.name()}
        timed = common | {"thinking_time": timedelta(microseconds=self.count(10**9))}
        on_stage = common | {"stage_id": self.name(), "frame": self.count(99), "offset": timedelta(seconds=1)}
        choices: list[Event] = [
            Comparison(**timed, question_id=self.name(), choice=list(Choice)[self.count(4)]),
            Signal(**on_stage, value=self.rng.uniform(-1, 1)),
            Correction(**on_stage, actions=self.array(self.count(3, 1))),
            Relabel(**timed, question_id=self.name(), step=0, answer=Abstention.SKIP),
            Relabel(**timed, question_id=self.name(), step=0, answer=self.array(*self.shape())),
        ]
        known = [one for one in said if one.kind != "retraction"]
        if known and self.chance(0.2):
            return Retraction(**common, retracted_event_id=known[self.count(len(known) - 1)].event_id)
        return choices[self.count(4)]

    def recorded(self, run_id: str, said: list[RecordedEvent], ids: list[str]) -> RecordedEvent:
        event = self.event(run_id, said)
        body = encode_event(event).SerializeToString(deterministic=True)
        kind, teacher = kind_of(event), self.name()
        two = [str(name) for name in self.rng.choice(ids, 2, replace=False)]
        some = {"comparison": two, "relabel": two[:1], "retraction": []}.get(kind, two[: self.count(2)])
        if isinstance(event, Retraction):
            teacher = next(one.teacher_id for one in said if one.event_id == event.retracted_event_id)
        elif self.chance(0.1):
            known = types_pb2.FeedbackEvent(event_id=event.event_id, run_id=run_id)
            body, kind = known.SerializeToString() + _UNKNOWN, "something new"
        elif self.chance(0.1):
            body += _UNKNOWN
        return RecordedEvent(
            teacher_id=teacher,
            event_id=event.event_id,
            kind=kind,
            body=body,
            segment_ids=tuple(some),
            record_us=self.count(2 * 10**15),
        )

    def question(self, run_id: str, number: int, ids: list[str]) -> RecordedQuestion:
        first, second = (str(name) for name in self.rng.choice(ids, 2, replace=False))
        question = PairQuestion(
            question_id=f"{number}-{self.name()}",
            run_id=run_id,
            first_segment_id=first,
            second_segment_id=second,
            value=self.rng.normal(),
            policy_version=self.count(9),
        )
        return RecordedQuestion(
            question_id=question.question_id,
            body=encode_question(question).SerializeToString(deterministic=True),
            segment_ids=(first, second),
            value=question.value,
            policy_version=question.policy_version,
            state="answered" if self.chance() else "withdrawn",
        )


def fill(place: ServicePlace, maker: Maker, run_ids: list[str]) -> None:
    """Put any journals into a store."""
    journals: dict[str, list[RecordedEvent]] = {}
    questions: dict[str, list[RecordedQuestion]] = {}
    with place.writing() as storage:
        storage.write(prepare_runs, TASK, {run_id: [] for run_id in run_ids}).result()
        for run_id in run_ids:
            messages = [maker.segment(run_id, number) for number in range(maker.count(12, 2))]
            ids = []
            for body in messages:
                message = types_pb2.Segment.FromString(body)
                steps = message.address.end - message.address.begin
                rewards = encode_tensor(maker.rng.normal(size=steps)).SerializeToString()
                ids.append(message.segment_id)
                stored = prepare_segment(
                    storage.blobs,
                    message.segment_id,
                    body,
                    rewards if maker.chance() else None,
                    None,
                    Clip(data=maker.rng.bytes(9), media_type="image/webp") if maker.chance() else None,
                )
                storage.write(insert_segments, run_id, [stored]).result()
            said: list[RecordedEvent] = []
            for _ in range(maker.count(20)):
                said.append(maker.recorded(run_id, said, ids))
            journals[run_id] = said
            questions[run_id] = [maker.question(run_id, n, ids) for n in range(maker.count(5))]
        storage.write(append_journals, journals, questions).result()


def held(place: ServicePlace, run_id: str) -> tuple[list[Any], ...]:
    with place.reading() as (connection, blobs):
        return (
            list(recorded_events(connection, run_id)),
            list(recorded_segments(connection, blobs, run_id, true_rewards=True, clips=True)),
            list(recorded_questions(connection, run_id)),
        )


@pytest.mark.parametrize("seed", range(25))
def test_any_journal_comes_back_to_the_byte(seed: int, tmp_path: Path) -> None:
    maker = Maker(seed)
    run_ids = [f"run {number} {maker.name()}" for number in range(maker.count(2, 1))]
    place, fresh = (ServicePlace.of_service(tmp_path / name) for name in ("old", "new"))
    fill(place, maker, run_ids)
    token = mint(load_or_create_secret(place.secret), name="o", role="oracle")
    export_feedback(place, run_ids, tmp_path / "people", oracle_token=token, clips=True)
    import_feedback(Recording(tmp_path / "people"), fresh)
    for run_id in run_ids:
        assert held(fresh, run_id) == held(place, run_id)
    for number, run_id in enumerate(run_ids):
        export_feedback(place, [run_id], tmp_path / str(number))
        import_feedback(
            Recording(tmp_path / str(number), run_id="other"), ServicePlace.of_service(tmp_path / run_id)
        )
        events = held(ServicePlace.of_service(tmp_path / run_id), "other")[0]
        old = held(place, run_id)[0]
        assert [e.event_id for e in events] == [e.event_id for e in old]
        for ours, theirs in zip(events, old, strict=True):
            renamed = types_pb2.FeedbackEvent.FromString(ours.body)
            assert renamed.run_id == "other"
            renamed.run_id = run_id
            assert renamed == types_pb2.FeedbackEvent.FromString(theirs.body)


_KILLED = """
import os, signal, sys
from pathlib import Path
import cluster.recorded.importing as importing
from cluster.recorded.place import ServicePlace
from cluster.recorded.recording import Recording

name, when, count = sys.argv[3], sys.argv[4], int(sys.argv[5])
original = getattr(importing, name)
calls = 0

def killing(*args, **kwargs):
    global calls
    calls += 1
    if when == "after":
        result = original(*args, **kwargs)
    if calls == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return result if when == "after" else original(*args, **kwargs)

importing._TOGETHER = 4
setattr(importing, name, killing)
importing.import_feedback(Recording(Path(sys.argv[1])), ServicePlace.of_service(Path(sys.argv[2])))
"""


@pytest.mark.parametrize(
    ("name", "when", "count"),
    [
        ("prepare_runs", "after", 1),
        ("_insert", "before", 1),
        ("_insert", "after", 2),
        ("_insert", "before", 3),
        ("append_journals", "before", 1),
        ("append_journals", "after", 1),
    ],
)
def test_killed_in_the_middle_it_goes_on_the_next_time(
    name: str, when: str, count: int, tmp_path: Path
) -> None:
    place, fresh = (ServicePlace.of_service(tmp_path / part) for part in ("old", "new"))
    maker, events, run_ids = Maker(0), 0, ["one", "two"]
    fill(place, maker, run_ids)
    events = sum(len(held(place, run_id)[0]) for run_id in run_ids)
    assert events > 4
    export_feedback(place, run_ids, tmp_path / "people")
    arguments = [str(tmp_path / "people"), str(fresh.folder), name, when, str(count)]
    done = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    # Segments that nobody names count for nothing.
    assert [event for run_id in run_ids for event in held(fresh, run_id)[0]] == []
    assert import_feedback(Recording(tmp_path / "people"), fresh).new_events == events
    for run_id in run_ids:
        (ours, segments, asked), (theirs, old, questions) = held(fresh, run_id), held(place, run_id)
        assert (ours, asked) == (theirs, questions)
        assert [one.message for one in segments] == [one.message for one in old]


def test_a_task_that_is_known_by_another_fingerprint_is_refused(tmp_path: Path) -> None:
    place, fresh = (ServicePlace.of_service(tmp_path / name) for name in ("old", "new"))
    fill(place, Maker(1), ["run"])
    export_feedback(place, ["run"], tmp_path / "people")
    with fresh.writing() as storage:
        other = Task(task_id=TASK.task_id, name=TASK.name, fingerprint="{}")
        storage.write(prepare_runs, other, {}).result()
    with pytest.raises(ConfigError, match="known with another name or fingerprint"):
        import_feedback(Recording(tmp_path / "people"), fresh)
    taken = ServicePlace.of_service(tmp_path / "taken")
    with taken.writing() as storage:
        elsewhere = Task(task_id="elsewhere", name="Elsewhere-v0", fingerprint="{}")
        storage.write(prepare_runs, elsewhere, {"run": []}).result()
    with pytest.raises(ConfigError, match="run run is there already and is of task elsewhere"):
        import_feedback(Recording(tmp_path / "people"), taken)
