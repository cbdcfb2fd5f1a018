"""Rows of progress: written everywhere, read back, and not doubled when a run goes on."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.metrics import DriverMetrics
from cluster.runs.folder import RunFolder
from cluster.runs.progress import ProgressRow, ProgressWriter, read_progress, read_status, scalars
from hitl.errors import StorageError


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "run", datetime(2026, 1, 2, tzinfo=UTC))


def row(env_steps: int) -> ProgressRow:
    return ProgressRow(
        time=1000.0 + env_steps,
        wall_seconds=env_steps / 10,
        phase="learning",
        env_steps=env_steps,
        true_return=float(env_steps),
        losses={"policy": 0.5},
    )


def write(folder: RunFolder, *steps: int, resume_from: int | None = None) -> None:
    with ProgressWriter(folder, metrics=DriverMetrics(), resume_from_env_steps=resume_from) as writer:
        for env_steps in steps:
            writer.write(row(env_steps))


def steps(folder: RunFolder) -> list[int]:
    return [row.env_steps for row in read_progress(folder)]


def test_rows_are_read_back_as_written(folder: RunFolder) -> None:
    assert read_progress(folder) == []
    assert read_status(folder) is None
    write(folder, 10, 20)
    assert read_progress(folder) == [row(10), row(20)]
    assert read_status(folder) == row(20)


def test_rows_after_the_checkpoint_are_cut_off_on_resume(folder: RunFolder) -> None:
    write(folder, 10, 20, 30)
    write(folder, 25, 35, resume_from=20)
    assert steps(folder) == [10, 20, 25, 35]
    write(folder, 10)
    assert steps(folder) == [10]


def test_a_torn_last_line_is_left_out_and_repaired(folder: RunFolder) -> None:
    write(folder, 10, 20)
    with folder.progress_file.open("a") as file:
        file.write('{"time": 1, "wall_sec')
    assert steps(folder) == [10, 20]
    write(folder, 30, resume_from=20)
    assert steps(folder) == [10, 20, 30]


def test_a_damaged_line_in_the_middle_is_named(folder: RunFolder) -> None:
    write(folder, 10)
    folder.progress_file.write_text("nonsense\n" + folder.progress_file.read_text())
    with pytest.raises(StorageError, match="line 1 is no row of progress"):
        read_progress(folder)


def test_fields_of_a_later_version_are_left_out(folder: RunFolder) -> None:
    write(folder, 10)
    content = row(10).to_json() | {"invented_later": 1}
    folder.progress_file.write_text(json.dumps(content) + "\n")
    assert read_progress(folder) == [row(10)]


def test_tensorboard_gets_every_number(folder: RunFolder) -> None:
    write(folder, 10, 20)
    seen = set(_scalars(folder))
    assert {(10, "return/true", 10.0), (20, "return/true", 20.0), (20, "loss/policy", 0.5)} <= seen
    assert {tag for _, tag, _ in seen} == set(scalars(row(10)))


def test_every_field_has_a_tag() -> None:
    full = ProgressRow(
        time=0, wall_seconds=0, phase="done", true_return=0, predicted_return=0,
        heldout_accuracy=0, heldout_log_loss=0, train_accuracy=0, signal_accuracy=0, correction_accuracy=0,
        fresh_accuracy=0, fresh_log_loss=0, calibration_error=0,
        losses={"value": 0}, risk=0, expert_share=0, delays={"ann": 0},
        teacher_agreement=0, plain_heldout_accuracy=0, plain_heldout_log_loss=0,
        teachers=[{"teacher_id": "ann", "answers": 1, "weight": None}],
        kinds={"goals": {"count": 3}}, lost_environments={"error": 0}, dropped_rollouts={"stale": 0},
        policy_disagreement=0, saturated_share=0, alarms={"agreement": 0}, alarm_env_steps=0,
    )  # fmt: skip
    assert len(scalars(full)) == len(full.to_json()) - len({"time", "phase", "env_steps", "reliability"})


def test_reading_progress_needs_no_torch() -> None:
    program = (
        "import sys, cluster.runs.progress, cluster.runs.report\n"
        "sys.exit(bool({'torch', 'ray', 'matplotlib', 'tensorboardX'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def _scalars(folder: RunFolder) -> Iterator[tuple[int, str, float]]:
    """Read the event files: records of an 8-byte length, 4 bytes of its checksum, the data, 4 more."""
    from tensorboardX.proto.event_pb2 import Event

    for path in folder.tensorboard.iterdir():
        data, position = path.read_bytes(), 0
        while position < len(data):
            length = int.from_bytes(data[position : position + 8], "little")
            event = Event.FromString(data[position + 12 : position + 12 + length])
            yield from ((event.step, value.tag, value.simple_value) for value in event.summary.value)
            position += 12 + length + 4
