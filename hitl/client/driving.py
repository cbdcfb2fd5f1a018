"""A stage that a program outside of the cluster drives: a robot or a game, with the newest policy's actions."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import gymnasium as gym
import numpy as np

from hitl.controls import Controls
from hitl.errors import RequestError, Unavailable
from hitl.events import Run
from hitl.policies import SharedPolicy
from hitl.spaces import action_space_of, safe_action
from hitl.stages import StageFrame, StageStep
from hitl.tensors import Array
from hitl.wire.stages import check_image
from policies.acting.inference import Acts, acting_policy
from policies.spaces import flat_dtype, flat_size, legal, writable

if TYPE_CHECKING:
    from hitl.client.training import TrainingClient

_log = logging.getLogger(__name__)

_WAIT = timedelta(seconds=1)
_AGAIN_SECONDS = 1.0
_JOIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivenAction:
    """What to do next."""

    action: Array
    policy_version: int
    """Of the policy that chose it, or that was there while somebody else did."""
    teacher_id: str = ""
    """Who chose it instead of the policy; empty: nobody did."""
    safe_stop: bool = False
    """It is the safe action: somebody has stopped the stage."""


class DrivenStage:
    """One episode after the other: `begin`, then `act` and `step` by turns. Use it as a context manager.

    The policy acts here, in the program, so that no step waits for a network; a thread fetches newer ones. A policy
    that is no small multi-layer perceptron needs torch.
    """

    def __init__(
        self,
        client: "TrainingClient",
        run: Run,
        stage_id: str,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        *,
        safe_action: int | Sequence[float] | None,
        seed: int,
    ) -> None:
        """Open the stage; see `TrainingClient.drive_stage`."""
        self._client, self._run, self._spaces, self._seed = (
            client,
            run,
            (observation_space, action_space),
            seed,
        )
        self._controls = _controls(safe_action, action_space)
        self._observation_NO = np.zeros((1, flat_size(observation_space)), flat_dtype(observation_space))
        self._flat = writable(observation_space, self._observation_NO)
        self._policy: Acts | None = None
        self._memory_NH = np.zeros((1, 0), np.float32)
        self.policy_version = 0
        """Of the policy that acts; 0 before the first one."""
        self._newer: SharedPolicy | None = None
        self._came = threading.Event()
        self._closing = threading.Event()
        self._chosen: DrivenAction | None = None
        self._over = True
        """No episode is under way."""
        self._player = client.play_stage(run, stage_id, action_space_of(action_space))
        self._frame = self._episode = self._player.first_frame
        # Monotonic in a life, and above the lives before.
        self._clock_began = time.time() - time.monotonic()
        self._thread = threading.Thread(target=self._follow, name=f"policy for {stage_id}", daemon=True)
        self._thread.start()

    @property
    def watchers(self) -> int:
        """How many watch; without any, pictures are not needed."""
        return self._player.watchers

    @property
    def stands_still(self) -> bool:
        """Whether somebody has paused the stage: take no step now."""
        self._hear()
        return self._controls.stands_still

    @property
    def wants_reset(self) -> bool:
        """Whether somebody wants a new episode: call `begin`."""
        self._hear()
        return self._controls.reset_wanted

    def wait_for_policy(self, seconds: float = 60.0) -> None:
        """Wait until there is a policy.

        Raises:
            Unavailable: none came in time.
            ValueError: it is for other spaces than those of this stage.
        """
        if not self._came.wait(seconds):
            raise Unavailable(
                f"no policy of run {self._run.run_id} came for {seconds:.0f} s; train it with "
                "--stages.driven true, and look whether it still runs"
            )
        self._adopt()

    def begin(self, observation: Any, *, image: bytes = b"", image_type: str = "") -> None:
        """Begin an episode.

        Args:
            observation: of the task's observation space.
            image: what people see of it, such as a JPEG; empty: nothing.
            image_type: such as image/jpeg.

        Raises:
            RequestError: the connection has ended for good, or the picture is too big.
            ValueError: the observation does not fit the space.
        """
        self._take(observation, image)
        self._chosen, self._over = None, False
        self._controls.reset_wanted = False
        self._memory_NH[:] = 0.0
        self._episode = self._frame
        self._show(None, image, image_type)

    def act(self) -> DrivenAction:
        """Return what to do in the state that was shown last: what somebody at the controls wants, or the policy.

        Raises:
            RequestError: the connection has ended for good, or no episode is under way.
            Unavailable: there is no policy yet, see `wait_for_policy`.
            ValueError: the policy is for other spaces than those of this stage.
        """
        if self._over:
            raise RequestError("no episode is under way; call begin first")
        self._hear()
        self._adopt()
        if self._policy is None:
            raise Unavailable("there is no policy yet; call wait_for_policy first")
        # Also where somebody else acts: a recurrent policy must have seen what happened.
        memory = self._memory_NH if self._policy.memory_units else None
        action_NA, _ = self._policy.act(self._observation_NO, memory)
        override = self._controls.override(time.monotonic())
        if override is not None:
            self._chosen = DrivenAction(
                action=np.asarray(override.action),
                policy_version=self.policy_version,
                teacher_id=override.teacher_id,
                safe_stop=override.safe_stop,
            )
        else:
            own = np.asarray(legal(action_NA, self._spaces[1])[0])
            self._chosen = DrivenAction(action=own, policy_version=self.policy_version)
        return self._chosen

    def step(
        self,
        observation: Any,
        *,
        terminated: bool = False,
        truncated: bool = False,
        true_reward: float | None = None,
        image: bytes = b"",
        image_type: str = "",
    ) -> None:
        """Say what the last action led to.

        Args:
            observation: of the task's observation space.
            terminated: nothing follows, by the task's own rules.
            truncated: the episode is cut here.
            true_reward: the environment's; for oracles only.
            image: see `begin`.
            image_type: see `begin`.

        Raises:
            RequestError: the connection has ended for good, there was no action, or the picture is too big.
            ValueError: the observation does not fit the space.
        """
        if self._chosen is None:
            raise RequestError("a step follows an action; call act first")
        self._take(observation, image)
        chosen, self._chosen = self._chosen, None
        self._over = terminated or truncated
        self._controls.stepped()
        step = StageStep(
            action=chosen.action,
            policy_version=chosen.policy_version,
            teacher_id=chosen.teacher_id,
            safe_stop=chosen.safe_stop,
            true_reward=true_reward,
            terminated=terminated,
            truncated=truncated,
        )
        self._show(step, image, image_type)

    def _take(self, observation: Any, image: bytes) -> None:
        check_image(image, "image")
        if not self._spaces[0].contains(observation):
            raise ValueError(f"the observation {observation} is not in {self._spaces[0]}")
        self._flat[0] = observation

    def _show(self, step: StageStep | None, image: bytes, image_type: str) -> None:
        self._player.show(
            StageFrame(
                frame=self._frame,
                episode=self._episode,
                show_seconds=self._clock_began + time.monotonic(),
                observations={"obs": self._observation_NO[0].copy()},
                step=step,
                image=image,
                image_type=image_type,
                paused=self._controls.paused,
            )
        )
        self._frame += 1

    def _hear(self) -> None:
        for command in self._player.commands():
            self._controls.take(command, time.monotonic())
        # Its pace is the program's.
        self._player.tell(replace(self._controls.state, rate=0.0))

    def _adopt(self) -> None:
        """Act by the newest policy that has come."""
        newer, self._newer = self._newer, None
        if newer is None:
            return
        if self._policy is None:
            self._policy = self._first(newer)
            self._memory_NH = np.zeros((1, self._policy.memory_units), np.float32)
        self._policy.load(newer.weights)
        self.policy_version = newer.version

    def _first(self, shared: SharedPolicy) -> Acts:
        """Return what acts by the first policy, once it has been seen to fit."""
        try:
            policy = acting_policy(*self._spaces, seed=self._seed, **shared.network)
            policy.load(shared.weights)
            policy.act(self._observation_NO, np.zeros((1, policy.memory_units), np.float32))
        except (ValueError, RuntimeError) as error:
            observations, actions = self._spaces
            raise ValueError(
                f"the policy of run {self._run.run_id} does not fit observations {observations} and actions "
                f"{actions}: {error}; open the stage with the spaces of the run's task"
            ) from error
        return policy

    def _follow(self) -> None:
        known = 0
        while not self._closing.is_set():
            try:
                newer = self._client.get_policy(self._run.run_id, newer_than=known, wait=_WAIT)
            except (RequestError, ValueError) as error:
                if not self._closing.is_set():
                    _log.warning("no newer policy: %s", error)
                self._closing.wait(_AGAIN_SECONDS)
                continue
            if newer is not None:
                known, self._newer = newer.version, newer
                self._came.set()

    def close(self) -> None:
        """Leave the stage; what it has shown is stored first."""
        self._closing.set()
        self._player.close()
        self._thread.join(_JOIN_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _controls(chosen: int | Sequence[float] | None, space: gym.Space[Any]) -> Controls:
    return Controls(rate=1.0, safe_action=safe_action(chosen, space))
