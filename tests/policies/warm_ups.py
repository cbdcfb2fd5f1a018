"""Updates whose critic is to follow another reward."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from policies.experience import Rollout
from policies.networks import ActorCritic
from policies.settings import UpdateSettings, WarmUpSettings
from policies.steps import Steps
from policies.update import Update
from tests.policies.rollouts import ACTION_SPACE, COLUMNS, OBSERVATION_SPACE, STEPS, made_up_rollout, waves
from tests.policies.updates import make_update

KINDS: dict[str, dict[str, Any]] = {"apart": {}, "shared": {"shared": True}, "recurrent": {"recurrent": 6}}
REWARD = 7.0


def settings(steps: int = 200, **changes: Any) -> UpdateSettings:
    return UpdateSettings(
        discount=0.9,
        gae_lambda=0.9,
        clip=0.2,
        epochs=2,
        minibatch_size=16,
        value_coefficient=0.5,
        entropy_coefficient=0.0,
        max_gradient_norm=10.0,
        critic_warm_up=WarmUpSettings(steps=steps),
        **changes,
    )


class Scaled:
    """The first number of the observation, times what the test says."""

    def __init__(self) -> None:
        self.scale = 1.0

    def __call__(self, steps: Steps) -> Tensor:
        return self.scale * steps.observation_TNO[..., 0]


def two_batches(recurrent: bool = False) -> list[Rollout]:
    memory = np.zeros((COLUMNS, 6), np.float32) if recurrent else None
    return [
        made_up_rollout(observation_TNO=waves(STEPS + 1, COLUMNS, 3, phase=phase), memory_NH=memory)
        for phase in (0.0, 0.3)
    ]


def made(settings: UpdateSettings, **network: Any) -> tuple[ActorCritic, Update, Scaled]:
    torch.manual_seed(0)
    reward = Scaled()
    critic = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(16,), **network)
    return (
        critic,
        make_update(critic, settings, sources={"learned": reward}, weights={"learned": 1.0}),
        reward,
    )


def new_generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)
