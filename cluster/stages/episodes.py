"""Episodes that a stage has played while nobody watched: as rollouts to ask about, and as what it takes to play them
again.

Axis suffixes as in `policies.experience`; N is 1.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.experience import Actor, FloatArray, ObservationArray, Rollout


@dataclass(slots=True, kw_only=True)
class PlayedEpisode:
    """One episode, from `reset(seed=seed)` on; lists have a row a step, the last of which may stand for many."""

    number: int
    """At its source."""
    seed: int
    observations: list[ObservationArray] = field(default_factory=list)
    """Flat, float32 or uint8 [O]: one more than there are steps, unless `forget_arrays` has dropped them."""
    digests: list[bytes] = field(default_factory=list)
    """Of each observation."""
    actions: list[NDArray[np.generic]] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    acted: int = 0
    """Rows in which the environment did something: all but one in which it stands still up to its horizon."""
    terminated: bool = False

    @property
    def rows(self) -> int:
        """Steps, where standing still counts as one."""
        return len(self.actions)

    def see(self, observation_O: ObservationArray) -> None:
        """Take note of what the environment shows."""
        self.observations.append(observation_O.copy())
        self.digests.append(digest(observation_O))

    def forget_arrays(self) -> None:
        """Keep only what it takes to play the episode again."""
        self.observations.clear()
        self.log_probs.clear()
        self.rewards.clear()


def digest(observation_O: ObservationArray) -> bytes:
    """Return what two observations share only if they are equal to the bit."""
    return hashlib.blake2b(observation_O.tobytes(), digest_size=16).digest()


def as_rollout(
    episodes: Sequence[PlayedEpisode], *, source: str, policy_version: int, action_dtype: Any
) -> tuple[Rollout, FloatArray]:
    """Put whole episodes behind each other; the environment's reward lies apart, float32[T, 1].

    Each episode ends where its last row is: cut, unless it has terminated.
    """
    rows = [episode.rows for episode in episodes]
    ends = np.cumsum(rows) - 1
    terminated, truncated = np.zeros((sum(rows), 1), bool), np.zeros((sum(rows), 1), bool)
    ended = np.array([episode.terminated for episode in episodes])
    terminated[ends, 0], truncated[ends, 0] = ended, ~ended
    final = np.stack([episode.observations[-1] for episode in episodes])
    observation = np.stack([seen for episode in episodes for seen in episode.observations[:-1]])
    actors = [
        Actor.POLICY if row < episode.acted else Actor.NOBODY
        for episode in episodes
        for row in range(episode.rows)
    ]
    rollout = Rollout(
        source=source,
        policy_version=policy_version,
        # What follows the last episode is not played yet, and nobody reads it behind an end.
        observation_TNO=np.concatenate([observation, final[-1:]])[:, None],
        action_TNA=np.stack([a for episode in episodes for a in episode.actions])[:, None].astype(
            action_dtype
        ),
        log_prob_TN=np.array([p for episode in episodes for p in episode.log_probs], np.float32)[:, None],
        terminated_TN=terminated,
        truncated_TN=truncated,
        final_index_K=ends,
        final_observation_KO=final,
        actor_TN=np.array(actors, np.uint8)[:, None],
        episode_TN=np.repeat([episode.number for episode in episodes], rows)[:, None],
        step_TN=np.concatenate([np.arange(count) for count in rows])[:, None],
        duration_TN=np.array([d for episode in episodes for d in episode.durations], np.int64)[:, None],
    )
    reward = np.array([r for episode in episodes for r in episode.rewards], np.float32)[:, None]
    return rollout, reward
