"""One environment in a process of its own, which `cluster.environments.isolated` starts and may kill.

`python -m cluster.environments.process SOCKET PARENT`: the number of an inherited socket, and the process id of who
started it. It answers calls of `Served` until the socket is closed.
"""

import contextlib
import ctypes
import logging
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym

from cluster.environments.fixed_horizon import DURATION, NOBODY, Env
from cluster.environments.goal import OUTCOME
from cluster.environments.making import make
from cluster.runs.config import EnvironmentConfig
from cluster.runs.imitation_config import Goal

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


class Served:
    """The environment as its parent calls it; each call has one argument."""

    env: Env

    def make(self, asked: tuple[EnvironmentConfig, Goal]) -> tuple[gym.Space[Any], gym.Space[Any]]:
        """Make it; returns the spaces of observations and actions."""
        config, goal = asked
        self.env = make(config, goal=goal)
        return self.env.observation_space, self.env.action_space

    def reset(self, seed: int | None) -> Any:
        """Start an episode; returns the first observation."""
        return self.env.reset(seed=seed)[0]

    def step(self, action: Any) -> tuple[Any, ...]:
        """Take one action; returns what `gymnasium.Env.step` does."""
        *stepped, info = self.env.step(action)
        # What else is in an info may be large, or impossible to send.
        return *stepped, {key: info[key] for key in (NOBODY, DURATION, OUTCOME) if key in info}


def _answer(served: Served, name: str, argument: Any) -> tuple[bool, Any]:
    """Return whether a call went well, and what it returned or how it failed."""
    try:
        return True, getattr(served, name)(argument)
    except Exception as error:
        logger.exception("the environment failed")
        return False, f"{type(error).__name__}: {error}"


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends: one that hangs would not notice."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Serve one environment."""
    socket, parent = map(int, sys.argv[1:])
    _die_with(parent)
    served = Served()
    with Connection(socket) as connection, contextlib.suppress(EOFError, ConnectionError):
        while True:
            connection.send(_answer(served, *connection.recv()))
    served.env.close()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
