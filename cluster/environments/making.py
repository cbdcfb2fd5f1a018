"""Environments: made from a run file, alone or as a vector, checked, and named by a fingerprint."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from cluster.environments.fixed_horizon import Env, FixedHorizon
from cluster.environments.goal import GoalTelling, check_goal
from cluster.environments.isolated import IsolatedEnvironments
from cluster.environments.native import NativeEnvironments
from cluster.environments.sequential import SequentialEnvironments
from cluster.environments.vector import VectorEnvironment
from cluster.runs.config import EnvironmentConfig
from cluster.runs.imitation_config import Goal
from hitl.by_name import import_named
from hitl.errors import ConfigError
from hitl.events import Task
from policies.spaces import ACTION_SPACES, is_action_space, leaves


def constructor(config: EnvironmentConfig) -> Callable[[], Env]:
    """Return a function that makes one environment.

    Raises:
        ConfigError: nothing of that name is registered or importable.
    """
    if ":" not in config.id:
        if config.id not in gym.registry:
            with contextlib.suppress(gym.error.Error):
                gym.spec(config.id)
        if config.id not in gym.registry:
            raise ConfigError(
                f"environment.id: gymnasium knows no {config.id!r}.{_nearest(config.id)} "
                "For one of your own write module:Class (docs/environments.md)"
            )
        # A fixed horizon takes the place of the environment's own time limit.
        limit = {"max_episode_steps": -1} if config.fixed_horizon else {}
        # Nobody steps before a reset here, so nobody needs to look for it in each step.
        spec = dataclasses.replace(gym.spec(config.id), order_enforce=False)
        return lambda: gym.make(spec, disable_env_checker=True, **limit, **config.kwargs)
    made = import_named(config.id, "environment.id")
    return lambda: made(**config.kwargs)


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, list(gym.registry), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def make(config: EnvironmentConfig, *, goal: Goal = "none") -> Env:
    """Make one environment as the run file says.

    Args:
        config: which one.
        goal: that its infos tell of.

    Raises:
        ConfigError: it cannot be made.
    """
    build = constructor(config)
    try:
        env = build()
    except Exception as error:
        raise ConfigError(f"environment {config.id} cannot be made: {error}") from error
    if goal != "none":
        # Inside of the horizon, which hides where episodes end.
        env = GoalTelling(env, goal)
    return FixedHorizon(env, config.fixed_horizon) if config.fixed_horizon else env


def spaces_of(config: EnvironmentConfig) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Return the spaces of observations and actions.

    Raises:
        ConfigError: the environment cannot be made.
    """
    env = make(config)
    env.close()  # type: ignore[no-untyped-call]
    return env.observation_space, env.action_space


def make_shown(config: EnvironmentConfig) -> Env:
    """Make one environment that renders pictures, and that ends its episodes when they are over: nobody watches it
    stand still up to a horizon.

    Raises:
        ConfigError: it cannot be made, or cannot render.
    """
    return make_replayed(config.model_copy(update={"fixed_horizon": None}))


def make_replayed(config: EnvironmentConfig) -> Env:
    """Make one environment that renders pictures, and else does all that one of `make` does.

    Raises:
        ConfigError: it cannot be made, or cannot render.
    """
    env = make(config.model_copy(update={"kwargs": {**config.kwargs, "render_mode": "rgb_array"}}))
    if env.render_mode != "rgb_array":
        raise ConfigError(
            f"environment {config.id} cannot be shown on a stage: it has no render_mode rgb_array; "
            "give it one, or set stages.count to 0"
        )
    return env


def make_vector(config: EnvironmentConfig, count: int, *, goal: Goal = "none") -> VectorEnvironment:
    """Make environments that step together.

    Args:
        config: which ones.
        count: how many.
        goal: that their outcomes tell of.

    Raises:
        ConfigError: they cannot be made.
    """
    if config.vectorised:
        return NativeEnvironments(_make_native(config, count), horizon=config.fixed_horizon, goal=goal)
    if config.isolated:
        return IsolatedEnvironments(config, count, goal=goal)
    return SequentialEnvironments(lambda: make(config, goal=goal), count)


def _make_native(config: EnvironmentConfig, count: int) -> gym.vector.VectorEnv[Any, Any, Any]:
    constructor(config)
    if ":" in config.id or gym.spec(config.id).vector_entry_point is None:
        raise ConfigError(
            f"environment.vectorised: gymnasium has no vector entry point for {config.id}; "
            "leave it out, and its environments are stepped one after the other"
        )
    # A vector cannot be wrapped in a horizon: it resets by itself, so it must know when.
    limit = {"max_episode_steps": config.fixed_horizon} if config.fixed_horizon else {}
    mode = gym.VectorizeMode.VECTOR_ENTRY_POINT
    try:
        return gym.make_vec(config.id, count, mode, **config.kwargs | limit)
    except Exception as error:
        raise ConfigError(f"environment {config.id} cannot be made as a vector: {error}") from error


def check_learnable(config: EnvironmentConfig, *, learned_reward: bool, goal: Goal = "none") -> Env:
    """Make the environment once and refuse what cannot work; returns it, for its spaces.

    Raises:
        ConfigError: it cannot be made, its spaces have no policy yet, its episodes vary in length under a learned
            reward, or it never says whether its goal is reached.
    """
    env = make(config)
    if config.vectorised:
        make_vector(config, 1).close()
    try:
        leaves(env.observation_space)
    except TypeError as error:
        raise ConfigError(f"environment {config.id}: {error}") from error
    if not is_action_space(env.action_space):
        raise ConfigError(
            f"environment {config.id}: actions {env.action_space} have no policy; {ACTION_SPACES} work"
        )
    check_goal(goal, lambda: make(config.model_copy(update={"fixed_horizon": None})))
    if (
        learned_reward
        and not config.fixed_horizon
        and not config.allow_variable_horizon
        and _can_end_early(env)
    ):
        raise ConfigError(
            f"environment {config.id} can end early, and the length of an episode leaks success to a learned "
            "reward: set environment.fixed_horizon (for example 500), or, if you know that length says nothing, "
            "environment.allow_variable_horizon: true"
        )
    return env


def _can_end_early(env: Env, *, steps: int = 2000) -> bool:
    """Whether random play ends before the time limit, or there is no time limit."""
    limit = env.spec.max_episode_steps if env.spec else None
    if limit is None:
        return True
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated:
            return True
        if truncated:
            env.reset()
    return False


def task_of(config: EnvironmentConfig, env: Env) -> Task:
    """Name the environment by a fingerprint: what is equal in two runs that may share feedback."""
    fingerprint = json.dumps(
        {
            "environment": config.id,
            "kwargs": config.kwargs,
            "fixed_horizon": config.fixed_horizon,
            "observation_space": _describe(env.observation_space),
            "action_space": _describe(env.action_space),
        },
        sort_keys=True,
        default=str,
    )
    digest = hashlib.blake2b(fingerprint.encode(), digest_size=8).hexdigest()
    return Task(task_id=f"task-{digest}", name=config.id, fingerprint=fingerprint)


def _describe(space: gym.Space[Any]) -> str:
    if isinstance(space, gym.spaces.Box):
        bounds = hashlib.blake2b(np.stack([space.low, space.high]).tobytes(), digest_size=8).hexdigest()
        return f"Box{space.shape}{space.dtype}:{bounds}"
    return str(space)
