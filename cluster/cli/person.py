"""A person who teaches in the terminal: two pieces of behaviour, as clips or as curves, and one key to answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cluster.cli.drawing import Film
from cluster.cli.keyboard import forget_keys, key, single_keys
from cluster.runs.wording import sparkline
from hitl.client.questions import LeasedQuestion
from hitl.client.teaching import TeacherClient
from hitl.errors import NotFound, NotYours
from hitl.events import Choice, Segment

_CURVE_WIDTH = 30
_MOST_CURVES = 16
_POLL_SECONDS = 1.0
_LEASE_SECONDS = 120.0
_DRAW_SECONDS = 0.08
_CLIP_COLUMNS, _CLIP_ROWS = 64, 20
_FRAME_COLUMNS = 14
"""Of the terminal's, around the clips."""

_CHOICES = {
    "1": Choice.FIRST,
    "2": Choice.SECOND,
    "t": Choice.TIE,
    "s": Choice.SKIP,
    "c": Choice.CANNOT_TELL,
}
_QUIT = "q"

_EXPLANATION = (
    "You compare two short pieces of behaviour. Where you see no clips, each curve is one number over the steps "
    "of a piece, from left to right: what the policy saw (obs) and what it did (action). Both pieces of a line "
    "share one scale. Answer which you would rather see more of; skip freely, nothing is learnt from a skip."
)
_KEYS = (
    "[b]1[/] first   [b]2[/] second   [b]t[/] equally good   [b]c[/] cannot tell   "
    "[b]s[/] skip   [b]q[/] quit"
)


def teach_in_terminal(address: str, token: str, run_id: str) -> int:
    """Ask the person at the terminal until `q` or Ctrl-C.

    Returns:
        The exit code, 0.

    Raises:
        RequestError: the service refuses, or cannot be reached.
    """
    console = Console(highlight=False)
    with TeacherClient(address, token) as client, single_keys():
        if all(run.run_id != run_id for run in client.runs()):
            raise NotFound(f"the service at {address} has no run {run_id} that your token is good for")
        console.print(
            Panel(_EXPLANATION, title=f"teaching {run_id}", title_align="left", border_style="cyan")
        )
        answered = 0
        try:
            while (question := _next(client, run_id, console)) is not None:
                forget_keys()
                choice = _ask(question, answered + 1, console)
                if choice is None:
                    question.release()
                    break
                answered += _answer(question, choice, console)
        except KeyboardInterrupt:
            # An unanswered question goes to someone else when its lease ends.
            pass
        console.print(f"answered {answered}; thank you")
    return 0


def _ask(question: LeasedQuestion, number: int, console: Console) -> Choice | None:
    """Show a question until it is answered; None for quit, and where the input ends."""
    films = _films(question) if console.is_terminal else None
    if films is None:
        console.print(question_panel(question, number))
        return _read_choice(console)
    columns = max(min(_CLIP_COLUMNS, (console.width - _FRAME_COLUMNS) // 2), 1)
    began = time.monotonic()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            clips = [film.draw(time.monotonic() - began, columns=columns, rows=_CLIP_ROWS) for film in films]
            live.update(question_panel(question, number, clips), refresh=True)
            while (pressed := key(wait=False)) is not None:
                if pressed in (_QUIT, ""):
                    return None
                if pressed in _CHOICES:
                    return _said(_CHOICES[pressed], console)
            time.sleep(_DRAW_SECONDS)


def _films(question: LeasedQuestion) -> list[Film] | None:
    """Fetch the clips of a question; None unless there are both."""
    clips = question.clips()
    try:
        films = [Film.open(clip.data) for clip in clips if clip is not None]
    except OSError:
        return None
    return films if len(films) == len(clips) else None


def question_panel(question: LeasedQuestion, number: int, clips: list[Text] | None = None) -> Panel:
    """Draw a question, with what its clips show now or else with curves."""
    body = [_curve_table(question)] if clips is None else [_side_by_side(clips)]
    notes = []
    curves = 0 if clips is not None else len(_curves(question.first))
    if curves > _MOST_CURVES:
        notes.append(Text(f"{curves - _MOST_CURVES} more numbers are not shown", style="dim"))
    if question.true_returns is not None:
        notes.append(Text("true returns: " + " and ".join(f"{value:g}" for value in question.true_returns)))
    steps = f"{len(question.first)} and {len(question.second)} steps"
    return Panel(
        Group(*body, *notes, Text(), Text.from_markup(_KEYS)),
        title=f"{number}. Which is better? ({steps})",
        title_align="left",
        border_style="cyan",
    )


def _side_by_side(clips: list[Text]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="bold")
    table.add_column("1  first", style="cyan", no_wrap=True)
    table.add_column("2  second", style="yellow", no_wrap=True)
    table.add_row(*clips)
    return table


def _curve_table(question: LeasedQuestion) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="bold")
    table.add_column("", style="dim", no_wrap=True)
    table.add_column("1  first", style="cyan", no_wrap=True)
    table.add_column("2  second", style="yellow", no_wrap=True)
    table.add_column("scale", style="dim", no_wrap=True)
    first, second = _curves(question.first), _curves(question.second)
    for name in list(first)[:_MOST_CURVES]:
        table.add_row(*_curve_cells(name, first[name], second[name]))
    return table


def _curves(segment: Segment) -> dict[str, NDArray[np.float64]]:
    """Return every single number of a segment over its steps, by a name."""
    arrays = {**{name: np.asarray(array) for name, array in segment.observations.items()}}
    arrays["action"] = np.asarray(segment.actions)
    curves: dict[str, NDArray[np.float64]] = {}
    for name, array in arrays.items():
        columns = np.asarray(array, np.float64).reshape(len(segment), -1)
        if columns.shape[1] == 1:
            curves[name] = columns[:, 0]
        else:
            curves |= {f"{name}[{index}]": columns[:, index] for index in range(columns.shape[1])}
    # The action says most, so it must not fall off the end of many observations.
    actions = {name: curve for name, curve in curves.items() if name.startswith("action")}
    return actions | curves


def _curve_cells(name: str, first: NDArray[np.float64], second: NDArray[np.float64]) -> list[str]:
    both = np.concatenate([first, second])
    low, high = float(both.min()), float(both.max())
    drawn = [sparkline(curve.tolist(), _CURVE_WIDTH, low=low, high=high) for curve in (first, second)]
    return [name, *drawn, f"{low:.3g} to {high:.3g}"]


def _next(client: TeacherClient, run_id: str, console: Console) -> LeasedQuestion | None:
    """Wait for a question; None once the person quits."""
    with console.status("waiting for a question; q quits") if console.is_terminal else _nothing():
        while True:
            leased = client.lease(run_id, wait_seconds=_POLL_SECONDS, lease_seconds=_LEASE_SECONDS)
            if leased:
                return leased[0]
            if key(wait=False) in (_QUIT, ""):
                return None


def _read_choice(console: Console) -> Choice | None:
    """Read keys until one is an answer; None for quit, and where the input ends."""
    while True:
        pressed = key(wait=True)
        if pressed in (_QUIT, ""):
            return None
        if pressed in _CHOICES:
            return _said(_CHOICES[pressed], console)


def _said(choice: Choice, console: Console) -> Choice:
    console.print(f"[dim]{choice.value.replace('_', ' ')}[/]")
    return choice


def _answer(question: LeasedQuestion, choice: Choice, console: Console) -> int:
    try:
        question.answer(choice)
    except NotYours as error:
        console.print(f"[yellow]that was too late and does not count:[/] {error}")
        return 0
    return 1


@contextmanager
def _nothing() -> Iterator[None]:
    yield
