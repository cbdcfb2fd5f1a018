"""A stage that is played by hand with a simulated live teacher in front of it, over a real service."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hitl.events import Correction, JournalEntry, Signal
from hitl.stages import Act, Command, StageFrame, StageStep
from hitl.teachers.judging import Expert, Judge
from hitl.teachers.live import LiveSettings
from hitl.teachers.live_program import InterventionSettings, run_live_teacher
from tests.hitl.live import START_SECONDS, LiveRun, LiveService, eventually
from tests.hitl.playing import Play
from tests.hitl.test_journal import entries_of

STEP_SECONDS = 0.04
AT_ONCE = {"reaction_shape": 1.0, "reaction_scale_seconds": 1e-9, "reaction_shortest_seconds": 0.0}


@dataclass(slots=True)
class Clocked(Play):
    """Its frames are shown when they are shown, and whoever has the controls acts."""

    override: Act | None = None
    asks_help: Callable[[int], bool] = lambda frame: False
    """In which frames the policy asks for help."""
    heard: list[Command] = field(default_factory=list)

    def act(self) -> None:
        """Step as somebody wants; the policy does in state [n] what is n + 1 modulo 4."""
        for command in self.player.commands():
            self.heard.append(command)
            self.override = command.control if isinstance(command.control, Act) else None
            self.teacher_id = command.teacher_id if self.override else ""
        self.step()

    def _show(self, step: StageStep | None) -> None:
        if step is not None and self.override is not None:
            step = StageStep(
                action=np.asarray(self.override.action), policy_version=1, teacher_id=self.teacher_id
            )
        frame = StageFrame(
            frame=self.frame,
            episode=self.episode,
            show_seconds=time.monotonic(),
            observations={"obs": np.array([self.frame], np.float32)},
            step=step,
            rate=1 / STEP_SECONDS,
            asks_help=self.asks_help(self.frame),
        )
        self.player.show(frame)
        self.shown.append(frame)
        self.frame += 1


@contextmanager
def playing(play: Clocked, step_seconds: float = STEP_SECONDS) -> Iterator[None]:
    """Play on in a thread."""
    ending = threading.Event()

    def perform() -> None:
        while not ending.wait(step_seconds):
            play.act()

    thread = threading.Thread(target=perform)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@contextmanager
def teaching(
    service: LiveService,
    run: LiveRun,
    mind: Judge | Expert,
    *,
    intervention: InterventionSettings | None = None,
    **settings: Any,
) -> Iterator[None]:
    """Teach in a thread, which must end well when told."""
    stop, ended = threading.Event(), []

    def teach() -> None:
        try:
            code = run_live_teacher(
                service.address,
                service.token("teacher", "program"),
                run.run_id,
                "stage",
                LiveSettings(**settings),
                mind,
                intervention,
                stop=stop,
            )
            ended.append(code)
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=teach)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=START_SECONDS)
    assert ended == [0]


class Verdict:
    """Judges by a function of state and action, and remembers what it was asked."""

    def __init__(self, opinion: Callable[[int], float]) -> None:
        self.asked: list[tuple[int, int]] = []
        self._opinion = opinion

    def opinion(self, observation: np.ndarray, action: np.ndarray) -> float:
        assert observation.dtype == np.float32
        assert observation.shape == (1,)
        self.asked.append((int(observation[0]), int(action)))
        return self._opinion(int(observation[0]))


class Wanting:
    """Wants a function of the state, and remembers which states it was asked about."""

    def __init__(self, action: Callable[[int], int]) -> None:
        self.asked: list[int] = []
        self._action = action

    def act(self, observation: np.ndarray) -> int:
        self.asked.append(int(observation[0]))
        return self._action(int(observation[0]))


def as_the_policy(state: int) -> int:
    return (state + 1) % 4


def otherwise(state: int) -> int:
    return (state + 3) % 4


def good(state: int) -> float:
    return 1.0


def by_turns(state: int) -> float:
    return 1.0 if state // 10 % 2 else -1.0


def by_name(state: int) -> float:
    """Tells which step is meant."""
    return (state + 1) / 1000


def count(run: LiveRun) -> int:
    return run.cluster.get_run(run.run_id).journal_end


def entries(run: LiveRun) -> list[JournalEntry]:
    """Read the journal; the teacher has ended."""
    return entries_of(run.cluster, run.run_id, count(run))


def signals(run: LiveRun) -> list[Signal]:
    return [entry.event for entry in entries(run) if isinstance(entry.event, Signal)]


def corrections(run: LiveRun) -> list[Correction]:
    """Of frames; what is done with the controls is one, too."""
    said = [entry.event for entry in entries(run) if isinstance(entry.event, Correction)]
    return [event for event in said if not event.event_id.startswith("takeover/")]


def is_by(teacher: str, frame: StageFrame) -> bool:
    return frame.step is not None and frame.step.teacher_id == teacher


def step_until_asked(stage: Clocked, expert: Wanting, steps: int) -> None:
    """Step until the expert has been asked about so many more steps, giving it time for each."""
    end = len(expert.asked) + steps
    while (asked := len(expert.asked)) < end:
        stage.act()
        next_step = time.monotonic() + 0.5
        eventually(lambda: len(expert.asked) > asked or time.monotonic() > next_step)  # noqa: B023
