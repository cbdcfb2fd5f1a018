"""`handrail eval`: play a run's policy and say how good it is by the environment's own reward."""

import argparse
import random
from collections.abc import Sequence

from cluster.cli.arguments import add_run
from hitl.errors import ConfigError

HELP = "play a run's policy and measure it"
DESCRIPTION = """\
Play greedy episodes with the policy of a run's newest checkpoint and print the environment's own return
of each. A number for people: nothing is learnt from it.

  handrail eval RUN
  handrail eval RUN --episodes 100 --seed 7
"""

_RESAMPLES = 2000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_run(parser)
    parser.add_argument("--episodes", type=int, default=20, help="to play (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the environment (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print; returns the exit code."""
    for name, least in (("episodes", 1), ("seed", 0)):
        value = getattr(arguments, name)
        if value < least:
            raise ConfigError(f"--{name} is {value}, but must be at least {least}")
    from cluster.runs.folder import RunFolder
    from cluster.runs.wording import number

    folder = RunFolder.find(arguments.runs_folder, arguments.run)
    from cluster.loop.evaluation import evaluate_run

    returns = evaluate_run(folder, arguments.episodes, arguments.seed)
    low, high = interval(returns)
    print("  ".join(number(value) for value in returns))
    mean = sum(returns) / len(returns)
    spread = f"95 % interval {number(low)} to {number(high)}"
    print(f"mean return {number(mean)} over {len(returns)} episodes, {spread}")
    return 0


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the mean, by bootstrap with a fixed seed."""
    rng = random.Random(0)
    means = sorted(sum(rng.choices(values, k=len(values))) / len(values) for _ in range(_RESAMPLES))
    return means[int(0.025 * _RESAMPLES)], means[int(0.975 * _RESAMPLES) - 1]
