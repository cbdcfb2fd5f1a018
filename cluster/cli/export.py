"""`handrail export`: a run's policy as a file for a robot or a game, or its demonstrations as a Minari dataset."""

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.cli.arguments import add_run
from hitl.errors import ConfigError

if TYPE_CHECKING:
    from cluster.demonstrations.minari_writing import Written
    from cluster.export.policy_file import Exported

HELP = "write a run's policy, or what people did in it, to files for others"
DESCRIPTION = """\
Write the policy of a run's newest checkpoint to one file: flat observations in, greedy actions out, with the
normalisation of observations and the clipping of actions inside. Of a run that acts by its reward model
(acting.kind: reward) it is the action of which people would say the best. The file is asked about random observations
before it is kept, and a JSON file beside it says what goes in, what comes out, and where it comes from.

  handrail export RUN                                   TorchScript, for torch in Python and C++
  handrail export RUN --format onnx                     ONNX, for many languages; needs the extra `export`
  handrail export RUN --output robot/walk --format both robot/walk.pt and robot/walk.onnx

With --minari it writes what teachers did with the controls of the run's stages instead, as a Minari dataset: states,
actions, true rewards, and how episodes ended. The folder's last part is the dataset's id. Other runs learn from it
(imitation.demonstrations), and so does whatever reads Minari. It needs the extra `minari`.

  handrail export RUN --minari data/people-v0               what people and programs demonstrated
  handrail export RUN --minari data/stages-v0 --all-steps   and what the policy did on stages while they watched
  handrail train FILE --imitation.demonstrations data/people-v0
"""

_OF_POLICY = ("checkpoint", "format", "output", "stochastic")
_OF_DATASET = ("all_steps", "feedback")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_run(parser)
    parser.add_argument(
        "--checkpoint",
        metavar="NAME",
        help="a folder in the run's checkpoints, such as 000000100352 (default: the newest)",
    )
    parser.add_argument(
        "--format",
        choices=["torchscript", "onnx", "both"],
        help="of the file (default: torchscript)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="the file to write (default: one in RUN/exports)"
    )
    parser.add_argument(
        "--stochastic",
        action="store_true",
        help="the file also returns what actions are drawn from: log-probabilities, or mean and standard deviation",
    )
    parser.add_argument(
        "--minari", type=Path, metavar="FOLDER", help="write a Minari dataset, not the policy"
    )
    parser.add_argument(
        "--all-steps",
        action="store_true",
        help="with --minari: all that stages have shown, not takeovers alone",
    )
    parser.add_argument(
        "--feedback",
        type=Path,
        metavar="FOLDER",
        help="with --minari: of the `handrail serve` that keeps the run's journal (default: the run's own)",
    )
    parser.add_argument("--overwrite", action="store_true", help="take the place of what is there")


def run(arguments: argparse.Namespace) -> int:
    """Export and say what was written; returns the exit code."""
    for name in _OF_DATASET if arguments.minari is None else _OF_POLICY:
        if getattr(arguments, name):
            why = (
                "belongs to --minari"
                if arguments.minari is None
                else "is about a policy, and --minari writes none"
            )
            raise ConfigError(f"--{name.replace('_', '-')} {why}; leave one of them out")
    from cluster.runs.folder import RunFolder

    folder = RunFolder.find(arguments.runs_folder, arguments.run)
    if arguments.minari is not None:
        from cluster.demonstrations.minari_writing import write_dataset
        from cluster.demonstrations.recorded_run import RecordedRun

        recorded = RecordedRun(folder, feedback=arguments.feedback)
        written = write_dataset(
            recorded, arguments.minari, all_steps=arguments.all_steps, overwrite=arguments.overwrite
        )
        recorded.close()
        print(_said_of_dataset(written))
        return 0
    from cluster.export.policy_file import FORMATS, export_policy

    exported = export_policy(
        folder,
        list(FORMATS.values())
        if arguments.format == "both"
        else [FORMATS[arguments.format or "torchscript"]],
        checkpoint=arguments.checkpoint,
        output=arguments.output,
        stochastic=arguments.stochastic,
        overwrite=arguments.overwrite,
    )
    print("\n\n".join(map(_said, exported)))
    return 0


def _said_of_dataset(written: "Written") -> str:
    lines = [
        f"{written.folder}: the Minari dataset {written.dataset_id}, "
        f"{written.steps} steps in {written.fragments} pieces of episodes",
        "",
        "    import minari",
        "",
        f'    dataset = minari.MinariDataset("{written.folder / "data"}")',
    ]
    if written.single_corrections:
        lines[1:1] = [
            f"{written.single_corrections} single corrections are not in it: nobody knows where they would have led; "
            "a run that names the run's folder in imitation.demonstrations learns from them, too"
        ]
    return "\n".join(lines)


def _said(exported: "Exported") -> str:
    about = exported.contract
    kind = "reward_version" if "reward_version" in about else "policy_version"
    version = f"{kind.replace('_', ' ')} {about[kind]}"
    lines = [
        f"{exported.path}: {version}, checked against the policy itself",
        f"{exported.description}: what goes in and comes out, also inside the file",
        *(f"  in   {_port(port)}" for port in about["inputs"]),
        *(f"  out  {_port(port)}" for port in about["outputs"]),
        "",
        textwrap.indent(exported.usage, "    "),
    ]
    return "\n".join(lines)


def _port(port: dict[str, Any]) -> str:
    return f"{port['name']}: {port['dtype']}[{', '.join(map(str, port['shape']))}]"
