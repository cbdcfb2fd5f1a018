"""The env runner: a Ray actor that gathers rollouts with the newest weights it was given.

RLlib makes it, probes it, restarts it and sends it requests one at a time. A request carries the weights to act with
and returns a `Sample`: a small header whose arrays stay in the object store, so that they never travel through the
driver. What the environment's reward says lies in an object of its own: learner and reward trainer get the rollout.
"""

import gc
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import ray
from ray.rllib.env.env_runner import EnvRunner

from cluster.behaviour import Behaviour
from cluster.environments.making import make_vector
from cluster.environments.vector import LostReason
from cluster.experts import make_overseer
from cluster.feedback.versions import model_arrays
from cluster.loop.rollouts.collector import Collector
from cluster.loop.rollouts.episodes import FinishedEpisode
from cluster.priority import give_way
from hitl.acting import make_acting
from policies.acting.inference import Weights
from policies.experience import Actor
from policies.threads import use_threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one request to an env runner brings."""

    worker: int
    policy_version: int
    reward_version: int
    """Of the reward model that acted; 0 where none did."""
    rows: int
    """What is learnt from: T times N."""
    steps: int
    """Environment steps: the rows whose duration is not 0."""
    expert_steps: int
    """Of them, those that the expert took."""
    rollout: ray.ObjectRef
    """Of a `policies.experience.Rollout`."""
    true_reward: ray.ObjectRef | None
    """Of a float32[T, N]; for the segment publisher alone, so None where nobody teaches."""
    episodes: list[FinishedEpisode]
    lost_environments: Mapping[LostReason, int]
    """Environments that failed and were made anew, by the reason."""
    seconds: float
    """From the request's arrival to its answer."""


class HITLEnvRunner(EnvRunner):  # type: ignore[misc]
    """A vector of environments with a copy of the policy."""

    def __init__(self, *, config: Any, worker_index: int = 0, **kwargs: Any) -> None:
        """Make the environments and the policy; RLlib passes `config`, `worker_index` and more."""
        super().__init__(config=config, **kwargs)
        use_threads(1)
        if config.stages.count and worker_index:
            give_way()
        self.worker_index = worker_index
        goal = config.imitation.help.goal
        self.envs = make_vector(config.environment_config, config.num_envs_per_env_runner, goal=goal)
        # A runner that comes back from a crash starts counting episodes anew, so it needs another name.
        self._birth = "" if config.lockstep else f"-{uuid.uuid4().hex[:6]}"
        self._begin(0)
        # Stepping makes many small objects: collections of garbage need not look through all that was imported.
        gc.collect()
        gc.freeze()

    def _begin(self, start: int) -> None:
        """Begin all episodes anew; what is random from here on follows from the seed and `start` alone."""
        config, self._start = self.config, start
        place = f"{self.worker_index}" + (f".{start}" if start else "")
        name = f"0.{place}" if config.lockstep else f"{config.life}.{place}"
        self._acting = make_acting(
            config.acting.settings,
            self.envs.observation_space,
            self.envs.action_space,
            seed=config.seed_for(f"actions {name}"),
            model_config=config.model_config,
            inputs=config.reward_model.inputs,
        )
        spaces = (self.envs.observation_space, self.envs.action_space)
        self._overseer = make_overseer(
            config.imitation,
            spaces,
            config.model_config,
            gate_seeds=[config.seed_for(f"gate {name} {n}") for n in range(self.envs.count)],
            seed=config.seed_for(f"asking {name}"),
        )
        self._collector = Collector(
            self.envs,
            self._acting.acts,
            source=f"{config.life}.{place}{self._birth}",
            seed=config.seed_for(f"env runner {name}"),
            share_reward=config.reward_sources.environment != 0,
            share_outcome=config.imitation.help.goal != "none",
            overseer=self._overseer,
        )

    def collect(
        self, *, behaviour: Behaviour, weights: Weights, reward_model: Weights | None, start: int
    ) -> Sample:
        """Gather one rollout.

        Args:
            behaviour: versions of what acts.
            weights: of the policy.
            reward_model: its arrays, where it acts, too.
            start: a new number begins all episodes anew, as a function of the seed and of it.
        """
        began = time.perf_counter()
        if start != self._start:
            self._begin(start)
        acting, version = self._acting, behaviour.policy_version
        if version != acting.policy_version:
            acting.show_policy(version, weights)
            if self._overseer is not None:
                self._overseer.load(weights)
        if reward_model is not None and behaviour.reward_version != acting.reward_version:
            acting.show_reward(behaviour.reward_version, model_arrays(reward_model))
        acting.set_reward_weight(behaviour.reward_weight)
        if self._overseer is not None:
            self._overseer.is_asked = behaviour.asks_expert
            self._overseer.set_beta(behaviour.expert_share)
        collected = self._collector.collect(self.config.rollout_fragment_length, policy_version=version)
        rollout = ray.put(collected.rollout)
        true_reward = ray.put(collected.true_reward_TN) if self.config.feedback_link else None
        by_expert = collected.rollout.actor_TN == Actor.EXPERT
        return Sample(
            worker=self.worker_index,
            policy_version=version,
            reward_version=acting.reward_version,
            rows=collected.rollout.duration_TN.size,
            steps=int(np.count_nonzero(collected.rollout.duration_TN)),
            expert_steps=int(np.count_nonzero(by_expert)),
            rollout=rollout,
            true_reward=true_reward,
            seconds=time.perf_counter() - began,
            episodes=collected.episodes,
            lost_environments=collected.lost_environments,
        )

    def sample(self, **kwargs: Any) -> Any:
        """RLlib's own sampling is not used."""
        raise NotImplementedError("HITLEnvRunner gathers through `collect`")

    def get_spaces(self) -> dict[str, Any]:
        """Return the spaces as RLlib wants them."""
        single = (self.envs.observation_space, self.envs.action_space)
        together = tuple(gym.vector.utils.batch_space(space, self.envs.count) for space in single)
        return {"__env__": together, "__env_single__": single, "default_policy": single}

    def assert_healthy(self) -> None:
        """Nothing to assert: construction made everything."""

    def get_metrics(self) -> dict[str, Any]:
        """Metrics travel in each sample's header."""
        return {}

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Nothing to keep: weights come with each request, environments start anew."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing to set: weights come with each request."""

    def stop(self) -> None:
        """Close the environments."""
        self.envs.close()
