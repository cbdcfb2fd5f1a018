"""The operating system's processes of Ray actors, to be killed."""

import psutil

from tests.hitl.live import eventually


def process_of(actor: str) -> psutil.Process:
    """Return the one process of the actors with this name; those that were ended before may take a while to go."""
    eventually(lambda: len(_processes(actor)) == 1)
    (process,) = _processes(actor)
    return process


def _processes(actor: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.name().startswith(f"ray::{actor}"):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
