"""The pictures of a run, drawn from its progress; `python -m cluster.runs.pictures FOLDER` draws them."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from cluster.runs.loading import load_run
from cluster.runs.progress import ProgressRow, read_progress
from hitl.errors import HandrailError, StorageError

Pair = tuple[float, float]

_TEAL, _AMBER, _VIOLET, _GREY = "#0f8b8d", "#d9822b", "#6d5bd0", "#8a94a3"
_STYLE = {
    "figure.figsize": (7.2, 4.2),
    "figure.dpi": 130,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#b6bdc8",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 12,
    "axes.titlepad": 12,
    "axes.labelcolor": "#4a5261",
    "axes.labelsize": 10,
    "grid.color": "#e6e9ee",
    "grid.linewidth": 0.8,
    "xtick.color": "#4a5261",
    "ytick.color": "#4a5261",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def draw_pictures(folder: RunFolder) -> list[Path]:
    """Draw what the run has numbers for, as PNG in its folder of pictures.

    Returns:
        The pictures, in the report's order; none where the run has no progress yet.

    Raises:
        StorageError: progress cannot be read, or pictures cannot be written.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    rows, config = read_progress(folder), load_run(folder.run_file)
    drawn = []
    with mpl.rc_context(_STYLE):
        for name, draw in _PICTURES.items():
            path = folder.pictures / f"{name}.png"
            path.unlink(missing_ok=True)
            figure = draw(rows, config)
            if figure is not None:
                _save(figure, path)
                drawn.append(path)
    return drawn


def picture_files(folder: RunFolder) -> list[Path]:
    """Return the pictures that are there, in the report's order."""
    paths = (folder.pictures / f"{name}.png" for name in _PICTURES)
    return [path for path in paths if path.is_file()]


def _return_by_comparisons(rows: list[ProgressRow], config: RunConfig) -> Any:
    points = [(row.comparisons, row.true_return) for row in rows if row.true_return is not None]
    if not points or points[-1][0] == 0:
        return None
    figure, axes = _axes("True return by answers of teachers", "answers, skips counted", _RETURN)
    _by_count(axes, points, color=_TEAL, label="mean; shaded: least to most")
    _goal_line(axes, config)
    axes.set_xlim(left=0)
    axes.legend(loc="lower right")
    return figure


def _return_by_steps(rows: list[ProgressRow], config: RunConfig) -> Any:
    points = [(row.env_steps, row.true_return) for row in rows if row.true_return is not None]
    if not points:
        return None
    figure, axes = _axes("True return by environment steps", "environment steps", _RETURN)
    axes.plot(*_columns(points), color=_TEAL, linewidth=1.8)
    _goal_line(axes, config)
    axes.set_xlim(left=0)
    _thousands(axes.xaxis)
    return figure


def _accuracy_by_comparisons(rows: list[ProgressRow], config: RunConfig) -> Any:
    heldout = [(row.comparisons, row.heldout_accuracy) for row in rows if row.heldout_accuracy is not None]
    train = [(row.comparisons, row.train_accuracy) for row in rows if row.train_accuracy is not None]
    fresh = [(row.comparisons, row.fresh_accuracy) for row in rows if row.fresh_accuracy is not None]
    if not heldout and not train and not fresh:
        return None
    figure, axes = _axes(
        "Answers that the reward model predicts", "answers, skips counted", "share predicted rightly"
    )
    if train:
        _by_count(axes, train, color=_AMBER, label="answers trained on")
    if fresh:
        _by_count(axes, fresh, color=_VIOLET, label="newest answers, before training on them")
    if heldout:
        _by_count(axes, heldout, color=_TEAL, label="held-out answers")
    axes.axhline(0.5, color=_GREY, linewidth=1, linestyle="--")
    axes.annotate("a coin toss", (1, 0.5), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                  color=_GREY, fontsize=9, xytext=(0, 2), textcoords="offset points")  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.03)
    _percent(axes.yaxis)
    axes.legend(loc="lower right")
    return figure


