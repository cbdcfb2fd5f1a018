"""A run in the terminal: one panel that is drawn anew while it goes on, or plain lines where none can be."""

import itertools
import time

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cluster.cli.screens.redrawn import Redrawn
from cluster.cli.supervision.supervisor import ProcessState
from cluster.runs.config import RunConfig
from cluster.runs.progress import ProgressRow
from cluster.runs.wording import duration, number, percent, sparkline

_SPARKLINE_WIDTH = 12
_MOST_HISTORY = 4096

_DOTS = {"running": "green", "restarting": "yellow", "ended": "dim", "given up": "red"}


class LiveView(Redrawn):
    """Shows one run."""

    def __init__(
        self, config: RunConfig, run_id: str, *, started: float, console: Console | None = None
    ) -> None:
        """Prepare.

        Args:
            config: of the run.
            run_id: the run's id.
            started: when the command started, in seconds since 1970.
            console: where to draw; standard output by default.
        """
        super().__init__(console)
        self._config, self._run_id, self._started = config, run_id, started
        self._returns: list[float] = []
        self._accuracies: list[float] = []
        self._last_time = 0.0

    def show(self, row: ProgressRow | None, processes: list[ProcessState]) -> None:
        """Show how the run is going; called often, drawn four times a second or said every five."""
        self._remember(row)
        if not self._is_due:
            return
        if self._draws:
            self._draw(self.panel(row, processes))
        elif row is not None and self._is_new(row):
            self._say(self.line(row))

    def line(self, row: ProgressRow) -> str:
        """Return the run as one line."""
        budget = self._config.reward.questions.budget
        parts = [
            f"{duration(self._elapsed()):>8}  {self._phase(row):<10}",
            f"{number(row.env_steps)}/{number(self._config.stop.env_steps)} steps",
            f"true return {number(row.true_return)}",
        ]
        if self._config.asks_questions:
            parts += [
                f"held-out accuracy {percent(row.heldout_accuracy)}",
                f"answers {row.comparisons}/{budget} ({row.open_questions} open)",
            ]
            if row.flagged_teachers:
                parts.append(f"flagged {_flagged(row)}")
        parts += [f"{name} {text}" for name, text in self._learnt_from(row)]
        parts += [
            f"{number(round(row.steps_per_second))} steps/s",
            f"policy {row.policy_version} reward {row.reward_version} lag {number(row.lag_updates)}",
        ]
        return "  ".join(parts)

    def panel(self, row: ProgressRow | None, processes: list[ProcessState]) -> Panel:
        """Return the run as a panel."""
        config = self._config
        title = Text.assemble((self._run_id, "bold"), " · ", config.environment.id)
        if row is None:
            body: RenderableType = Text("starting …", style="dim")
        else:
            body = Group(self._progress(row), Text(), self._numbers(row))
        subtitle = Text.assemble(
            (duration(self._elapsed()), "bold"), f" · seed {config.seed} · {config.mode}"
        )
        content = Group(body, Text(), process_dots(processes))
        return Panel(content, title=title, subtitle=subtitle, title_align="left", subtitle_align="right",
                     border_style="cyan", padding=(1, 2), width=min(self._console.width, 96))  # fmt: skip

    def _progress(self, row: ProgressRow) -> Table:
        goal = self._config.stop.env_steps
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(style="bold cyan", no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(justify="right", no_wrap=True)
        bar = ProgressBar(total=goal, completed=min(row.env_steps, goal), complete_style="cyan")
        text = f"{number(row.env_steps)} / {number(goal)} steps"
        if self._phase(row) == "learning" and row.steps_per_second > 0 and row.env_steps < goal:
            text += f", {duration((goal - row.env_steps) / row.steps_per_second)} left"
        grid.add_row(self._phase(row), bar, text)
        return grid

    def _numbers(self, row: ProgressRow) -> Table:
        grid = Table.grid(padding=(0, 2), expand=True)
        for style, ratio in (("dim", None), ("bold", 3), ("dim", None), ("bold", 2)):
            grid.add_column(style=style, ratio=ratio, no_wrap=True)
        left = [("true return", _with_history(number(row.true_return), self._returns))]
        right = [
            ("speed", Text(f"{number(round(row.steps_per_second))} steps/s")),
            ("policy version", Text(f"{row.policy_version}, lag {number(row.lag_updates)}")),
        ]
        if self._config.asks_questions:
            budget = self._config.reward.questions.budget
            left += [
                ("held-out accuracy", _with_history(percent(row.heldout_accuracy), self._accuracies)),
                ("answers", Text(f"{row.comparisons} / {budget}, {row.open_questions} open")),
            ]
            if row.not_worth_asking:
                left.append(("not worth asking", Text(number(row.not_worth_asking))))
            if row.flagged_teachers:
                left.append(("flagged", Text(_flagged(row), style="red")))
            if row.plain_heldout_accuracy is not None:
                left.append(
                    ("teachers alike", Text(f"{percent(row.plain_heldout_accuracy)} held-out accuracy"))
                )
        left += [(name, Text(text)) for name, text in self._learnt_from(row)]
        if self._config.learns_reward:
            right.append(("reward version", Text(f"{row.reward_version}{_refused(row)}")))
        else:
            left.append(("updates", Text(number(row.updates))))
        nothing = ("", Text())
        for one, other in itertools.zip_longest(left, right, fillvalue=nothing):
            grid.add_row(*one, *other)
        return grid

    def _learnt_from(self, row: ProgressRow) -> list[tuple[str, str]]:
        """Return what there is to learn from beside answers, by its name."""
        config, facts = self._config, []
        corrects = (
            config.learns_reward and config.reward.model.kinds.corrections
        ) or config.imitation.imitates
        if config.stages.are_open and (config.learns_reward or config.heeds_signals):
            facts.append(("signals", _predicted(row.signals, row.signal_accuracy)))
            if row.unplaced_signals:
                facts.append(("unplaced signals", number(row.unplaced_signals)))
            if row.expired_signals:
                facts.append(("expired signals", number(row.expired_signals)))
        if row.corrections or (config.stages.are_open and corrects):
            facts.append(("corrections", _predicted(row.corrections, row.correction_accuracy)))
        if config.imitation.asks_people:
            asked = config.imitation.questions.budget
            facts.append(("told what to do", f"{row.relabels} / {asked}, {row.open_relabels} open"))
        if config.imitation.expert:
            budget = f" / {number(config.imitation.budget)}" if config.imitation.budget else ""
            facts.append(("labels", f"{number(row.labels)}{budget}"))
        if config.imitation.demonstrations:
            facts.append(("demonstrated", number(row.demonstrated)))
        return facts

    def _remember(self, row: ProgressRow | None) -> None:
        if row is None or row.time == self._last_time:
            return
        self._last_time = row.time
        for history, value in ((self._returns, row.true_return), (self._accuracies, row.heldout_accuracy)):
            if value is not None:
                history.append(value)
            if len(history) > _MOST_HISTORY:
                del history[::2]

    def _is_new(self, row: ProgressRow) -> bool:
        """Whether this life of the run has said it; a run that goes on starts with the last row of before."""
        return row.time >= self._started

    def _phase(self, row: ProgressRow) -> str:
        return row.phase if self._is_new(row) else "resuming"

    def _elapsed(self) -> float:
        return time.time() - self._started


def _with_history(text: str, history: list[float]) -> Text:
    line = sparkline(history, _SPARKLINE_WIDTH) if len(history) > 1 else ""
    return Text.assemble(f"{text:<8}", (line, "cyan not bold"))


def _predicted(count: int, accuracy: float | None) -> str:
    return number(count) if accuracy is None else f"{number(count)}, {percent(accuracy)} predicted"


def _refused(row: ProgressRow) -> str:
    refused = f", {row.refused_reward_versions} refused" if row.refused_reward_versions else ""
    return refused + (", ALARM (docs/guards.md)" if row.alarm_holds else "")


def _flagged(row: ProgressRow) -> str:
    named = (f"{t['teacher_id']} ({', '.join(t['flags'])})" for t in row.teachers if t["flags"])
    return ", ".join(named).replace("_", " ")


def process_dots(processes: list[ProcessState]) -> Text:
    """Return all processes with their states, on one line."""
    text = Text()
    for process in processes:
        text.append("● ", style=_DOTS[process.state])
        text.append(process.name)
        notes: list[str] = [] if process.state == "running" else [process.state]
        if process.restarts:
            notes.append(f"restarted {process.restarts}×")
        text.append(f" ({', '.join(notes)})   " if notes else "   ", style="dim")
    return text
