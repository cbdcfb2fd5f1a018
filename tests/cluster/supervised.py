"""Small real processes in the place of service, driver and teachers, and a parent that supervises them.

Each writes what happens to it, one line at a time, into `events` in the run's folder.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.cli.supervision.launch import ServiceAddresses
from cluster.cli.supervision.processes import Command
from cluster.cli.supervision.supervisor import Outcome, ProcessState, Supervisor
from cluster.runs.folder import RunFolder
from cluster.runs.progress import ProgressRow

_COMMON = """
import json, os, signal, sys, time
name, folder, mode = sys.argv[1:4]
def say(what):
    with open(f"{folder}/events", "a") as file:
        file.write(f"{name} {what} {os.getpid()}\\n")
def replace(path, content):
    with open(path + ".draft", "w") as file:
        json.dump(content, file)
    os.replace(path + ".draft", path)
def progress(env_steps):
    replace(f"{folder}/status.json", dict(
        time=time.time(), wall_seconds=0, phase="learning", env_steps=env_steps, comparisons=env_steps))
def starts():
    return open(f"{folder}/events").read().count(f"{name} starts")
def end_on_sigterm(code):
    def end(*_):
        say("gets SIGTERM")
        sys.exit(code)
    signal.signal(signal.SIGTERM, end)
def sleep():
    while True:
        time.sleep(60)
"""

_SERVICE = """
end_on_sigterm(0)
say("starts")
if mode == "mistake":
    print("error: port 7 is in use", file=sys.stderr)
    sys.exit(2)
port = int(sys.argv[4]) or 4710 + starts()
replace(f"{folder}/service.json", dict(address=f"127.0.0.1:{port}", metrics_address="127.0.0.1:4712"))
say(f"listens on {port}")
sleep()
"""

_DRIVER = """
end_on_sigterm(3)
say("starts")
if mode == "done":
    progress(100)
    replace(f"{folder}/summary.json", dict(
        run_id=os.path.basename(folder), env_steps=100, wall_seconds=1.0, true_return_mean=480.0))
elif mode == "leaves no summary":
    progress(100)
elif mode == "mistake":
    print("warning: something else", file=sys.stderr)
    print("error: environment.id: there is no NoSuch-v0", file=sys.stderr)
    sys.exit(2)
elif mode == "refused":
    sys.exit(4)
elif mode == "dies once":
    if starts() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
elif mode == "crashes":
    print(f"boom {starts()}", file=sys.stderr)
    sys.exit(1)
elif mode == "crashes on its way":
    progress(starts())
    if starts() < 8:
        sys.exit(1)
elif mode == "idle":
    sleep()
elif mode == "waits":
    progress(1)
    sleep()
elif mode == "stubborn":
    signal.signal(signal.SIGTERM, lambda *_: say("ignores SIGTERM"))
    progress(1)
    sleep()
"""

_TEACHER = """
end_on_sigterm(0)
say("starts")
if mode == "mistake":
    print("error: judge 'nope' is no module:Class", file=sys.stderr)
    sys.exit(2)
elif mode == "dies and speaks":
    replace(f"{folder}/status.json", dict(
        time=time.time(), wall_seconds=0, phase="learning", env_steps=1, **{sys.argv[4]: starts()}))
    # The parent reads it before it looks after us.
    time.sleep(0.2)
    if starts() < 8:
        sys.exit(1)
    os.kill(os.getppid(), signal.SIGTERM)
sleep()
"""


class Scripts:
    """What the supervisor starts: the scripts above, each in a mode."""

    foreign_service: ServiceAddresses | None = None

    def __init__(
        self,
        folder: Path,
        *,
        driver: str,
        service: str | None = "serves",
        teachers: int = 2,
        teacher: tuple[str, ...] = ("",),
    ) -> None:
        self._folder, self._driver, self._service, self._teachers = folder, driver, service, teachers
        self._teacher = teacher

    def service(self, before: ServiceAddresses | None) -> Command | None:
        if self._service is None:
            return None
        port = before.teaching.rpartition(":")[2] if before else "0"
        return self._command(_SERVICE, "service", self._service, port)

    def driver(self, service: ServiceAddresses | None) -> Command:
        return self._command(_DRIVER, "driver", self._driver)

    def teachers(self, service: ServiceAddresses | None) -> list[Command]:
        return [
            self._command(_TEACHER, f"teacher-{number}", *self._teacher) for number in range(self._teachers)
        ]

    def _command(self, script: str, name: str, mode: str, *rest: str) -> Command:
        arguments = (sys.executable, "-S", "-c", _COMMON + script, name, str(self._folder), mode, *rest)
        return Command(arguments)


class Notes:
    """A view that remembers what it is told."""

    def __init__(
        self, on_show: Callable[[ProgressRow | None, list[ProcessState]], Any] | None = None
    ) -> None:
        self.notes: list[str] = []
        self._on_show = on_show

    def show(self, row: ProgressRow | None, processes: list[ProcessState]) -> None:
        if self._on_show:
            self._on_show(row, processes)

    def note(self, text: str) -> None:
        self.notes.append(text)


def supervise(folder: RunFolder, scripts: Scripts, view: Notes | None = None) -> Outcome:
    return Supervisor(folder, scripts, view or Notes()).run()


def events(folder: RunFolder) -> list[str]:
    """What happened, without the process ids."""
    return [line.rpartition(" ")[0] for line in _lines(folder)]


def pids(folder: RunFolder) -> list[int]:
    """Every process that was started."""
    return [int(line.rpartition(" ")[2]) for line in _lines(folder) if " starts " in line]


def _lines(folder: RunFolder) -> list[str]:
    path = folder.path / "events"
    return path.read_text().splitlines() if path.exists() else []


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def main() -> int:
    folder = RunFolder(Path(sys.argv[1]))
    outcome = supervise(folder, Scripts(folder.path, driver=sys.argv[2]))
    print(outcome.ending.value, outcome.signal)
    return 0


if __name__ == "__main__":
    sys.exit(main())
