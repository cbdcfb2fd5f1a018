"""A rollout made by formulas: every edge of an episode occurs, and nothing depends on a random generator."""

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np

from policies.experience import Actor, Rollout

STEPS, COLUMNS, OBSERVATION, ACTIONS = 8, 4, 3, 2
OBSERVATION_SPACE = gym.spaces.Box(-1.0, 1.0, (OBSERVATION,), np.float32)
ACTION_SPACE = gym.spaces.Discrete(ACTIONS)

TERMINATED = {(2, 0), (7, 3)}
TRUNCATED = {(3, 1), (5, 0), (7, 2)}
NOBODY = {(6, 2), (7, 2)}
DURATION = {(7, 2): 40}


def waves(*shape: int, phase: float = 0.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Numbers in [-1, 1] that look irregular and are the same everywhere."""
    index = np.arange(int(np.prod(shape)), dtype=np.float64)
    return np.sin(1.7 * index + 0.013 * index**2 + phase).reshape(shape).astype(np.float32)


def made_up_rollout(**changes: Any) -> Rollout:
    """Column 0 terminates and is truncated, 1 is truncated, 2 ends standing still, 3 terminates in the last row."""
    terminated, truncated = np.zeros((STEPS, COLUMNS), bool), np.zeros((STEPS, COLUMNS), bool)
    actor = np.full((STEPS, COLUMNS), Actor.POLICY, np.uint8)
    for place in TERMINATED:
        terminated[place] = True
    for place in TRUNCATED:
        truncated[place] = True
    for place in NOBODY:
        actor[place] = Actor.NOBODY
    duration = np.ones((STEPS, COLUMNS), np.int64)
    for place, steps in DURATION.items():
        duration[place] = steps
    episode, step = np.tile(np.arange(COLUMNS), (STEPS, 1)), np.zeros((STEPS, COLUMNS), np.int64)
    following = COLUMNS
    for t in range(1, STEPS):
        for n in range(COLUMNS):
            ended = terminated[t - 1, n] or truncated[t - 1, n]
            episode[t, n] = following if ended else episode[t - 1, n]
            step[t, n] = 0 if ended else step[t - 1, n] + 1
            following += int(ended)
    final_index = np.flatnonzero(terminated | truncated)
    rollout = Rollout(
        source="made-up",
        policy_version=7,
        observation_TNO=waves(STEPS + 1, COLUMNS, OBSERVATION),
        action_TNA=(waves(STEPS, COLUMNS, phase=2.0) > 0).astype(np.int64),
        log_prob_TN=np.log(np.float32(0.5)) + 0.2 * waves(STEPS, COLUMNS, phase=3.0),
        terminated_TN=terminated,
        truncated_TN=truncated,
        final_index_K=final_index,
        final_observation_KO=waves(len(final_index), OBSERVATION, phase=5.0),
        actor_TN=actor,
        episode_TN=episode.astype(np.int64),
        step_TN=step,
        duration_TN=duration,
        environment_reward_TN=waves(STEPS, COLUMNS, phase=4.0),
    )
    return dataclasses.replace(rollout, **changes)
