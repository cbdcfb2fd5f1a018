"""A person at a live stage in the terminal: the keys become signals, corrections and controls."""

import contextlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cluster.cli.audience import stage_panel
from hitl.client.training import TrainingClient
from hitl.client.watching import WatchedFrame
from hitl.events import Correction, Signal, Task
from hitl.stages import Act, Pause, Release, StageFrame, StageStep
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.playing import Play


@pytest.fixture(scope="module")
def cluster(service: LiveService) -> Iterator[TrainingClient]:
    with service.cluster() as client:
        client.register_task(Task(task_id="task", name="Task-v0", fingerprint="{}"))
        yield client


@contextlib.contextmanager
def playing(run: LiveRun) -> Iterator[Play]:
    """A stage that goes on by itself."""
    play, stop = Play.open(run), threading.Event()
    image = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 10, 10)).save(image, "JPEG")
    play.image = image.getvalue()

    def perform() -> None:
        while not stop.wait(0.05):
            play.step()

    thread = threading.Thread(target=perform)
    thread.start()
    yield play
    stop.set()
    thread.join()
    play.player.close()


@contextlib.contextmanager
def person(service: LiveService, run_id: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable,
        "-m",
        "cluster.cli.main",
        "teach",
        "--address",
        service.address,
        "--run-id",
        run_id,
    ]
    process = subprocess.Popen(
        [*command, "--stage", *more],
        env={**os.environ, "HANDRAIL_TOKEN": service.token("teacher", "alice"), "COLUMNS": "100"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def press(process: subprocess.Popen[str], keys: str) -> None:
    assert process.stdin is not None
    process.stdin.write(keys)
    process.stdin.flush()


def test_keys_become_signals_corrections_and_controls(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("pressed", "task"), cluster)
    with playing(run) as play, person(service, "pressed") as alice:

        def heard() -> bool:
            # Before there is a frame to see, keys mean nothing.
            press(alice, "+")
            time.sleep(0.2)
            return cluster.get_run("pressed").journal_end > 0

        eventually(heard, seconds=60)
        press(alice, "-3")
        press(alice, "t2")
        press(alice, " ")
        press(alice, "tq")
        out, error = alice.communicate(timeout=60)
        assert alice.returncode == 0, error
        acted, paused, released = play.next_commands(3)
        assert isinstance(acted.control, Act)
        assert (acted.teacher_id, acted.control.action) == ("alice", 2)
        assert (paused.control, released.control) == (Pause(), Release())
    events = [entry.event for entry in next(iter(cluster.tail("pressed")))]
    values = [event.value for event in events if isinstance(event, Signal)]
    assert values == [*[1.0] * (len(values) - 1), -1.0]
    assert [event.actions.tolist() for event in events if isinstance(event, Correction)] == [[3]]
    assert f"{len(values)} signals and 1 corrections; thank you" in out


def test_a_run_without_stages_says_how_to_get_one(service: LiveService, cluster: TrainingClient) -> None:
    cluster.open_run("no stages", "task")
    with person(service, "no stages") as alice:
        _, error = alice.communicate(timeout=60)
        assert alice.returncode != 0
        assert "plays no stage; train it with --stages.count 1" in " ".join(error.split())


def test_an_unknown_stage_is_told_those_that_are_known(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("one stage", "task"), cluster)
    with playing(run), person(service, "one stage", "another") as alice:
        _, error = alice.communicate(timeout=60)
        assert alice.returncode != 0
        assert "no stage another; it plays stage" in " ".join(error.split())


def test_a_panel_shows_the_picture_and_who_acts() -> None:
    image = io.BytesIO()
    Image.new("RGB", (8, 4), (255, 0, 0)).save(image, "PNG")
    frame = WatchedFrame(
        run_id="run",
        stage_id="the stage",
        shown=StageFrame(
            frame=12,
            episode=3,
            show_seconds=1.0,
            observations={},
            step=StageStep(action=np.array(2), policy_version=5, teacher_id="bob"),
            image=image.getvalue(),
            image_type="image/png",
            paused=True,
            rate=15.0,
        ),
        address=None,
        holder="bob",
        _watch=None,  # type: ignore[arg-type]
    )
    console = Console(record=True, width=100, file=io.StringIO(), color_system="truecolor")
    console.print(stage_panel(frame, "good"))
    drawn = console.export_text(styles=True)
    # Two rows of characters stand for four of pixels, upper and lower halves in colours of their own.
    assert drawn.count("▀") == 16
    assert "38;2;255;0;0;48;2;255;0;0m" in drawn
    text = console.export_text()
    for word in (
        "the stage",
        "frame 12",
        "action 2 by bob",
        "policy 5",
        "paused",
        "bob has the controls",
        "good",
    ):
        assert word in drawn or word in text
