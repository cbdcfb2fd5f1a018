"""What is done once a run is: pictures, summary, report, and whether the goal is met."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from cluster.cli.supervision.processes import Child, Command, wait_for_all
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder, read_json, write_json
from cluster.runs.goal import goal_lines, goal_met
from cluster.runs.lives import wall_seconds
from cluster.runs.report import write_report
from cluster.runs.wording import duration, number, percent

_DRAWING_SECONDS = 120.0


def finish(config: RunConfig, folder: RunFolder) -> bool:
    """Make the report, complete the summary, and print both.

    The pictures, which take the longest, come first, so that the time in summary and report is the whole.

    Returns:
        Whether the goal is met; True where there is none, False where the driver has left no summary.

    Raises:
        StorageError: a file cannot be written.
    """
    draw_in_child(folder)
    summary = read_json(folder.summary_file)
    if summary is None:
        print(f"error: the driver left no summary; see {folder.log('driver')}", file=sys.stderr)
        return False
    summary["wall_seconds"] = round(wall_seconds(folder, time.time()), 1)
    summary["goal_met"] = goal_met(config.goal, summary)
    write_json(folder.summary_file, summary)
    write_report(folder)
    console = Console(highlight=False)
    console.print(_table(config, summary))
    console.print(f"report     {folder.report_file}", soft_wrap=True)
    return summary["goal_met"] is not False


def draw_in_child(folder: RunFolder) -> None:
    """Draw the pictures in a process of its own: drawing needs far more than this command does.

    A run whose pictures cannot be drawn still has its summary and its report, so this only warns.
    """
    command = Command((sys.executable, "-m", "cluster.runs.pictures", str(folder.path)))
    child = Child(command, folder.log("report"))
    try:
        if not wait_for_all([child], _DRAWING_SECONDS, meanwhile=lambda: True) or child.exit_code() != 0:
            print(f"warning: no pictures were drawn: {child.error_message()}", file=sys.stderr)
    finally:
        child.kill()


def _table(config: RunConfig, summary: dict[str, Any]) -> Table:
    bounds = {line.name: line for line in goal_lines(config.goal, summary)}
    rows = [
        ("true return", number(summary.get("true_return_mean"))),
        ("wall seconds", duration(summary["wall_seconds"])),
        ("env steps", number(summary.get("env_steps"))),
    ]
    if config.asks_questions:
        rows.insert(1, ("comparisons", number(summary.get("comparisons"))))
        rows.append(("held-out accuracy", percent(summary.get("heldout_accuracy"))))
    if config.imitation.asks_people:
        rows.insert(1, ("told what to do", number(summary.get("relabels"))))
    title = {True: "[green]goal met", False: "[red]goal missed", None: "done"}[summary["goal_met"]]
    table = Table(title=f"{summary.get('run_id')}: {title}", title_justify="left", title_style="bold")
    table.add_column("")
    table.add_column("reached", justify="right")
    if bounds:
        table.add_column("asked for", justify="right")
        table.add_column("")
    for name, value in rows:
        line = bounds.get(name)
        if line is None:
            table.add_row(name, value)
            continue
        sense = "at least" if line.at_least else "at most"
        table.add_row(name, value, f"{sense} {number(line.bound)}", "[green]✓" if line.met else "[red]✗")
    return table
