"""The life of a teacher that is a process: connect, wait for the run, teach until told to stop."""

import signal
import threading
import time
from collections.abc import Callable

from hitl.client.teaching import TeacherClient
from hitl.errors import NotFound, Unavailable

POLL_SECONDS = 1.0
"""The longest wait in one go: short, so that a signal is heard soon."""
_LOOK_SECONDS = 0.2


def run_until_stopped(
    address: str,
    token: str,
    run_id: str,
    teach: Callable[[TeacherClient, threading.Event], None],
    *,
    stop: threading.Event | None,
    patience_seconds: float,
    wait_for_run_seconds: float,
) -> int:
    """Teach until SIGTERM, SIGINT or `stop`.

    Args:
        address: host:port of the service.
        token: of the teacher.
        run_id: the run to teach; it may be opened later.
        teach: returns soon after the event that it is given is set.
        stop: ends it, from another thread.
        patience_seconds: how long to look for a service that does not answer.
        wait_for_run_seconds: how long to wait for the run to be opened.

    Returns:
        The exit code, 0.

    Raises:
        RequestError: the service refused, or could not be reached for `patience_seconds`.
    """
    stop = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    with TeacherClient(address, token, patience_seconds=patience_seconds, stop=stop) as client:
        try:
            _wait_for_run(client, run_id, stop, wait_for_run_seconds)
            teach(client, stop)
        except Unavailable:
            if not stop.is_set():
                raise
    return 0


def _wait_for_run(client: TeacherClient, run_id: str, stop: threading.Event, seconds: float) -> None:
    if not wait_until(lambda: any(run.run_id == run_id for run in client.runs()), stop, seconds):
        raise NotFound(f"no run {run_id} that this token is good for was opened for {seconds:.0f} s")


def wait_until(condition: Callable[[], bool], stop: threading.Event, seconds: float) -> bool:
    """Wait until a condition holds or `stop` is set; returns False if neither comes in so many seconds."""
    end = time.monotonic() + seconds
    while not stop.is_set() and not condition():
        if time.monotonic() > end:
            return False
        stop.wait(_LOOK_SECONDS)
    return True
