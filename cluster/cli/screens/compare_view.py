"""A comparison in the terminal: one panel that is drawn anew while people answer, or plain lines where none can be."""

import time
from contextlib import suppress
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cluster.cli.screens.live_view import process_dots
from cluster.cli.screens.redrawn import Redrawn
from cluster.cli.supervision.supervisor import ProcessState
from cluster.comparison.folder import ComparisonFolder, ComparisonSettings
from cluster.comparison.wording import condorcet_line, ranking, said_chance, said_line, verdict
from cluster.runs.folder import read_json
from cluster.runs.progress import ProgressRow
from cluster.runs.wording import duration, number
from hitl.errors import HandrailError

_BAR_WIDTH = 21
_LEAST_WIDTH_FOR_BARS = 100
_PLAIN_WIDTH = 200
"""Columns where no terminal says how wide it is."""


class CompareView(Redrawn):
    """Shows one comparison."""

    def __init__(
        self,
        folder: ComparisonFolder,
        settings: ComparisonSettings,
        *,
        started: float,
        console: Console | None = None,
    ) -> None:
        """Prepare.

        Args:
            folder: of the comparison.
            settings: what is compared.
            started: when the command started, in seconds since 1970.
            console: where to draw; standard output by default.
        """
        super().__init__(console)
        self._folder, self._settings, self._started = folder, settings, started
        if not self._draws:
            self._console.width = _PLAIN_WIDTH
        self._said = -1

    def show(self, row: ProgressRow | None, processes: list[ProcessState]) -> None:
        """Show how it stands; called often, drawn four times a second or said every five."""
        if not self._is_due:
            return
        found = self._found()
        if self._draws:
            self._draw(self.panel(found, processes))
        elif found is not None and found["comparisons"] != self._said:
            self._said = found["comparisons"]
            self._say(f"{self._said}/{found['budget']} answers  {verdict(found)}")

    def conclude(self) -> None:
        """Print what was found, and where the report is."""
        found = self._found()
        if found is None:
            return
        self._console.print(scores(found, bars=self._bars))
        self._console.print(wins(found))
        for line in (
            f"{verdict(found)}",
            f"Condorcet winner: {condorcet_line(found)}",
            said_line(found),
        ):
            self._console.print(line, soft_wrap=True, markup=False)
        for what, path in (
            ("report", self._folder.run.report_file),
            ("numbers", self._folder.run.summary_file),
        ):
            if path.exists():
                self._console.print(f"{what:<10} {path}", soft_wrap=True, markup=False)

    def panel(self, found: dict[str, Any] | None, processes: list[ProcessState]) -> Panel:
        """Return the comparison as a panel."""
        body: RenderableType = Text("starting …", style="dim")
        if found is not None:
            budget, answers = self._settings.budget, found["comparisons"]
            grid = Table.grid(padding=(0, 2), expand=True)
            grid.add_column(style="bold cyan", no_wrap=True)
            grid.add_column(ratio=1)
            grid.add_column(justify="right", no_wrap=True)
            grid.add_row(
                "answers",
                ProgressBar(total=budget, completed=min(answers, budget), complete_style="cyan"),
                f"{answers} / {budget}",
            )
            body = Group(grid, Text(), scores(found, bars=self._bars), Text(), Text(verdict(found)))
        elapsed = duration(time.time() - self._started)
        return Panel(
            Group(body, Text(), process_dots(processes)),
            title=Text.assemble((self._folder.run.run_id, "bold"), " · which policy is preferred?"),
            subtitle=Text.assemble((elapsed, "bold"), f" · {self._settings.schedule.replace('_', ' ')}"),
            title_align="left",
            subtitle_align="right",
            border_style="cyan",
            padding=(1, 2),
            width=min(self._console.width, 110),
        )

    @property
    def _bars(self) -> bool:
        return self._console.width >= _LEAST_WIDTH_FOR_BARS

    def _found(self) -> dict[str, Any] | None:
        with suppress(HandrailError):
            return read_json(self._folder.standings_file)
        return None


def scores(found: dict[str, Any], *, bars: bool) -> Table:
    """Return the policies, the likeliest winner first, with their scores and 95 % intervals, as bars, too, or not."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("policy", overflow="fold", style="bold", min_width=12)
    for name in ("wins with", "Copeland", "Borda"):
        table.add_column(name, justify="right", no_wrap=True)
    if bars:
        table.add_column("Borda, 0 to 1", no_wrap=True)
    copeland, borda = found["copeland"], found["borda"]
    for place in ranking(found):
        table.add_row(
            Text(found["policies"][place]),
            said_chance(copeland["probability"][place]),
            _with_interval(copeland, place),
            _with_interval(borda, place),
            *([_bar(borda["score"][place], *borda["interval"][place])] if bars else []),
        )
    return table


def wins(found: dict[str, Any]) -> Table:
    """Return how often the policy of each row was preferred to that of each column, in the order of `scores`."""
    order = ranking(found)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("preferred to")
    for place in order:
        table.add_column(Text(found["policies"][place]), justify="right", overflow="fold")
    for row in order:
        cells = [
            "–" if row == column else f"{number(won)}/{number(won + found['wins'][column][row])}"
            for column in order
            for won in [found["wins"][row][column]]
        ]
        table.add_row(Text(found["policies"][row]), *cells)
    return table


def _with_interval(score: dict[str, Any], place: int) -> str:
    low, high = score["interval"][place]
    return f"{score['score'][place]:.2f} ({low:.2f}–{high:.2f})"


def _bar(score: float, low: float, high: float) -> Text:
    """Draw an interval on the line from 0 to 1, with its score."""
    places = [round(value * (_BAR_WIDTH - 1)) for value in (low, score, high)]
    text = Text()
    for column in range(_BAR_WIDTH):
        if column == places[1]:
            text.append("●", style="cyan")
        elif places[0] <= column <= places[2]:
            text.append("━", style="cyan")
        else:
            text.append("┊" if column == _BAR_WIDTH // 2 else "·", style="dim")
    return text
