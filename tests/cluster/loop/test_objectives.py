"""Objectives from the run file to the learner, on a live Ray."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.config import RunConfig
from hitl.errors import ConfigError

pytestmark = pytest.mark.usefixtures("ray_session")


def algorithm(learner: dict[str, Any], **changes: Any) -> HITL:
    run = {
        "mode": "lockstep",
        "rollouts": {"env_runners": 0, "envs_per_runner": 4, "steps": 40},
        "policy": {"hidden": (16,)},
        "environment": {"id": "tests.cluster.small_worlds:Line"},
        "reward": {"sources": {"environment": 1.0, "learned": 0.0}},
        "learner": {"minibatch_size": 64, "learning_rate": 3e-3} | learner,
    }
    return HITL(HITLConfig.from_run(RunConfig.model_validate(run | changes)))


def _optimiser(made: HITL) -> dict[str, float]:
    group: dict[str, float] = made._ask_learner(
        lambda learner: {
            name: value
            for name, value in learner.get_optimizer("default_policy").param_groups[0].items()
            if name in ("lr", "eps")
        }
    )
    return group


def _kept(made: HITL) -> dict[str, Any]:
    state: dict[str, Any] = made._ask_learner(lambda learner: learner.get_state())
    kept: dict[str, Any] = state["handrail"]["update"]["objective"]
    return kept


@pytest.mark.parametrize(
    ("learner", "watched"),
    [
        ({"objective": "ppo_clip", "advantages": "vtrace", "value_clip": 0.2}, set()),
        ({"objective": "ppo_kl"}, {"kl", "kl_coefficient"}),
        (
            {"objective": "trpo", "reference": {"coefficient": 0.1}, "entropy_coefficient": 0.01},
            {"kl", "step_share", "reference_kl"},
        ),
        ({"objective": "a2c", "advantages": "n_step"}, set()),
        ({"objective": "q_actor_critic"}, set()),
        ({"objective": "reinforce", "baseline": False, "reference": {"coefficient": 0.1}}, {"reference_kl"}),
    ],
    ids=lambda value: value.get("objective", "") if isinstance(value, dict) else "",
)
def test_a_run_file_chooses_the_objective(learner: dict[str, Any], watched: set[str]) -> None:
    made = algorithm(learner)
    made.train()
    losses = made.statistics.losses
    made.stop()
    usual = {"policy_loss", "value_loss", "entropy", "approximate_kl", "clip_share", "gradient_norm"}
    assert set(losses) == usual | watched | {"reward_environment"}
    assert all(np.isfinite(value) for value in losses.values())


def test_the_kl_coefficient_survives_a_checkpoint(tmp_path: Path) -> None:
    learner = {"objective": "ppo_kl", "ppo_kl": {"target": 1e-9, "coefficient": 0.25}}
    made = algorithm(learner)
    for _ in range(2):
        made.train()
    made.save_to_path(tmp_path / "checkpoint")
    made.stop()
    restored = algorithm(learner)
    assert _kept(restored) == {"kl_coefficient": 0.25}
    restored.restore_from_path(tmp_path / "checkpoint")
    assert _kept(restored) == {"kl_coefficient": 1.0}
    restored.train()
    assert restored.statistics.losses["kl_coefficient"] == 1.0, "it is kept, but the update goes by another"
    assert _kept(restored) == {"kl_coefficient": 2.0}
    restored.stop()


def test_the_reference_is_where_the_run_began_also_after_a_checkpoint(tmp_path: Path) -> None:
    learner = {"reference": {"coefficient": 0.1}}
    made = algorithm(learner)
    began = copy.deepcopy(made.network_state)
    made.train()
    made.save_to_path(tmp_path / "checkpoint")
    made.stop()
    restored = algorithm(learner, seed=3)
    restored.restore_from_path(tmp_path / "checkpoint")
    kept = _kept(restored)["reference"]
    restored.stop()
    assert all(np.array_equal(kept[name], began[name]) for name in began)
    named = algorithm({"reference": {"coefficient": 0.1, "checkpoint": tmp_path / "checkpoint"}}, seed=3)
    learnt = _kept(named)["reference"]
    named.stop()
    assert not np.array_equal(learnt["policy.0.weight"], began["policy.0.weight"])
    with pytest.raises(ConfigError, match="is no checkpoint"):
        algorithm({"reference": {"coefficient": 0.1, "checkpoint": tmp_path}})


def test_the_step_size_falls_to_0_in_a_straight_line() -> None:
    made = algorithm({"learning_rate": 4e-3}, stop={"env_steps": 640})
    seen = []
    for _ in range(4):
        made.train()
        seen.append(_optimiser(made)["lr"])
    assert _optimiser(made)["eps"] == 1e-5
    made.stop()
    assert seen == pytest.approx([3e-3, 2e-3, 1e-3, 0.0])
    steady = algorithm({"learning_rate": 4e-3, "anneal_learning_rate": False}, stop={"env_steps": 640})
    steady.train()
    assert _optimiser(steady)["lr"] == 4e-3
    steady.stop()
