"""A rehearsal: a Ray actor that plays a stage's environment while nobody watches, and renders what people are asked.

A process of its own that gives way to all others. It plays whole episodes with the newest policy, unpaced and without
pictures: so many steps with each version, and then it stands still until there is a newer one. What it has played goes
by reference to the reward trainer, and its true reward to the publisher. Of each episode it keeps the seed and the
actions, so that a segment that is chosen for people can be played again and rendered.
"""

import logging
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import ray

from cluster.environments.fixed_horizon import DURATION, NOBODY
from cluster.environments.making import make
from cluster.feedback.versions import model_arrays
from cluster.newest import Follower
from cluster.priority import give_way
from cluster.runs.config import EnvironmentConfig
from cluster.runs.live_config import ActingConfig, StagesConfig
from cluster.stages.episodes import PlayedEpisode, as_rollout
from cluster.stages.pictures import Pictures
from cluster.stages.replay import NotTheSame, Replay
from hitl.acting import make_acting
from hitl.events import StepAddress
from hitl.reward.settings import InputSettings
from hitl.stages import Clip
from policies.spaces import flat_dtype, flat_size, legal, writable
from policies.threads import use_threads

logger = logging.getLogger(__name__)

ROLLOUTS = 8
"""So many does a rehearsal make of the steps of one policy version, and so many can be asked about."""
KEPT_ROLLOUTS = 3 * ROLLOUTS
"""Rollouts whose episodes can still be rendered: what was asked about may be older than what can be."""
_IDLE_SECONDS = 0.02
_TELL_SECONDS = 2.0
_AGAIN_SECONDS = 1.0
_WATCHED_SECONDS = 3.0
"""How long a stage is believed to be watched after it has said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Played:
    """A rollout that is kept in the object store."""

    rollout: ray.ObjectRef
    true_reward: ray.ObjectRef
    episodes: list[int]


class Rehearsal:
    """An environment that plays ahead of questions, and one that plays again what was chosen."""

    def __init__(
        self,
        *,
        stage_id: str,
        life: str,
        environment: EnvironmentConfig,
        model_config: dict[str, Any],
        settings: StagesConfig,
        acting: ActingConfig,
        segment_steps: int,
        policies: Any,
        rewards: Any,
        trainer: Any,
        publisher: Any,
        seed: int,
        inputs: InputSettings | None = None,
    ) -> None:
        """Make the environment; `play` begins.

        Args:
            stage_id: of the stage whose rehearsal this is.
            life: of the driver.
            environment: to play.
            model_config: of the policy's network.
            settings: how much is played, and of pictures.
            acting: who acts.
            segment_steps: of a question's segments.
            policies: handle of the `Newest` that has the policy's weights.
            rewards: handle of the `Newest` that has the reward model.
            trainer: handle of the reward trainer.
            publisher: handle of the publisher.
            seed: of the environment and of the policy's draws.
            inputs: what the reward model reads.
        """
        use_threads(1)
        give_way()
        self._stage_id, self._trainer, self._publisher = stage_id, trainer, publisher
        self._config = environment
        self._env = make(environment)
        self._policies, self._rewards = Follower(policies), Follower(rewards)
        space, actions = self._env.observation_space, self._env.action_space
        self._observation_NO = np.zeros((1, flat_size(space)), flat_dtype(space))
        self._shown = writable(space, self._observation_NO)
        self._acting = make_acting(
            acting.settings, space, actions, seed=seed, model_config=model_config, inputs=inputs
        )
        self._memory_NH = np.zeros((1, self._acting.acts.memory_units), np.float32)
        self._action_dtype = np.float32 if isinstance(actions, gym.spaces.Box) else np.int64
        # One that comes back counts episodes anew, so it needs another name, and plays others.
        self._source = f"{life}.{stage_id}-{uuid.uuid4().hex[:6]}"
        self._seeds = np.random.default_rng([seed, *self._source.encode()])
        self._most_steps = settings.unwatched_steps
        self._rollout_rows = max(segment_steps, settings.unwatched_steps // ROLLOUTS)
        self._segment_steps = segment_steps
        self._steps = 0
        """Played with the policy's version."""
        self._number = 0
        self._waiting: list[PlayedEpisode] = []
        """Not yet in a rollout."""
        self._episodes: dict[int, PlayedEpisode] = {}
        self._played: deque[_Played] = deque()
        self._told = 0.0
        self._watched_until = 0.0
        self._replay = Replay(environment, Pictures(settings.pictures))
        self._rendering = threading.Lock()
        self._is_deterministic, self._is_broken = True, False
        self._ending = threading.Event()

    @ray.method(max_task_retries=-1)  # type: ignore[untyped-decorator]
    def play(self) -> None:
        """Play until `end`, over whatever goes wrong."""
        while not self._ending.is_set():
            try:
                if self._is_broken:
                    self._env, self._is_broken = make(self._config), False
                self._look_for_newer()
                self._tell()
                if self._acting.policy_version and self._steps < self._most_steps and not self._is_watched:
                    self._play_episode()
                else:
                    self._ending.wait(_IDLE_SECONDS)
            except Exception:
                logger.exception("the rehearsal of %s begins anew", self._stage_id)
                self._is_broken = True
                self._ending.wait(_AGAIN_SECONDS)

    def end(self) -> None:
        """Stop playing."""
        self._ending.set()

    def watched(self) -> None:
        """Stand still for a while: somebody watches the stage."""
        self._watched_until = time.monotonic() + _WATCHED_SECONDS

    def render(self, address: StepAddress) -> Clip | None:
        """Return what a segment looks like; None where it cannot be played again.

        Its episode is forgotten, was played in an earlier life, or the environment is not deterministic.
        """
        with self._rendering:
            episode = self._episodes.get(address.episode) if address.source == self._source else None
            if episode is None:
                return None
            try:
                return self._replay.clip(episode, address)
            except NotTheSame as error:
                if self._is_deterministic:
                    logger.warning(
                        "%s; questions are asked without clips where an environment does not follow from "
                        "reset(seed=...) and its actions",
                        error,
                    )
                self._is_deterministic = False
                return None

    @property
    def _is_watched(self) -> bool:
        return time.monotonic() < self._watched_until

    def _play_episode(self) -> None:
        episode = PlayedEpisode(number=self._number, seed=int(self._seeds.integers(2**31)))
        self._number += 1
        self._shown[0], _ = self._env.reset(seed=episode.seed)
        self._memory_NH[:] = 0.0
        episode.see(self._observation_NO[0])
        while not self._step(episode) and self._steps < self._most_steps:
            while self._is_watched and not self._ending.is_set():
                self._ending.wait(_IDLE_SECONDS)
            if self._ending.is_set():
                return
        self._waiting.append(episode)
        # What is too short for a segment waits for the next episode.
        enough = self._segment_steps if self._steps >= self._most_steps else self._rollout_rows
        if sum(waiting.rows for waiting in self._waiting) >= enough:
            self._keep()

    def _step(self, episode: PlayedEpisode) -> bool:
        """Take a step; returns whether the episode is over."""
        memory = self._memory_NH if self._acting.acts.memory_units else None
        action_NA, log_prob_N = self._acting.acts.act(self._observation_NO, memory)
        action = np.asarray(legal(action_NA, self._env.action_space)[0])
        discrete = isinstance(self._env.action_space, gym.spaces.Discrete)
        observation, reward, terminated, truncated, info = self._env.step(int(action) if discrete else action)
        self._shown[0] = observation
        episode.see(self._observation_NO[0])
        episode.actions.append(np.array(action_NA[0]))
        episode.log_probs.append(float(log_prob_N[0]))
        episode.rewards.append(float(reward))
        stands_still = bool(info) and NOBODY in info
        episode.durations.append(info[DURATION] if stands_still else 1)
        episode.acted += not stands_still
        episode.terminated = terminated
        self._steps += 1
        return terminated or truncated

    def _keep(self) -> None:
        """Make a rollout of the episodes that wait for one."""
        episodes, self._waiting = self._waiting, []
        rollout, true_reward = as_rollout(
            episodes,
            source=self._source,
            policy_version=self._acting.policy_version,
            action_dtype=self._action_dtype,
        )
        numbers = [episode.number for episode in episodes]
        for episode in episodes:
            episode.forget_arrays()
            self._episodes[episode.number] = episode
        self._played.append(
            _Played(rollout=ray.put(rollout), true_reward=ray.put(true_reward), episodes=numbers)
        )
        while len(self._played) > KEPT_ROLLOUTS:
            for number in self._played.popleft().episodes:
                self._episodes.pop(number, None)
        if self._steps >= self._most_steps:
            self._told = 0.0

    def _tell(self) -> None:
        """Say again and again what can be rendered: those who are told may have been killed."""
        if not self._played or time.monotonic() - self._told < _TELL_SECONDS:
            return
        self._told = time.monotonic()
        newest = list(self._played)[-ROLLOUTS:]
        me = ray.get_runtime_context().current_actor
        rewards = {p.rollout.hex(): [p.true_reward] for p in newest}
        # First, so that it knows what the trainer asks about.
        ray.wait([self._publisher.remember.remote(rewards, stage=me)], timeout=_TELL_SECONDS)
        self._trainer.show_played.remote(self._stage_id, {p.rollout.hex(): [p.rollout] for p in newest})

    def _look_for_newer(self) -> None:
        """Act by the newest policy and the newest reward model from the next episode on."""
        if policy := self._policies.look():
            published, weights = policy
            if sum(episode.rows for episode in self._waiting) >= self._segment_steps:
                self._keep()
            self._waiting.clear()
            self._acting.show_policy(published.version, weights)
            self._acting.set_reward_weight(published.reward_weight)
            self._steps = 0
        if reward := self._rewards.look():
            published, arrays = reward
            self._acting.show_reward(published.version, model_arrays(arrays))
