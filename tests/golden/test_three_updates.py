"""Three updates on a made-up rollout, against a recorded trace; `pytest --update-golden` records it anew.

The trace tells that the mathematics moved, not that it is right: the oracles beside each formula tell that.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hitl.reward.network.ensemble import RewardEnsemble
from hitl.reward.network.inputs import InputSpace
from policies.descent.gradient_step import flatten_parameters
from policies.networks import ActorCritic
from policies.objectives import make_objective
from policies.rewards import environment_reward
from policies.settings import UpdateSettings
from policies.steps import Steps
from policies.update import Update
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION_SPACE, made_up_rollout, waves

TRACE = Path(__file__).with_name("three_updates.json")
UPDATES = 3
SETTINGS = UpdateSettings(
    discount=0.97,
    gae_lambda=0.9,
    clip=0.2,
    epochs=4,
    minibatch_size=8,
    value_coefficient=0.5,
    entropy_coefficient=0.01,
    max_gradient_norm=0.3,
)


def _set_by_formula(module: nn.Module) -> None:
    """Give every parameter a value that depends on no random generator."""
    for number, parameter in enumerate(module.parameters()):
        size = math.sqrt(parameter.shape[-1]) if parameter.dim() else 1.0
        parameter.data.copy_(torch.from_numpy(waves(*parameter.shape, phase=float(number))) / size)


def _learned_reward() -> RewardEnsemble:
    ensemble = RewardEnsemble(InputSpace.of(OBSERVATION_SPACE, ACTION_SPACE), members=3, hidden=(6,))
    _set_by_formula(ensemble)
    observation, action = torch.from_numpy(waves(20, 3, phase=9.0)), torch.arange(20) % 2
    ensemble.standardise_inputs(observation, action)
    ensemble.set_gauge(observation, action)
    return ensemble


def _trace() -> list[dict[str, Any]]:
    network, ensemble = ActorCritic(OBSERVATION_SPACE, ACTION_SPACE, hidden=(8, 8)), _learned_reward()
    _set_by_formula(network)
    flat, generator = flatten_parameters(network), torch.Generator().manual_seed(1)

    def learned(steps: Steps) -> Tensor:
        return ensemble.reward(steps.observation_TNO, steps.action_TNA)

    update = Update(
        network=network,
        flat=flat,
        optimiser=torch.optim.Adam([flat], 3e-3, eps=1e-5),
        objective=make_objective(SETTINGS),
        sources={"learned": learned, "environment": environment_reward},
        source_weights={"learned": 1.0, "environment": 0.5},
        settings=SETTINGS,
    )
    trace = []
    for number in range(UPDATES):
        statistics = update(made_up_rollout(policy_version=number), generator)
        trace.append({"statistics": _rounded(statistics), "weights": _rounded(_some_weights(network))})
    return trace


def _some_weights(network: ActorCritic) -> dict[str, float]:
    return {
        "policy.first": network.policy[0].weight[0, 0].item(),
        "policy.last": network.policy[-1].weight[-1, -1].item(),
        "policy.bias": network.policy[-1].bias[0].item(),
        "critic.first": network.critic[0].weight[0, 0].item(),
        "critic.last": network.critic[-1].weight[-1, -1].item(),
        "critic.bias": network.critic[-1].bias[0].item(),
        "value_mean": network.value_mean.item(),
        "value_std": network.value_std.item(),
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in values.items()}


def test_three_updates_are_what_they_were(update_golden: bool) -> None:
    trace = _trace()
    if update_golden:
        TRACE.write_text(json.dumps(trace, indent=2) + "\n")
    golden = json.loads(TRACE.read_text())
    assert len(golden) == UPDATES
    for number, (now, then) in enumerate(zip(trace, golden, strict=True)):
        for part in ("statistics", "weights"):
            assert now[part] == pytest.approx(then[part], rel=1e-4, abs=1e-6), f"update {number + 1}, {part}"


def test_the_trace_touches_every_part_of_an_update() -> None:
    """A trace in which nothing is clipped or nothing moves would watch little."""
    trace = _trace()
    assert all(update["statistics"]["clip_share"] > 0 for update in trace)
    assert all(update["statistics"]["gradient_norm"] > SETTINGS.max_gradient_norm for update in trace)
    for name, value in trace[0]["weights"].items():
        assert abs(value - trace[-1]["weights"][name]) > 1e-4, name
