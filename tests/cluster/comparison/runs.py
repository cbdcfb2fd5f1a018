"""Runs to compare: real checkpoints of a policy before and after it has learnt something."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs import checkpoints
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from cluster.runs.loading import save_run

HORIZON = 20
RUN: dict[str, Any] = {
    "mode": "lockstep",
    "environment": {"id": "tests.cluster.comparison.track:Track", "fixed_horizon": HORIZON},
    "rollouts": {"env_runners": 0, "envs_per_runner": 8, "steps": HORIZON},
    "policy": {"hidden": (16,)},
    "learner": {"minibatch_size": 80, "learning_rate": 1e-2, "device": "cpu"},
    "reward": {"sources": {"environment": 1.0, "learned": 0.0}, "questions": {"segment_steps": 5}},
    "teachers": {"tie_threshold": 0.0},
}


def train(runs_folder: Path, name: str, *, updates: list[int], **changes: Any) -> RunFolder:
    """Train a run on the environment's reward, with a checkpoint after each of these numbers of updates."""
    config = RunConfig.model_validate(RUN | {"name": name} | changes)
    folder = RunFolder.create(runs_folder, name, datetime(2026, 1, 2, tzinfo=UTC))
    save_run(config, folder.run_file)
    algorithm = HITL(HITLConfig.from_run(config))
    for update in range(1, max(updates) + 1):
        algorithm.train()
        if update in updates:
            checkpoints.write(
                folder.checkpoints,
                number=algorithm.env_steps,
                save=lambda path: algorithm.save_to_path(path.absolute()),
                keep=len(updates),
            )
    algorithm.stop()
    return folder
