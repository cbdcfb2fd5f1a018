"""A stage: a Ray actor that plays an environment at human speed with the newest policy, for teachers to watch.

One step at a time: choose an action, step, show the outcome, and wait until the next step is due. While nobody watches
it stands still and costs nothing; a rehearsal may play in its place (`cluster.stages.rehearsal`). Killed, it comes
back by itself and begins a new episode.
"""

import logging
import threading
import time
from typing import Any

import gymnasium as gym
import numpy as np

from cluster.environments.fixed_horizon import Env
from cluster.environments.making import make_shown
from cluster.feedback.versions import model_arrays
from cluster.gates import make_counsel, make_gate
from cluster.newest import Follower
from cluster.runs.config import EnvironmentConfig
from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.live_config import ActingConfig, StagesConfig
from cluster.stages.help import Help
from cluster.stages.pictures import Pictures
from hitl.acting import make_acting
from hitl.client.playing import StagePlayer
from hitl.client.training import TrainingClient
from hitl.controls import Controls, Override
from hitl.errors import StaleEpoch
from hitl.events import Run
from hitl.reward.settings import InputSettings
from hitl.spaces import action_space_of, safe_action
from hitl.stages import StageFrame, StageStep
from policies.experience import ObservationArray
from policies.spaces import flat_dtype, flat_size, legal, writable
from policies.threads import use_threads

logger = logging.getLogger(__name__)

_IDLE_SECONDS = 0.02
_AGAIN_SECONDS = 1.0
_TELL_SECONDS = 1.0


