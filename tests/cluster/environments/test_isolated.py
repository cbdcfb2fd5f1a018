"""Environments in processes of their own: what one of them does is nobody else's trouble."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pydantic import ValidationError

from cluster.environments.isolated import IsolatedEnvironments
from cluster.environments.making import make_vector
from cluster.environments.sequential import MOST_FAILURES
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import EnvironmentConfig, RunConfig
from hitl.errors import ConfigError
from tests.cluster.dice import Dice
from tests.cluster.worlds import DIES, FAILS, HANGS

TIMEOUT_SECONDS = 2.0
MOODY = {"id": "tests.cluster.worlds:Moody", "kwargs": {"lengths": (6,)}}


def _isolated(**settings: Any) -> EnvironmentConfig:
    return EnvironmentConfig(**{"isolated": True, "step_timeout_seconds": TIMEOUT_SECONDS} | MOODY | settings)


@pytest.fixture
def moody() -> Iterator[IsolatedEnvironments]:
    envs = make_vector(_isolated(), 4)
    assert isinstance(envs, IsolatedEnvironments)
    yield envs
    envs.close()


def _processes() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [
        child
        for child in children
        if child.name() == "sleep" or "cluster.environments.process" in " ".join(child.cmdline())
    ]


def _groups() -> set[int]:
    """The process groups that have somebody in them."""
    groups = set()
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError):
            groups.add(os.getpgid(pid))
    return groups


def _gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_that_hangs_dies_or_fails_is_made_anew_and_the_others_go_on(moody: IsolatedEnvironments) -> None:
    moody.reset(5)
    before = moody.step(np.zeros(4, np.int64)).observation_NO.copy()
    kept, *lost = (env._process.pid for env in moody.envs)
    stepped = moody.step(np.array([0, HANGS, DIES, FAILS]))
    assert stepped.duration_N.tolist() == [1, 0, 0, 0]
    assert stepped.nobody_N.tolist() == stepped.truncated_N.tolist() == [False, True, True, True]
    assert stepped.reward_N.tolist() == [2, 0, 0, 0]
    assert not stepped.terminated_N.any()
    np.testing.assert_array_equal(list(stepped.final_observation_KO), before[1:])
    # The first one goes on; the others stand at a start that is not the first one again.
    assert stepped.observation_NO[:, 2].tolist() == [2, 0, 0, 0]
    assert len({*stepped.observation_NO[:, 0].tolist(), *before[:, 0].tolist()}) == 7
    assert moody.lost == {"timeout": 1, "death": 1, "error": 1}
    assert moody.envs[0]._process.pid == kept
    # Nor is anything left of what they had started: it is in the group of theirs. The kernel takes a moment for that.
    for _ in range(100):
        if not set(lost) & _groups():
            break
        time.sleep(0.05)
    assert not set(lost) & _groups()
    stepped = moody.step(np.zeros(4, np.int64))
    assert stepped.duration_N.tolist() == [1, 1, 1, 1]
    assert stepped.observation_NO[:, 2].tolist() == [3, 1, 1, 1]


def test_one_that_hangs_again_and_again_is_given_up() -> None:
    envs = make_vector(_isolated(step_timeout_seconds=0.5), 1)
    envs.reset(0)
    for _ in range(MOST_FAILURES):
        envs.step(np.array([HANGS]))
    with pytest.raises(ConfigError, match=r"times in a row.*step_timeout_seconds"):
        envs.step(np.array([HANGS]))
    envs.close()


def test_rollouts_are_those_of_one_process() -> None:
    rollouts = []
    for isolated in (True, False):
        environment = _isolated(isolated=isolated, fixed_horizon=8, kwargs={"calm": True})
        envs = make_vector(environment, 3)
        collector = Collector(envs, Dice(actions=4), source="r", seed=3, share_reward=True)
        rollouts.append(collector.collect(30, policy_version=0).rollout)
        envs.close()
    one, other = map(dataclasses.asdict, rollouts)
    np.testing.assert_equal(one, other)
    assert one["duration_TN"].max() > 1


def test_all_step_at_the_same_time(tmp_path: Path) -> None:
    kwargs = {"folder": str(tmp_path), "others": 2}
    envs = make_vector(_isolated(id="tests.cluster.worlds:Rendezvous", kwargs=kwargs), 3)
    envs.reset(0)
    for _ in range(5):
        assert (envs.step(np.zeros(3, np.int64)).duration_N == 1).all()
    assert not envs.lost
    envs.close()


def test_closing_leaves_no_process() -> None:
    envs = make_vector(_isolated(), 3)
    assert len(_processes()) == 3
    envs.close()
    assert not _processes()


@pytest.mark.skipif(sys.platform != "linux", reason="only there the kernel ends those that hang")
def test_none_outlives_its_parent(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from cluster.environments.making import make_vector;"
        "from cluster.runs.config import EnvironmentConfig as Config;"
        "envs = make_vector(Config(id='tests.cluster.worlds:Moody', isolated=True), 2);"
        f"envs.reset(0); envs.step(np.array([{HANGS}, 0]))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    _wait_for(lambda: any(process.name() == "sleep" for process in _processes()))
    served = [process for process in _processes() if process.name() != "sleep"]
    helpers = [process for process in _processes() if process.name() == "sleep"]
    assert len(served) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    _wait_for(lambda: all(map(_gone, served)))
    for helper in helpers:
        helper.kill()


def test_one_that_cannot_be_made_is_a_mistake_of_the_run_file() -> None:
    with pytest.raises(ConfigError, match="the simulator is not installed"):
        make_vector(_isolated(id="tests.cluster.worlds:Broken", kwargs={}), 2)
    assert not _processes()


def test_the_run_file_chooses_it() -> None:
    run = RunConfig.model_validate({"environment": MOODY | {"isolated": True, "step_timeout_seconds": 7.5}})
    assert HITLConfig.from_run(run).environment_config == run.environment
    with pytest.raises(ValidationError, match="exclude each other"):
        EnvironmentConfig(isolated=True, vectorised=True)
