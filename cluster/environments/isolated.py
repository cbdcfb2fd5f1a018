"""Environments in processes of their own: they step at the same time, and one that hangs or dies is made anew."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from cluster.environments.sequential import EnvironmentLost, SequentialEnvironments
from cluster.environments.vector import Stepped, one_by_one
from cluster.runs.config import EnvironmentConfig
from cluster.runs.imitation_config import Goal
from hitl.errors import ConfigError

_MAKING_SECONDS = 120.0
_CLOSING_SECONDS = 2.0


class IsolatedEnvironment(gym.Env[Any, Any]):
    """An environment in a process of its own (`cluster.environments.process`)."""

    def __init__(self, config: EnvironmentConfig, goal: Goal = "none") -> None:
        """Start the process; `wait_until_made` comes next, so that many can start at once."""
        self._timeout_seconds = config.step_timeout_seconds
        self._connection, theirs = Pipe()
        # Packages may be found by paths that only this process was given, as Ray's workers are.
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cluster.environments.process", str(theirs.fileno()), str(os.getpid())],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self._call("make", (config, goal), _MAKING_SECONDS)

    def wait_until_made(self) -> None:
        """Wait for the process, which then knows the spaces.

        Raises:
            EnvironmentLost: it cannot make the environment.
        """
        self.observation_space, self.action_space = self._answer()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode.

        Raises:
            EnvironmentLost: the environment failed, took too long or died; it is of no use any more.
        """
        self._call("reset", seed, self._timeout_seconds)
        return self._answer(), {}

    def begin_step(self, action: Any) -> None:
        """Begin to take one action; `step` waits for what comes of it."""
        self._call("step", action, self._timeout_seconds)

    def step(self, action: Any) -> Any:
        """Return what came of the action that `begin_step` was given.

        Raises:
            EnvironmentLost: the environment failed, took too long or died; it is of no use any more.
        """
        return self._answer()

    def close(self) -> None:
        """End the process; one that does not end by itself is killed, with all that it started."""
        self.release()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if time.monotonic() > self._deadline else _CLOSING_SECONDS)
        # Also where it has ended: what it started may live on, in its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def release(self) -> None:
        """Tell the process to end by itself; `close` comes next, so that many can end at once."""
        self._connection.close()

    def _call(self, name: str, argument: Any, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        # One that has died is noticed by its missing answer.
        with contextlib.suppress(ConnectionError):
            self._connection.send((name, argument))

    def _answer(self) -> Any:
        try:
            if not self._connection.poll(max(0.0, self._deadline - time.monotonic())):
                raise EnvironmentLost("timeout", "it took longer than environment.step_timeout_seconds")
            went_well, answer = self._connection.recv()
        except (EOFError, ConnectionError):
            raise EnvironmentLost("death", "its process ended by itself") from None
        if not went_well:
            raise EnvironmentLost("error", answer)
        self._deadline = math.inf
        return answer


class IsolatedEnvironments(SequentialEnvironments):
    """Many of them; the steps of all are under way at the same time."""

    envs: list[IsolatedEnvironment]  # type: ignore[assignment]

    def __init__(self, config: EnvironmentConfig, count: int, *, goal: Goal = "none") -> None:
        self._config, self._goal = config, goal
        started = [IsolatedEnvironment(config, goal) for _ in range(count)]
        self._starting = started.copy()
        try:
            super().__init__(self._make_one, count)
        except EnvironmentLost as error:
            _close_all(started)
            raise ConfigError(
                f"environment {config.id} cannot be made in a process of its own: {error}"
            ) from error

    def _make_one(self) -> IsolatedEnvironment:
        env = self._starting.pop() if self._starting else IsolatedEnvironment(self._config, self._goal)
        env.wait_until_made()
        return env

    def step(self, action_NA: NDArray[np.generic]) -> Stepped:
        """Take one action in each environment."""
        for env, action in zip(self.envs, one_by_one(action_NA, self.action_space), strict=True):
            env.begin_step(action)
        return super().step(action_NA)

    def close(self) -> None:
        """End the processes."""
        _close_all(self.envs)


def _close_all(envs: list[IsolatedEnvironment]) -> None:
    for env in envs:
        env.release()
    for env in envs:
        env.close()
