"""The parent of a run, with real children: what dies comes back, and what ends, ends in order."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from cluster.cli.supervision import keeper
from cluster.cli.supervision.supervisor import Ending, ProcessState
from cluster.runs.folder import RunFolder
from cluster.runs.progress import ProgressRow
from tests.cluster.supervised import Notes, Scripts, events, pids, supervise, wait_until


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "run", datetime(2026, 1, 2, tzinfo=UTC))


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_FIRST_PAUSE_SECONDS", 0.001)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_run_that_is_done_ends_teachers_then_service(folder: RunFolder) -> None:
    outcome = supervise(folder, Scripts(folder.path, driver="done"))
    assert outcome.ending is Ending.DONE
    happened = events(folder)
    assert happened.index("service listens on 4711") < happened.index("driver starts")
    assert happened[-1] == "service gets SIGTERM"
    assert not any(map(alive, pids(folder)))


def test_a_run_without_people_starts_the_driver_alone(folder: RunFolder) -> None:
    assert (
        supervise(folder, Scripts(folder.path, driver="done", service=None, teachers=0)).ending is Ending.DONE
    )
    assert events(folder) == ["driver starts"]


def test_a_killed_driver_comes_back(folder: RunFolder) -> None:
    view = Notes()
    assert supervise(folder, Scripts(folder.path, driver="dies once"), view).ending is Ending.DONE
    assert events(folder).count("driver starts") == 2
    assert any("driver died (SIGKILL)" in note for note in view.notes)


def test_killed_service_and_teacher_come_back_and_the_service_keeps_its_port(folder: RunFolder) -> None:
    killed: set[str] = set()

    def disturb(row: ProgressRow | None, processes: list[ProcessState]) -> None:
        happened = events(folder)
        if len(happened) < 5:
            return
        for name in ("service", "teacher-0"):
            if name not in killed:
                killed.add(name)
                os.kill(next(p for p, e in zip(pids(folder), _starts(folder), strict=True) if e == name), 9)
        back = happened.count("service listens on 4711") == 2 and happened.count("teacher-0 starts") == 2
        if back and "stop" not in killed:
            killed.add("stop")
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = supervise(folder, Scripts(folder.path, driver="waits"), Notes(disturb))
    assert (outcome.ending, outcome.signal) == (Ending.STOPPED, signal.SIGTERM)
    assert events(folder).count("driver starts") == 1


def _starts(folder: RunFolder) -> list[str]:
    return [event.removesuffix(" starts") for event in events(folder) if event.endswith(" starts")]


@pytest.mark.usefixtures("short_pauses")
def test_a_driver_that_only_crashes_is_given_up_with_its_last_words(folder: RunFolder) -> None:
    view = Notes()
    outcome = supervise(folder, Scripts(folder.path, driver="crashes", service=None, teachers=0), view)
    assert outcome.ending is Ending.CRASHED
    assert not any("checkpoint" in note for note in view.notes), "a dead driver makes none"
    assert events(folder).count("driver starts") == keeper.DEATHS_WITHOUT_PROGRESS
    assert f"boom {keeper.DEATHS_WITHOUT_PROGRESS}" in outcome.message


@pytest.mark.usefixtures("short_pauses")
def test_deaths_with_progress_in_between_are_not_counted_together(folder: RunFolder) -> None:
    outcome = supervise(folder, Scripts(folder.path, driver="crashes on its way", service=None, teachers=0))
    assert outcome.ending is Ending.DONE
    assert events(folder).count("driver starts") == 8


def test_a_mistake_of_the_driver_is_passed_on_and_not_tried_again(folder: RunFolder) -> None:
    outcome = supervise(folder, Scripts(folder.path, driver="mistake"))
    assert outcome.ending is Ending.MISTAKE
    assert outcome.message == "environment.id: there is no NoSuch-v0"
    assert events(folder).count("driver starts") == 1


def test_a_mistake_of_the_service_ends_the_run_before_the_driver(folder: RunFolder) -> None:
    outcome = supervise(folder, Scripts(folder.path, driver="done", service="mistake"))
    assert (outcome.ending, outcome.message) == (Ending.MISTAKE, "port 7 is in use")
    assert events(folder) == ["service starts"]


def test_a_mistake_of_a_teacher_ends_the_run_and_is_not_tried_again(folder: RunFolder) -> None:
    outcome = supervise(folder, Scripts(folder.path, driver="waits", teachers=1, teacher=("mistake",)))
    assert outcome.ending is Ending.MISTAKE
    assert outcome.message == "teacher-0: judge 'nope' is no module:Class"
    assert events(folder).count("teacher-0 starts") == 1


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("says", ["comparisons", "signals", "corrections"])
def test_a_teacher_that_dies_now_and_then_and_says_something_is_kept(folder: RunFolder, says: str) -> None:
    teacher = ("dies and speaks", says)
    outcome = supervise(folder, Scripts(folder.path, driver="idle", teachers=1, teacher=teacher))
    assert outcome.ending is Ending.STOPPED
    assert events(folder).count("teacher-0 starts") == 8


def test_a_refused_driver_is_not_started_again(folder: RunFolder) -> None:
    outcome = supervise(folder, Scripts(folder.path, driver="refused", service=None, teachers=0))
    assert outcome.ending is Ending.REFUSED
    assert "newer driver" in outcome.message
    assert events(folder) == ["driver starts"]


@pytest.fixture
def parent(folder: RunFolder, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A parent as a process of its own, with a driver in the mode of the test's parameter."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.supervised", str(folder.path), request.param],
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: folder.status_file.exists() and len(pids(folder)) == 4, "all have started")
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("parent", ["waits"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_driver_then_teachers_then_service(
    folder: RunFolder, parent: subprocess.Popen[str], number: signal.Signals
) -> None:
    parent.send_signal(number)
    assert parent.communicate(timeout=30)[0] == f"stopped {number.value}\n"
    ends = [event.split()[0] for event in events(folder) if event.endswith("gets SIGTERM")]
    assert (ends[0], {*ends[1:3]}, ends[3]) == ("driver", {"teacher-0", "teacher-1"}, "service")


@pytest.mark.parametrize("parent", ["stubborn"], indirect=True)
def test_a_second_signal_kills(folder: RunFolder, parent: subprocess.Popen[str]) -> None:
    parent.send_signal(signal.SIGINT)
    wait_until(lambda: "driver ignores SIGTERM" in events(folder), "the driver has heard of the first")
    assert parent.poll() is None
    parent.send_signal(signal.SIGINT)
    assert parent.communicate(timeout=30)[0] == f"killed {signal.SIGINT.value}\n"
    assert not any(map(alive, pids(folder)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
@pytest.mark.parametrize("parent", ["waits"], indirect=True)
def test_a_killed_parent_leaves_no_child(folder: RunFolder, parent: subprocess.Popen[str]) -> None:
    children = pids(folder)
    assert all(map(alive, children))
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(map(alive, children)), "all children are gone")


@pytest.mark.parametrize("parent", ["waits"], indirect=True)
def test_ctrl_c_in_the_terminal_reaches_the_parent_only(
    folder: RunFolder, parent: subprocess.Popen[str]
) -> None:
    assert all(os.getpgid(pid) != os.getpgid(parent.pid) for pid in pids(folder))
