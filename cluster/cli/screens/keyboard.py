"""Keys as they are pressed, without Enter, where the input is a terminal."""

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


def key(*, wait: bool) -> str | None:
    """Return a key; None where none was pressed and we do not wait, "" where the input has ended."""
    if not wait and not select.select([sys.stdin], [], [], 0)[0]:
        return None
    # Read past Python's buffer, into which `select` cannot see.
    return os.read(sys.stdin.fileno(), 1).decode("latin-1").lower()


def forget_keys() -> None:
    """Drop keys that were pressed before there was anything to be seen."""
    if sys.stdin.isatty():
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


@contextmanager
def single_keys() -> Iterator[None]:
    """Let `key` return each key at once."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
