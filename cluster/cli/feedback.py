"""`handrail feedback`: what was said in runs, out of a service and into another."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.cli.arguments import add_runs_folder
from hitl.errors import ConfigError

if TYPE_CHECKING:
    from cluster.recorded.place import ServicePlace
    from hitl.events import Task

HELP = "list, export or import what people have said"
DESCRIPTION = """\
What people say outlives a run. These commands list what a feedback service holds, write all of it to a folder of
Parquet tables, and read such a folder into another service, where runs learn from it (feedback.reads_from). A run
can also learn from a folder itself (reward.pretraining.recorded). docs/feedback.md describes the tables.

  handrail feedback list --run RUN                            what was said in a run with a service of its own
  handrail feedback list --folder feedback                    in all runs of a `handrail serve`
  handrail feedback export RUN --to data/people               all that was said in a run, and what it is about
  handrail feedback export --folder feedback --task TASK --to data/people --anonymous
  handrail feedback import data/people --folder feedback      into a service; again: nothing twice
  handrail feedback import data/people --folder feedback --as ID    under another id

With --true-rewards it also writes what the environment says of the segments: for that the variable HANDRAIL_TOKEN has
to hold a token of the role oracle; with --clips what teachers looked at. What people did on stages is also a Minari
dataset: `handrail export RUN --minari`.
"""

_TOKEN_VARIABLE = "HANDRAIL_TOKEN"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", title="actions")
    listing = actions.add_parser(
        "list", help="tasks and runs, and how much each teacher has said", allow_abbrev=False
    )
    _add_place(listing, run=True)
    export = actions.add_parser("export", help="write all that was said to a folder", allow_abbrev=False)
    export.add_argument(
        "runs", nargs="*", metavar="RUN", help="a run's id; without --folder one run, or its path"
    )
    export.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="the folder to write")
    export.add_argument("--task", metavar="TASK", help="all runs of a task: its id or its name")
    export.add_argument(
        "--anonymous", action="store_true", help="pseudonyms in the place of the names of teachers"
    )
    export.add_argument(
        "--true-rewards",
        action="store_true",
        help=f"the environment's rewards, too; {_TOKEN_VARIABLE} has a token of the role oracle",
    )
    export.add_argument("--clips", action="store_true", help="the clips of segments, too")
    export.add_argument("--overwrite", action="store_true", help="take the place of what is there")
    _add_place(export, run=False)
    importing = actions.add_parser("import", help="read such a folder into a service", allow_abbrev=False)
    importing.add_argument("recorded", type=Path, metavar="FOLDER", help="of the tables")
    importing.add_argument("--as", dest="alias", metavar="ID", help="what the only run in it is to be called")
    importing.add_argument(
        "--task",
        type=Path,
        metavar="FILE",
        help="a run file whose environment it is about; it must be the same",
    )
    _add_place(importing, run=True)


def _add_place(parser: argparse.ArgumentParser, *, run: bool) -> None:
    if run:
        parser.add_argument(
            "--run", metavar="RUN", help="with a service of its own: its id, or its folder's path"
        )
    parser.add_argument("--folder", type=Path, help="of a `handrail serve`")
    parser.add_argument(
        "--database",
        default=os.environ.get("HANDRAIL_DATABASE"),
        help="its database, if that is not in the folder (default: the variable HANDRAIL_DATABASE)",
    )
    add_runs_folder(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked and say what was done; returns the exit code."""
    return {"list": _list, "export": _export, "import": _import}[arguments.action](arguments)


def _place(arguments: argparse.Namespace, run: str | None) -> "ServicePlace":
    from cluster.recorded.place import ServicePlace
    from cluster.runs.folder import RunFolder

    if (arguments.folder is None) == (run is None):
        raise ConfigError(
            "name one place: a run with a service of its own, or the folder of a `handrail serve` with --folder"
        )
    if arguments.folder is not None:
        return ServicePlace.of_service(arguments.folder, database=arguments.database)
    return ServicePlace.of_run(RunFolder.find(arguments.runs_folder, run or ""))


def _list(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from cluster.recorded.contents import contents

    found = contents(_place(arguments, arguments.run))
    kinds = sorted({k for _, runs in found for one in runs for said in one.said.values() for k in said})
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("task", "run", "teacher"):
        table.add_column(name, no_wrap=True, overflow="fold")
    for name in kinds:
        table.add_column(name, justify="right", no_wrap=True)
    for task, runs in found:
        for one in runs:
            for teacher, said in one.said.items() or [("–", {})]:
                cells = [str(said[kind]) if kind in said else "–" for kind in kinds]
                table.add_row(f"{task.name} ({task.task_id})", one.run.run_id, teacher, *cells)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from cluster.recorded.exporting import export_feedback

    given: list[str] = arguments.runs
    if bool(given) == (arguments.task is not None):
        raise ConfigError("say what to export: runs, or all runs of a task with --task")
    token = os.environ.get(_TOKEN_VARIABLE) if arguments.true_rewards else None
    if arguments.true_rewards and not token:
        raise ConfigError(
            f"--true-rewards: set the variable {_TOKEN_VARIABLE} to a token of the role oracle (`handrail token`)"
        )
    if arguments.folder is None:
        from cluster.runs.folder import RunFolder

        if len(given) != 1:
            raise ConfigError(
                "without --folder name one run: each has a service of its own, and a folder holds what one service has"
            )
        place, runs = _place(arguments, given[0]), [RunFolder.find(arguments.runs_folder, given[0]).run_id]
    else:
        place = _place(arguments, None)
        runs = given or _runs_of(place, arguments.task)
    written = export_feedback(
        place,
        list(dict.fromkeys(runs)),
        arguments.to,
        anonymous=arguments.anonymous,
        oracle_token=token,
        clips=arguments.clips,
        overwrite=arguments.overwrite,
    )
    print(f"{written.folder}: {', '.join(written.runs)} on {written.task.name}")
    for name, count in written.rows.items():
        print(f"  {name}: {count} rows")
    return 0


def _runs_of(place: "ServicePlace", task: str) -> list[str]:
    from cluster.recorded.contents import contents

    named = [(known, runs) for known, runs in contents(place) if task in (known.task_id, known.name)]
    if len(named) != 1 or not named[0][1]:
        known = f"{len(named)} tasks are called so" if len(named) > 1 else "there is no run of such a task"
        raise ConfigError(f"--task {task}: {known}; `handrail feedback list` tells their ids")
    return [one.run.run_id for one in named[0][1]]


def _import(arguments: argparse.Namespace) -> int:
    from cluster.recorded.importing import import_feedback
    from cluster.recorded.recording import Recording

    place = _place(arguments, arguments.run)
    task = None if arguments.task is None else _task_of(arguments.task)
    imported = import_feedback(Recording(arguments.recorded, task=task, run_id=arguments.alias), place)
    for name, count in imported.runs.items():
        print(f"run {name}: {count} events")
    print(f"{imported.new_events} events and {imported.new_segments} segments are new here")
    names = " ".join(imported.runs)
    print(f"a run on this service learns from them: --feedback.reads_from {names}")
    return 0


def _task_of(run_file: Path) -> "Task":
    from cluster.environments.making import make, task_of
    from cluster.runs.loading import load_run

    environment = load_run(run_file).environment
    env = make(environment)
    task = task_of(environment, env)
    env.close()  # type: ignore[no-untyped-call]
    return task
