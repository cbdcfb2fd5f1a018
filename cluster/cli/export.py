"""`handrail export`: a run's policy as a file for a robot or a game."""

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.export.policy_file import Exported

HELP = "write a run's policy to a file that runs without Handrail"
DESCRIPTION = """\
Write the policy of a run's newest checkpoint to one file: flat observations in, greedy actions out, with the
normalisation of observations and the clipping of actions inside. The file is asked about random observations
before it is kept, and a JSON file beside it says what goes in, what comes out, and where it comes from.

  handrail export RUN                                   TorchScript, for torch in Python and C++
  handrail export RUN --format onnx                     ONNX, for many languages; needs the extra `export`
  handrail export RUN --output robot/walk --format both robot/walk.pt and robot/walk.onnx
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("run", metavar="RUN", help="the run's id, or its folder's path")
    parser.add_argument(
        "--checkpoint",
        metavar="NAME",
        help="a folder in the run's checkpoints, such as 000000100352 (default: the newest)",
    )
    parser.add_argument(
        "--format",
        choices=["torchscript", "onnx", "both"],
        default="torchscript",
        help="of the file (default: %(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="the file to write (default: one in RUN/exports)"
    )
    parser.add_argument(
        "--stochastic",
        action="store_true",
        help="the file also returns what actions are drawn from: log-probabilities, or mean and standard deviation",
    )
    parser.add_argument("--overwrite", action="store_true", help="take the place of a file that is there")
    parser.add_argument(
        "--runs-folder", type=Path, default=Path("runs"), help="where runs lie (default: runs)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Export and say what was written; returns the exit code."""
    from cluster.runs.folder import RunFolder

    folder = RunFolder.find(arguments.runs_folder, arguments.run)
    from cluster.export.policy_file import FORMATS, export_policy

    exported = export_policy(
        folder,
        list(FORMATS.values()) if arguments.format == "both" else [FORMATS[arguments.format]],
        checkpoint=arguments.checkpoint,
        output=arguments.output,
        stochastic=arguments.stochastic,
        overwrite=arguments.overwrite,
    )
    print("\n\n".join(map(_said, exported)))
    return 0


def _said(exported: "Exported") -> str:
    about = exported.contract
    lines = [
        f"{exported.path}: policy version {about['policy_version']}, checked against the policy itself",
        f"{exported.description}: what goes in and comes out, also inside the file",
        *(f"  in   {_port(port)}" for port in about["inputs"]),
        *(f"  out  {_port(port)}" for port in about["outputs"]),
        "",
        textwrap.indent(exported.usage, "    "),
    ]
    return "\n".join(lines)


def _port(port: dict[str, Any]) -> str:
    return f"{port['name']}: {port['dtype']}[{', '.join(map(str, port['shape']))}]"
