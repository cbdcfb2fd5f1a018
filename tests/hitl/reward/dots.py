"""A dot on a small image and what people think of where it goes, for tests of the reward model."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from hitl.reward.evidence.evidence import Evidence
from hitl.reward.network.inputs import InputSpace
from hitl.reward.online import OnlineRewardModel
from hitl.reward.settings import FitSettings, InputSettings

SIDE = 16
IMAGE = gym.spaces.Box(0, 255, (SIDE, SIDE, 1), np.uint8)
ACTIONS = gym.spaces.Discrete(4)
_MOVES = np.array([[0, 2], [0, -2], [2, 0], [-2, 0]])
_GOAL = np.array([11, 4])
LOOKS = InputSettings(filters=((8, 3, 2), (16, 3, 2)), image_features=32)


def draw(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of dots, and what is done there."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, SIDE - 1, (count, 2)), rng.integers(0, 4, count)


def pictures(place_P2: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Flat images with a bright dot of 2 by 2 each."""
    image = np.zeros((len(place_P2), SIDE, SIDE), np.uint8)
    for one, (row, column) in zip(image, place_P2, strict=True):
        one[row : row + 2, column : column + 2] = 255
    return image.reshape(len(place_P2), -1)


def worth(place_P2: NDArray[np.int64], action_P: NDArray[np.int64]) -> NDArray[np.float64]:
    """The hidden score: how near the dot is to a place after its move."""
    away: NDArray[np.float64] = np.abs(place_P2 + _MOVES[action_P] - _GOAL).sum(-1) / 4.0
    return -away


def model(kinds: list[Evidence], *, settings: InputSettings = LOOKS, **fit: Any) -> OnlineRewardModel:
    """One that knows what dots look like, and nothing more."""
    numbers = {"learning_rate": 3e-3, "weight_decay": 0.0, "gradient_steps": 60, **fit}
    made = OnlineRewardModel(
        InputSpace.of(IMAGE, ACTIONS, settings),
        members=2,
        hidden=(32,),
        settings=FitSettings(**numbers),
        evidence=kinds,
        heldout_share=0.0,
        seed=0,
    )
    place, action = draw(400, 99)
    made.set_probe(pictures(place), action)
    return made