def _true_by_predicted(rows: list[ProgressRow], config: RunConfig) -> Any:
    both = [row for row in rows if row.true_return is not None and row.predicted_return is not None]
    learned = [row for row in both if row.reward_version > 0]
    if len(learned) < 2:
        return None
    predicted = _normalised([row.predicted_return or 0.0 for row in learned])
    true = _normalised([row.true_return or 0.0 for row in learned])
    figure, axes = _axes(
        "Does the reward model like what is good?",
        "predicted return (0: this run's least, 1: its most)",
        "true return (0: this run's least, 1: its most)",
    )
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--", zorder=1)
    seconds = [row.wall_seconds / 60 for row in learned]
    dots = axes.scatter(predicted, true, c=seconds, cmap="viridis", s=22, alpha=0.85, linewidths=0, zorder=2)
    bar = figure.colorbar(dots, ax=axes, pad=0.02)
    bar.set_label("minutes of training")
    bar.outline.set_visible(False)
    return figure


def _reliability(rows: list[ProgressRow], config: RunConfig) -> Any:
    known = [row for row in rows if row.reliability]
    if not known:
        return None
    bins = known[-1].reliability
    figure, axes = _axes(
        f"Is the reward model right as often as it says? (error {known[-1].calibration_error:.3f})",
        "how sure it is of a held-out answer",
        "share predicted rightly",
    )
    axes.plot([0.5, 1], [0.5, 1], color=_GREY, linewidth=1, linestyle="--", zorder=1)
    for confidence, right, count in bins:
        axes.plot([confidence] * 2, wilson_interval(right, count), color=_TEAL, linewidth=1.2, alpha=0.5)
    confidences, rights = [one[0] for one in bins], [one[1] for one in bins]
    axes.plot(confidences, rights, color=_TEAL, marker="o", markersize=5, linewidth=1.2)
    axes.set_xlim(0.49, 1.01)
    axes.set_ylim(0, 1.03)
    _percent(axes.xaxis)
    _percent(axes.yaxis)
    return figure


def wilson_interval(share: float, count: int) -> Pair:
    """Return where a share of so many lies with a probability of 95 %.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5
    return middle - half, middle + half


_RETURN = "true return per episode"

_PICTURES: dict[str, Callable[[list[ProgressRow], RunConfig], Any]] = {
    "return_by_comparisons": _return_by_comparisons,
    "return_by_steps": _return_by_steps,
    "accuracy_by_comparisons": _accuracy_by_comparisons,
    "reliability": _reliability,
    "true_by_predicted": _true_by_predicted,
}
"""Each returns a figure, or None where the run has no numbers for it."""


def _axes(title: str, x_label: str, y_label: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def _by_count(axes: Any, points: Sequence[Pair], *, color: str, label: str) -> None:
    """Draw the mean of all rows with the same number of answers, and shade from the least to the most."""
    values: dict[float, list[float]] = {}
    for count, value in points:
        values.setdefault(count, []).append(value)
    counts = sorted(values)
    mean = [sum(values[count]) / len(values[count]) for count in counts]
    low, high = [min(values[count]) for count in counts], [max(values[count]) for count in counts]
    axes.fill_between(counts, low, high, color=color, alpha=0.15, linewidth=0)
    axes.plot(counts, mean, color=color, linewidth=1.8, marker="o", markersize=3.5, label=label)


def _goal_line(axes: Any, config: RunConfig) -> None:
    goal = config.goal.true_return
    if goal is None:
        return
    axes.axhline(goal, color=_AMBER, linewidth=1.2, linestyle="--")
    axes.annotate(f"goal {goal:g}", (0, goal), xycoords=("axes fraction", "data"), color=_AMBER, fontsize=9,
                  va="bottom", xytext=(4, 2), textcoords="offset points")  # fmt: skip


def _columns(points: Sequence[Pair]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _normalised(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]


def _thousands(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _percent(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


def _save(figure: Any, path: Path) -> None:
    draft = path.with_suffix(".draft")
    try:
        figure.savefig(draft, format="png")
        draft.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror})") from None


def main() -> int:
    """Draw the pictures of the run whose folder is named; 0, or 2 where that cannot be done."""
    try:
        draw_pictures(RunFolder(Path(sys.argv[1]).absolute()))
    except HandrailError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
