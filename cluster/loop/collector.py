"""Gathers rollouts: steps a vector of environments with one policy, and keeps every episode's edge."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from cluster.loop.environments import DURATION, NOBODY
from policies.experience import Actor, Rollout
from policies.networks import ActorCritic


class FinishedEpisode(NamedTuple):
    """An episode that ended during a rollout; a number for people, never for a learner of human feedback."""

    true_return: float
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A rollout, and apart from it what the environment's reward says about it."""

    rollout: Rollout
    true_reward_TN: NDArray[np.float32]
    episodes: list[FinishedEpisode]


class Collector:
    """A vector of environments in the middle of their episodes."""

    def __init__(
        self,
        envs: gym.vector.SyncVectorEnv,
        network: ActorCritic,
        *,
        source: str,
        seed: int,
        share_reward: bool,
    ) -> None:
        """Start an episode in each environment.

        Args:
            envs: stepped together, restarting in the step in which they end.
            network: acts; its weights may change between rollouts.
            source: names the rollouts.
            seed: of environments and actions.
            share_reward: whether rollouts carry the environment's reward to the learner.
        """
        self.envs = envs
        self.network = network
        self._source = source
        self._share_reward = share_reward
        self._generator = torch.Generator().manual_seed(seed)
        columns = envs.num_envs
        seeds = np.random.SeedSequence(seed).generate_state(columns)
        self._observation = self._flat(envs.reset(seed=[int(s) for s in seeds])[0])
        self._episode_N = np.arange(columns, dtype=np.int64)
        self._next_episode = columns
        self._step_N = np.zeros(columns, np.int64)
        self._return_N = np.zeros(columns)
        space = envs.single_action_space
        self._bounds = (space.low, space.high) if isinstance(space, gym.spaces.Box) else None

    @torch.inference_mode()
    def collect(self, steps: int, *, policy_version: int) -> Collected:
        """Play `steps` steps in each environment, going on where the last rollout stopped."""
        columns = self.envs.num_envs
        shape = (steps, columns)
        observation = np.empty((steps + 1, *self._observation.shape), np.float32)
        actions: list[NDArray[np.generic]] = []
        log_prob, reward = np.empty(shape, np.float32), np.empty(shape, np.float32)
        terminated, truncated = np.empty(shape, bool), np.empty(shape, bool)
        actor, duration = np.full(shape, Actor.POLICY, np.uint8), np.ones(shape, np.int64)
        episode, step = np.empty(shape, np.int64), np.empty(shape, np.int64)
        final_index: list[int] = []
        final_observation: list[NDArray[np.float32]] = []
        finished: list[FinishedEpisode] = []
        for t in range(steps):
            observation[t], episode[t], step[t] = self._observation, self._episode_N, self._step_N
            action, action_log_prob = self.network.act(
                torch.from_numpy(self._observation), generator=self._generator
            )
            actions.append(action.numpy())
            log_prob[t] = action_log_prob.numpy()
            stepped: Any = self.envs.step(self._legal(actions[-1]))
            following, reward[t], terminated[t], truncated[t], info = stepped
            self._observation = self._flat(following)
            # Where an episode ends in this step, its last info stands apart.
            for told in (info, info.get("final_info", {})):
                if NOBODY in told:
                    actor[t, told[NOBODY]] = Actor.NOBODY
                    duration[t, told[NOBODY]] = told[DURATION][told[NOBODY]]
            self._return_N += reward[t]
            self._step_N += duration[t]
            for n in np.flatnonzero(terminated[t] | truncated[t]):
                final_index.append(t * columns + int(n))
                final_observation.append(np.asarray(info["final_obs"][n], np.float32).ravel())
                finished.append(FinishedEpisode(float(self._return_N[n]), int(self._step_N[n])))
                self._return_N[n], self._step_N[n] = 0.0, 0
                self._episode_N[n], self._next_episode = self._next_episode, self._next_episode + 1
        observation[steps] = self._observation
        size = observation.shape[-1]
        rollout = Rollout(
            source=self._source,
            policy_version=policy_version,
            observation_TNO=observation,
            action_TNA=np.stack(actions),
            log_prob_TN=log_prob,
            terminated_TN=terminated,
            truncated_TN=truncated,
            final_index_K=np.array(final_index, np.int64),
            final_observation_KO=np.array(final_observation, np.float32).reshape(-1, size),
            actor_TN=actor,
            episode_TN=episode,
            step_TN=step,
            duration_TN=duration,
            environment_reward_TN=reward if self._share_reward else None,
        )
        return Collected(rollout=rollout, true_reward_TN=reward, episodes=finished)

    def _legal(self, action: NDArray[Any]) -> NDArray[Any]:
        return action if self._bounds is None else np.clip(action, *self._bounds)

    def _flat(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(observation, np.float32).reshape(len(observation), -1).copy()
