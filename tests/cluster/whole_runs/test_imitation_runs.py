"""DAgger as a whole run: rounds, budgets, help that the policy asks for, and checkpoints."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from gymnasium import spaces

from benchmarks.dagger import ours
from cluster.experts import PolicyExpert, make_expert
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.learning.learner import HITLLearner
from cluster.newest import Published
from cluster.runs.config import EnvironmentConfig, RunConfig
from hitl.errors import ConfigError
from policies.imitation.labels import LabelStore
from policies.networks import ActorCritic
from tests.cluster.going_on import goes_on_alike
from tests.cluster.stages.dial import Dial, Usher

DIAL = EnvironmentConfig(id="tests.cluster.stages.dial:Dial", fixed_horizon=15)
STATES = np.arange(-1, 6, dtype=np.float32)[:, None]
"""That the hand comes by on its way."""


def run(*, environment: float = 0.0, policy: dict[str, Any] | None = None, **imitation: Any) -> HITL:
    config = RunConfig.model_validate(
        {
            "mode": "lockstep",
            "environment": DIAL.model_dump(),
            "rollouts": {"env_runners": 1, "envs_per_runner": 4, "steps": 25},
            "policy": {"hidden": (16,), **(policy or {})},
            "learner": {"minibatch_size": 50, "learning_rate": 0.01, "anneal_learning_rate": False},
            "reward": {"sources": {"environment": environment, "learned": 0.0}},
            "imitation": {
                "alone": True,
                "expert": "tests.cluster.stages.dial:Usher",
                "learning_rate": 0.01,
                "minibatch_size": 16,
                **imitation,
            },
        }
    )
    return HITL(HITLConfig.from_run(config))


def agreement(algorithm: HITL) -> float:
    state = algorithm.network_state
    normalises = any("moments" in name for name in state)
    network = ActorCritic(
        Dial.observation_space, Dial.action_space, hidden=(16,), normalise_observations=normalises
    )
    network.load_state_dict({k: torch.as_tensor(v) for k, v in state.items()})
    action = network.act_greedily(torch.from_numpy(STATES)).numpy()
    return float(np.mean(action == [Usher().act(state) for state in STATES]))


def test_a_run_learns_what_the_expert_does_again_and_again_to_the_same_bits(
    ray_session: str, tmp_path: Path
) -> None:
    normalising = {"normalise_observations": True}
    algorithm, again = run(policy=normalising), run(policy=normalising)
    for updates in range(1, 7):
        algorithm.train()
        if updates == 3:
            algorithm.save_to_path(tmp_path / "checkpoint")
    assert agreement(algorithm) > 0.85
    assert algorithm.policy_version == 7
    # In round 1 the expert acts, so what it never shows is learnt later, where the policy errs.
    assert algorithm.imitating is not None
    assert algorithm.imitating.state.labels > 5 * 80
    goes_on_alike(again, tmp_path / "checkpoint", updates=3, to=algorithm)
    algorithm.stop()
    again.stop()


def test_a_run_asks_in_a_share_of_its_steps_and_does_so_again(ray_session: str, tmp_path: Path) -> None:
    algorithm, again = (run(asked_share=0.3, beta={"schedule": "never"}) for _ in range(2))
    for updates in range(1, 9):
        algorithm.train()
        if updates == 4:
            algorithm.save_to_path(tmp_path / "checkpoint")
    assert algorithm.imitating is not None
    assert 0.2 < algorithm.imitating.state.labels / algorithm.env_steps < 0.4
    assert agreement(algorithm) > 0.6
    goes_on_alike(again, tmp_path / "checkpoint", updates=4, to=algorithm)
    algorithm.stop()
    again.stop()


def test_imitation_joins_the_policys_objective(ray_session: str) -> None:
    """The environment pays for going right alone; the expert stays at a place."""
    algorithm = run(environment=1.0, alone=False, weight=10.0)
    for _ in range(12):
        algorithm.train()
    assert agreement(algorithm) > 0.85
    assert algorithm.statistics.losses["imitation_loss"] < 0.4
    algorithm.stop()


def test_a_round_whose_labels_only_judge_leaves_the_policy_as_it_is(ray_session: str) -> None:
    algorithm = run()
    labels = LabelStore(Dial.observation_space, Dial.action_space, heldout_share=0.999)
    labels.add(STATES, np.zeros(len(STATES), np.int64), group="an episode")
    before = algorithm.network_state
    assert labels.labels().heldout_B.all()
    published = Published(version=1, boxed=[ray.put(labels.labels())])
    algorithm._request()
    samples = algorithm._sampler.gather(policy_version=1)
    algorithm._learn_alone(samples, HITLLearner.imitate, labels=published)
    assert (algorithm.updates, algorithm.policy_version) == (1, 1)
    for name, value in algorithm.network_state.items():
        np.testing.assert_array_equal(value, before[name])
    algorithm.stop()


@pytest.mark.parametrize("gate", ["ensemble", "lazy", "thrifty"])
def test_a_policy_that_asks_for_help_learns_from_it(ray_session: str, tmp_path: Path, gate: str) -> None:
    helped = {"gate": gate, "members": 3, "most_switches": None, "target_share": 0.2}
    algorithm, again = (run(help=helped, heldout_share=0.0) for _ in range(2))
    for updates in range(1, 9):
        algorithm.train()
        if updates == 5:
            algorithm.save_to_path(tmp_path / "checkpoint")
    assert algorithm.imitating is not None
    assert agreement(algorithm) > 0.7
    states = 8 * 100
    # EnsembleDAgger asks a program in every state; the others only where it acts.
    labels = algorithm.imitating.state.labels
    assert labels > 0.8 * states if gate == "ensemble" else 20 < labels < 0.6 * states
    goes_on_alike(again, tmp_path / "checkpoint", updates=3, to=algorithm)
    assert again.imitating is not None
    assert again.imitating.state.labels == labels
    algorithm.stop()
    again.stop()


def test_a_budget_ends_the_experts_work(ray_session: str) -> None:
    algorithm = run(budget=150)
    for _ in range(4):
        algorithm.train()
    assert algorithm.imitating is not None
    assert 150 <= algorithm.imitating.state.labels < 250
    assert not algorithm.imitating.is_asked
    algorithm.stop()


def test_experts_are_found_by_their_names(tmp_path: Path, ray_session: str) -> None:
    algorithm = run()
    algorithm.train()
    checkpoint = Path(algorithm.save_to_path(tmp_path / "expert"))
    algorithm.stop()
    both = (Dial.observation_space, Dial.action_space)
    expert = make_expert(str(checkpoint), *both)
    assert isinstance(expert, PolicyExpert)
    assert int(expert.act(np.array([9.0], np.float32))) in range(3)
    with pytest.raises(ConfigError, match="another task"):
        make_expert(str(checkpoint), spaces.Box(-1, 1, (2,)), spaces.Discrete(3))
    with pytest.raises(ConfigError, match="no module:Class"):
        make_expert("nothing", *both)
    with pytest.raises(ConfigError, match=r"pip install|algorithm and a file"):
        make_expert("sb3.PPO:missing.zip", *both)


def test_the_benchmarks_run_counts_its_labels_and_ends_when_they_are_spent_or_the_task_is_learnt(
    ray_session: str,
) -> None:
    way = ours.Way(schedule="always", envs=2, steps=10, epochs=3)
    rounds = list(ours.rounds("pendulum", way, seed=0, most_labels=50))
    assert [snapshot.labels for snapshot in rounds] == [20, 40, 60]
    learnt = ours.run("mountaincar", ours.FEWEST_LABELS, seed=0, most_labels=200, until=0.05)
    assert learnt[-1].score >= 0.05
    assert all(judged.score < 0.05 for judged in learnt[:-1])
