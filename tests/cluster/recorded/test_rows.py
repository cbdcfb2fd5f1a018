"""Tables of recorded feedback that other tools have written, and what is wrong with them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from cluster.cli.main import main
from cluster.recorded import layout
from cluster.recorded.importing import import_feedback
from cluster.recorded.place import ServicePlace
from cluster.recorded.recording import Recording
from hitl.errors import ConfigError
from hitl.events import Choice, Comparison, Relabel, Retraction, Task
from hitl.storage.segments import known_segments
from hitl.storage.storage import database_path
from hitl.wire.events import encode_event
from tests.cluster.recorded.tables import HEADER, TOLD, events, segments, write

Rows = list[dict[str, Any]]


def test_comparisons_and_segments_are_enough(tmp_path: Path) -> None:
    folder = write(tmp_path / "people")
    (first, (one, other)), (second, _) = Recording(folder).entries()
    assert first.event == Comparison(
        run_id="people", question_id="row-0", event_id="row-0", choice=Choice.FIRST
    )
    assert second.event == Comparison(
        run_id="people", question_id="row-1", event_id="row-1", choice=Choice.TIE
    )
    assert (first.offset, second.offset, first.teacher_id) == (0, 1, "recorded")
    assert one.segment_id == "a"
    assert one.observations["obs"].tolist() == [[0.5], [1.0]]
    assert other.actions.tolist() == [3, 2, 1]
    assert (other.address.task_id, other.address.run_id, other.address.episode) == ("four", "people", 1)
    assert (other.address.begin, other.address.end) == (0, 3)
    place = ServicePlace.of_service(tmp_path / "fresh")
    for new in (2, 0):
        assert import_feedback(Recording(folder), place).new_events == new


def test_what_is_said_beside_them_counts_too(tmp_path: Path) -> None:
    moment = datetime(2026, 3, 4, 5, 6, 7, 890, tzinfo=UTC)
    said: Rows = [
        {
            "run_id": "r",
            "teacher_id": "t",
            "event_id": "e",
            "question_id": "q",
            "record_time": moment,
            "offset": 4,
            **events()[0],
        },
        {"run_id": "r", "teacher_id": "t", "kind": "retraction", "retracted_event_id": "e", "offset": 9},
    ]
    told = [{"run_id": "r", "episode": 3, "begin": 5, "source": "s", **s} for s in segments()]
    folder = write(tmp_path / "people", events=said, segments=told)
    (first, (one, _)), (second, none) = Recording(folder).entries()
    assert first.event == Comparison(run_id="r", question_id="q", event_id="e", choice=Choice.FIRST)
    assert (first.record_time, first.offset, second.offset) == (moment, 0, 1)
    assert second.event == Retraction(run_id="r", event_id="row-1", retracted_event_id="e")
    assert none == []
    assert (one.address.source, one.address.episode, one.address.begin, one.address.end) == ("s", 3, 5, 7)


def test_arrays_may_be_bytes_or_lists_of_any_width(tmp_path: Path) -> None:
    lists = pa.array([[[1.5], [2.5]]], pa.list_(pa.list_(pa.float32())))
    array = np.array([[1.5], [2.5]], np.float32)
    told = {"dtype": "float32", "shape": [2, 1], "data": array.tobytes()}
    for number, column in enumerate((lists, pa.array([told], layout.TENSOR))):
        folder = write(tmp_path / str(number), events=[])
        table = pa.table({"segment_id": ["a"], "observations": column, "actions": [[0, 1]]})
        pq.write_table(table, folder / layout.SEGMENTS)
        (piece,) = Recording(folder).segments()
        assert piece.segment.observations["obs"].tolist() == array.tolist()


def test_the_task_is_that_of_the_header_or_of_a_run_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump({"environment": {"id": "tests.cluster.demonstrations.datasets:Four"}}))
    bare, into = write(tmp_path / "bare", header=None), ["--folder", str(tmp_path / "fresh")]
    assert main(["feedback", "import", str(bare), *into]) == 2
    assert "--task" in capsys.readouterr().err
    assert not (tmp_path / "fresh").exists()
    assert main(["feedback", "import", str(bare), "--task", str(run_file), *into]) == 0
    assert main(["feedback", "list", *into]) == 0
    assert "tests.cluster.demonstrations.datasets:Four" in capsys.readouterr().out
    other = write(tmp_path / "other")
    assert main(["feedback", "import", str(other), "--task", str(run_file), *into]) == 2
    assert "about another task, Four-v0" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="about another task"):
        Recording(other, task=Task(task_id="four", name="Four-v0", fingerprint="{}"))


def _changed(rows: Callable[[], Rows], row: int, **values: Any) -> Rows:
    changed = rows()
    changed[row] = changed[row] | values
    return changed


def _event(**changes: Any) -> Rows:
    return _changed(events, 1, **changes)


def _segment(**changes: Any) -> Rows:
    return _changed(segments, 1, **changes)


_SAID = encode_event(Comparison(run_id="people", question_id="q", event_id="e", choice=Choice.TIE))
_ELSEWHERE = encode_event(Relabel(run_id="people", question_id="q", event_id="e", step=2, answer=np.array(1)))
_MALFORMED = encode_event(Retraction(run_id="people", event_id="e", retracted_event_id="x" * 201))
_TWICE = [{**event, "event_id": "e", "teacher_id": "t"} for event in events()]
_REWARDS = [{"segment_id": "b", "true_rewards": [1.0, 2.0, 3.0]}]


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ({"events": _event(choice="best")}, "events.parquet: row 1, column choice: 'best' is none of first"),
        ({"events": _event(choice=None)}, "events.parquet: row 1, column choice: it is empty"),
        ({"events": _event(segment_ids=["b", "d"])}, "row 1, column segment_ids: .* has no segment d"),
        ({"events": _event(segment_ids=["b", "b"])}, "row 1, column segment_ids: .* two different"),
        ({"events": _event(segment_ids=["b"])}, "row 1, column segment_ids: .* two different"),
        ({"events": _event(segment_ids=["b", None])}, "row 1, column segment_ids"),
        ({"events": _event(segment_ids=None)}, "row 1, column segment_ids"),
        ({"events": _event(run_id="other")}, "row 1, column segment_ids: run other has no segment"),
        ({"events": _event(kind="signal")}, "row 1, column message: it is empty, .* this is a signal"),
        ({"events": _event(kind="retraction")}, "row 1, column retracted_event_id: it is empty"),
        (
            {"events": _event(kind="retraction", retracted_event_id="e")},
            "row 1, column retracted_event_id: .* no e",
        ),
        ({"events": _event(teacher_id="x" * 201)}, "row 1, column teacher_id"),
        ({"events": _event(event_id="line\n")}, "row 1, column event_id"),
        ({"events": _event(question_id="\t")}, "row 1, column question_id"),
        ({"events": _event(run_id="\t")}, "row 1, column run_id"),
        ({"events": _TWICE}, "row 1, column event_id: t has an event e already"),
        ({"events": [e | {"offset": 3} for e in events()]}, "row 1, column offset: 3 is not above"),
        ({"events": [e | {"offset": n + 0.5} for n, e in enumerate(events())]}, "row 0, column offset: 0.5"),
        ({"events": _event(message=b"\xff")}, "row 1, column message: it is no FeedbackEvent"),
        ({"events": _event(message=b"")}, "row 1, column message: run_id"),
        (
            {"events": _event(message=_MALFORMED.SerializeToString(), choice=None)},
            "row 1, column message: .*retracted",
        ),
        (
            {"events": _event(message=_SAID.SerializeToString(), choice="first")},
            "row 1, column choice: 'first', but the column message says 'tie'",
        ),
        (
            {"events": _event(message=_SAID.SerializeToString(), kind="signal", choice=None)},
            "row 1, column kind",
        ),
        ({"events": _event(message=_SAID.SerializeToString(), event_id="f")}, "row 1, column event_id"),
        ({"events": _event(message=_SAID.SerializeToString(), run_id="f")}, "row 1, column run_id"),
        (
            {"events": _event(message=_ELSEWHERE.SerializeToString(), segment_ids=["c"], choice=None)},
            "row 1, column segment_ids: step 2 is not in one segment",
        ),
        ({"segments": _segment(segment_id=None)}, "segments.parquet: row 1, column segment_id: it is empty"),
        ({"segments": _segment(segment_id="a")}, "row 1, column segment_id: run people has a segment a"),
        ({"segments": _segment(segment_id="\n")}, "row 1, column segment_id"),
        ({"segments": _segment(actions=[1, 2])}, "row 1, column observations: shape .3, 1. .* 2 steps"),
        ({"segments": _segment(end=2)}, "row 1, column actions: shape .3,. does not begin with .* 2 steps"),
        ({"segments": _segment(begin=-1)}, "row 1, column segment_id: segment.address.begin"),
        ({"segments": _segment(actions=None)}, "row 1, column actions: it is empty"),
        ({"segments": _segment(actions=[])}, "row 1, column actions"),
        ({"segments": _segment(observations=None)}, "row 1, column observations: it is empty"),
        (
            {"segments": _segment(observations=[[0.0], [1.0, 2.0], [3.0]])},
            "row 1, column observations: .* length",
        ),
        ({"segments": _segment(observations=[[0.0], [None], [3.0]])}, "row 1, column observations"),
        ({"segments": _segment(message=b"\xff")}, "row 1, column message: it is no Segment"),
        (
            {"segments": [s | {"actions": 1.0} for s in segments()]},
            "segments.parquet: column actions: double",
        ),
        ({"segments": [s | {"episode": "one"} for s in segments()]}, "row 0, column episode: 'one'"),
        (
            {"true_rewards": [_REWARDS[0] | {"segment_id": "d"}]},
            "true_rewards.parquet: row 0, column segment_id: 'd'",
        ),
        ({"true_rewards": [_REWARDS[0] | {"segment_id": "a"}]}, "row 0, column true_rewards"),
        ({"true_rewards": _REWARDS * 2}, "row 1, column segment_id"),
        (
            {"clips": [{"segment_id": "a", "data": b"x", "media_type": "text/html"}]},
            "clips.parquet: row 0, column data",
        ),
        (
            {"questions": [{"message": b"\xff"}]},
            "questions.parquet: row 0, column message: it is no Question",
        ),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    tables: dict[str, Rows], complaint: str, tmp_path: Path
) -> None:
    folder, place = write(tmp_path / "people", **tables), ServicePlace.of_service(tmp_path / "fresh")
    with pytest.raises(ConfigError, match=complaint):
        import_feedback(Recording(folder), place)
    assert not place.folder.exists()


def test_true_rewards_of_some_segments_are_taken(tmp_path: Path) -> None:
    folder = write(tmp_path / "people", true_rewards=_REWARDS)
    assert [piece.true_rewards is not None for piece in Recording(folder).segments()] == [False, True, False]


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("{", "recorded.json cannot be read"),
        ("[]", '"format" is not'),
        (json.dumps({"version": 1}), '"format" is not'),
        (json.dumps(HEADER | {"version": 2}), "version 2 of the layout"),
        (json.dumps(HEADER | {"version": None}), "version None"),
        (json.dumps(HEADER | {"task": {"name": "x"}}), '"task" needs'),
        (json.dumps(HEADER | {"task": TOLD | {"task_id": 3}}), '"task" needs'),
        (json.dumps(HEADER | {"runs": "r"}), '"runs" is not a list'),
    ],
)
def test_a_header_that_is_none_is_refused(header: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Recording(write(tmp_path / "people", header=header))


def test_a_table_that_is_newer_or_damaged_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "people")
    table = pq.read_table(folder / layout.EVENTS)
    pq.write_table(table.replace_schema_metadata({"handrail.version": "2"}), folder / layout.EVENTS)
    with pytest.raises(ConfigError, match=r"events.parquet: version 2 of the layout"):
        Recording(folder).check()
    (folder / layout.EVENTS).write_bytes(b"PAR1 and no more")
    with pytest.raises(ConfigError, match=r"events.parquet cannot be read"):
        Recording(folder).check()
    with pytest.raises(ConfigError, match="holds no recorded feedback"):
        Recording(tmp_path)


def test_several_runs_cannot_have_one_other_name(tmp_path: Path) -> None:
    told = [s | {"run_id": f"run-{number}"} for number, s in enumerate(segments())]
    folder, place = write(tmp_path / "people", segments=told, events=[]), tmp_path / "fresh"
    with pytest.raises(ConfigError, match="run-0, run-1 cannot all be called one; leave --as out"):
        import_feedback(Recording(folder, run_id="one"), ServicePlace.of_service(place))
    assert not database_path(place).exists()


def test_a_run_with_other_feedback_gets_no_segments_either(tmp_path: Path) -> None:
    place, more = (
        ServicePlace.of_service(tmp_path / "fresh"),
        [*segments(), segments()[0] | {"segment_id": "new"}],
    )
    told = [event | {"run_id": "r"} for event in events()]
    rows = [segment | {"run_id": "r"} for segment in more]
    import_feedback(Recording(write(tmp_path / "people", events=told, segments=rows[:3])), place)
    for other in ([told[1], told[0]], [told[0] | {"choice": "second"}], [told[0] | {"teacher_id": "t"}]):
        folder = write(tmp_path / "other", events=other, segments=rows)
        with pytest.raises(ConfigError, match="run r is there already and holds other feedback"):
            import_feedback(Recording(folder), place)
        with place.reading() as (connection, _):
            assert known_segments(connection, "r", ["a", "new"]) == {"a"}
    assert (
        import_feedback(Recording(write(tmp_path / "people", events=told, segments=rows)), place).new_segments
        == 1
    )
