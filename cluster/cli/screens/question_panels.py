"""Questions as a person sees them in the terminal: with what clips show now, or with curves."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cluster.cli.entries import Entry
from cluster.runs.wording import sparkline
from hitl.client.questions import (
    LeasedGoal,
    LeasedPair,
    LeasedQuestion,
    LeasedRanking,
    LeasedRating,
    LeasedRelabel,
)
from hitl.events import Segment

_CURVE_WIDTH, _LEAST_CURVE_WIDTH, _ALL_CURVES_WIDTH = 30, 8, 60
_COLOURS = ("cyan", "yellow")
_MOST_CURVES = 16


def question_panel(
    question: LeasedQuestion, number: int, entry: Entry, clips: list[Text] | None = None
) -> Panel:
    """Draw a question, with what its clips show now or else with curves."""
    title, names = _words(question)
    if clips is not None:
        body = _beside_each_other(clips, names)
    elif isinstance(question, LeasedRelabel | LeasedGoal):
        body = _state_table(question)
    else:
        body = _curve_table(question.segments, names)
    notes = []
    hidden = len(_curves(question.segments[0])) - _MOST_CURVES
    if clips is None and hidden > 0:
        notes.append(Text(f"{hidden} more numbers are not shown", style="dim"))
    if not isinstance(question, LeasedRelabel | LeasedGoal) and question.true_returns is not None:
        returns = " and ".join(f"{value:g}" for value in question.true_returns)
        notes.append(Text(f"true return{'s' if len(question.segments) > 1 else ''}: {returns}"))
    said = f"{escape(entry.typed)} [yellow]{escape(entry.words)}[/]"
    return Panel(
        Group(body, *notes, Text.from_markup(said), Text.from_markup(entry.help)),
        title=f"{number}. {title}",
        title_align="left",
        border_style="cyan",
    )


def _words(question: LeasedQuestion) -> tuple[str, Sequence[str]]:
    """Return what is asked, and what the segments are called."""
    match question:
        case LeasedPair():
            steps = f"{len(question.first)} and {len(question.second)} steps"
            return f"Which is better? ({steps})", ("1  first", "2  second")
        case LeasedRanking():
            names = [str(number) for number in range(1, len(question.segments) + 1)]
            return f"In which order? ({len(question.segments[0])} steps each)", names
        case LeasedRating():
            return f"How good is this? ({len(question.segment)} steps)", ("",)
        case LeasedRelabel():
            return f"What should be done now? ({_after(question)})", ("",)
        case LeasedGoal():
            return f"Is this, in the end, what you want? ({_after(question)})", ("",)


def _after(question: LeasedRelabel | LeasedGoal) -> str:
    return f"after {question.step} {'step' if question.step == 1 else 'steps'}"


def clips_across(count: int) -> int:
    """Return how many of so many clips lie beside each other: two of two, three or four."""
    return math.ceil(math.sqrt(count))


def _beside_each_other(clips: list[Text], names: Sequence[str]) -> RenderableType:
    if len(clips) == 1:
        return clips[0]
    across = clips_across(len(clips))
    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    for column in range(across):
        table.add_column(style=_COLOURS[column % 2], no_wrap=True)
    for first in range(0, len(clips), across):
        row = slice(first, first + across)
        table.add_row(*(Text(name, style="bold") for name in names[row]))
        table.add_row(*clips[row])
    return table


def _curve_table(segments: Sequence[Segment], names: Sequence[str]) -> RenderableType:
    table = _table(*names)
    width = max(min(_CURVE_WIDTH, _ALL_CURVES_WIDTH // len(segments)), _LEAST_CURVE_WIDTH)
    curves = [_curves(segment) for segment in segments]
    for name in list(curves[0])[:_MOST_CURVES]:
        beside = [of_segment[name] for of_segment in curves]
        scale = np.concatenate(beside)
        table.add_row(name, *_drawn(beside, scale, width), _scale(scale))
    return table


def _state_table(question: LeasedRelabel | LeasedGoal) -> RenderableType:
    """Show the steps up to the state; not what the policy did in it, which would suggest an answer."""
    table = _table("before, and now", "now")
    for name, curve in list(_curves(question.segment).items())[:_MOST_CURVES]:
        is_action = name.startswith("action")
        shown = curve[: question.step if is_action else question.step + 1]
        now = "?" if is_action else f"{shown[-1]:.4g}"
        table.add_row(name, *_drawn([shown], shown, _CURVE_WIDTH), now, _scale(shown))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="bold")
    table.add_column("", style="dim", no_wrap=True)
    for place, column in enumerate(columns):
        table.add_column(column, style=_COLOURS[place % 2], no_wrap=True)
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


def _drawn(curves: list[NDArray[np.float64]], scale: NDArray[np.float64], width: int) -> list[str]:
    low, high = (float(scale.min()), float(scale.max())) if len(scale) else (0.0, 0.0)
    return [sparkline(curve.tolist(), width, low=low, high=high) for curve in curves]


def _scale(curve: NDArray[np.float64]) -> str:
    return f"{curve.min():.3g} to {curve.max():.3g}" if len(curve) else ""
