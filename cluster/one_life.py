"""One life of a process that the supervisor starts, and how it says that it ended."""

import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from cluster.cli.supervision.supervisor import DriverCode
from hitl.errors import ConfigError, HandrailError, StaleEpoch, StorageError


class Life(Protocol):
    """What is run."""

    def request_stop(self, number: int, frame: FrameType | None) -> None:
        """Take note of SIGTERM."""
        ...

    def run(self) -> int:
        """Live; returns the exit code."""
        ...

    def close(self) -> None:
        """End what it has started."""
        ...


def live(make: Callable[[], Life]) -> int:
    """Make it and run it until its end or SIGTERM; returns the exit code, and says an error in one line."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        life = make()
        signal.signal(signal.SIGTERM, life.request_stop)
        try:
            return life.run()
        finally:
            life.close()
    except (ConfigError, StorageError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return DriverCode.MISTAKE
    except StaleEpoch as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return DriverCode.REFUSED
    except HandrailError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
