"""The command `handrail`: finds the subcommand, and turns our errors into messages and exit codes."""

import argparse
import sys
import time
from collections.abc import Sequence

from cluster.cli import compare, evaluate, export, feedback, report, runs, serve, teach, thaw, token, train
from hitl.errors import ConfigError, HandrailError, StorageError

_DESCRIPTION = """\
Handrail trains a policy while people teach it.

  handrail train deploy/runs/cartpole_comparisons.yaml    start a run: a folder of its own in runs/
  handrail teach --run RUN                                teach it: say which of two behaviours is better
  handrail teach --run RUN --stage                        watch it live: good, bad, or take the controls
  handrail compare RUN RUN                                find out which policy people prefer
  handrail runs                                           see all runs
  handrail train --resume RUN                             go on with one that was stopped
"""

_COMMANDS = {
    "train": train,
    "teach": teach,
    "serve": serve,
    "eval": evaluate,
    "compare": compare,
    "export": export,
    "feedback": feedback,
    "report": report,
    "runs": runs,
    "thaw": thaw,
    "token": token,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when it succeeded, 2 on a mistake of the caller, 1 on anything else; 130 after Ctrl-C.
    """
    started = time.time()
    words = list(sys.argv[1:] if argv is None else argv)
    settings: list[str] = []
    if words[:1] == ["train"]:
        words, settings = train.split_settings(words)
    arguments = _parser().parse_args(words)
    arguments.started, arguments.settings = started, settings
    try:
        return int(_COMMANDS[arguments.command].run(arguments))
    except (ConfigError, StorageError) as error:
        return _complain(error, 2)
    except HandrailError as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough; nothing more can be written there.
        sys.stderr.close()
        return 1


def _complain(error: HandrailError, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="handrail", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for name, command in _COMMANDS.items():
        subparser = commands.add_parser(
            name,
            help=command.HELP,
            description=command.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=command is not train,
            allow_abbrev=False,
        )
        command.configure(subparser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
