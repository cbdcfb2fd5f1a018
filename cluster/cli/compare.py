"""`handrail compare`: which of several policies people prefer."""

import argparse
import dataclasses
import socket
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cluster.cli.arguments import add_runs_folder
from hitl.errors import ConfigError

if TYPE_CHECKING:
    from cluster.cli.screens.compare_view import CompareView
    from cluster.cli.supervision.launch import ServiceAddresses
    from cluster.cli.supervision.supervisor import Outcome
    from cluster.comparison.folder import ComparisonFolder, ComparisonSettings
    from cluster.runs.config import RunConfig

HELP = "find out which of several policies people prefer"
DESCRIPTION = """\
Ask teachers which of two policies did better, pair by pair, until the preferred one is known. Policies are checkpoints
of runs of one task. Teachers see two segments that begin in equal states, and not whose they are. The comparison gets a
folder of its own, in which it can be gone on with, and its answers are feedback that other runs can learn from.

  handrail compare RUN OTHER_RUN                      their newest checkpoints
  handrail compare RUN@all                            all checkpoints that a run has kept
  handrail compare RUN@100352 OTHER_RUN@latest        checkpoints by their environment steps
  handrail compare RUN OTHER_RUN --teachers 2         simulated teachers answer, as RUN's file describes them
  handrail compare --resume COMPARISON --budget 200   go on, with more answers

Teach it as a run, in another terminal: `handrail teach --run COMPARISON`. Ctrl-C ends it; what was said is kept. The
exit code is 0 when the winner is known or the budget is spent.
"""

_DEFAULTS: dict[str, Any] = {
    "budget": 100,
    "confidence": 0.95,
    "open": 4,
    "teachers": 0,
    "schedule": "double_thompson",
    "begin": "anywhere",
    "seed": 0,
}
_FIXED = ("steps", "begin", "seed", "clips", "address", "host", "port", "name")
"""Options that belong to the begin of a comparison."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "policies",
        nargs="*",
        metavar="RUN[@CHECKPOINT]",
        help="a run's id or folder, and @latest (default), @all, or the number of a checkpoint's folder",
    )
    parser.add_argument("--resume", metavar="COMPARISON", help="go on with this one: its id, or its folder")
    asking = parser.add_argument_group("what is asked")
    asking.add_argument("--budget", type=int, help="answers at most, skips counted (default: 100)")
    asking.add_argument(
        "--confidence", type=float, help="end once a winner has this probability (default: 0.95)"
    )
    asking.add_argument(
        "--schedule",
        choices=["double_thompson", "round_robin"],
        help="who is compared next: whoever may win with whoever may beat them, or all pairs alike "
        "(default: double_thompson)",
    )
    asking.add_argument("--open", type=int, help="questions that wait at once (default: 4)")
    asking.add_argument(
        "--steps",
        metavar="N|episode",
        help="length of a segment, or whole episodes (default: reward.questions.segment_steps of the first run)",
    )
    asking.add_argument(
        "--begin",
        choices=["anywhere", "start"],
        help="anywhere: segments lie at the same random place of two episodes; start: where both begin, in the same "
        "state (default: anywhere)",
    )
    asking.add_argument(
        "--clips",
        action=argparse.BooleanOptionalAction,
        help="render what people see (default: where the environment can, and no simulated teachers answer)",
    )
    asking.add_argument("--seed", type=int, help="of situations and of the order (default: 0)")
    service = parser.add_argument_group("who answers, and where")
    service.add_argument("--teachers", type=int, help="simulated teachers to start (default: 0)")
    service.add_argument("--host", help="where the comparison's own service listens (default: 127.0.0.1)")
    service.add_argument("--port", type=int, help="its port (default: a free one)")
    service.add_argument(
        "--address", metavar="HOST:PORT", help="of a service that runs already; needs HANDRAIL_TOKEN"
    )
    parser.add_argument("--name", help="begins the comparison's id (default: compare)")
    add_runs_folder(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare; returns the exit code."""
    _check(arguments)
    settings, config, folder = _resumed(arguments) if arguments.resume else _new(arguments)
    from cluster.runs.lives import begin_life, end_life, only_trainer

    with only_trainer(folder.run):
        begin_life(folder.run, arguments.started)
        try:
            return _compare(settings, config, folder, arguments.started)
        finally:
            end_life(folder.run, time.time())


