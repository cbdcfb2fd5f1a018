"""A live feedback service, as a process of its own, and a run on it."""

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hitl.client.teaching import TeacherClient
from hitl.client.training import TrainingClient
from hitl.events import PairQuestion, Run, Segment, StepAddress, Task
from hitl.tensors import Array
from hitl.tokens import Role, load_or_create_secret, mint

START_SECONDS = 30.0


class LiveService:
    """A service that can be killed and started again on the same port, folder and database."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.folder, self.database = folder, database
        self.address = ""
        self.metrics_address = ""
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self.secret = load_or_create_secret(folder / "secret")

    def start(self) -> None:
        ready = self.folder.with_suffix(".ready")
        ready.unlink(missing_ok=True)
        port = self.address.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "hitl.service", str(self.folder), "--port", port]
        if self.database is not None:
            command += ["--database", self.database]
        self._process = subprocess.Popen([*command, "--ready-file", str(ready)], stderr=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert self._process.poll() is None, "the service ended by itself"
            assert time.monotonic() < end, "the service did not start"
            time.sleep(0.01)
        told = json.loads(ready.read_text())
        assert told["pid"] == self._process.pid
        self.address, self.metrics_address = told["address"], told["metrics_address"]

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(timeout=START_SECONDS)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def token(self, role: Role, name: str = "ann", **options: Any) -> str:
        return mint(self.secret, name=name, role=role, **options)

    def cluster(self, **options: Any) -> TrainingClient:
        return TrainingClient(self.address, self.token("cluster", "driver"), **options)

    def teacher(
        self, name: str = "ann", role: Role = "teacher", runs: list[str] | None = None, **options: Any
    ) -> TeacherClient:
        return TeacherClient(self.address, self.token(role, name, runs=runs), **options)

    @contextmanager
    def open_run(self) -> "Iterator[LiveRun]":
        with self.cluster() as cluster:
            cluster.register_task(Task(task_id="task", name="Task-v0", fingerprint="{}"))
            yield LiveRun(cluster.open_run("run", "task"), cluster)


@dataclass(slots=True)
class LiveRun:
    """A run that is open, with as many segments as it takes to ask questions."""

    run: Run
    cluster: TrainingClient
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def run_id(self) -> str:
        return self.run.run_id

    def segment(self, segment_id: str, *, steps: int = 4, **options: Any) -> Segment:
        return make_segment(segment_id, run_id=self.run_id, task_id=self.run.task_id, steps=steps, **options)

    def publish(self, *segment_ids: str, steps: int = 4, reward: float = 1.0) -> None:
        rewards: Array = np.full(steps, reward)
        self.cluster.publish_segments(
            self.run, [(self.segment(segment_id, steps=steps), rewards) for segment_id in segment_ids]
        )

    def ask(self, count: int = 1, **options: Any) -> list[str]:
        """Ask so many questions about the segments low (true return 4) and high (8); return their ids."""
        self.publish("low", reward=1.0)
        self.publish("high", reward=2.0)
        ids = [f"question-{next(self.numbers)}" for _ in range(count)]
        self.cluster.ask(self.run, [self.question(question_id, **options) for question_id in ids])
        return ids

    def question(self, question_id: str, **options: Any) -> PairQuestion:
        names = {"first_segment_id": "low", "second_segment_id": "high", **options}
        return PairQuestion(question_id=question_id, run_id=self.run_id, **names)


def make_segment(
    segment_id: str = "segment",
    *,
    run_id: str = "run",
    task_id: str = "task",
    steps: int = 4,
    policy_version: int = 0,
    width: int = 3,
) -> Segment:
    return Segment(
        segment_id=segment_id,
        address=StepAddress(
            task_id=task_id, run_id=run_id, source="runner-0", episode=7, begin=10, end=10 + steps
        ),
        observations={"obs": np.arange(steps * width, dtype=np.float32).reshape(steps, width)},
        actions=np.arange(steps),
        policy_version=policy_version,
    )


def eventually(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait until the condition holds; fail if it does not for so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)
