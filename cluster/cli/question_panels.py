"""Questions as a person sees them in the terminal: with what clips show now, or with curves."""

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cluster.cli.entries import Entry
from cluster.runs.wording import sparkline
from hitl.client.questions import LeasedPair, LeasedQuestion, LeasedRelabel
from hitl.events import Segment

_CURVE_WIDTH = 30
_MOST_CURVES = 16


def question_panel(
    question: LeasedQuestion, number: int, entry: Entry, clips: list[Text] | None = None
) -> Panel:
    """Draw a question, with what its clips show now or else with curves."""
    if isinstance(question, LeasedPair):
        title = f"Which is better? ({len(question.first)} and {len(question.second)} steps)"
        body = _side_by_side(clips) if clips is not None else _pair_table(question)
        curves = _curves(question.first)
    else:
        before = "step" if question.step == 1 else "steps"
        title = f"What should be done now? (after {question.step} {before})"
        body = clips[0] if clips is not None else _state_table(question)
        curves = _curves(question.segment)
    notes = []
    if clips is None and len(curves) > _MOST_CURVES:
        notes.append(Text(f"{len(curves) - _MOST_CURVES} more numbers are not shown", style="dim"))
    if isinstance(question, LeasedPair) and question.true_returns is not None:
        notes.append(Text("true returns: " + " and ".join(f"{value:g}" for value in question.true_returns)))
    said = f"{escape(entry.typed)} [yellow]{escape(entry.words)}[/]"
    return Panel(
        Group(body, *notes, Text.from_markup(said), Text.from_markup(entry.help)),
        title=f"{number}. {title}",
        title_align="left",
        border_style="cyan",
    )


def _side_by_side(clips: list[Text]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="bold")
    table.add_column("1  first", style="cyan", no_wrap=True)
    table.add_column("2  second", style="yellow", no_wrap=True)
    table.add_row(*clips)
    return table


def _pair_table(question: LeasedPair) -> RenderableType:
    table = _table("1  first", "2  second")
    first, second = _curves(question.first), _curves(question.second)
    for name in list(first)[:_MOST_CURVES]:
        both = np.concatenate([first[name], second[name]])
        table.add_row(name, *_drawn([first[name], second[name]], both), _scale(both))
    return table


def _state_table(question: LeasedRelabel) -> RenderableType:
    """Show the steps up to the state; not what the policy did in it, which would suggest an answer."""
    table = _table("before, and now", "now")
    for name, curve in list(_curves(question.segment).items())[:_MOST_CURVES]:
        is_action = name.startswith("action")
        shown = curve[: question.step if is_action else question.step + 1]
        now = "?" if is_action else f"{shown[-1]:.4g}"
        table.add_row(name, *_drawn([shown], shown), now, _scale(shown))
    return table


def _table(second: str, third: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="bold")
    table.add_column("", style="dim", no_wrap=True)
    table.add_column(second, style="cyan", no_wrap=True)
    table.add_column(third, style="yellow", no_wrap=True)
    table.add_column("scale", style="dim", no_wrap=True)
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


def _drawn(curves: list[NDArray[np.float64]], scale: NDArray[np.float64]) -> list[str]:
    low, high = (float(scale.min()), float(scale.max())) if len(scale) else (0.0, 0.0)
    return [sparkline(curve.tolist(), _CURVE_WIDTH, low=low, high=high) for curve in curves]


def _scale(curve: NDArray[np.float64]) -> str:
    return f"{curve.min():.3g} to {curve.max():.3g}" if len(curve) else ""
