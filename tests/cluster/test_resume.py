"""In lockstep, a run that was killed and resumed is bit for bit the run that was not."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cluster.feedback.progress_reporter import VERSION_MARGIN
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.saved_policy import load_policy
from cluster.runs import checkpoints
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from cluster.runs.progress import ProgressRow, read_status

SMALL: dict[str, Any] = {
    "mode": "lockstep",
    "environment": {"id": "CartPole-v1"},
    "reward": {"sources": {"environment": 1.0, "learned": 0.0}},
    "rollouts": {"env_runners": 0, "envs_per_runner": 4, "steps": 20},
    "learner": {"minibatch_size": 32, "learning_rate": 3e-3},
    "policy": {"hidden": [8]},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "adaptive": {
        "learner": SMALL["learner"]
        | {"objective": "ppo_kl", "ppo_kl": {"target": 1e-4}, "reference": {"coefficient": 0.1}}
    },
    "torch": {"environment": {"id": "Pendulum-v1"}, "policy": {"hidden": [300]}},
    "vectorised": {"environment": {"id": "CartPole-v1", "vectorised": True}},
}
UPDATES, EVERY = 6, 2
LONG = SMALL | {
    "name": "long",
    "stop": {"env_steps": 60 * 80},
    "checkpoints": {"every_updates": 7},
    "evaluation": {"episodes": 0},
}
LONG_UPDATES, LAST_KILL = 60, 45


def _learnt(algorithm: HITL) -> dict[str, Any]:
    """Everything that learning has changed, and what the last update said of itself."""
    learner = algorithm.learner_group.get_state()["learner"]
    ours = {name: learner["handrail"][name] for name in ("generator", "update")}
    return {
        "network": algorithm.network_state,
        "optimiser": learner["optimizer"],
        "ours": ours,
        "losses": algorithm.statistics.losses,
        "env_steps": algorithm.env_steps,
    }


def _train(algorithm: HITL, folder: Path, *, updates: int = UPDATES, every: int = EVERY) -> dict[str, Any]:
    """Train to the end with a checkpoint every so many updates; returns what was learnt."""
    while algorithm.updates < updates:
        algorithm.train()
        if algorithm.updates % every == 0:
            algorithm.save_to_path(folder / str(algorithm.updates))
    learnt = _learnt(algorithm)
    algorithm.stop()
    return learnt


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("variant", VARIANTS)
def test_going_on_from_any_checkpoint_ends_at_the_same_bits(variant: str, tmp_path: Path) -> None:
    config = HITLConfig.from_run(RunConfig.model_validate(SMALL | VARIANTS[variant]))
    whole = _train(HITL(config), tmp_path)
    for checkpoint in range(EVERY, UPDATES, EVERY):
        resumed = HITL(config)
        resumed.restore_from_path(tmp_path / str(checkpoint))
        resumed.policy_version += VERSION_MARGIN
        np.testing.assert_equal(_train(resumed, tmp_path / "resumed"), whole)


def test_a_run_killed_at_any_update_and_resumed_ends_at_the_same_bits(
    tmp_path: Path, ray_session: str
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    kill_at = random.Random(seed).randint(1, LAST_KILL)
    print(f"seed {seed}: killed after update {kill_at}")
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(LONG | {"runs_folder": str(tmp_path / "runs")}))
    killed = _command("train", str(run_file), ray_address=ray_session, log=tmp_path / "log")
    while (row := _status(tmp_path / "runs")) is None or row.updates < kill_at:
        assert killed.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.01)
    # The driver does not outlive its parent.
    killed.kill()
    killed.wait()
    (folder,) = RunFolder.list(tmp_path / "runs")
    assert not folder.summary_file.exists(), "it ended before it was killed"
    resumed = _command("train", "--resume", str(folder.path), ray_address=ray_session, log=tmp_path / "log")
    assert resumed.wait(timeout=90) == 0, (tmp_path / "log").read_text()
    end = checkpoints.newest(folder.checkpoints)
    assert end is not None
    network = {name: value.numpy() for name, value in load_policy(end).state_dict().items()}
    whole = _train(
        HITL(HITLConfig.from_run(RunConfig.model_validate(LONG))),
        tmp_path,
        updates=LONG_UPDATES,
        every=LONG["checkpoints"]["every_updates"],
    )
    np.testing.assert_equal(network, whole["network"])
    assert int(end.name) == whole["env_steps"]


def _command(*arguments: str, ray_address: str, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "cluster.cli.main", *arguments],
        env=os.environ | {"RAY_ADDRESS": ray_address},
        stdout=log.open("a"),
        stderr=subprocess.STDOUT,
    )


def _status(runs: Path) -> ProgressRow | None:
    folders = RunFolder.list(runs)
    return read_status(folders[0]) if folders else None
