"""A child process: started with a log file of its own, and never outliving its parent."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Command:
    """What to start; secrets belong into the environment, since everybody can read a command line."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables in addition to our own."""


class Child:
    """A process that was started."""

    def __init__(self, command: Command, log: Path) -> None:
        """Start it in a session of its own, so that the terminal's Ctrl-C reaches only the parent."""
        self._log = log
        with log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                command.arguments,
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return how it ended (minus the signal's number where one killed it); None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once, with those it started in its session."""
        if self._process.poll() is None:
            # Its process id cannot have gone to anyone else before we wait for it.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def last_words(self, lines: int) -> list[str]:
        """Return the last lines that it wrote in this life."""
        with self._log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, size - 100_000))
            return file.read().decode(errors="replace").splitlines()[-lines:]

    def error_message(self) -> str:
        """Return what it wrote from its last `error: ` on; its last line where there is none."""
        words = self.last_words(100)
        for index in range(len(words) - 1, -1, -1):
            if words[index].startswith("error: "):
                return "\n".join(words[index:]).removeprefix("error: ")
        return words[-1] if words else "it said nothing"


def ending(exit_code: int) -> str:
    """Say how a process ended."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def wait_for_all(children: list[Child], seconds: float, *, meanwhile: Callable[[], bool]) -> bool:
    """Wait until all have ended.

    Args:
        children: to wait for.
        seconds: the longest to wait.
        meanwhile: called often; False ends the waiting.

    Returns:
        Whether all have ended.
    """
    end = time.monotonic() + seconds
    while any(child.exit_code() is None for child in children):
        if time.monotonic() > end or not meanwhile():
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _die_with_parent() -> Callable[[], None]:
    """Return what a child does between fork and exec to be killed when its parent dies, however it dies.

    The kernel ties this to the thread that forks, so children are started by the main thread only; and
    everything is looked up before the fork, because after it nothing may be imported or locked.
    """
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return in_child
