"""Gathers rollouts: steps a vector of environments with one policy, and keeps every episode's edge."""

from collections.abc import Mapping
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from cluster.environments.vector import LostReason, VectorEnvironment
from cluster.loop.rollouts.episodes import Episodes, FinishedEpisode
from policies.acting.inference import Acts
from policies.acting.oversight import Overseer
from policies.experience import Actor, ObservationArray, Rollout
from policies.spaces import legal


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A rollout, and apart from it what the environment's reward says about it."""

    rollout: Rollout
    true_reward_TN: NDArray[np.float32]
    episodes: list[FinishedEpisode]
    lost_environments: Mapping[LostReason, int]
    """Environments that failed and were made anew, by the reason."""


class Collector:
    """A vector of environments in the middle of their episodes."""

    def __init__(
        self,
        envs: VectorEnvironment,
        policy: Acts,
        *,
        source: str,
        seed: int,
        share_reward: bool,
        share_outcome: bool = False,
        overseer: Overseer | None = None,
    ) -> None:
        """Start an episode in each environment.

        Args:
            envs: stepped together.
            policy: acts; its weights may change between rollouts.
            source: names the rollouts.
            seed: of the environments.
            share_reward: whether rollouts carry the environment's reward to the learner.
            share_outcome: whether rollouts tell what environments say of their goal.
            overseer: an expert who acts and labels now and then.
        """
        self.envs = envs
        self.policy = policy
        self._source = source
        self._share_reward, self._share_outcome = share_reward, share_outcome
        self._overseer = overseer
        self._begins_N = np.ones(envs.count, bool)
        self._observation = envs.reset(seed).copy()
        self._memory_NH = np.zeros((envs.count, policy.memory_units), np.float32)
        self._episodes = Episodes(envs.count)
        self._action_dtype = np.float32 if isinstance(envs.action_space, gym.spaces.Box) else np.int64

    def collect(self, steps: int, *, policy_version: int) -> Collected:
        """Play `steps` steps in each environment, going on where the last rollout stopped."""
        shape = (steps, self.envs.count)
        observation = np.empty((steps + 1, *self._observation.shape), self._observation.dtype)
        action = np.empty((*shape, *(self.envs.action_space.shape or ())), self._action_dtype)
        log_prob, reward = np.empty(shape, np.float32), np.empty(shape, np.float32)
        terminated, truncated = np.empty(shape, bool), np.empty(shape, bool)
        nobody, duration = np.empty(shape, bool), np.empty(shape, np.int64)
        outcome = np.empty(shape, np.uint8)
        final: list[ObservationArray] = []
        by_expert, labelled, wanted = np.zeros(shape, bool), np.zeros(shape, bool), np.empty_like(action)
        memory = self._memory_NH if self.policy.memory_units else None
        remembered = None if memory is None else memory.copy()
        observation[0] = self._observation
        for t in range(steps):
            action[t], log_prob[t] = self.policy.act(observation[t], memory)
            if self._overseer is not None:
                action[t], by_expert[t], wanted[t], labelled[t] = self._overseer.look(
                    observation[t], action[t], self._begins_N
                )
            stepped = self.envs.step(legal(action[t], self.envs.action_space))
            observation[t + 1], reward[t] = stepped.observation_NO, stepped.reward_N
            terminated[t], truncated[t] = stepped.terminated_N, stepped.truncated_N
            nobody[t], duration[t], outcome[t] = stepped.nobody_N, stepped.duration_N, stepped.outcome_N
            final.extend(stepped.final_observation_KO)
            self._begins_N = terminated[t] | truncated[t]
            if memory is not None:
                memory[self._begins_N] = 0.0
        self._observation = observation[steps].copy()
        ended = terminated | truncated
        numbered = self._episodes.number(ended_TN=ended, duration_TN=duration, reward_TN=reward)
        rollout = Rollout(
            source=self._source,
            policy_version=policy_version,
            observation_TNO=observation,
            action_TNA=action,
            log_prob_TN=log_prob,
            terminated_TN=terminated,
            truncated_TN=truncated,
            final_index_K=np.flatnonzero(ended),
            final_observation_KO=np.array(final, observation.dtype).reshape(-1, observation.shape[-1]),
            actor_TN=np.where(nobody, Actor.NOBODY, np.where(by_expert, Actor.EXPERT, Actor.POLICY)).astype(
                np.uint8
            ),
            episode_TN=numbered.episode_TN,
            step_TN=numbered.step_TN,
            duration_TN=duration,
            memory_NH=remembered,
            environment_reward_TN=reward if self._share_reward else None,
            wanted_TNA=None if self._overseer is None else wanted,
            labelled_TN=None if self._overseer is None else labelled & ~nobody,
            outcome_TN=outcome if self._share_outcome else None,
        )
        lost = dict(self.envs.lost)
        self.envs.lost.clear()
        return Collected(
            rollout=rollout, true_reward_TN=reward, episodes=numbered.finished, lost_environments=lost
        )
