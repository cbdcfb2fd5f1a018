"""What people watch of the loop: returns, speed, lag and losses, over a recent window."""

import time
from collections import Counter, deque

from cluster.environments.vector import LostReason
from cluster.loop.rollouts.env_runner import Sample

_EPISODES = 100
_SPEED_UPDATES = 20


class Statistics:
    """Recent numbers of the loop; never an input of learning."""

    def __init__(self) -> None:
        self._returns: deque[float] = deque(maxlen=_EPISODES)
        self._lengths: deque[int] = deque(maxlen=_EPISODES)
        self._speed: deque[tuple[float, int]] = deque(maxlen=_SPEED_UPDATES)
        self._steps = 0
        self.losses: dict[str, float] = {}
        self.lag_updates = 0
        self.acting_reward_version = 0
        """The oldest reward model by which an env runner of the last batch acted; 0 where none does."""
        self.expert_share = 0.0
        """Of the last batch's steps, those that the expert took."""
        self.update_seconds = 0.0
        self.sampling_seconds = 0.0
        """Of the slowest env runner, for its part of the last batch."""
        self.lost_environments: Counter[LostReason] = Counter()
        """Environments that failed and were made anew, by the reason."""

    def take(self, samples: list[Sample], losses: dict[str, float], *, lag: int, seconds: float) -> None:
        """Take one update into account, with what it says of its losses."""
        self._returns.extend(episode.true_return for sample in samples for episode in sample.episodes)
        self._lengths.extend(episode.steps for sample in samples for episode in sample.episodes)
        self._steps += sum(sample.steps for sample in samples)
        for sample in samples:
            self.lost_environments.update(sample.lost_environments)
        self._speed.append((time.monotonic(), self._steps))
        self.losses = losses
        self.lag_updates = lag
        self.acting_reward_version = min(sample.reward_version for sample in samples)
        by_expert, steps = (sum(getattr(s, name) for s in samples) for name in ("expert_steps", "steps"))
        self.expert_share = by_expert / max(steps, 1)
        self.update_seconds = seconds
        self.sampling_seconds = max(sample.seconds for sample in samples)

    @property
    def true_return(self) -> float | None:
        """Mean over the episodes that ended lately; None before the first one."""
        return sum(self._returns) / len(self._returns) if self._returns else None

    @property
    def predicted_return(self) -> float | None:
        """Mean learned reward of the last batch's steps, over a mean episode; None without a learned reward."""
        reward = self.losses.get("reward_learned")
        if reward is None or not self._lengths:
            return None
        return reward * sum(self._lengths) / len(self._lengths)

    @property
    def steps_per_second(self) -> float:
        """Environment steps per second over the last updates."""
        if len(self._speed) < 2:
            return 0.0
        (start, first), (end, last) = self._speed[0], self._speed[-1]
        return (last - first) / max(end - start, 1e-9)
