"""A simulated teacher who shows how to do it: an expert plays an environment of its own, and sends what it did."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from hitl.client.teaching import TeacherClient
from hitl.demonstrations import Piece
from hitl.errors import ConfigError, Conflict
from hitl.events import Outcome, Receipt
from hitl.teachers.judging import Expert
from policies.spaces import flat_dtype

_log = logging.getLogger(__name__)

PIECE_STEPS = 500
"""Steps of an episode that are sent together."""


def demonstrate(
    client: TeacherClient,
    run_id: str,
    env: gym.Env[Any, Any],
    expert: Expert,
    *,
    episodes: int,
    seed: int = 0,
    most_steps: int | None = None,
    stop: threading.Event | None = None,
) -> list[Receipt]:
    """Play episodes and send them, in pieces. Episodes that this teacher has sent before are not recorded again.

    Args:
        client: of the teacher.
        run_id: the run to teach.
        env: of the run's task, without a fixed horizon.
        expert: acts.
        episodes: how many.
        seed: of the first one; each has one of its own, which is its number.
        most_steps: of an episode; None: until the environment ends it.
        stop: ends it between two pieces.

    Returns:
        The receipt of each piece that is recorded as it was played now.

    Raises:
        ConfigError: the expert does what the environment does not allow.
        RequestError: the service refuses, or cannot be reached.
    """
    receipts: list[Receipt] = []
    for episode in range(seed, seed + episodes):
        for piece in _pieces(run_id, env, expert, episode, most_steps):
            if stop is not None and stop.is_set():
                return receipts
            try:
                receipts.append(client.demonstrate(piece))
            except Conflict:
                # The environment or the expert went another way than before they were started again.
                _log.info("episode %d is recorded already, as it went before", episode)
                break
    return receipts


def _pieces(
    run_id: str, env: gym.Env[Any, Any], expert: Expert, episode: int, most_steps: int | None
) -> Iterator[Piece]:
    observation, _ = env.reset(seed=episode)
    state = _flat(env, observation)
    begin, ended = 0, False
    while not ended:
        states: list[NDArray[Any]] = []
        actions: list[NDArray[Any]] = []
        while not ended and len(actions) < PIECE_STEPS:
            action = _action(env, expert, state)
            observation, _, terminated, truncated, _ = env.step(action)
            states.append(state)
            actions.append(action)
            state = _flat(env, observation)
            truncated = truncated or begin + len(actions) == most_steps
            ended = terminated or truncated
        yield Piece(
            run_id=run_id,
            observations={"obs": np.stack(states)},
            actions=np.stack(actions),
            episode=episode,
            begin=begin,
            outcome=Outcome(observations={"obs": state}, terminated=terminated, truncated=truncated),
            event_id=f"demonstration/{episode}/{begin}",
        )
        begin += len(actions)


def _flat(env: gym.Env[Any, Any], observation: Any) -> NDArray[Any]:
    """Return an observation as rollouts have it, [O]."""
    space = env.observation_space
    flat: NDArray[Any] = np.asarray(gym.spaces.flatten(space, observation), flat_dtype(space))
    return flat


def _action(env: gym.Env[Any, Any], expert: Expert, state: NDArray[Any]) -> NDArray[Any]:
    box = isinstance(env.action_space, gym.spaces.Box)
    action = np.asarray(expert.act(state.astype(np.float32)), np.float32 if box else np.int64)
    if not env.action_space.contains(action):
        raise ConfigError(f"{type(expert).__name__}.act is {action}, which is not in {env.action_space}")
    return action
