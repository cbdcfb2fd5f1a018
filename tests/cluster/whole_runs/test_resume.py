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
import ray
import yaml

from cluster.feedback.progress_reporter import VERSION_MARGIN
from cluster.loop import teaching
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.learning.saved_policy import load_policy
from cluster.runs import checkpoints
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from cluster.runs.progress import ProgressRow, read_status
from tests.cluster.line_people import PEOPLE, Answering, link
from tests.hitl.live import LiveService, eventually

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
    ours = {name: learner["handrail"][name] for name in ("generator", "update", "reward_model")}
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


ROUND = 4


def _taught(
    service: LiveService, run_id: str, *, mode: str = "lockstep", rate: float = 3e-3, budget: int = 24
) -> HITLConfig:
    """A life of a run on answers, that asks its second round in the fourth update."""
    rounds = {"per_round": ROUND, "round_env_steps": 400, "budget": budget}
    questions = PEOPLE["reward"]["questions"] | rounds
    learner = PEOPLE["learner"] | {"learning_rate": rate}
    settings = PEOPLE | {
        "mode": mode,
        "learner": learner,
        "reward": PEOPLE["reward"] | {"questions": questions},
    }
    return HITLConfig.from_run(RunConfig.model_validate(settings), link(service, run_id))


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("killed", ["after its end", "in a round"])
def test_a_taught_run_goes_on_to_the_same_bits(
    killed: str, service: LiveService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later life asks again what an earlier one asked after the checkpoint, and finds the answers in the journal."""
    name = f"not {killed}"
    config = _taught(service, name)
    with Answering(service, name) as teacher:
        whole = _train(HITL(config), tmp_path)
    run_id, folder, answered = name, tmp_path, len(teacher.answers)
    if killed == "in a round":
        run_id, folder, answered = killed, tmp_path / "life", len(teacher.answers) - ROUND // 2
        _live_until(service, run_id, folder, monkeypatch, answers=answered)
    config = _taught(service, run_id)
    with Answering(service, run_id) as again:
        resumed = HITL(config)
        resumed.restore_from_path(folder / str(EVERY))
        resumed.policy_version += VERSION_MARGIN
        np.testing.assert_equal(_train(resumed, tmp_path / "resumed"), whole)
    assert len(again.answers) == len(teacher.answers) - answered
    with service.cluster() as client:
        stands = client.get_run(run_id)
    assert (stands.answered_questions, stands.open_questions) == (len(teacher.answers), 0)


def _lives(teacher: Answering) -> set[str]:
    """The drivers' lives that asked what was answered, by the names that begin the questions' ids."""
    return {question.rpartition("-")[0] for question in teacher.answers}


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("other", [{"mode": "overlapped"}, {"rate": 1e-3}], ids=["mode", "settings"])
def test_a_life_that_goes_on_otherwise_asks_anew_and_keeps_all_answers(
    other: dict[str, Any], service: LiveService, tmp_path: Path
) -> None:
    run_id = f"otherwise {'-'.join(other)}"
    # While a slow teacher answers, the first may ask much, and something must be left to the second.
    config = _taught(service, run_id, budget=10_000, **other)
    with Answering(service, run_id) as teacher:
        first = HITL(config)
        while first.updates < 1:
            first.train()
        first.save_to_path(tmp_path / "checkpoint")
        while len(teacher.answers) < 12 + ROUND:
            first.train()
        first.stop()
        second = HITL(_taught(service, run_id, budget=10_000))
        # What the first asked last, perhaps while it ended, is still answered.
        with service.cluster() as client:
            eventually(lambda: client.get_run(run_id).open_questions == 0)
        second.restore_from_path(tmp_path / "checkpoint")
        lives = _lives(teacher)
        while _lives(teacher) == lives:
            second.train()
        assert second.teaching is not None
        assert second.teaching.state.asked == second.teaching.state.answered == len(teacher.answers)
        second.stop()
    assert len(lives) == 1
    assert len(_lives(teacher)) == 2


def _live_until(
    service: LiveService, run_id: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, answers: int
) -> None:
    """A life that ends because its teacher goes home."""
    config = _taught(service, run_id)
    with Answering(service, run_id, most=answers), monkeypatch.context() as patch:
        patch.setattr(teaching, "ANSWER_SECONDS", 3.0)
        algorithm = HITL(config)
        with pytest.raises(ray.exceptions.RayTaskError, match="had no answer"):
            _train(algorithm, folder)
        algorithm.stop()


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