def _check(arguments: argparse.Namespace) -> None:
    for name, least in (("budget", 1), ("open", 1), ("teachers", 0), ("seed", 0), ("port", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name} is {value}, but must be at least {least}")
    confidence, steps = arguments.confidence, arguments.steps
    if confidence is not None and not 0.5 < confidence < 1.0:
        raise ConfigError(f"--confidence is {confidence:g}, but must lie between 0.5 and 1")
    if steps is not None and steps != "episode" and not (steps.isdecimal() and int(steps) > 0):
        raise ConfigError(
            f"--steps is {steps}; give a number of steps from 1 on, or `episode` for whole ones"
        )
    if arguments.resume and arguments.policies:
        raise ConfigError("--resume goes on with the policies of before, so name no others")
    for name in _FIXED if arguments.resume else ():
        if getattr(arguments, name) is not None:
            raise ConfigError(
                f"--{name} cannot be changed in a comparison that goes on: answers of before and after would be about "
                "different things, or elsewhere; start a new one"
            )


def _new(
    arguments: argparse.Namespace,
) -> "tuple[ComparisonSettings, RunConfig, ComparisonFolder]":
    from cluster.comparison.folder import ComparedPolicy, ComparisonFolder, ComparisonSettings
    from cluster.comparison.selection import copy_policies, run_file_of, select
    from cluster.runs.folder import RunFolder
    from cluster.runs.loading import save_run

    selected = select(arguments.policies, arguments.runs_folder)
    given = {name: getattr(arguments, name) for name in _DEFAULTS}
    chosen = _DEFAULTS | {name: value for name, value in given.items() if value is not None}
    steps = arguments.steps or selected[0].config.reward.questions.segment_steps
    clips = arguments.clips
    settings = ComparisonSettings(
        policies=tuple(
            ComparedPolicy(name=one.name, run=str(one.folder.path), checkpoint=one.checkpoint.name)
            for one in selected
        ),
        steps=None if steps == "episode" else int(steps),
        begin=chosen["begin"],
        schedule=chosen["schedule"],
        budget=chosen["budget"],
        confidence=chosen["confidence"],
        open_questions=chosen["open"],
        clips=False if clips is None and chosen["teachers"] else clips,
        seed=chosen["seed"],
    )
    config = run_file_of(
        selected[0].config,
        name=arguments.name or "compare",
        seed=chosen["seed"],
        runs_folder=arguments.runs_folder,
        teachers=chosen["teachers"],
        feedback={
            key: value
            for key in ("address", "host", "port")
            if (value := getattr(arguments, key)) is not None
        },
    )
    run = RunFolder.create(arguments.runs_folder, config.name, datetime.now(UTC))
    folder = ComparisonFolder(run)
    copy_policies(selected, folder)
    save_run(config, run.run_file)
    folder.save_settings(settings)
    return settings, config, folder


def _resumed(
    arguments: argparse.Namespace,
) -> "tuple[ComparisonSettings, RunConfig, ComparisonFolder]":
    from cluster.comparison.folder import ComparisonFolder
    from cluster.runs.folder import RunFolder
    from cluster.runs.loading import load_run, save_run

    folder = ComparisonFolder(RunFolder.find(arguments.runs_folder, arguments.resume))
    if not folder.is_comparison:
        raise ConfigError(
            f"{arguments.resume} is a run and no comparison; go on with it by `handrail train --resume "
            f"{folder.run.handle}`, or compare it with others: `handrail compare {folder.run.handle} RUN`"
        )
    names = {"budget": "budget", "confidence": "confidence", "schedule": "schedule", "open": "open_questions"}
    changed = {
        field: value for name, field in names.items() if (value := getattr(arguments, name)) is not None
    }
    settings = dataclasses.replace(folder.load_settings(), **changed)
    config = load_run(folder.run.run_file)
    if arguments.teachers is not None:
        teachers = config.teachers.model_copy(update={"count": arguments.teachers})
        config = config.model_copy(update={"teachers": teachers})
    folder.save_settings(settings)
    save_run(config, folder.run.run_file)
    return settings, config, folder


def _compare(
    settings: "ComparisonSettings", config: "RunConfig", folder: "ComparisonFolder", started: float
) -> int:
    from cluster.cli.screens.compare_view import CompareView
    from cluster.cli.supervision.launch import RunCommands
    from cluster.cli.supervision.supervisor import Supervisor

    class Commands(RunCommands):
        driver_module = "cluster.comparison.process"

    commands = Commands(config, folder.run)
    folder.run.summary_file.unlink(missing_ok=True)
    view = CompareView(folder, settings, started=started)
    view.note(f"comparison {folder.run.path}")
    with view:
        outcome = Supervisor(
            folder.run, commands, view, on_ready=lambda addresses: _introduce(view, folder, addresses)
        ).run()
    return _conclude(view, folder, outcome)


def _introduce(view: "CompareView", folder: "ComparisonFolder", addresses: "ServiceAddresses | None") -> None:
    assert addresses is not None
    run = folder.run
    if addresses.metrics:
        view.note(f"teach      handrail teach --run {run.handle}")
    address = addresses.teaching.replace("0.0.0.0", socket.gethostname())
    view.note(f"  elsewhere  handrail teach --address {address} --run-id {run.run_id}")
    if addresses.metrics:
        view.note(f"  its token  handrail token --run {run.handle} --name NAME")


def _conclude(view: "CompareView", folder: "ComparisonFolder", outcome: "Outcome") -> int:
    from cluster.cli.supervision.supervisor import Ending

    if outcome.ending is Ending.MISTAKE:
        raise ConfigError(outcome.message)
    if outcome.message:
        print(f"error: {outcome.message}", file=sys.stderr)
    view.conclude()
    if outcome.ending is Ending.DONE:
        return 0
    if outcome.ending is Ending.REFUSED:
        return 1
    print(f"ended before it was done; go on with\n  handrail compare --resume {folder.run.handle}")
    if outcome.ending is Ending.CRASHED:
        return 1
    return 128 + (outcome.signal or 15)
