"""A panel in the terminal that is drawn anew while something goes on, or plain lines where none can be drawn."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

_REDRAW_SECONDS = 0.25
_LINE_SECONDS = 5.0


class Redrawn:
    """Draws four times a second or says something every five; a context manager, as the terminal must be given back.

    It draws only when it is told to, with no thread of its own: the parent forks, and forking is safe with
    one thread only.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Prepare to draw there; on standard output by default."""
        self._console = console or Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._due = 0.0

    def note(self, text: str) -> None:
        """Say something that happened, above the panel."""
        self._console.print(Text(text), soft_wrap=True)

    @property
    def _draws(self) -> bool:
        """Whether there is a terminal to draw a panel in."""
        return self._live is not None

    @property
    def _is_due(self) -> bool:
        """Whether it is time to draw, or to say something."""
        return time.monotonic() >= self._due

    def _draw(self, panel: Panel) -> None:
        if self._live is not None:
            self._live.update(panel, refresh=True)
            self._due = time.monotonic() + _REDRAW_SECONDS

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False)
        self._due = time.monotonic() + _LINE_SECONDS

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
