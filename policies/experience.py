"""What env runners gather: rollouts, time-major, with every episode's edge kept exactly.

Axis suffixes: T step, N environment, O observation, A action, K episode end (see CONTRIBUTING.md).
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
ObservationArray = NDArray[np.float32 | np.uint8]
"""Observations laid flat by `policies.spaces`: uint8 where all of them are bytes, else float32."""
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


class Actor(IntEnum):
    """Who chose the action of a step."""

    POLICY = 0
    """The policy: the step carries a policy gradient."""
    NOBODY = 1
    """The episode had ended before its horizon, so the action had no effect."""
    EXPERT = 2
    """An expert overrode the policy: no policy gradient."""
    TEACHER = 3
    """A person overrode the policy: no policy gradient."""


class Outcome(IntEnum):
    """What the environment said of the task's goal in a step."""

    OPEN = 0
    """Nothing: the goal may still be reached, also where the episode is cut."""
    REACHED = 1
    """The step led into the goal."""
    FAILED = 2
    """The environment ended the episode elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """T steps of N environments gathered by one policy version.

    `observation_TNO` has T + 1 rows: row t + 1 is what the environment shows after step t. Where an episode
    ends at step t that is the next episode's first observation, and the true last one stands in
    `final_observation_KO` at the flat index t * N + n in `final_index_K`.
    """

    source: str
    """Who gathered it; with `episode_TN` it names an episode uniquely within the run."""
    policy_version: int
    observation_TNO: ObservationArray
    """[T + 1, N, O], flat."""
    action_TNA: NDArray[np.generic]
    """int64[T, N] (Discrete), int64[T, N, A] (MultiDiscrete) or float32[T, N, A] (Box)."""
    log_prob_TN: FloatArray
    """Of the action under the policy that acted."""
    terminated_TN: BoolArray
    """The episode ended in a terminal state: nothing follows."""
    truncated_TN: BoolArray
    """The episode was cut, for example at its time limit: something would have followed."""
    final_index_K: IntArray
    final_observation_KO: ObservationArray
    actor_TN: NDArray[np.uint8]
    """Who acted, as `Actor`."""
    episode_TN: IntArray
    """Number of the episode at its source."""
    step_TN: IntArray
    """Step within the episode, from 0."""
    duration_TN: IntArray
    """Environment steps that the row stands for: 1, but for the last row of an episode that stands still."""
    memory_NH: FloatArray | None = None
    """What a recurrent policy remembered before the first row; 0 where an episode begins there."""
    environment_reward_TN: FloatArray | None = None
    """Only in a run whose reward sources name the environment."""
    wanted_TNA: NDArray[np.generic] | None = None
    """What an expert would have done where `labelled_TN`; only where one is asked, and not in what is joined."""
    labelled_TN: BoolArray | None = None
    """An expert has said what it would do."""
    outcome_TN: NDArray[np.uint8] | None = None
    """As `Outcome`; only in a run that names a goal, and not in what is joined."""
    joined: tuple[tuple[str, int], ...] = ()
    """Of rollouts side by side, each one's source and number of columns."""

    @property
    def next_observation_TNO(self) -> ObservationArray:
        """What truly followed each step, also where the episode was cut, [T, N, O]; a copy."""
        following_TNO = self.observation_TNO[1:].copy()
        following_TNO.reshape(-1, following_TNO.shape[-1])[self.final_index_K] = self.final_observation_KO
        return following_TNO

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """Whose the columns are: each source and how many are its."""
        return self.joined or ((self.source, self.terminated_TN.shape[1]),)

    @property
    def steps(self) -> int:
        """T times N."""
        return int(self.terminated_TN.size)


def join(rollouts: list[Rollout]) -> Rollout:
    """Put rollouts of the same number of steps side by side, in the given order, as one batch.

    The batch's policy version is the oldest one; episode numbers keep their meaning per column only.

    Raises:
        ValueError: there are none, or their numbers of steps differ.
    """
    if len({len(rollout.terminated_TN) for rollout in rollouts}) != 1:
        raise ValueError("rollouts can be joined only if each has the same number of steps")
    if len(rollouts) == 1:
        return rollouts[0]
    total = sum(rollout.terminated_TN.shape[1] for rollout in rollouts)
    indices, first_column = [], 0
    for rollout in rollouts:
        columns = rollout.terminated_TN.shape[1]
        t, n = np.divmod(rollout.final_index_K, columns)
        indices.append(t * total + n + first_column)
        first_column += columns
    memories = [r.memory_NH for r in rollouts if r.memory_NH is not None]
    rewards = [r.environment_reward_TN for r in rollouts if r.environment_reward_TN is not None]
    return Rollout(
        source="+".join(rollout.source for rollout in rollouts),
        policy_version=min(rollout.policy_version for rollout in rollouts),
        observation_TNO=np.concatenate([r.observation_TNO for r in rollouts], 1),
        action_TNA=np.concatenate([r.action_TNA for r in rollouts], 1),
        log_prob_TN=np.concatenate([r.log_prob_TN for r in rollouts], 1),
        terminated_TN=np.concatenate([r.terminated_TN for r in rollouts], 1),
        truncated_TN=np.concatenate([r.truncated_TN for r in rollouts], 1),
        final_index_K=np.concatenate(indices),
        final_observation_KO=np.concatenate([r.final_observation_KO for r in rollouts]),
        actor_TN=np.concatenate([r.actor_TN for r in rollouts], 1),
        episode_TN=np.concatenate([r.episode_TN for r in rollouts], 1),
        step_TN=np.concatenate([r.step_TN for r in rollouts], 1),
        duration_TN=np.concatenate([r.duration_TN for r in rollouts], 1),
        memory_NH=np.concatenate(memories) if memories else None,
        environment_reward_TN=np.concatenate(rewards, 1) if len(rewards) == len(rollouts) else None,
        joined=tuple(part for rollout in rollouts for part in rollout.parts),
    )
