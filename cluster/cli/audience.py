"""A person who teaches a live stage in the terminal: its picture, and keys for what they think of it."""

import io
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from PIL import Image
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from cluster.cli.drawing import draw
from cluster.cli.keyboard import key, single_keys
from hitl.client.teaching import TeacherClient
from hitl.client.watching import WatchedFrame
from hitl.errors import NotFound, RequestError
from hitl.stages import Act, ActionSpace, Advance, Control, Pause, Rate, Release, Reset, Resume, Stop, Take

_COLUMNS, _ROWS = 64, 20
_DRAW_SECONDS = 0.12
_LOOK_SECONDS = 0.05
_LEASE = timedelta(seconds=10)
_RENEW_SECONDS = 4.0
_FASTER = 1.5

_KEYS = (
    "[b]+[/] good   [b]-[/] bad   [b]0-9[/] do this instead   [b]t[/] take the controls, give them back\n"
    "[b]space[/] pause, go on   [b].[/] one step   [b]n[/] new episode   [b]<[/] slower   [b]>[/] faster   "
    "[b]s[/] safe stop   [b]q[/] quit"
)


def teach_at_stage(address: str, token: str, run_id: str, stage_id: str | None) -> int:
    """Show a stage and take keys until `q` or Ctrl-C.

    Args:
        address: of the feedback service.
        token: of a teacher.
        run_id: that plays the stage.
        stage_id: of the stage; None for the first one.

    Returns:
        The exit code, 0.

    Raises:
        RequestError: the service refuses, or cannot be reached.
    """
    console = Console(highlight=False)
    with TeacherClient(address, token) as client, single_keys():
        name, space = _find(client, run_id, stage_id)
        person = _Person(client, run_id, name, space)
        try:
            _look(client, person, console)
        except KeyboardInterrupt:
            pass
        finally:
            person.leave()
        console.print(f"{person.signals} signals and {person.corrections} corrections; thank you")
    return 0


def _find(client: TeacherClient, run_id: str, stage_id: str | None) -> tuple[str, ActionSpace]:
    playing = {stage.stage_id: stage.action_space for stage in client.stages(run_id)}
    if not playing:
        raise NotFound(f"run {run_id} plays no stage; train it with --stages.count 1, or wait a moment")
    if stage_id is not None and stage_id not in playing:
        raise NotFound(f"run {run_id} plays no stage {stage_id}; it plays {', '.join(playing)}")
    name = stage_id or next(iter(playing))
    return name, playing[name]


def _look(client: TeacherClient, person: "_Person", console: Console) -> None:
    drawn = 0.0
    with (
        client.watch(person.run_id, person.stage_id) as watch,
        Live(console=console, auto_refresh=False, transient=True) as live,
    ):
        while True:
            frame = watch.next(_LOOK_SECONDS)
            now = time.monotonic()
            # What is judged is what was drawn, and not what came since.
            if frame is not None and (now - drawn >= _DRAW_SECONDS or person.frame is None):
                person.frame, drawn = frame, now
                live.update(stage_panel(frame, person.words), refresh=True)
            person.keep_controls(now)
            while (pressed := key(wait=False)) is not None:
                if pressed in ("q", ""):
                    return
                person.press(pressed)


@dataclass(slots=True)
class _Person:
    """What one person at the terminal has done so far."""

    client: TeacherClient
    run_id: str
    stage_id: str
    space: ActionSpace
    frame: WatchedFrame | None = None
    """The last one drawn."""
    words: str = ""
    signals: int = 0
    corrections: int = 0
    has_controls: bool = False
    stands_still: bool = False
    """Paused or stopped, by this person."""
    renewed: float = 0.0

    def press(self, pressed: str) -> None:
        """Do what a key means; what is refused is said on the screen."""
        if self.frame is None:
            return
        try:
            self._do(pressed, self.frame)
        except RequestError as error:
            self.words = f"[yellow]{error}[/]"

    def _do(self, pressed: str, frame: WatchedFrame) -> None:
        shown = frame.shown
        if pressed in "+=-":
            frame.signal(-1.0 if pressed == "-" else 1.0)
            self.signals += 1
            self.words = "[red]bad[/]" if pressed == "-" else "[green]good[/]"
        elif pressed.isdigit():
            self._act(int(pressed), frame)
        elif pressed == "t":
            self._control(Release() if self.has_controls else Take(_LEASE))
            self.has_controls = not self.has_controls
            self.renewed = time.monotonic()
            self.words = "you have the controls" if self.has_controls else "the policy acts"
        elif pressed == " ":
            # What was wanted last, not what is shown: a stage that stands still shows nothing new.
            self._control(Resume() if self.stands_still else Pause())
            self.stands_still = not self.stands_still
            self.words = "standing still" if self.stands_still else ""
        elif pressed in ".ns":
            plain: dict[str, Control] = {".": Advance(), "n": Reset(), "s": Stop()}
            self._control(plain[pressed])
            self.stands_still = self.stands_still or pressed != "n"
            self.words = "safe stop; space ends it" if pressed == "s" else self.words
        elif pressed in "<>,":
            self._control(Rate(shown.rate * _FASTER if pressed == ">" else shown.rate / _FASTER))

    def _act(self, number: int, frame: WatchedFrame) -> None:
        if not self.space.single:
            self.words = "[yellow]these actions are no single numbers; use the client library[/]"
        elif self.has_controls:
            self._control(Act(np.array(number)))
            self.words = f"you do {number}"
        else:
            frame.correct(number)
            self.corrections += 1
            self.words = f"do {number} instead"

    def _control(self, control: Control) -> None:
        self.client.control(self.run_id, self.stage_id, control)

    def keep_controls(self, now: float) -> None:
        """Say in time that the controls are still wanted."""
        if not self.has_controls or now - self.renewed < _RENEW_SECONDS:
            return
        self.renewed = now
        try:
            self._control(Take(_LEASE))
        except RequestError as error:
            self.has_controls, self.words = False, f"[yellow]{error}[/]"

    def leave(self) -> None:
        """Give the controls back."""
        if self.has_controls:
            self.has_controls = False
            with suppress(RequestError):
                self._control(Release())


def stage_panel(frame: WatchedFrame, words: str) -> Panel:
    """Draw what a stage shows."""
    shown, step = frame.shown, frame.shown.step
    facts = [f"frame {shown.frame}", f"{shown.rate:.3g} steps/s"]
    if step is not None:
        who = f" by {step.teacher_id}" if step.teacher_id else ""
        facts += [f"action {np.asarray(step.action).tolist()}{who}", f"policy {step.policy_version}"]
    if shown.paused:
        facts.append("paused")
    if shown.asks_help and not frame.holder:
        facts.append("it asks for help: t takes the controls")
    if frame.holder:
        facts.append(f"{frame.holder} has the controls")
    picture = Text("(no picture)", style="dim")
    if shown.image:
        picture = draw(Image.open(io.BytesIO(shown.image)), columns=_COLUMNS, rows=_ROWS)
    return Panel(
        Group(
            picture,
            Text("   ".join(facts), style="dim"),
            Text.from_markup(words or " "),
            Text.from_markup(_KEYS),
        ),
        title=frame.stage_id,
        title_align="left",
        border_style="cyan",
    )