class Stage:
    """An environment in the middle of an episode, its policy, and its connection to the service."""

    def __init__(
        self,
        *,
        address: str,
        token: str,
        run: Run,
        stage_id: str,
        environment: EnvironmentConfig,
        model_config: dict[str, Any],
        settings: StagesConfig,
        acting: ActingConfig,
        imitation: ImitationConfig,
        policies: Any,
        rewards: Any,
        seed: int,
        inputs: InputSettings | None = None,
        rehearsal: Any = None,
    ) -> None:
        """Make the environment; `play` begins.

        Args:
            address: of the feedback service.
            token: of the role cluster.
            run: as the driver opened it.
            stage_id: unique within the run.
            environment: to play.
            model_config: of the policy's network.
            settings: pace and pictures.
            acting: who acts.
            imitation: when the policy asks for help.
            policies: handle of the `Newest` that has the policy's weights.
            rewards: handle of the `Newest` that has the reward model.
            seed: of the environment and of the policy's draws.
            inputs: what the reward model reads.
            rehearsal: handle of the actor that plays while nobody watches; None: nobody does.
        """
        use_threads(1)
        self._settings = settings
        self._policies, self._rewards = Follower(policies), Follower(rewards)
        self._env, self._horizon = make_shown(environment), environment.fixed_horizon
        self._client = TrainingClient(address, token)
        self._run, self._stage_id = run, stage_id
        self._pictures = Pictures(settings.pictures)
        space = self._env.observation_space
        self._observation_NO = np.zeros((1, flat_size(space)), flat_dtype(space))
        self._shown = writable(space, self._observation_NO)
        self._acting = make_acting(
            acting.settings,
            space,
            self._env.action_space,
            seed=seed,
            model_config=model_config,
            predicts=True,
            inputs=inputs,
        )
        counsel = make_counsel(imitation, (space, self._env.action_space), model_config)
        self._help: Help | None = None
        if counsel is not None:
            gate = make_gate(imitation, seed=seed, asks_always=False)
            wait_seconds = imitation.help.wait_seconds
            self._help = Help(gate, counsel, self._env.action_space, wait_seconds=wait_seconds)
        self._memory_NH = np.zeros((1, self._acting.acts.memory_units), np.float32)
        self._journal_end = 0
        self._rehearsal, self._told = rehearsal, 0.0
        self._seed: int | None = seed
        self._ending = threading.Event()

    def play(self) -> None:
        """Play until `end`, over whatever goes wrong."""
        self._wait_for_policy()
        while not self._ending.is_set():
            try:
                self._perform()
            except StaleEpoch as error:
                logger.warning("stage %s ends: %s", self._stage_id, error)
                return
            except Exception:
                logger.exception("stage %s begins anew", self._stage_id)
                self._ending.wait(_AGAIN_SECONDS)

    def _perform(self) -> None:
        """Play over one connection, which holds as long as the service is not away for too long."""
        space = action_space_of(self._env.action_space)
        with self._client.play_stage(self._run, self._stage_id, space, is_own=True) as player:
            performance = _Performance(self._env, player, self._settings, self._pictures)
            self._begin(performance)
            due = time.monotonic()
            while not self._ending.is_set():
                performance.hear()
                self._look_for_newer()
                self._let_rehearsal_wait(performance)
                if not performance.goes_on or self._waits_for_help(performance):
                    self._ending.wait(_IDLE_SECONDS)
                    due = time.monotonic()
                elif time.monotonic() < due:
                    # In slices: somebody may want another pace, or a safe stop.
                    self._ending.wait(min(due - time.monotonic(), _IDLE_SECONDS))
                    due = min(due, time.monotonic() + performance.seconds_per_step)
                else:
                    if performance.wants_reset or performance.ended:
                        self._begin(performance)
                    else:
                        self._step(performance)
                    due = (
                        max(due, time.monotonic() - performance.seconds_per_step)
                        + performance.seconds_per_step
                    )

    def _let_rehearsal_wait(self, performance: "_Performance") -> None:
        """Where there is a rehearsal, tell it that somebody watches, and show whoever is the first a new episode."""
        if self._rehearsal is None:
            return
        came = performance.audience_came()
        if performance.is_watched and (came or time.monotonic() - self._told > _TELL_SECONDS):
            self._rehearsal.watched.remote()
            self._told = time.monotonic()
        if came and performance.steps > 0:
            self._begin(performance)

    def end(self) -> None:
        """Stop playing."""
        self._ending.set()

    def _reaches_horizon(self, steps: int) -> bool:
        return self._horizon is not None and steps >= self._horizon

    def _begin(self, performance: "_Performance") -> None:
        self._shown[0], _ = self._env.reset(seed=self._seed)
        self._seed = None
        self._memory_NH[:] = 0.0
        performance.begin(self._observation_NO[0].copy(), asks_help=self._asks_help(begins=True))

    def _asks_help(self, *, begins: bool) -> bool:
        """Whether the policy would rather have somebody else act in the state that is shown next."""
        if self._help is None:
            return False
        own_NA, _ = self._acting.acts.act(self._observation_NO)
        own_NA = legal(own_NA, self._env.action_space)
        return self._help.look(self._observation_NO, own_NA, begins=begins, now=time.monotonic())

    def _waits_for_help(self, performance: "_Performance") -> bool:
        return (
            self._help is not None
            and self._help.waits(time.monotonic())
            and performance.override() is None
            and not performance.wants_reset
        )

    def _step(self, performance: "_Performance") -> None:
        # Also where a teacher acts: a recurrent policy must have seen what happened.
        memory = self._memory_NH if self._acting.acts.memory_units else None
        action_NA, _ = self._acting.acts.act(self._observation_NO, memory)
        own = np.asarray(legal(action_NA, self._env.action_space)[0])
        override = performance.override()
        action = own if override is None else np.asarray(override.action)
        predicted = self._acting.predicted_reward(self._observation_NO[0], action)
        observation, reward, terminated, truncated, _ = self._env.step(
            int(action) if isinstance(self._env.action_space, gym.spaces.Discrete) else action
        )
        self._shown[0] = observation
        if self._help is not None:
            self._help.acted(action if override and not override.safe_stop else None)
        truncated = truncated or self._reaches_horizon(performance.steps + 1)
        over = bool(terminated or truncated)
        performance.show(
            self._observation_NO[0].copy(),
            StageStep(
                action=action,
                policy_version=self._acting.policy_version,
                predicted_reward=predicted,
                reward_version=self._acting.reward_version,
                journal_end=self._journal_end,
                teacher_id=override.teacher_id if override else "",
                safe_stop=override is not None and override.safe_stop,
                true_reward=float(reward),
                terminated=bool(terminated),
                truncated=bool(truncated),
            ),
            asks_help=not over and self._asks_help(begins=False),
        )

    def _wait_for_policy(self) -> None:
        while not self._acting.policy_version and not self._ending.wait(_IDLE_SECONDS):
            self._look_for_newer()

    def _look_for_newer(self) -> None:
        """Act by the newest policy and the newest reward model from now on."""
        if policy := self._policies.look():
            published, weights = policy
            self._acting.show_policy(published.version, weights)
            if self._help is not None:
                self._help.counsel.load(weights)
            self._acting.set_reward_weight(published.reward_weight)
        if reward := self._rewards.look():
            published, arrays = reward
            self._acting.show_reward(published.version, model_arrays(arrays))
            self._journal_end = published.journal_end


