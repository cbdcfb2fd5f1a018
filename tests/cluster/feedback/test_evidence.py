from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from cluster.feedback.evidence import delay_of, device_of, evidence_of
from cluster.runs.reward.config import RewardConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.signals import DelayConfig, SignalsConfig
from hitl.credit import DEEP_TAMER, GAMMA, TAMER, GammaDelay, UniformDelay
from hitl.errors import ConfigError
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.evidence.signals import Signals
from hitl.reward.network.inputs import InputSpace

ACTIONS = gym.spaces.Discrete(3)
SPACE = InputSpace.of(gym.spaces.Box(-1, 1, (2,)), ACTIONS)


@pytest.mark.parametrize(
    ("config", "density"),
    [
        (DelayConfig(), GAMMA),
        (DelayConfig(density="tamer"), TAMER),
        (DelayConfig(density="deep_tamer"), DEEP_TAMER),
        (DelayConfig(density="uniform", shortest_seconds=0.1, longest_seconds=2.0), UniformDelay(0.1, 2.0)),
        (DelayConfig(shape=3.0, scale_seconds=0.5, shortest_seconds=0.1), GammaDelay(3.0, 0.5, 0.1)),
    ],
)
def test_a_density_is_the_one_that_its_name_says(
    config: DelayConfig, density: GammaDelay | UniformDelay
) -> None:
    assert delay_of(config) == density


def test_delays_are_fitted_where_the_run_file_says_so_beginning_with_its_density() -> None:
    for fitted in (False, True):
        delay = DelayConfig(fitted=fitted, shape=2.0, scale_seconds=0.5, shortest_seconds=0.1)
        reward = RewardConfig(signals=SignalsConfig(delay=delay))
        kinds = evidence_of(reward, SPACE, ACTIONS, Teachers(), seed=0)
        (signals,) = (kind for kind in kinds if isinstance(kind, Signals))
        begins = signals.crediting.delay_of("run", "ann")
        assert isinstance(begins, GammaDelay)
        assert begins.shortest == 0.1
        assert begins.mean_seconds == pytest.approx(1.1, abs=0.03)
        assert ("ann" in signals.crediting.mean_delays("run")) == fitted


@pytest.mark.parametrize(
    ("device", "there", "images", "expected"),
    [
        ("auto", False, True, "cpu"),
        ("auto", True, True, "cuda"),
        ("auto", True, False, "cpu"),
        ("cpu", True, True, "cpu"),
        ("cuda", True, False, "cuda"),
    ],
)
def test_where_the_model_is_fitted(
    monkeypatch: pytest.MonkeyPatch, device: Any, there: bool, images: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    seen = gym.spaces.Box(0, 255, (84, 84, 4), np.uint8) if images else gym.spaces.Box(-1, 1, (2,))
    space = InputSpace.of(seen, gym.spaces.Discrete(2))
    assert device_of(RewardModelConfig(device=device), space) == torch.device(expected)


def test_without_cuda_it_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"reward\.model\.device is cuda.*set it to auto or cpu"):
        device_of(RewardModelConfig(device="cuda"), SPACE)
