"""A stage that a program outside of the cluster drives: a robot or a game, by the newest policy or reward model."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import gymnasium as gym
import numpy as np

from hitl.acting import Acting, make_acting
from hitl.client.following import Following
from hitl.controls import Controls
from hitl.errors import RequestError, Unavailable
from hitl.events import Run
from hitl.policies import SharedPolicy, SharedReward
from hitl.spaces import action_space_of
from hitl.spaces import safe_action as safe_stop_action
from hitl.stages import StageFrame, StageStep
from hitl.tensors import Array
from hitl.wire.stages import check_image
from policies.acting.inference import acting_policy
from policies.spaces import flat_dtype, flat_size, legal, writable

if TYPE_CHECKING:
    from hitl.client.training import TrainingClient


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivenAction:
    """What to do next."""

    action: Array
    policy_version: int
    """Of the policy that chose it, or that was there while somebody else did."""
    predicted_reward: float | None = None
    """What people are expected to say of it; None without a reward model, and before its first version."""
    reward_version: int = 0
    """Of the newest reward model; 0 before the first one."""
    journal_end: int = 0
    """The feedback before this offset of the run's journal is in that reward model."""
    teacher_id: str = ""
    """Who chose it instead of policy and reward model; empty: nobody did."""
    safe_stop: bool = False
    """It is the safe action: somebody has stopped the stage."""


class DrivenStage:
    """One episode after the other: `begin`, then `act` and `step` by turns. Use it as a context manager.

    Policy and reward model act here, in the program, so that no step waits for a network; threads fetch newer ones. A
    policy that is no small multi-layer perceptron needs torch, and so does a reward model that sees images.
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
        self._safe_action = safe_stop_action(safe_action, action_space)
        self._controls = Controls(rate=1.0, safe_action=self._safe_action)
        self._observation_NO = np.zeros((1, flat_size(observation_space)), flat_dtype(observation_space))
        self._flat = writable(observation_space, self._observation_NO)
        self._acting: Acting | None = None
        self._memory_NH = np.zeros((1, 0), np.float32)
        self._journal_end = 0
        self._chosen: DrivenAction | None = None
        self._over = True
        """No episode is under way."""
        self._player = client.play_stage(run, stage_id, action_space_of(action_space))
        self._frame = self._episode = self._player.first_frame
        # Monotonic in a life, and above the lives before.
        self._clock_began = time.time() - time.monotonic()
        self._following = Following(client, run.run_id)

    @property
    def policy_version(self) -> int:
        """Of the newest policy; 0 before the first one."""
        return self._acting.policy_version if self._acting else 0

    @property
    def reward_version(self) -> int:
        """Of the newest reward model; 0 before the first one."""
        return self._acting.reward_version if self._acting else 0

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
        """Wait until there is a policy, and with it the reward model if there is one by then.

        Raises:
            ConfigError: the reward model reads features (reward.model.features) that cannot be imported here.
            Unavailable: none came in time.
            ValueError: they are for other spaces than those of this stage.
        """
        if not self._following.came.wait(seconds):
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
        """Return what to do in the state that was shown last: what somebody at the controls wants, or whoever acts.

        Raises:
            ConfigError: see `wait_for_policy`.
            RequestError: the connection has ended for good, or no episode is under way.
            Unavailable: there is no policy yet, see `wait_for_policy`.
            ValueError: policy or reward model are for other spaces than those of this stage.
        """
        if self._over:
            raise RequestError("no episode is under way; call begin first")
        self._hear()
        self._adopt()
        if self._acting is None:
            raise Unavailable("there is no policy yet; call wait_for_policy first")
        # Also where somebody else acts: a recurrent policy must have seen what happened.
        memory = self._memory_NH if self._acting.acts.memory_units else None
        action_NA, _ = self._acting.acts.act(self._observation_NO, memory)
        override = self._controls.override(time.monotonic())
        action = legal(action_NA, self._spaces[1])[0] if override is None else override.action
        self._chosen = DrivenAction(
            action=np.asarray(action),
            policy_version=self.policy_version,
            predicted_reward=self._acting.predicted_reward(self._observation_NO[0], np.asarray(action)),
            reward_version=self.reward_version,
            journal_end=self._journal_end,
            teacher_id=override.teacher_id if override else "",
            safe_stop=override is not None and override.safe_stop,
        )
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
            predicted_reward=chosen.predicted_reward,
            reward_version=chosen.reward_version,
            journal_end=chosen.journal_end,
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
        """Act by the newest policy and reward model that have come."""
        policy, reward = self._following.take()
        if policy is not None:
            if self._acting is None:
                self._acting = self._first(policy)
                self._memory_NH = np.zeros((1, self._acting.acts.memory_units), np.float32)
            self._acting.show_policy(policy.version, policy.weights)
            self._acting.set_reward_weight(policy.reward_weight)
        if reward is not None and self._acting is not None:
            self._show_reward(self._acting, reward)

    def _first(self, shared: SharedPolicy) -> Acting:
        """Return what acts by the first policy, once it has been seen to fit."""
        observations, actions = self._spaces
        try:
            # Also where the reward model acts alone: the policy's sizes tell the run's spaces.
            policy = acting_policy(observations, actions, seed=self._seed, **shared.network)
            policy.load(shared.weights)
            policy.act(self._observation_NO, np.zeros((1, policy.memory_units), np.float32))
        except (ValueError, RuntimeError) as error:
            raise self._misfit("policy", error) from error
        return make_acting(
            shared.acting,
            observations,
            actions,
            seed=self._seed,
            model_config=shared.network,
            predicts=shared.inputs is not None,
            inputs=shared.inputs,
        )

    def _show_reward(self, acting: Acting, reward: SharedReward) -> None:
        """Act by it, once it has been seen to fit."""
        try:
            acting.show_reward(reward.version, reward.arrays)
            acting.predicted_reward(self._observation_NO[0], self._safe_action)
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            raise self._misfit("reward model", error) from error
        self._journal_end = reward.journal_end

    def _misfit(self, what: str, error: Exception) -> ValueError:
        observations, actions = self._spaces
        return ValueError(
            f"the {what} of run {self._run.run_id} does not fit observations {observations} and actions "
            f"{actions}: {error}; open the stage with the spaces of the run's task"
        )

    def close(self) -> None:
        """Leave the stage; what it has shown is stored first."""
        self._player.close()
        self._following.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
