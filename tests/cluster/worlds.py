"""Tiny environments whose observations tell where they come from."""

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np


class Diary(gym.Env[Any, Any]):
    """Observes (first number of the episode, episode, step, last action); ends as told.

    The first number is drawn from the environment's own generator, so it follows from the seed. An episode
    terminates at step `lengths[episode % len(lengths)]`, or is truncated there if `truncates`.
    """

    observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    action_space: gym.Space[Any] = gym.spaces.Discrete(3)

    def __init__(self, lengths: tuple[int, ...] = (3, 5), truncates: bool = False) -> None:
        self._lengths = lengths
        self._truncates = truncates
        self._episode = -1
        self.taken: list[Any] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._episode += 1
        self._step = 0
        self._drawn = float(np.float32(self.np_random.random()))
        return self._observe(0.0), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken.append(np.array(action))
        self._step += 1
        ended = self._step >= self._lengths[self._episode % len(self._lengths)]
        first = float(np.ravel(action)[0])
        reward = 10.0 * self._episode + self._step + first
        return self._observe(first), reward, ended and not self._truncates, ended and self._truncates, {}

    def _observe(self, action: float) -> Any:
        return np.array([self._drawn, self._episode, self._step, action], np.float32)


class Slider(Diary):
    """The same with actions from a Box that is narrower than a young policy's."""

    action_space = gym.spaces.Box(np.array([-0.1, -0.2], np.float32), np.array([0.1, 0.3], np.float32))


class Endless(Diary):
    """Ends never."""

    def __init__(self) -> None:
        super().__init__(lengths=(10**9,))


class Words(gym.Env[Any, Any]):
    """Observes no numbers."""

    observation_space = gym.spaces.Text(3)
    action_space = gym.spaces.Discrete(2)


class Broken(Diary):
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("the simulator is not installed")


class Fragile(Diary):
    """Breaks by action 2, but not in its first steps, and where told also by the start of its second episode."""

    def __init__(self, safe_steps: int = 1, breaks_at_start: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self._safe_steps = safe_steps
        self._breaks_at_start = breaks_at_start
        self.closed = False

    def reset(self, **settings: Any) -> tuple[Any, dict[str, Any]]:
        if self._breaks_at_start and self._episode == 0:
            raise ZeroDivisionError("no ground to stand on")
        return super().reset(**settings)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if action == 2 and self._step >= self._safe_steps:
            raise RuntimeError("the simulator is gone")
        return super().step(action)

    def close(self) -> None:
        self.closed = True


class Unlucky(Diary):
    """Of all that are made in a process, the first one to get to step 3 breaks there."""

    misfortunes = 0

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._step == 2 and not Unlucky.misfortunes:
            Unlucky.misfortunes += 1
            raise RuntimeError("the simulator is gone")
        return super().step(action)


HANGS, DIES, FAILS = 1, 2, 3


class Moody(Diary):
    """Hangs by action 1 with a helper of its own, dies by action 2 and fails by action 3; and by nothing in `calm`."""

    action_space = gym.spaces.Discrete(4)

    def __init__(self, calm: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self._calm = calm

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not self._calm:
            if action == HANGS:
                subprocess.run(["sleep", "60"])
            elif action == DIES:
                os._exit(1)
            elif action == FAILS:
                raise RuntimeError("the simulator is gone")
        return super().step(action)


class Rendezvous(Diary):
    """Each step waits for the same step of others, which must run at the same time."""

    def __init__(self, folder: str, others: int) -> None:
        super().__init__(lengths=(10**9,))
        self._folder, self._others = Path(folder), others

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        stepped = super().step(action)
        (self._folder / f"{self._step}-{os.getpid()}").touch()
        while len(list(self._folder.glob(f"{self._step}-*"))) <= self._others:
            time.sleep(0.001)
        return stepped


class Gated(Diary):
    """Of all that share a folder, those of one process pass always; the others wait where `open` is missing."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = Path(folder)
        with contextlib.suppress(FileExistsError):
            (self._folder / "key").symlink_to(str(os.getpid()))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        while not (self._folder / "open").exists() and os.readlink(self._folder / "key") != str(os.getpid()):
            time.sleep(0.01)
        return super().step(action)
