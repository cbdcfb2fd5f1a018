"""Killing any part of a live run: it goes on by itself, and no acknowledged answer is lost or counted twice.

One run serves all of these tests: a real `handrail train` with its service, driver, env runner, reward trainer and
teachers as processes, on the tests' own Ray as on a cluster. A teacher of ours answers beside the simulated ones and
keeps its receipts.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from cluster.runs import checkpoints
from cluster.runs.folder import RunFolder
from cluster.runs.progress import read_progress, read_status
from hitl.client.teaching import TeacherClient
from hitl.client.training import TrainingClient
from hitl.errors import RequestError
from hitl.events import Choice, Comparison, Receipt
from hitl.tokens import load_or_create_secret, mint

START_SECONDS = 90.0
RECOVERY_SECONDS = 60.0

RUN = {
    "name": "kills",
    "environment": {"id": "CartPole-v1", "fixed_horizon": 60},
    "rollouts": {"env_runners": 1, "envs_per_runner": 4, "steps": 40},
    "learner": {"minibatch_size": 80},
    "policy": {"hidden": [8]},
    "reward": {
        "model": {"hidden": [8], "gradient_steps": 5},
        "questions": {
            "budget": 100_000,
            "initial": 6,
            "initial_env_steps": 320,
            "per_round": 4,
            "round_env_steps": 320,
            "segment_steps": 10,
            "max_open": 30,
        },
    },
    "teachers": {"count": 1, "answer_seconds": 0.02},
    "stop": {"env_steps": 100_000_000},
    "checkpoints": {"every_seconds": 2.0},
}


class LiveRun:
    """A run under `handrail train`."""

    def __init__(self, place: Path, ray_address: str) -> None:
        self.environment = os.environ | {"RAY_ADDRESS": ray_address}
        run_file = place / "run.yaml"
        run_file.write_text(yaml.safe_dump(RUN))
        self.log = (place / "parent.log").open("w+")
        self.parent = self.start("train", str(run_file), "--runs_folder", str(place / "runs"))
        self.wait_for(lambda: bool(RunFolder.list(place / "runs")), "a run folder")
        (self.folder,) = RunFolder.list(place / "runs")
        self.wait_for(lambda: self.status("updates") > 2 and self.status("comparisons") > 6, "learning")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cluster.cli.main", *arguments]
        return subprocess.Popen(command, stdout=self.log, stderr=self.log, env=self.environment)

    def status(self, name: str) -> float:
        row = read_status(self.folder)
        return float(getattr(row, name)) if row else 0.0

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.parent.poll() is None, f"the run ended:\n{self.words()}"
            assert time.monotonic() < end, f"no {what} after {seconds:.0f} s:\n{self.words()}"
            time.sleep(0.05)

    def words(self) -> str:
        driver = self.folder.log("driver") if hasattr(self, "folder") else None
        texts = [Path(self.log.name).read_text(), driver.read_text() if driver and driver.exists() else ""]
        return "\n".join(text[-3000:] for text in texts)

    def pid(self, file: Path) -> int:
        return int(json.loads(file.read_text())["pid"])

    def worker(self, name: str) -> psutil.Process | None:
        """One of the run's Ray actors; Ray is this process's child."""
        for process in psutil.Process().children(recursive=True):
            try:
                if f"ray::{name}" in " ".join(process.cmdline()):
                    return process
            except psutil.Error:
                continue
        return None

    def address(self) -> str:
        return str(json.loads(self.folder.service_file.read_text())["address"])

    def token(self, name: str, role: Any) -> str:
        return mint(load_or_create_secret(self.folder.secret_file), name=name, role=role)

    def goes_on(self) -> None:
        """Wait until there are new updates and new answers."""
        updates, answers = self.status("updates"), self.status("comparisons")
        self.wait_for(lambda: self.status("updates") > updates + 2, "new update", RECOVERY_SECONDS)
        self.wait_for(lambda: self.status("comparisons") > answers + 2, "new answer", RECOVERY_SECONDS)


class Witness:
    """A teacher that answers all the time and keeps every receipt."""

    def __init__(self, run: LiveRun) -> None:
        self.receipts: list[tuple[Receipt, str]] = []
        self._client = TeacherClient(run.address(), run.token("witness", "teacher"), patience_seconds=60.0)
        self._run_id = run.folder.run_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._teach, daemon=True)
        self._thread.start()

    def _teach(self) -> None:
        while not self._stop.is_set():
            try:
                for question in self._client.lease(self._run_id, wait_seconds=0.5, lease_seconds=2.0):
                    self.receipts.append((question.answer(Choice.TIE), question.question_id))
            except RequestError:
                time.sleep(0.1)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(timeout=90)
        self._client.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, ray_session: str) -> Iterator[LiveRun]:
    live = LiveRun(tmp_path_factory.mktemp("kills"), ray_session)
    yield live
    if live.parent.poll() is None:
        live.parent.kill()
        live.parent.wait()


@pytest.fixture(scope="module")
def witness(run: LiveRun) -> Iterator[Witness]:
    teacher = Witness(run)
    run.wait_for(lambda: bool(teacher.receipts), "receipt of the witness")
    yield teacher
    teacher.end()


def journal_is_whole(run: LiveRun, witness: Witness) -> None:
    """Every acknowledged answer is in the journal once, at its offset; no question counts twice."""
    acknowledged = list(witness.receipts)
    with TrainingClient(run.address(), run.token("checker", "cluster")) as client:
        end = client.get_run(run.folder.run_id).journal_end
        entries: list[Any] = []
        for part in client.tail(run.folder.run_id):
            entries += part
            if entries[-1].offset >= end - 1:
                break
    assert [entry.offset for entry in entries] == list(range(len(entries)))
    by_id = {(entry.teacher_id, entry.event.event_id): entry for entry in entries}
    assert len(by_id) == len(entries)
    for receipt, question_id in acknowledged:
        entry = by_id["witness", receipt.event_id]
        assert entry.offset == receipt.offset
        assert isinstance(entry.event, Comparison)
        assert entry.event.question_id == question_id
    answered = [entry.event.question_id for entry in entries if isinstance(entry.event, Comparison)]
    assert len(answered) == len(set(answered))
    assert acknowledged, "the witness never got a receipt"


def test_an_env_runner_comes_back(run: LiveRun, witness: Witness) -> None:
    lost = 0
    # One that waits for its next request has no rollout to lose.
    for _ in range(5):
        process = run.worker("HITLEnvRunner")
        assert process is not None
        process.kill()
        run.goes_on()
        row = read_status(run.folder)
        assert row is not None
        if lost := row.dropped_rollouts["lost"]:
            break
    assert lost >= 1
    journal_is_whole(run, witness)


def test_the_reward_trainer_comes_back(run: LiveRun, witness: Witness) -> None:
    before = run.status("reward_version")
    process = run.worker("RewardTrainer")
    assert process is not None
    process.kill()
    run.wait_for(lambda: run.status("reward_version") > before + 1, "newer reward version", RECOVERY_SECONDS)
    run.goes_on()
    journal_is_whole(run, witness)


def test_the_service_comes_back(run: LiveRun, witness: Witness) -> None:
    pid = run.pid(run.folder.service_file)
    os.kill(pid, signal.SIGKILL)
    run.wait_for(lambda: run.pid(run.folder.service_file) != pid, "new service", RECOVERY_SECONDS)
    run.goes_on()
    journal_is_whole(run, witness)


def test_the_driver_comes_back_from_its_checkpoint(run: LiveRun, witness: Witness) -> None:
    run.wait_for(lambda: checkpoints.newest(run.folder.checkpoints) is not None, "checkpoint")
    pid = run.pid(run.folder.driver_file)
    policy, reward = run.status("policy_version"), run.status("reward_version")
    os.kill(pid, signal.SIGKILL)
    run.wait_for(
        lambda: run.folder.driver_file.exists() and run.pid(run.folder.driver_file) != pid, "new driver"
    )
    run.wait_for(lambda: run.status("policy_version") > policy, "newer policy")
    run.goes_on()
    run.wait_for(lambda: run.status("reward_version") > reward, "newer reward version", RECOVERY_SECONDS)
    journal_is_whole(run, witness)
    rows = read_progress(run.folder)
    steps = [row.env_steps for row in rows]
    assert steps == sorted(steps), "the curve doubles back"


def test_sigterm_ends_with_a_checkpoint_and_resume_goes_on(run: LiveRun, witness: Witness) -> None:
    witness.end()
    run.parent.send_signal(signal.SIGTERM)
    assert run.parent.wait(timeout=60) == 143, run.words()
    assert f"handrail train --resume {run.folder.handle}" in run.words()
    before = read_status(run.folder)
    assert before is not None
    newest = checkpoints.newest(run.folder.checkpoints)
    assert newest is not None
    done = int(newest.name)
    # Now on a Ray of its own, as on a laptop.
    del run.environment["RAY_ADDRESS"]
    more = run.start("train", "--resume", str(run.folder.path), "--stop.env_steps", str(done + 2000))
    assert more.wait(timeout=120) == 0, run.words()
    summary = json.loads(run.folder.summary_file.read_text())
    assert summary["env_steps"] >= done + 2000
    assert summary["policy_version"] > before.policy_version
    assert summary["reward_version"] >= before.reward_version
    assert summary["comparisons"] >= before.comparisons
    assert run.folder.report_file.exists()


def test_the_older_of_two_drivers_is_refused(tmp_path: Path, ray_session: str) -> None:
    run = LiveRun(tmp_path, ray_session)
    older = psutil.Process(run.pid(run.folder.driver_file))
    environment = run.environment | {
        "HANDRAIL_SERVICE": run.address(),
        "HANDRAIL_TOKEN": run.token("driver", "cluster"),
    }
    log = run.folder.log("second").open("w")
    newer = subprocess.Popen(
        [sys.executable, "-m", "cluster.loop.driver", str(run.folder.path)],
        env=environment,
        stdout=log,
        stderr=log,
    )
    try:
        assert run.parent.wait(timeout=START_SECONDS) == 1, run.words()
        assert "newer driver" in run.words()
        assert not older.is_running()
        assert newer.poll() is None, "the newer driver was refused too"
    finally:
        newer.kill()
        newer.wait()
