"""`handrail runs`: all runs in a folder, as a table."""

import argparse
import time
from typing import TYPE_CHECKING

from cluster.cli.arguments import add_runs_folder
from hitl.errors import HandrailError

if TYPE_CHECKING:
    from cluster.runs.folder import RunFolder

HELP = "list all runs"
DESCRIPTION = """\
List the runs in a folder, the newest last.

  handrail runs
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_runs_folder(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table; returns the exit code."""
    from rich.console import Console
    from rich.table import Table

    from cluster.runs.folder import RunFolder

    folders = RunFolder.list(arguments.runs_folder)
    if not folders:
        print(f"no runs in {arguments.runs_folder}; start one with `handrail train FILE`")
        return 0
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("run", "environment", "state"):
        table.add_column(name, no_wrap=True, overflow="fold" if name == "run" else "ellipsis")
    for name in ("env steps", "comparisons", "true return", "started"):
        table.add_column(name, justify="right", no_wrap=True)
    for folder in folders:
        table.add_row(*_cells(folder))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    return 0


def _cells(folder: "RunFolder") -> list[str]:
    """One line of the table; a run that cannot be read gets one too."""
    from cluster.runs.folder import read_json
    from cluster.runs.lives import is_trained_now, start_time
    from cluster.runs.loading import load_run
    from cluster.runs.progress import read_status
    from cluster.runs.wording import duration, number

    try:
        config, row, summary = load_run(folder.run_file), read_status(folder), read_json(folder.summary_file)
        started = start_time(folder)
    except HandrailError:
        return [folder.run_id, "–", "damaged", "–", "–", "–", "–"]
    known = summary or (row.to_json() if row else {})
    state = "done"
    if is_trained_now(folder):
        state = row.phase if row else "starting"
    elif summary is None:
        state = "stopped"
    elif summary.get("goal_met") is not None:
        state = "goal met" if summary["goal_met"] else "goal missed"
    return [
        folder.run_id,
        config.environment.id,
        state,
        number(known.get("env_steps", 0)),
        number(known.get("comparisons")) if config.asks_questions else "–",
        number(known.get("true_return_mean", known.get("true_return"))),
        f"{duration(time.time() - started)} ago" if started else "–",
    ]
