"""Commands and scripts that demonstrate, as processes of their own."""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from cluster.cli import teach
from cluster.cli.main import main
from cluster.cli.supervision.launch import RunCommands, ServiceAddresses
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from cluster.runs.loading import save_run
from hitl.client.training import TrainingClient
from hitl.events import Demonstration, Ranking, Task
from tests.hitl.judgements import ask
from tests.hitl.live import START_SECONDS, LiveRun, LiveService, eventually
from tests.hitl.test_journal import entries_of

ROOT = Path(__file__).parents[3]
BALANCER = "hitl.teachers.cartpole:Balancer"
CARTPOLE = "environment: {id: CartPole-v1, fixed_horizon: 120}\nreward: {sources: {learned: 1.0}}\n"


@pytest.fixture(scope="module")
def cluster(service: LiveService) -> Iterator[TrainingClient]:
    with service.cluster() as client:
        client.register_task(Task(task_id="task", name="Task-v0", fingerprint="{}"))
        yield client


def test_the_example_shows_how(service: LiveService, cluster: TrainingClient) -> None:
    run = LiveRun(cluster.open_run("example", "task"), cluster)
    script = ROOT / "docs" / "examples" / "shows_right.py"
    subprocess.run(
        [sys.executable, script, service.address, run.run_id],
        env={**os.environ, "HANDRAIL_TOKEN": service.token("teacher", "ann")},
        check=True,
        timeout=60,
    )
    (entry,) = entries_of(cluster, run.run_id, 1)
    assert isinstance(entry.event, Demonstration)
    assert entry.event.end == 100
    parts = cluster.get_segments(run.run_id, list(entry.segment_ids))
    assert {int(action) for part in parts for action in np.asarray(part.actions)} == {2}


def test_a_simulated_teacher_first_shows_how_and_then_answers(
    service: LiveService, cluster: TrainingClient, tmp_path: Path
) -> None:
    run = LiveRun(cluster.open_run("simulated", "task"), cluster)
    (tmp_path / "run.yaml").write_text(CARTPOLE)
    ask(run, "ranking", "q")
    command = [
        *(sys.executable, "-m", "cluster.cli.main", "teach", "--simulated"),
        *("--address", service.address, "--run-id", run.run_id),
        *(
            "--expert",
            BALANCER,
            "--demonstrate",
            "2",
            "--run-file",
            str(tmp_path / "run.yaml"),
            "--seed",
            "4",
        ),
    ]
    environment = {**os.environ, "HANDRAIL_TOKEN": service.token("oracle", "expert")}
    process = subprocess.Popen(command, env=environment)
    try:
        eventually(lambda: cluster.get_run(run.run_id).journal_end == 3, seconds=60.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=START_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    *shown, answer = (entry.event for entry in entries_of(cluster, run.run_id, 3))
    # As long as the run's horizon, and no longer.
    assert [(e.episode, e.begin, e.end) for e in shown if isinstance(e, Demonstration)] == [
        (4, 0, 120),
        (5, 0, 120),
    ]
    assert isinstance(answer, Ranking)
    assert answer.ranks == (2, 1, 3)


class Falls:
    def act(self, observation: np.ndarray, /) -> int:
        return 0


def test_an_episode_ends_where_it_is_over_and_not_at_the_horizon(
    service: LiveService, cluster: TrainingClient, tmp_path: Path
) -> None:
    run = LiveRun(cluster.open_run("fallen", "task"), cluster)
    (tmp_path / "run.yaml").write_text(CARTPOLE)
    arguments = argparse.Namespace(
        run=None, run_file=tmp_path / "run.yaml", runs_folder=tmp_path, demonstrate=1, seed=0
    )
    with service.teacher() as client:
        teach._demonstrating(arguments, Falls())(client, run.run_id, threading.Event())
    (entry,) = entries_of(cluster, run.run_id, 1)
    assert isinstance(entry.event, Demonstration)
    (part,) = cluster.get_segments(run.run_id, list(entry.segment_ids))
    assert part.outcome is not None
    assert part.outcome.terminated
    assert len(part) < 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--demonstrate", "1"], "who demonstrates must know how"),
        (["--demonstrate", "1", "--expert", BALANCER], "name the run's file"),
        (["--goal", "nothing"], "is no module:function"),
        (["--rating-range", "2", "1"], "rating_range is (2.0, 1.0)"),
    ],
)
def test_what_a_simulated_teacher_cannot_do_is_refused(
    options: list[str],
    words: str,
    service: LiveService,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HANDRAIL_TOKEN", service.token("oracle"))
    at = ["--address", service.address, "--run-id", "run"]
    assert main(["teach", "--simulated", *at, *options]) == 2
    assert words in capsys.readouterr().err


def test_a_run_tells_its_teachers_what_its_file_says(tmp_path: Path) -> None:
    config = RunConfig.model_validate(
        {
            "environment": {"id": "CartPole-v1", "fixed_horizon": 500},
            "reward": {"questions": {"kinds": {"rating": 1.0, "goal": 1.0}}},
            "teachers": {
                "count": 2,
                "expert": BALANCER,
                "demonstrations": 3,
                "rating_range": (-1.5, 25.0),
                "goal": "lessons:upright",
                "goal_reward": -0.5,
            },
        }
    )
    folder = RunFolder.create(tmp_path, "run", datetime(2030, 1, 2))
    save_run(config, folder.run_file)
    first, second = RunCommands(config, folder).teachers(ServiceAddresses("127.0.0.1:1", "127.0.0.1:2"))
    parser = argparse.ArgumentParser()
    teach.configure(parser)
    told, other = (
        parser.parse_args(command.arguments[command.arguments.index("teach") + 1 :])
        for command in (first, second)
    )
    assert (told.expert, told.goal, told.goal_reward, told.rating_range) == (
        BALANCER,
        "lessons:upright",
        -0.5,
        [-1.5, 25.0],
    )
    assert (told.demonstrate, told.run_file) == (3, folder.run_file)
    assert (other.demonstrate, other.rating_range, other.goal) == (0, [-1.5, 25.0], "lessons:upright")
