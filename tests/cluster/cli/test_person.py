"""A person teaches in the terminal: what is shown, and that the keys become answers."""

import contextlib
import dataclasses
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cluster.cli.entries import ChoiceEntry
from cluster.cli.screens.drawing import Film
from cluster.cli.screens.question_panels import question_panel
from hitl.client.training import TrainingClient
from hitl.events import Choice, Comparison, Task
from hitl.stages import Clip
from tests.hitl.live import LiveRun, LiveService, eventually


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
    Console(file=output, width=100).print(question_panel(question, 3, ChoiceEntry()))
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

    from cluster.cli.screens import keyboard

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


def film(*colours: tuple[int, int, int], milliseconds: int = 100) -> Clip:
    """A clip that shows one colour after the other."""
    frames = [Image.new("RGB", (40, 20), colour) for colour in colours]
    data = io.BytesIO()
    frames[0].save(
        data, "webp", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, lossless=True
    )
    return Clip(data=data.getvalue())


RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
RED_IN_THE_TERMINAL, GREEN_IN_THE_TERMINAL = "38;2;255;0;0", "38;2;0;255;0"


def test_a_film_shows_each_frame_for_its_time_and_goes_on() -> None:
    shown = Film.open(film(RED, GREEN, BLUE).data)
    assert len(shown) == 3

    def colour(seconds: float) -> str:
        return str(shown.draw(seconds, columns=4, rows=2).spans[0].style)

    expected = {
        0.0: "#ff0000",
        0.09: "#ff0000",
        0.11: "#00ff00",
        0.29: "#0000ff",
        0.31: "#ff0000",
        60.15: "#00ff00",
    }
    assert {seconds: colour(seconds)[:7] for seconds in expected} == expected
    text = shown.draw(0.0, columns=10, rows=9)
    assert [len(line) for line in text.plain.splitlines()] == [10, 10]


def test_what_is_no_picture_is_no_film() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        Film.open(b"what is this")


@pytest.mark.parametrize(
    ("clips", "moves"),
    [
        ({"low": film(RED, GREEN), "high": film(BLUE, GREEN)}, True),
        ({"low": film(RED, GREEN)}, False),
        ({"low": film(RED, GREEN), "high": Clip(data=b"what is this")}, False),
    ],
)
def test_clips_move_side_by_side_in_a_terminal(
    service: LiveService, cluster: TrainingClient, clips: dict[str, Clip], moves: bool
) -> None:
    import pty

    run_id = f"clips-{len(clips)}-{moves}"
    run = LiveRun(cluster.open_run(run_id, "task"), cluster)
    cluster.publish_segments(run.run, [(run.segment(name), None) for name in ("low", "high")], clips=clips)
    cluster.ask(run.run, [run.question("q")])
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cluster.cli.main", "teach", "--address", service.address, "--run-id", run_id],
        env={
            **os.environ,
            "HANDRAIL_TOKEN": service.token("teacher", "alice"),
            "COLUMNS": "100",
            "LINES": "40",
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        },
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    shown: list[str] = []

    def read() -> None:
        # A terminal that nobody reads stops whoever writes to it.
        with contextlib.suppress(OSError):
            while part := os.read(parent, 65536):
                shown.append(part.decode(errors="replace"))

    reader = threading.Thread(target=read)
    reader.start()
    wanted = (RED_IN_THE_TERMINAL, GREEN_IN_THE_TERMINAL, "skip") if moves else ("obs[0]", "skip")
    try:
        eventually(lambda: all(part in "".join(shown) for part in wanted), seconds=60)
        output = "".join(shown)
        assert ("obs[0]" in output, RED_IN_THE_TERMINAL in output) == (not moves, moves)
        os.write(parent, b"2")
        eventually(
            lambda: "second" in "".join(shown[-50:]) and cluster.get_run(run_id).answered_questions == 1
        )
        (entry,) = next(iter(cluster.tail(run_id)))
        assert isinstance(entry.event, Comparison)
        assert entry.event.choice is Choice.SECOND
        os.write(parent, b"q")
        assert process.wait(30) == 0
    finally:
        process.kill()
        reader.join()
        os.close(parent)
