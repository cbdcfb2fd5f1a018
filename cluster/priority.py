"""Who goes first on a busy machine: people who watch and teach, before those who gather and learn."""

import os
import sys

_NICE = 10


def give_way() -> None:
    """Let this process work when nobody else wants to; where the system knows no such thing, nothing changes."""
    if sys.platform != "win32":
        os.nice(max(_NICE - os.nice(0), 0))
