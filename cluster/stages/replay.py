"""Replaying an episode up to a segment, and looking at its steps, in an environment that nobody else uses."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image

from cluster.environments.fixed_horizon import Env
from cluster.environments.making import make_replayed
from cluster.runs.config import EnvironmentConfig
from cluster.stages.episodes import PlayedEpisode, digest
from cluster.stages.pictures import Pictures
from hitl.events import StepAddress
from hitl.stages import Clip
from policies.spaces import flat_dtype, flat_size, legal, writable

_FRAMES_PER_SECOND = 15.0
_MOST_FRAMES = 150
"""Of a longer segment some are left out."""


class NotTheSame(Exception):
    """An episode that was played again went another way: the environment is not deterministic."""


class Replay:
    """An environment for episodes that have been played before."""

    def __init__(self, environment: EnvironmentConfig, pictures: Pictures) -> None:
        """Take note of what to play; the environment is made for the first clip."""
        self._config, self._pictures = environment, pictures
        self._env: Env | None = None

    def clip(self, episode: PlayedEpisode, address: StepAddress) -> Clip:
        """Play an episode again up to the end of a segment, and show each state of it and what the last step led to.

        It is shown at the environment's own pace (`metadata["render_fps"]`), or else at 15 steps a second.

        Raises:
            NotTheSame: it does not show what was seen when it was played.
        """
        env = self._env = self._env or make_replayed(self._config)
        try:
            return self._clip(env, episode, address)
        except Exception:
            # Whatever is wrong with it, the next clip is made in another one.
            self._env = None
            raise

    def _clip(self, env: Env, episode: PlayedEpisode, address: StepAddress) -> Clip:
        stride = math.ceil((address.end - address.begin + 1) / _MOST_FRAMES)
        shown = set(range(address.begin, address.end + 1, stride))
        frames: list[Image.Image] = []
        for state in self._play(env, episode, min(address.end, episode.acted)):
            # Where the environment stands still, its last state is what all steps show.
            last = address.end if state == episode.acted else state
            if times := len(shown.intersection(range(state, last + 1))):
                pixels: Any = env.render()
                frames += [self._pictures.scaled(np.asarray(pixels))] * times
        pace = env.metadata.get("render_fps") or _FRAMES_PER_SECOND
        return Clip(data=self._pictures.animate(frames, seconds_per_frame=stride / pace))

    def _play(self, env: Env, episode: PlayedEpisode, steps: int) -> Any:
        """Yield the number of each state as the environment is in it, from 0 to `steps`."""
        space, actions = env.observation_space, env.action_space
        flat_NO = np.zeros((1, flat_size(space)), flat_dtype(space))
        shown = writable(space, flat_NO)
        shown[0], _ = env.reset(seed=episode.seed)
        for state in range(steps + 1):
            if state:
                action = legal(np.asarray(episode.actions[state - 1]), actions)
                shown[0], *_ = env.step(int(action) if isinstance(actions, gym.spaces.Discrete) else action)
            if digest(flat_NO[0]) != episode.digests[state]:
                raise NotTheSame(f"episode {episode.number} shows something else at step {state} than before")
            yield state
