"""Plays episodes with the policies that are compared, each as it would be deployed: greedily.

Axis suffixes: X environment step of an episode, L step of a segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from cluster.environments.fixed_horizon import DURATION, NOBODY
from cluster.environments.making import make
from cluster.loop.evaluation import Judged
from cluster.runs.config import EnvironmentConfig
from cluster.stages.episodes import PlayedEpisode
from hitl.events import Segment, StepAddress
from hitl.tensors import Array
from policies.spaces import flat_dtype, flat_size, legal, writable

LONGEST_EPISODE = 10_000
"""Steps after which an episode is cut that ends neither by itself nor at a horizon."""
_SOURCE = "comparison"
"""Of all segments: nobody must know by it whose they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A segment with what teachers' programs may see of it besides."""

    segment: Segment
    true_rewards: Array
    """Shape [steps]."""
    episode: PlayedEpisode
    """Where it lies, to be rendered."""


class Player:
    """One environment, and the policies that play in it."""

    def __init__(self, environment: EnvironmentConfig, policies: Sequence[Judged]) -> None:
        """Make the environment.

        Raises:
            ConfigError: it cannot be made.
        """
        self._env, self._policies = make(environment), policies
        self.spaces = self._env.observation_space, self._env.action_space
        self.steps = 0
        """Played so far."""

    @torch.inference_mode()
    def play(self, policy: int, *, seed: int, number: int) -> PlayedEpisode:
        """Play a whole episode.

        Args:
            policy: its number.
            seed: of the episode's first state; every policy meets the same one.
            number: of the episode.
        """
        env, judged = self._env, self._policies[policy]
        space, actions = self.spaces
        observation_NO = np.zeros((1, flat_size(space)), flat_dtype(space))
        shown = writable(space, observation_NO)
        memory_NH = torch.zeros(1, judged.memory.units) if judged.memory else None
        episode, over = PlayedEpisode(number=number, seed=seed), False
        shown[0], _ = env.reset(seed=seed)
        episode.see(observation_NO[0])
        while not over:
            seen = torch.from_numpy(observation_NO)
            if judged.memory and memory_NH is not None:
                seen = memory_NH = judged.memory.step(seen, memory_NH)
            action_NA = judged.act_greedily(seen).numpy()
            action = np.asarray(legal(action_NA, actions)[0])
            discrete = isinstance(actions, gym.spaces.Discrete)
            shown[0], reward, terminated, truncated, info = env.step(int(action) if discrete else action)
            episode.see(observation_NO[0])
            episode.actions.append(np.array(action_NA[0]))
            episode.rewards.append(float(reward))
            stands_still = bool(info) and NOBODY in info
            episode.durations.append(info[DURATION] if stands_still else 1)
            episode.acted += not stands_still
            episode.terminated = terminated
            over = terminated or truncated or episode.rows >= LONGEST_EPISODE
        self.steps += episode.rows
        return episode

    def cut(
        self, episode: PlayedEpisode, *, steps: int | None, place: float, task_id: str, run_id: str
    ) -> Piece:
        """Cut a segment out of an episode.

        Args:
            episode: with its arrays.
            steps: how many; None: all. An episode that is shorter is taken as a whole.
            place: from 0, at the episode's begin, to 1, at its end.
            task_id: of the environment.
            run_id: of the comparison.
        """
        row_L, begin = window(episode.durations, steps=steps, place=place)
        end = begin + len(row_L)
        is_box = isinstance(self.spaces[1], gym.spaces.Box)
        segment = Segment(
            segment_id=f"{_SOURCE}/{episode.number}/{begin}-{end}",
            address=StepAddress(
                task_id=task_id,
                run_id=run_id,
                source=_SOURCE,
                episode=episode.number,
                begin=begin,
                end=end,
            ),
            observations={"obs": np.stack(episode.observations[:-1])[row_L]},
            actions=np.stack(episode.actions).astype(np.float32 if is_box else np.int64)[row_L],
            # The same for all: it would tell whose it is.
            policy_version=0,
        )
        rewards = np.array(episode.rewards, np.float32)[row_L]
        return Piece(segment=segment, true_rewards=rewards, episode=episode)

    def close(self) -> None:
        """End the environment."""
        self._env.close()  # type: ignore[no-untyped-call]


def window(durations: Sequence[int], *, steps: int | None, place: float) -> tuple[NDArray[np.int64], int]:
    """Choose consecutive steps of an episode.

    Args:
        durations: environment steps of each row.
        steps: how many; None, or more than there are: all.
        place: from 0, at the begin, to 1, at the end.

    Returns:
        The row of each step, [L], and the number of the first step.
    """
    row_X: NDArray[np.int64] = np.repeat(np.arange(len(durations)), durations)
    length = len(row_X) if steps is None else min(steps, len(row_X))
    begin = round(place * (len(row_X) - length))
    return row_X[begin : begin + length], begin
