"""Arguments that several commands have."""

import argparse
from pathlib import Path


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the run that a command is about, and where it lies."""
    parser.add_argument("run", metavar="RUN", help="the run's id, or its folder's path")
    add_runs_folder(parser)


def add_runs_folder(parser: argparse.ArgumentParser) -> None:
    """Add where runs lie."""
    parser.add_argument(
        "--runs-folder", type=Path, default=Path("runs"), help="where runs lie (default: runs)"
    )
