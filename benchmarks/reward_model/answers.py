"""Answers about pieces of CartPole, the same for both sides of a comparison; read without anything of Handrail.

Axis suffixes: S segment, L step, O observation, P pair.
"""

from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

STEPS = 25
FIRST, NEW, ROUNDS, HELDOUT = 500, 10, 6, 1000
"""Answers to begin with, those of each round, rounds, and pairs that only judge."""
SHARPNESS = 3.0
"""Of teachers: the scale of a return's difference in the log-odds of their choice, in standard deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Segments, and which of two is better."""

    observation_SLO: NDArray[np.float32]
    action_SL: NDArray[np.int64]
    following_SLO: NDArray[np.float32]
    pair_P2: NDArray[np.int64]
    """No segment is in two pairs, so what judges shares none with what trains."""
    first_P: NDArray[np.bool_]
    """The first one is called the better one."""

    def save(self, path: Path) -> None:
        """Write them to a file."""
        np.savez(path, **{name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, path: Path) -> "Answers":
        """Read what `save` wrote."""
        with np.load(path) as content:
            return cls(**{name: content[name] for name in cls.__slots__})


def made_up(seed: int) -> Answers:
    """Return answers of a teacher who likes the pole upright in the middle, and is not always sure."""
    pairs = FIRST + NEW * ROUNDS + HELDOUT
    rng = np.random.default_rng(seed)
    observation, action, following = _played(2 * pairs, rng)
    worth_S = -(np.abs(observation[..., 0]) / 2.4 + np.abs(observation[..., 2]) / 0.21).sum(1)
    pair_P2 = rng.permutation(2 * pairs).reshape(pairs, 2)
    difference_P = worth_S[pair_P2[:, 0]] - worth_S[pair_P2[:, 1]]
    sure_P = 1 / (1 + np.exp(-SHARPNESS * difference_P / difference_P.std()))
    return Answers(
        observation_SLO=observation,
        action_SL=action,
        following_SLO=following,
        pair_P2=pair_P2,
        first_P=rng.uniform(size=pairs) < sure_P,
    )


def _played(
    count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Return so many pieces of play, by hands that are now good and now bad: the world goes on beyond a fall."""
    env = gym.make("CartPole-v1").unwrapped
    seen = np.zeros((count, STEPS, 4), np.float32)
    done, led_to = np.zeros((count, STEPS), np.int64), np.zeros((count, STEPS, 4), np.float32)
    for piece in range(count):
        observation, _ = env.reset(seed=int(rng.integers(2**31)))
        skill = rng.uniform()
        for step in range(STEPS):
            good = int(observation[2] + 0.5 * observation[3] > 0)
            seen[piece, step] = observation
            done[piece, step] = good if rng.uniform() < skill else rng.integers(2)
            observation, _, terminated, _, _ = env.step(int(done[piece, step]))
            led_to[piece, step] = observation
            if terminated:
                observation, _ = env.reset(seed=int(rng.integers(2**31)))
    return seen, done, led_to
