"""A person who teaches in the terminal: pieces of behaviour, as clips or as curves, and keys to answer."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.panel import Panel

from cluster.cli.entries import (
    ActionEntry,
    Answer,
    ChoiceEntry,
    Entry,
    GoalEntry,
    RankingEntry,
    RatingEntry,
    Wish,
    spoken,
)
from cluster.cli.screens.drawing import Film
from cluster.cli.screens.keyboard import forget_keys, key, single_keys
from cluster.cli.screens.question_panels import clips_across, question_panel
from hitl.client.questions import (
    LeasedGoal,
    LeasedPair,
    LeasedQuestion,
    LeasedRanking,
    LeasedRating,
    LeasedRelabel,
)
from hitl.client.teaching import TeacherClient
from hitl.errors import NotFound, NotYours, RequestError
from hitl.events import Abstention, Choice, Receipt

_POLL_SECONDS = 1.0
_LEASE_SECONDS = 120.0
_DRAW_SECONDS = 0.08
_CLIP_COLUMNS, _CLIP_ROWS = 64, 20
_FRAME_COLUMNS = 14
"""Of the terminal's, around the clips."""
_HOLD_SECONDS = 1.5
"""How long the state that is asked about stays in view."""

_EXPLANATION = (
    "You compare, rank or rate short pieces of behaviour, or say of a state what should be done there or whether it is "
    "what you want. Where you see no clips, each curve is one number over the steps of a piece, from left to right: "
    "what the policy saw (obs) and what it did (action). Of several pieces, all on a line share one scale; better is "
    "what you would rather see more of. Skip freely, nothing is learnt from a skip."
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
        person = _Person(client, run_id, console)
        # An unanswered question goes to someone else when its lease ends.
        with suppress(KeyboardInterrupt):
            person.teach()
        console.print(f"answered {len(person.receipts)}; thank you")
    return 0


class _Person:
    """One person at the terminal, and what they have answered."""

    def __init__(self, client: TeacherClient, run_id: str, console: Console) -> None:
        self._client, self._run_id, self._console = client, run_id, console
        self.receipts: list[Receipt] = []
        """Of answers that were not taken back."""

    def teach(self) -> None:
        """Ask until the person quits."""
        while (question := _next(self._client, self._run_id, self._console)) is not None:
            forget_keys()
            while (said := _ask(question, len(self.receipts) + 1, self._console)) is Wish.TAKE_BACK:
                self._take_back()
            if isinstance(said, Wish):
                question.release()
                return
            self._answer(question, said)

    def _take_back(self) -> None:
        """Take the newest answer back that counts."""
        if not self.receipts:
            self._console.print("[yellow]there is no answer to take back[/]")
            return
        try:
            self._client.retract(self._run_id, self.receipts[-1].event_id)
        except RequestError as error:
            self._console.print(f"[yellow]the last answer stays:[/] {error}")
        else:
            self.receipts.pop()
            self._console.print("[dim]the last answer is taken back[/]")

    def _answer(self, question: LeasedQuestion, said: Answer) -> None:
        try:
            self.receipts.append(_submit(question, said))
        except NotYours as error:
            self._console.print(f"[yellow]that was too late and does not count:[/] {error}")


def _submit(question: LeasedQuestion, said: Answer) -> Receipt:
    match question, said:
        case LeasedPair(), Choice():
            return question.answer(said)
        case LeasedRelabel(), np.ndarray() | Abstention():
            return question.answer(said)
        case LeasedRanking(), tuple() | Abstention():
            return question.answer(said)
        case LeasedRating(), int() | Abstention():
            return question.answer(said)
        case LeasedGoal(), bool() | Abstention():
            return question.answer(said)
    raise AssertionError(f"{said} is no answer to {question}")


def _entry(question: LeasedQuestion) -> Entry:
    match question:
        case LeasedPair():
            return ChoiceEntry()
        case LeasedRelabel():
            return ActionEntry(question.action_space)
        case LeasedRanking():
            return RankingEntry(len(question.segments))
        case LeasedRating():
            return RatingEntry(question.points)
        case LeasedGoal():
            return GoalEntry()


def _ask(question: LeasedQuestion, number: int, console: Console) -> Answer | Wish:
    """Show a question until it is answered, or the person wants something else."""
    entry = _entry(question)
    films = _films(question) if console.is_terminal else None
    if films is None:
        said = _ask_still(question, number, entry, console)
    else:
        said = _ask_moving(question, number, entry, films, console)
    if not isinstance(said, Wish):
        console.print(f"[dim]{spoken(said)}[/]")
    return said


def _ask_still(question: LeasedQuestion, number: int, entry: Entry, console: Console) -> Answer | Wish:
    console.print(question_panel(question, number, entry))
    while True:
        before = entry.typed
        said = entry.press(key(wait=True) or "")
        if entry.typed != before:
            # Past Rich, which would drop what moves the cursor.
            console.file.write(f"\r{entry.typed} \b" if entry.typed else "\n")
            console.file.flush()
        if entry.words:
            console.print(entry.words, style="yellow", markup=False)
        if said is not None:
            return said


def _ask_moving(
    question: LeasedQuestion, number: int, entry: Entry, films: list[Film], console: Console
) -> Answer | Wish:
    across = max(clips_across(len(films)), 2)
    columns = max(min(_CLIP_COLUMNS, (console.width - _FRAME_COLUMNS) // across), 1)
    rows = _CLIP_ROWS * 2 // (1 + math.ceil(len(films) / across))
    began = time.monotonic()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            clips = [film.draw(time.monotonic() - began, columns=columns, rows=rows) for film in films]
            live.update(question_panel(question, number, entry, clips), refresh=True)
            while (pressed := key(wait=False)) is not None:
                if (said := entry.press(pressed)) is not None:
                    return said
            time.sleep(_DRAW_SECONDS)


def _films(question: LeasedQuestion) -> list[Film] | None:
    """Fetch the clips of a question, up to the state where it is about one; None unless there are all."""
    clips = question.clips()
    try:
        films = [Film.open(clip.data) for clip in clips if clip is not None]
    except OSError:
        return None
    if len(films) < len(clips):
        return None
    if not isinstance(question, LeasedRelabel | LeasedGoal):
        return films
    share = (question.step + 1) / (len(question.segment) + 1)
    return [film.until(share, hold_seconds=_HOLD_SECONDS) for film in films]


def _next(client: TeacherClient, run_id: str, console: Console) -> LeasedQuestion | None:
    """Wait for a question; None once the person quits."""
    with console.status("waiting for a question; q quits") if console.is_terminal else _nothing():
        while True:
            leased = client.lease(run_id, wait_seconds=_POLL_SECONDS, lease_seconds=_LEASE_SECONDS)
            if leased:
                return leased[0]
            if key(wait=False) in (Wish.QUIT.value, ""):
                return None


@contextmanager
def _nothing() -> Iterator[None]:
    yield
