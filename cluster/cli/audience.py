"""A person who teaches a live stage in the terminal: its picture, and keys for what they think of it."""

import io
import time

import numpy as np
from PIL import Image
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from cluster.cli.screens.drawing import draw
from cluster.cli.screens.keyboard import key, single_keys
from cluster.cli.screens.stage_keys import Person
from hitl.client.teaching import TeacherClient
from hitl.client.watching import WatchedFrame
from hitl.errors import NotFound
from hitl.stages import ActionSpace, StageState

_COLUMNS, _ROWS = 64, 20
_DRAW_SECONDS = 0.12
_LOOK_SECONDS = 0.05
_QUIET_SECONDS = 3.0
_FIND_SECONDS = 0.5

_KEYS = (
    "[b]+[/] good   [b]-[/] bad   [b]0-9[/] do this instead   [b]t[/] take the controls, give them back\n"
    "[b]space[/] pause, go on   [b].[/] one step   [b]n[/] new episode   [b]<[/] slower   [b]>[/] faster   "
    "[b]s[/] safe stop   [b]q[/] quit"
)


def teach_at_stage(
    address: str, token: str, run_id: str, stage_id: str | None, *, wait_seconds: float = 60.0
) -> int:
    """Show a stage and take keys until `q` or Ctrl-C.

    Args:
        address: of the feedback service.
        token: of a teacher.
        run_id: that plays the stage.
        stage_id: of the stage; None for the first one.
        wait_seconds: for a run that has just begun, and plays no stage yet.

    Returns:
        The exit code, 0.

    Raises:
        RequestError: the service refuses, or cannot be reached.
    """
    console = Console(highlight=False)
    with TeacherClient(address, token) as client, single_keys():
        name, space = _find(client, run_id, stage_id, console, wait_seconds)
        person = Person(client, run_id, name, space)
        try:
            _look(client, person, console)
        except KeyboardInterrupt:
            pass
        finally:
            unheard = person.leave()
            lost = f"; of {unheard} more keys the service has not heard" if unheard else ""
            console.print(f"{person.signals} signals and {person.corrections} corrections{lost}; thank you")
    return 0


def _find(
    client: TeacherClient, run_id: str, stage_id: str | None, console: Console, wait_seconds: float
) -> tuple[str, ActionSpace]:
    end, told = time.monotonic() + wait_seconds, False
    while not (playing := {stage.stage_id: stage.action_space for stage in client.stages(run_id)}):
        if time.monotonic() > end:
            raise NotFound(f"run {run_id} plays no stage; train it with --stages.count 1")
        if not told:
            console.print(f"run {run_id} plays no stage yet; waiting for one, Ctrl-C ends it")
            told = True
        time.sleep(_FIND_SECONDS)
    if stage_id is not None and stage_id not in playing:
        raise NotFound(f"run {run_id} plays no stage {stage_id}; it plays {', '.join(playing)}")
    name = stage_id or next(iter(playing))
    return name, playing[name]


def _look(client: TeacherClient, person: Person, console: Console) -> None:
    drawn, undrawn, told = 0.0, None, None
    with (
        client.watch(person.run_id, person.stage_id) as watch,
        Live(console=console, auto_refresh=False, transient=True) as live,
    ):
        while True:
            undrawn = watch.next(_LOOK_SECONDS) or undrawn
            now = time.monotonic()
            frame = undrawn or person.frame
            person.state, person.heard = watch.state, watch.heard
            tells = (_words(person, frame), watch.state, watch.holder)
            if frame is not None and (undrawn or tells != told) and now - drawn >= _DRAW_SECONDS:
                # What is judged is what was drawn, and not what came since.
                person.frame, undrawn, drawn, told = frame, None, now, tells
                live.update(stage_panel(frame, *tells), refresh=True)
            person.keep_controls(now)
            while (pressed := key(wait=False)) is not None:
                if pressed in ("q", ""):
                    return
                person.press(pressed)


def _words(person: Person, frame: WatchedFrame | None) -> str:
    """Return what is to be said below the picture, as markup."""
    if person.late:
        return f"[yellow]waiting for the service, which has yet to hear of {person.late} keys[/]"
    seconds = frame.offset.total_seconds() if frame else 0.0
    if frame is None or person.state.paused or seconds < max(_QUIET_SECONDS, 3 / (person.state.rate or 1.0)):
        return person.words
    quiet = f"[dim]nothing new for {seconds:.0f} s: it waits for help, or is away[/]"
    return f"{person.words}   {quiet}"


def stage_panel(frame: WatchedFrame, words: str, state: StageState, holder: str) -> Panel:
    """Draw what a stage shows, and what has been made of it since."""
    shown, step = frame.shown, frame.shown.step
    facts = [f"frame {shown.frame}", f"{state.rate:.3g} steps/s" if state.rate else "at its program's pace"]
    if step is not None:
        who = f" by {step.teacher_id}" if step.teacher_id else ""
        facts += [f"action {np.asarray(step.action).tolist()}{who}", f"policy {step.policy_version}"]
        if step.predicted_reward is not None:
            facts.append(f"predicted reward {step.predicted_reward:+.2f}")
    if state.safe_stop:
        facts.append("safe stop: space ends it")
    if state.paused:
        facts.append("paused")
    if shown.asks_help and not holder:
        facts.append("it asks for help: t takes the controls")
    if holder:
        facts.append(f"{holder} has the controls")
    picture = Text("(no picture)", style="dim")
    if shown.image:
        try:
            picture = draw(Image.open(io.BytesIO(shown.image)), columns=_COLUMNS, rows=_ROWS)
        except OSError:
            # Of a program that drives a stage.
            picture = Text(f"({shown.image_type} that cannot be read)", style="dim")
    return Panel(
        Group(
            picture,
            Text("   ".join(facts), style="dim"),
            Text.from_markup(words or " "),
            Text.from_markup(_KEYS),
        ),
        title=Text(frame.stage_id),
        title_align="left",
        border_style="cyan",
    )
