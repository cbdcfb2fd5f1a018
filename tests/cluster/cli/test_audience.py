"""A person at a live stage in the terminal: the keys become signals, corrections and controls."""

import contextlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cluster.cli.audience import _words, stage_panel, teach_at_stage
from cluster.cli.screens.stage_keys import Person
from hitl.client.training import TrainingClient
from hitl.client.watching import WatchedFrame
from hitl.errors import NotFound
from hitl.events import Correction, Signal, Task
from hitl.stages import Act, Pause, Rate, Release, Resume, StageFrame, StageState, StageStep, Take
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.playing import FOUR_ACTIONS, Play


@pytest.fixture(scope="module")
def cluster(service: LiveService) -> Iterator[TrainingClient]:
    with service.cluster() as client:
        client.register_task(Task(task_id="task", name="Task-v0", fingerprint="{}"))
        yield client


@contextlib.contextmanager
def playing(run: LiveRun) -> Iterator[Play]:
    """A stage that goes on by itself, until it is told to stop."""
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
def person(
    service: LiveService, run_id: str, *more: str, **environment: str
) -> Iterator[subprocess.Popen[str]]:
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
        env={
            **os.environ,
            "HANDRAIL_TOKEN": service.token("teacher", "alice"),
            "COLUMNS": "100",
            **environment,
        },
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
        heard_first(alice, cluster, "pressed")
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


def heard_first(alice: subprocess.Popen[str], cluster: TrainingClient, run_id: str) -> None:
    """Press plus until it is heard: before there is a frame to see, keys mean nothing."""

    def heard() -> bool:
        press(alice, "+")
        time.sleep(0.2)
        return cluster.get_run(run_id).journal_end > 0

    eventually(heard, seconds=60)


def test_keys_that_the_service_does_not_hear_keep_nobody_in_the_terminal(tmp_path: Path) -> None:
    own = LiveService(tmp_path / "folder")
    try:
        with own.cluster() as client:
            client.register_task(Task(task_id="task", name="Task-v0", fingerprint="{}"))
            run = LiveRun(client.open_run("gone", "task"), client)
            with playing(run), person(own, "gone") as alice:
                heard_first(alice, client, "gone")
                time.sleep(1.0)
                own.kill()
                press(alice, "+-")
                time.sleep(0.5)
                press(alice, "q")
                out, error = alice.communicate(timeout=20)
        assert alice.returncode == 0, error
        assert "and 0 corrections; of 2 more keys the service has not heard; thank you" in out
    finally:
        own.kill()


def test_space_ends_the_safe_stop_of_somebody_else(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("stopped", "task"), cluster)
    with playing(run) as play, person(service, "stopped") as alice:
        heard_first(alice, cluster, "stopped")
        press(alice, " ")
        (paused,) = play.next_commands()
        # This stage goes on all the same; after a while that is seen.
        time.sleep(1.5)
        press(alice, " ")
        (again,) = play.next_commands()
        assert (paused.control, again.control) == (Pause(), Pause())
        press(alice, " ")
        (resumed,) = play.next_commands()
        assert resumed.control == Resume()
        play.player.tell(StageState(rate=10.0, safe_stop=True))
        time.sleep(1.5)
        press(alice, " ")
        (ended,) = play.next_commands()
        assert ended.control == Resume()


def test_a_stage_that_stands_still_is_shown_as_it_stands(
    service: LiveService, cluster: TrainingClient
) -> None:
    run = LiveRun(cluster.open_run("still", "task"), cluster)
    # Its pictures are none.
    play = Play.open(run)
    with person(service, "still") as alice:
        heard_first(alice, cluster, "still")
        # The second comes before the first has been on the screen for long.
        play.step(2)
        time.sleep(1.0)
        press(alice, "2")

        def corrected() -> list[int]:
            events = [entry.event for entry in next(iter(cluster.tail("still")))]
            return [event.frame for event in events if isinstance(event, Correction)]

        eventually(lambda: bool(corrected()))
        assert corrected() == [play.newest]
    play.player.close()


def test_names_are_no_markup(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("odd", "task"), cluster)
    with playing(run), person(service, "odd") as alice, service.teacher("[/odd]") as other:
        heard_first(alice, cluster, "odd")
        other.control("odd", "stage", Take())
        press(alice, "t")
        time.sleep(0.5)
        press(alice, "q")
        out, error = alice.communicate(timeout=20)
    assert alice.returncode == 0, error
    assert "thank you" in out


def test_a_run_without_stages_says_how_to_get_one(service: LiveService, cluster: TrainingClient) -> None:
    cluster.open_run("no stages", "task")
    token = service.token("teacher")
    with pytest.raises(NotFound, match=r"plays no stage; train it with --stages\.count 1"):
        teach_at_stage(service.address, token, "no stages", None, wait_seconds=0.1)


