"""A person teaches in the terminal: what is shown, and that the keys become answers."""

import contextlib
import dataclasses
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cluster.cli.person import question_panel
from hitl.client.training import TrainingClient
from hitl.events import Choice, Comparison, Task
from tests.hitl.live import LiveRun, LiveService


@pytest.fixture(scope="module")
def cluster(service: LiveService) -> Iterator[TrainingClient]:
    with service.cluster() as client:
        client.register_task(Task(task_id="task", name="Task-v0", fingerprint="{}"))
        yield client


def teach(service: LiveService, run_id: str, keys: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cluster.cli.main", "teach", "--address", service.address, "--run-id", run_id],
        env={**os.environ, "HANDRAIL_TOKEN": service.token("teacher", "alice"), "COLUMNS": "100"},
        input=keys,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_keys_become_answers(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("answered", "task"), cluster)
    run.ask(5)
    ended = teach(service, "answered", "1x2TscQ")
    assert ended.returncode == 0, ended.stderr
    assert "answered 5; thank you" in ended.stdout
    entries = [entry for part in _first(cluster, "answered", 5) for entry in part]
    events = [entry.event for entry in entries]
    assert [event.choice for event in events if isinstance(event, Comparison)] == [
        Choice.FIRST, Choice.SECOND, Choice.TIE, Choice.SKIP, Choice.CANNOT_TELL
    ]  # fmt: skip
    assert {entry.teacher_id for entry in entries} == {"alice"}


def _first(cluster: TrainingClient, run_id: str, count: int) -> Iterator[list]:  # type: ignore[type-arg]
    seen = 0
    for part in cluster.tail(run_id):
        yield part
        seen += len(part)
        if seen >= count:
            return


def test_quitting_gives_the_question_back(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("quit", "task"), cluster)
    run.ask(1)
    assert "answered 0" in teach(service, "quit", "q").stdout
    with service.teacher("bob") as bob:
        assert len(bob.lease("quit")) == 1


def test_a_run_that_is_not_there_is_refused(service: LiveService) -> None:
    ended = teach(service, "nowhere", "")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: the service at {service.address} has no run nowhere")


def test_a_question_shows_every_number_on_one_scale(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("shown", "task"), cluster)
    low, high = run.segment("low", width=20), run.segment("high", width=20)
    high = dataclasses.replace(high, observations={"obs": 2 * np.asarray(high.observations["obs"])})
    cluster.publish_segments(run.run, [(low, None), (high, None)])
    cluster.ask(run.run, [run.question("q")])
    with service.teacher() as teacher:
        (question,) = teacher.lease("shown")
    output = io.StringIO()
    Console(file=output, width=100).print(question_panel(question, 3))
    text = output.getvalue()
    for part in (
        "3. Which is better? (4 and 4 steps)",
        "action",
        "obs[0]",
        "▁▂▃▅",
        "▁▃▆█",
        "0 to 120",
        "1 first",
    ):
        assert part in text
    assert "obs[15]" not in text
    assert "5 more numbers are not shown" in text


def test_a_terminal_gets_its_settings_back(tmp_path: Path) -> None:
    import pty
    import termios

    from cluster.cli import keyboard

    parent, child = pty.openpty()
    before = termios.tcgetattr(child)
    stdin = sys.stdin
    with os.fdopen(child, "r", closefd=False) as terminal:
        sys.stdin = terminal
        try:
            with contextlib.suppress(KeyboardInterrupt), keyboard.single_keys():
                assert termios.tcgetattr(child) != before
                raise KeyboardInterrupt
        finally:
            sys.stdin = stdin
    assert termios.tcgetattr(child) == before
    os.close(parent)
    os.close(child)
