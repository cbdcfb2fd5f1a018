"""Experts that are programs, by their name in a run file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from cluster.gates import Spaces, make_counsel, make_gate
from cluster.runs.imitation_config import ImitationConfig
from hitl.errors import ConfigError
from hitl.teachers.judging import load_expert
from policies.acting.oversight import Expert, Overseer
from policies.networks import ActorCritic

_SB3 = "sb3."


class PolicyExpert:
    """A trained policy's most probable action."""

    def __init__(self, network: ActorCritic) -> None:
        if network.memory is not None:
            raise ConfigError("an expert that remembers (policy.recurrent) cannot label single states")
        self._network = network

    @torch.inference_mode()
    def act(self, observation: NDArray[Any], /) -> NDArray[Any]:
        """See `Expert`."""
        action: NDArray[Any] = self._network.act_greedily(torch.from_numpy(observation[None])).numpy()[0]
        return action


class SB3Expert:
    """A policy trained by Stable-Baselines3; its observations must be flat already."""

    def __init__(self, model: Any) -> None:
        self._model, self._shape = model, model.observation_space.shape

    def act(self, observation: NDArray[Any], /) -> NDArray[Any]:
        """See `Expert`."""
        action, _ = self._model.predict(observation.reshape(self._shape), deterministic=True)
        return np.asarray(action)


def make_expert(name: str, observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> Expert:
    """Make an expert by its name.

    Args:
        name: see `ImitationConfig.expert`.
        observation_space: of the task.
        action_space: of the task.

    Raises:
        ConfigError: there is no such expert, or it acts otherwise than the task wants.
    """
    if name.startswith(_SB3):
        return _from_sb3(name)
    folder = Path(name)
    if not folder.is_dir():
        return load_expert(name)
    from cluster.loop.learning.saved_policy import load_saved_policy

    saved = load_saved_policy(folder)
    if (saved.observation_space, saved.action_space) != (observation_space, action_space):
        raise ConfigError(
            f"imitation.expert: {name} is a policy of another task; choose one with the same spaces"
        )
    return PolicyExpert(saved.network)


def _from_sb3(name: str) -> SB3Expert:
    kind, _, path = name.removeprefix(_SB3).partition(":")
    try:
        import stable_baselines3
    except ImportError:
        raise ConfigError(
            f"imitation.expert: {name} needs Stable-Baselines3; pip install stable-baselines3"
        ) from None
    algorithm = getattr(stable_baselines3, kind, None)
    if algorithm is None or not Path(path).is_file():
        raise ConfigError(
            f"imitation.expert: {name} must name an algorithm and a file, such as sb3.PPO:model.zip"
        )
    return SB3Expert(algorithm.load(path, device="cpu"))


def make_overseer(
    imitation: ImitationConfig,
    spaces: Spaces,
    model_config: dict[str, Any],
    *,
    gate_seeds: Sequence[int],
    seed: int,
) -> Overseer | None:
    """Make the expert in front of several environments; None where the run has none.

    Args:
        imitation: the run's settings.
        spaces: of one environment.
        model_config: keyword arguments of `ActorCritic`.
        gate_seeds: one of each environment.
        seed: of when the expert is asked.

    Raises:
        ConfigError: there is no such expert.
    """
    if not imitation.expert:
        return None
    gates = [make_gate(imitation, seed=gate_seed, asks_always=True) for gate_seed in gate_seeds]
    counsel = make_counsel(imitation, spaces, model_config)
    return Overseer(
        make_expert(imitation.expert, *spaces),
        gates,
        spaces[1],
        asked_share=imitation.asked_share,
        seed=seed,
        counsel=counsel,
    )
