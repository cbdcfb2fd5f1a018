"""ThriftyDAgger's risk in whole runs: help is called where the policy is likely to fail, however well it is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.config import RunConfig
from cluster.runs.imitation_config import ImitationConfig
from policies.acting.inference import Weights
from policies.experience import Actor, Rollout
from tests.cluster.ledge import LEDGE

HELP: dict[str, Any] = {
    "gate": "thrifty",
    "members": 3,
    "most_switches": None,
    "target_share": 0.2,
    "success": {"gradient_steps": 150, "learning_rate": 5e-3, "discount": 0.95, "target_rate": 0.1},
}


def run(**helped: Any) -> HITL:
    config = RunConfig.model_validate(
        {
            "mode": "lockstep",
            "environment": {"id": "tests.cluster.ledge:Ledge", "fixed_horizon": 15},
            "rollouts": {"env_runners": 1, "envs_per_runner": 4, "steps": 75},
            "policy": {"hidden": (16,), "normalise_observations": True},
            "reward": {"sources": {"environment": 0.0, "learned": 0.0}},
            "imitation": {
                "alone": True,
                "expert": "tests.cluster.ledge:Guide",
                "heldout_share": 0.0,
                "learning_rate": 0.01,
                "minibatch_size": 16,
                "epochs": 8,
                "help": HELP | helped,
            },
        }
    )
    return HITL(HITLConfig.from_run(config))


def watched(algorithm: HITL, rounds: int) -> list[Rollout]:
    """Train so many rounds; returns what was gathered in them."""
    seen: list[Rollout] = []
    learn = algorithm._learn_alone

    def look(samples: Any, *args: Any, **news: Any) -> None:
        seen.extend(ray.get(sample.rollout) for sample in samples)
        learn(samples, *args, **news)

    algorithm._learn_alone = look  # type: ignore[method-assign]
    for _ in range(rounds):
        algorithm.train()
    algorithm._learn_alone = learn  # type: ignore[method-assign]
    return seen


def helped_shares(rollouts: list[Rollout]) -> tuple[float, float]:
    """Of the steps from the ledge, and of all others, those that the expert took."""
    place, actor = (
        np.concatenate(parts)
        for parts in zip(
            *((r.observation_TNO[:-1, :, 0].ravel(), r.actor_TN.ravel()) for r in rollouts), strict=True
        )
    )
    counts, by_expert = actor != Actor.NOBODY, actor == Actor.EXPERT
    at, elsewhere = counts & (place == LEDGE), counts & (place != LEDGE)
    return float(by_expert[at].mean()), float(by_expert[elsewhere].mean())


def learnt(algorithm: HITL) -> dict[str, Any]:
    ours = algorithm.learner_group.get_state()["learner"]["handrail"]
    return {
        "network": algorithm.network_state,
        "success": ours["success"],
        "committee": ours["committee"],
        "generator": ours["generator"],
        "losses": algorithm.statistics.losses,
        "share": algorithm.statistics.expert_share,
    }


@pytest.mark.parametrize("goal", ["is_success", "none"])
def test_only_with_a_goal_is_help_called_where_it_is_risky_and_nothing_is_new(
    ray_session: str, goal: str
) -> None:
    algorithm = run(goal=goal)
    watched(algorithm, 9)
    rollouts = watched(algorithm, 5)
    at_ledge, elsewhere = helped_shares(rollouts)
    losses, share = algorithm.statistics.losses, algorithm.statistics.expert_share
    algorithm.stop()
    if goal == "none":
        assert (at_ledge, elsewhere, share) == (0.0, 0.0, 0.0)
        assert not {"success_loss", "risk"} & set(losses)
        assert all(rollout.outcome_TN is None for rollout in rollouts)
        return
    assert at_ledge > 0.9
    assert elsewhere < 0.4
    assert 0.0 < share < 0.5
    # The expert took the steps from the ledge, so that the policy's own were safe.
    assert losses["risk"] < 0.3
    assert losses["success_loss"] < 0.69


def test_a_run_with_a_goal_goes_on_to_the_same_bits(ray_session: str, tmp_path: Path) -> None:
    algorithm, again = (run(goal="terminated") for _ in range(2))
    for one in (algorithm, again):
        watched(one, 1)
    np.testing.assert_equal(learnt(again), learnt(algorithm))
    watched(algorithm, 2)
    algorithm.save_to_path(tmp_path / "checkpoint")
    rollouts = watched(algorithm, 3)
    again.restore_from_path(str(tmp_path / "checkpoint"))
    same = watched(again, 3)
    for one, another in zip(rollouts, same, strict=True):
        np.testing.assert_array_equal(one.actor_TN, another.actor_TN)
        np.testing.assert_array_equal(one.outcome_TN, another.outcome_TN)
    whole = learnt(algorithm)
    np.testing.assert_equal(learnt(again), whole)
    assert len(whole["success"]["critics"]) == 2
    steps = sum(int((rollout.actor_TN != Actor.NOBODY).sum()) for rollout in rollouts)
    assert len(whole["success"]["steps"]["outcome_B"]) > 1.5 * steps
    for one in (algorithm, again):
        one.stop()


def test_critics_learn_also_where_nobody_says_anything_new(ray_session: str) -> None:
    """And their news reach whoever acts: as a version of the weights."""
    algorithm = run(goal="is_success", success=HELP["success"] | {"gradient_steps": 2})
    watched(algorithm, 1)
    before, version = algorithm.network_state, algorithm.policy_version
    imitating = algorithm.imitating
    assert imitating is not None
    imitating._settings = imitating._settings.model_copy(update={"budget": 1})
    watched(algorithm, 2)
    assert algorithm.policy_version == version + 2
    assert set(algorithm.statistics.losses) == {"success_loss", "risk"}
    for name, value in algorithm.network_state.items():
        np.testing.assert_array_equal(value, before[name])
    weights: Weights = ray.get(algorithm._weights)
    assert any(name.startswith("success.1.") for name in weights)
    algorithm.stop()


@pytest.mark.parametrize("gate", ["never", "ensemble", "lazy"])
def test_a_goal_is_refused_where_no_gate_reads_the_risk(gate: str) -> None:
    with pytest.raises(ValueError, match=r"imitation.help.goal.*imitation.help.gate is"):
        ImitationConfig.model_validate({"alone": True, "help": {"gate": gate, "goal": "is_success"}})
