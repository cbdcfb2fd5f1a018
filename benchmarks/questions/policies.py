"""Labels until a policy that learns from the answers alone reaches a score."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.preferences import train_in
from benchmarks.questions.labels import Curve
from cluster.runs.folder import RunFolder
from cluster.runs.progress import read_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTask:
    """A run file, how it is asked about, and the returns that are scores of 0 and 1."""

    run_file: str
    settings: tuple[str, ...]
    random_return: float
    """Of actions at random."""
    expert_return: float

    def score(self, true_return: float) -> float:
        """Return the normalised score."""
        return (true_return - self.random_return) / (self.expert_return - self.random_return)


POLICY_TASKS = {
    # Rounds come as often as updates, from few labels on, so that labels are counted finely.
    "cartpole": PolicyTask(
        run_file="cartpole_comparisons.yaml",
        settings=(
            "--stop.env_steps", "330000",
            "--reward.questions.budget", "200",
            "--reward.questions.initial", "20",
            "--reward.questions.per_round", "5",
            "--reward.questions.round_env_steps", "8192",
        ),
        random_return=22.0,
        expert_return=500.0,
    ),
    "pendulum": PolicyTask(
        run_file="pendulum_comparisons.yaml",
        settings=(
            "--stop.env_steps", "300000",
            "--reward.questions.initial", "20",
            "--reward.questions.per_round", "10",
            "--reward.questions.round_env_steps", "8192",
        ),
        random_return=-1230.0,
        expert_return=-150.0,
    ),
}  # fmt: skip


def policy_curve(task: PolicyTask, strategy: str, seed: int) -> Curve:
    """Do one run; returns the normalised true return of the latest episodes, as labels come."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ("--seed", str(seed), "--reward.questions.strategy", strategy, *task.settings)
        rows = read_progress(RunFolder(train_in(Path(folder), task.run_file, *settings)))
    return [(row.comparisons, task.score(row.true_return)) for row in rows if row.true_return is not None]