class _Performance:
    """What has been shown of the stage, and what teachers have made of it."""

    def __init__(self, env: Env, player: StagePlayer, settings: StagesConfig, pictures: Pictures) -> None:
        self._env, self._player, self._pictures = env, player, pictures
        self._controls = Controls(
            rate=settings.rate, safe_action=safe_action(settings.safe_action, env.action_space)
        )
        self._next = player.first_frame
        self._episode = player.first_frame
        # Monotonic in a life, and above the lives before.
        self._clock_began = time.time() - time.monotonic()
        self.ended = False
        """The episode is over."""
        self._was_watched = False

    @property
    def steps(self) -> int:
        """Of the episode."""
        return self._next - self._episode - 1

    @property
    def is_watched(self) -> bool:
        """Whether anybody watches."""
        return self._player.watchers > 0

    def audience_came(self) -> bool:
        """Whether somebody watches now, and nobody did when this was asked last."""
        was_watched, self._was_watched = self._was_watched, self.is_watched
        return self._was_watched and not was_watched

    @property
    def goes_on(self) -> bool:
        """Whether a step, or a new episode, is wanted now."""
        if not self.is_watched:
            return False
        return self._controls.reset_wanted or not self._controls.stands_still

    @property
    def wants_reset(self) -> bool:
        """Whether somebody wants a new episode."""
        return self._controls.reset_wanted

    @property
    def seconds_per_step(self) -> float:
        """At the pace wanted now."""
        return 1.0 / self._controls.rate

    def hear(self) -> None:
        """Do what teachers want, and let all who watch know.

        Raises:
            RequestError: the connection has ended for good.
        """
        for command in self._player.commands():
            self._controls.take(command, time.monotonic())
        self._player.tell(self._controls.state)

    def override(self) -> Override | None:
        """Return who acts instead of the policy."""
        return self._controls.override(time.monotonic())

    def begin(self, observation_O: ObservationArray, *, asks_help: bool) -> None:
        """Show how an episode begins."""
        self._episode, self.ended = self._next, False
        self._controls.reset_wanted = False
        self._show(observation_O, None, asks_help=asks_help)

    def show(self, observation_O: ObservationArray, step: StageStep, *, asks_help: bool) -> None:
        """Show the outcome of a step."""
        self.ended = step.terminated or step.truncated
        self._controls.stepped()
        self._show(observation_O, step, asks_help=asks_help)

    def _show(self, observation_O: ObservationArray, step: StageStep | None, *, asks_help: bool) -> None:
        pixels: Any = self._env.render() if self.is_watched else None
        self._player.show(
            StageFrame(
                frame=self._next,
                episode=self._episode,
                show_seconds=self._clock_began + time.monotonic(),
                observations={"obs": observation_O},
                step=step,
                image=self._pictures.encode(pixels) if pixels is not None else b"",
                image_type=self._pictures.type if pixels is not None else "",
                paused=self._controls.paused,
                rate=self._controls.rate,
                asks_help=asks_help,
            )
        )
        self._next += 1
