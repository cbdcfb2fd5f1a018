"""`handrail report`: make a run's report again."""

import argparse

from cluster.cli.arguments import add_run

HELP = "make a run's report again"
DESCRIPTION = """\
Draw a run's pictures and write its report anew, from the progress in its folder; while it goes on, too.

  handrail report RUN
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_run(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the report; returns the exit code."""
    from cluster.comparison.folder import ComparisonFolder
    from cluster.runs.folder import RunFolder
    from cluster.runs.pictures import draw_pictures
    from cluster.runs.report import write_report

    folder = RunFolder.find(arguments.runs_folder, arguments.run)
    if ComparisonFolder(folder).is_comparison:
        from cluster.comparison.report import write_comparison_report

        print(write_comparison_report(ComparisonFolder(folder)))
        return 0
    draw_pictures(folder)
    print(write_report(folder))
    return 0
