"""Starts the processes of a run, keeps them alive, and ends them in order.

    service   the run's own feedback service, if it needs one
    driver    the learning; its exit code says how the run ended
    teachers  the simulated ones that the run file asks for

The parent has one thread and imports neither torch nor Ray.
"""

import enum
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from cluster.cli.supervision.keeper import Keeper, State
from cluster.cli.supervision.launch import Commands, ServiceAddresses
from cluster.cli.supervision.processes import Child, Command, wait_for_all
from cluster.runs.folder import RunFolder, read_json
from cluster.runs.progress import ProgressRow, read_status
from hitl.errors import ConfigError, HandrailError

_TICK_SECONDS = 0.05
_SERVICE_START_SECONDS = 60.0
_DRIVER_END_SECONDS = 30.0
_TEACHERS_END_SECONDS = 5.0
_SERVICE_END_SECONDS = 15.0
_MISTAKE_CODE = 2


class DriverCode(enum.IntEnum):
    """How a driver says that it ended; anything else is a crash."""

    DONE = 0
    MISTAKE = 2
    """A ConfigError; the last `error: ` in its log is the message."""
    STOPPED = 3
    """SIGTERM, after a checkpoint."""
    REFUSED = 4
    """A newer driver has opened the run."""


class Ending(enum.Enum):
    """How the supervision of a run ended."""

    DONE = "done"
    MISTAKE = "mistake"
    STOPPED = "stopped"
    REFUSED = "refused"
    CRASHED = "crashed"
    KILLED = "killed"
    """By a second signal, without waiting for a checkpoint."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the supervision of a run ended, and why."""

    ending: Ending
    message: str = ""
    signal: int = 0
    """That ended it, if one did."""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A process, for the live view."""

    name: str
    state: State
    restarts: int


class View(Protocol):
    """Somebody who watches."""

    def show(self, row: ProgressRow | None, processes: list[ProcessState]) -> None:
        """Show how the run is going; called often."""
        ...

    def note(self, text: str) -> None:
        """Say something that happened."""
        ...


class Supervisor:
    """Supervises one run from its start to its end."""

    def __init__(
        self,
        folder: RunFolder,
        commands: Commands,
        view: View,
        *,
        on_ready: Callable[[ServiceAddresses | None], None] = lambda addresses: None,
    ) -> None:
        """Prepare.

        Args:
            folder: of the run; its logs go there.
            commands: what to start.
            view: shows it.
            on_ready: is told where the service listens, once, before the driver starts.
        """
        self._folder, self._commands, self._view, self._on_ready = folder, commands, view, on_ready
        self._signals: list[int] = []
        self._service: Keeper | None = None
        self._driver: Keeper | None = None
        self._teachers: list[Keeper] = []
        self._row: ProgressRow | None = None
        self._announced: set[str] = set()

    def run(self) -> Outcome:
        """Start everything, wait for the end, and leave no process behind.

        Must be called in the main thread: it handles SIGINT and SIGTERM meanwhile.
        """
        with self._handling_signals():
            try:
                outcome = self._supervise()
                return self._end(outcome)
            except ConfigError as error:
                return Outcome(Ending.MISTAKE, str(error))
            finally:
                for keeper in self._keepers():
                    keeper.child.kill()

    def _supervise(self) -> Outcome | None:
        """Return how the run ended by itself; None where a signal ended it."""
        addresses = self._start_service()
        if self._signals:
            return None
        self._on_ready(addresses)
        self._folder.driver_file.unlink(missing_ok=True)
        codes = frozenset(DriverCode)
        self._driver = self._keep(
            "driver", lambda: self._commands.driver(addresses), lambda row: row.env_steps, codes
        )
        self._teachers = [
            self._keep(f"teacher-{number}", _constant(command), _said, frozenset({0}))
            for number, command in enumerate(self._commands.teachers(addresses))
        ]
        while not self._signals:
            self._look()
            if self._driver.state == "ended":
                return _driver_outcome(self._driver.child)
            for teacher in self._teachers:
                if teacher.child.exit_code() == _MISTAKE_CODE:
                    return Outcome(Ending.MISTAKE, f"{teacher.name}: {teacher.child.error_message()}")
            for keeper in self._keepers():
                keeper.tend()
                if keeper.state == "given up":
                    return Outcome(Ending.CRASHED, keeper.obituary())
            time.sleep(_TICK_SECONDS)
        return None

    def _start_service(self) -> ServiceAddresses | None:
        """Start the service if the run has one of its own, and wait until calls are served."""
        command = self._commands.service(None)
        if command is None:
            return self._commands.foreign_service
        self._folder.service_file.unlink(missing_ok=True)
        found: list[ServiceAddresses] = []

        def start_again() -> Command:
            return self._commands.service(found[0]) or command if found else command

        self._service = self._keep(
            "service", start_again, lambda row: row.env_steps + row.comparisons, frozenset()
        )
        end = time.monotonic() + _SERVICE_START_SECONDS
        while not self._signals:
            self._look()
            if ready := read_json(self._folder.service_file):
                found.append(ServiceAddresses(ready["address"], ready.get("metrics_address")))
                return found[0]
            if self._service.child.exit_code() == _MISTAKE_CODE:
                raise ConfigError(self._service.child.error_message())
            self._service.tend()
            if self._service.state == "given up" or time.monotonic() > end:
                words = self._service.child.error_message()
                raise ConfigError(f"the feedback service does not start: {words}")
            time.sleep(_TICK_SECONDS)
        return None

    def _keep(
        self,
        name: str,
        command: Callable[[], Command],
        measure: Callable[[ProgressRow], float],
        final_codes: frozenset[int],
    ) -> Keeper:
        return Keeper(
            name,
            command,
            self._folder.log(name),
            final_codes=frozenset(int(code) for code in final_codes),
            progress=lambda: measure(self._row) if self._row else 0,
            note=self._view.note,
        )

    def _end(self, outcome: Outcome | None) -> Outcome:
        """End the processes in order; after a signal, say what it brought about."""
        number = self._signals[0] if self._signals else 0
        if self._driver is not None and self._driver.child.exit_code() is None:
            self._view.note("stopping: the driver makes a checkpoint")
            self._stop([self._driver], _DRIVER_END_SECONDS)
        # A signal may come just when the run is done anyway.
        done = self._driver is not None and self._driver.child.exit_code() == DriverCode.DONE
        outcome = outcome or (Outcome(Ending.DONE) if done else None)
        self._stop(self._teachers, _TEACHERS_END_SECONDS)
        if self._service is not None:
            self._stop([self._service], _SERVICE_END_SECONDS)
        if len(self._signals) > 1:
            return Outcome(Ending.KILLED, signal=number)
        return outcome or Outcome(Ending.STOPPED, signal=number)

    def _stop(self, keepers: list[Keeper], seconds: float) -> None:
        """Ask processes to end, and kill them when they take too long or a second signal comes."""
        children = [keeper.child for keeper in keepers]
        for child in children:
            if child.exit_code() is None:
                child.terminate()

        def still_patient() -> bool:
            self._look()
            return len(self._signals) < 2

        if not wait_for_all(children, seconds, meanwhile=still_patient):
            for child in children:
                child.kill()

    def _look(self) -> None:
        with suppress(HandrailError):
            self._row = read_status(self._folder) or self._row
            if self._driver is not None:
                self._announce_driver(read_json(self._folder.driver_file) or {})
        states = [ProcessState(keeper.name, keeper.state, keeper.restarts) for keeper in self._keepers()]
        self._view.show(self._row, states)

    def _announce_driver(self, ready: Mapping[str, Any]) -> None:
        address, device = ready.get("metrics_address"), ready.get("learner_device")
        notes = [f"metrics    http://{address}/metrics (driver)"] if address else []
        notes += [f"learner    on {device}"] if device else []
        for note in notes:
            if note not in self._announced:
                self._announced.add(note)
                self._view.note(note)

    def _keepers(self) -> list[Keeper]:
        return [keeper for keeper in (self._service, self._driver) if keeper] + self._teachers

    @contextmanager
    def _handling_signals(self) -> Iterator[None]:
        def remember(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)

        before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _driver_outcome(driver: Child) -> Outcome:
    code = driver.exit_code()
    if code == DriverCode.MISTAKE:
        return Outcome(Ending.MISTAKE, driver.error_message())
    if code == DriverCode.REFUSED:
        return Outcome(Ending.REFUSED, "a newer driver has opened this run, so this one has stopped")
    return Outcome(Ending.DONE if code == DriverCode.DONE else Ending.STOPPED)


def _said(row: ProgressRow) -> float:
    """How much teachers have said, by which one that dies now and then is told from one that only dies."""
    return row.comparisons + row.signals + row.corrections


def _constant(command: Command) -> Callable[[], Command]:
    return lambda: command