def test_the_stage_of_a_run_that_has_just_begun_is_waited_for(
    service: LiveService, cluster: TrainingClient
) -> None:
    run = LiveRun(cluster.open_run("begins", "task"), cluster)
    with person(service, "begins") as alice:
        assert alice.stdout is not None
        assert "plays no stage yet; waiting for one" in alice.stdout.readline()
        with playing(run):
            heard_first(alice, cluster, "begins")


def test_an_unknown_stage_is_told_those_that_are_known(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("one stage", "task"), cluster)
    with playing(run), person(service, "one stage", "another") as alice:
        _, error = alice.communicate(timeout=60)
        assert alice.returncode != 0
        assert "no stage another; it plays stage" in " ".join(error.split())


def test_everybody_sees_at_once_that_somebody_has_paused_the_stage(
    service: LiveService, cluster: TrainingClient
) -> None:
    run = LiveRun(cluster.open_run("seen", "task"), cluster)
    play = Play.open(run)
    # Both draw as in a terminal.
    screen = {"FORCE_COLOR": "1", "COLUMNS": "200"}
    with person(service, "seen", **screen) as alice, person(service, "seen", **screen) as bob:
        for who in (alice, bob):
            heard_first(who, cluster, "seen")
        # Nothing new is shown.
        play.player.tell(StageState(paused=True, rate=10.0))
        time.sleep(1.0)
        press(bob, " ")
        (resumed,) = play.next_commands()
        assert resumed.control == Resume()
        play.player.tell(StageState(rate=4.0))
        time.sleep(1.5)
        press(bob, ">")
        (faster,) = play.next_commands()
        assert faster.control == Rate(6.0)
        press(bob, " ")
        (paused,) = play.next_commands()
        assert paused.control == Pause()
        with service.teacher("carol") as carol:
            carol.control("seen", "stage", Take())
        time.sleep(1.0)
        for who in (alice, bob):
            press(who, "q")
            out, error = who.communicate(timeout=20)
            assert who.returncode == 0, error
            assert "thank you" in out
            for seen in ("10 steps/s", "paused", "4 steps/s", "carol has the controls"):
                assert seen in out
    play.player.close()


def shown_frame(step: StageStep, *, age: float = 0.0) -> WatchedFrame:
    image = io.BytesIO()
    Image.new("RGB", (8, 4), (255, 0, 0)).save(image, "PNG")
    return WatchedFrame(
        run_id="run",
        stage_id="the stage [/odd]",
        shown=StageFrame(
            frame=12,
            episode=3,
            show_seconds=1.0,
            observations={},
            step=step,
            image=image.getvalue(),
            image_type="image/png",
        ),
        address=None,
        holder="",
        _watch=None,  # type: ignore[arg-type]
        _since=time.monotonic() - age,
    )


def test_a_panel_says_what_is_predicted_and_who_stopped_the_stage() -> None:
    step = StageStep(
        action=np.array(0), policy_version=5, teacher_id="bob", safe_stop=True, predicted_reward=0.314
    )
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(stage_panel(shown_frame(step), "", StageState(safe_stop=True, rate=12.5), ""))
    text = console.export_text()
    assert "action 0 by bob" in text
    assert "predicted reward +0.31   safe stop: space ends it" in text
    assert "12.5 steps/s" in text
    assert "paused" not in text
    assert "has the controls" not in text


def test_a_panel_of_a_program_shows_no_pace() -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(
        stage_panel(shown_frame(StageStep(action=np.array(0), policy_version=5)), "", StageState(), "")
    )
    text = console.export_text()
    assert "at its program's pace" in text
    assert "steps/s" not in text


@pytest.mark.parametrize(
    ("age", "paused", "said"), [(1.0, False, False), (4.0, False, True), (4.0, True, False)]
)
def test_a_stage_that_shows_nothing_new_says_so(age: float, paused: bool, said: bool) -> None:
    person = Person(None, "run", "stage", FOUR_ACTIONS, words="good")  # type: ignore[arg-type]
    person.state = StageState(paused=paused, rate=15.0)
    words = _words(person, shown_frame(StageStep(action=np.array(2), policy_version=5), age=age))
    assert words.startswith("good")
    assert ("nothing new for 4 s" in words) is said


def test_a_panel_shows_the_picture_and_who_acts() -> None:
    frame = shown_frame(StageStep(action=np.array(2), policy_version=5, teacher_id="bob"))
    console = Console(record=True, width=100, file=io.StringIO(), color_system="truecolor")
    console.print(stage_panel(frame, "good", StageState(paused=True), "bob"))
    drawn = console.export_text(styles=True)
    # Two rows of characters stand for four of pixels, upper and lower halves in colours of their own.
    assert drawn.count("▀") == 16
    assert "38;2;255;0;0;48;2;255;0;0m" in drawn
    text = console.export_text()
    for word in (
        "the stage [/odd]",
        "frame 12",
        "action 2 by bob",
        "policy 5",
        "paused",
        "bob has the controls",
        "good",
    ):
        assert word in drawn or word in text
