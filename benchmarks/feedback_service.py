"""A feedback service in a process of its own, for benchmarks."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hitl.tokens import Role, load_or_create_secret, mint


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a service listens, and what signs its tokens."""

    folder: Path
    """That it keeps its files in; gone when it ends."""
    address: str
    metrics_address: str
    secret: bytes

    def token(self, name: str, role: Role) -> str:
        """Return a token that is good for every run there."""
        return mint(self.secret, name=name, role=role)


@contextmanager
def feedback_service() -> Iterator[Place]:
    """Start one, and end it.

    Raises:
        RuntimeError: it has ended by itself before it was ready.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ready = folder / "ready"
        command = [sys.executable, "-m", "hitl.service", name, "--ready-file", str(ready)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            while not ready.exists():
                if process.poll() is not None:
                    raise RuntimeError(f"the feedback service ended with code {process.returncode}")
                time.sleep(0.05)
            told = json.loads(ready.read_text())
            yield Place(
                folder=folder,
                address=told["address"],
                metrics_address=told["metrics_address"],
                secret=load_or_create_secret(folder / "secret"),
            )
        finally:
            process.terminate()
            process.wait()
