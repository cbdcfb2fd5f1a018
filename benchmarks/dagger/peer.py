"""The peer: `imitation`'s DAgger in a virtual environment of its own, asked about the same tasks and experts.

It must be made once, from the pinned versions in `imitation.txt`, with Python 3.11 or 3.12. A label is one observation
that the expert was asked about; its trainer asks about every step that it gathers.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dagger.peer_environment import FOLDER, python_of
from benchmarks.dagger.tasks import TARGET, Judged

ROOT = Path(__file__).parent.parent.parent
REQUIREMENTS = Path(__file__).parent / "imitation.txt"
MOST_LABELS = 20_000
"""Its own default for CartPole and Mountain Car (`imitation.scripts.config.train_imitation`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a user of the peer would choose; all else is its default."""

    round_episodes: int
    """At least, in each round; it labels whole episodes alone."""
    round_labels: int
    """At least, in each round; never below its batch of 32."""
    normalised: bool
    """Observations are, by its running statistics, as in its tuned settings for MuJoCo; not by default. Those of
    round 1 stay, because from then on its network is never in training mode."""


PUBLISHED = Choice(round_episodes=3, round_labels=500, normalised=False)
"""Its defaults. Its network is `FeedForward32Policy` in all choices: 2x32 tanh."""
FEWEST_LABELS = Choice(round_episodes=1, round_labels=32, normalised=True)
"""An episode a round, the fewest that it can: beta falls sooner, labels are seen more often, and it may stop sooner.

Of these rounds and the published ones, each with and without statistics, this choice needed the fewest labels on every
task: on seed 100 of Mountain Car and Pendulum, and on average over seeds 100 to 102 of CartPole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRun:
    """What came of one seed."""

    versions: dict[str, str]
    expert_return: float
    """Mean of the expert in the peer's own environment, over the same episodes: the same as in ours."""
    rounds: tuple[Judged, ...]


def run(
    task: str,
    choice: Choice,
    *,
    seed: int,
    until: float = TARGET,
    most_labels: int = MOST_LABELS,
    folder: Path = FOLDER,
) -> PeerRun:
    """Train the peer once, on one thread.

    Args:
        task: of `benchmarks.dagger.tasks.TASKS`.
        choice: for the peer.
        seed: of its draws, its environment and its network.
        until: normalised score after which it may stop.
        most_labels: after which it must.
        folder: that holds the environments of peers.

    Raises:
        subprocess.CalledProcessError: its environment could not be made.
        RuntimeError: it failed; what it said is in the message.
    """
    command = [str(python_of(REQUIREMENTS, folder)), "-m", "benchmarks.dagger.peer_worker"]
    command += ["--task", task, "--seed", str(seed), "--until", str(until), "--most-labels", str(most_labels)]
    command += ["--round-episodes", str(choice.round_episodes), "--round-labels", str(choice.round_labels)]
    command += ["--normalised"] if choice.normalised else []
    ended = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"the peer ended with exit code {ended.returncode}: {ended.stderr[-2000:]}")
    return _read(ended.stdout)


def _environment() -> dict[str, str]:
    # Packages on this path would hide the peer's.
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return ours | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _read(lines: str) -> PeerRun:
    first, *others = (json.loads(line) for line in lines.splitlines() if line.startswith("{"))
    rounds = tuple(
        Judged(labels=row["labels"], true_return=row["true_return"], score=row["score"]) for row in others
    )
    return PeerRun(versions=first["versions"], expert_return=first["expert_return"], rounds=rounds)
