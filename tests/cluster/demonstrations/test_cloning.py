"""Behaviour cloning as a run: demonstrations, a fit, and nobody who is asked."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
import yaml
from pydantic import ValidationError

from cluster.environments.making import make_vector
from cluster.feedback.label_reader import LabelReader, LabelsState
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.evaluation import evaluate
from cluster.loop.imitating import Imitating
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import EnvironmentConfig, RunConfig
from cluster.runs.folder import RunFolder
from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.loading import load_run
from cluster.runs.progress import read_status
from hitl.errors import ConfigError
from hitl.teachers.cartpole import Balancer
from policies.acting.inference import acting_policy
from policies.acting.oversight import Overseer
from policies.imitation.gates import BetaMixture
from policies.networks import ActorCritic
from tests.cluster.demonstrations.datasets import CARTPOLE, balanced
from tests.cluster.going_on import goes_on_alike

pytestmark = pytest.mark.usefixtures("ray_session")

SPACES = CARTPOLE.observation_space, CARTPOLE.action_space
HIDDEN = (16,)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(balanced(tmp_path_factory.mktemp("data") / "balance-v0", episodes=5))


def run(*demonstrations: str, environment: float = 0.0, **imitation: Any) -> HITL:
    config = RunConfig.model_validate(
        {
            "mode": "lockstep",
            "environment": {"id": "CartPole-v1"},
            "rollouts": {"env_runners": 1, "envs_per_runner": 2, "steps": 25},
            "policy": {"hidden": HIDDEN},
            "learner": {"minibatch_size": 50, "anneal_learning_rate": False},
            "reward": {"sources": {"environment": environment, "learned": 0.0}},
            "imitation": {
                "alone": True,
                "demonstrations": demonstrations,
                "learning_rate": 3e-3,
                **imitation,
            },
        }
    )
    return HITL(HITLConfig.from_run(config))


def true_return(algorithm: HITL) -> float:
    network = ActorCritic(*SPACES, hidden=HIDDEN)
    network.load_state_dict({k: torch.as_tensor(v) for k, v in algorithm.network_state.items()})
    return float(np.mean(evaluate(network, EnvironmentConfig(id="CartPole-v1"), episodes=10, seed=100)))


def known(state: LabelsState) -> Any:
    assert state.newest is not None
    return ray.get(state.newest.boxed[0])


def test_a_clone_does_far_better_than_chance_learns_once_and_again_to_the_same_bits(
    dataset: str, tmp_path: Path
) -> None:
    algorithm, again = (run(dataset, heldout_share=0.4) for _ in range(2))
    # By chance it is 22; this young policy is lucky.
    assert true_return(algorithm) < 250
    algorithm.train()
    assert true_return(algorithm) > 450
    assert algorithm.statistics.losses["heldout_imitation_loss"] < 0.4
    assert algorithm.imitating is not None
    assert (algorithm.imitating.state.demonstrated, algorithm.imitating.state.labels) == (2500, 0)
    assert not algorithm.imitating.is_asked
    algorithm.save_to_path(tmp_path / "checkpoint")
    learnt = algorithm.network_state
    algorithm.train()
    assert (algorithm.updates, algorithm.policy_version) == (2, 2)
    again.train()
    for name, value in learnt.items():
        np.testing.assert_array_equal(value, algorithm.network_state[name])
        np.testing.assert_array_equal(value, again.network_state[name])
    again.restore_from_path(str(tmp_path / "checkpoint"))
    again.train()
    assert (again.updates, again.policy_version) == (2, 2)
    assert again.imitating is not None
    assert len(known(again.imitating.state)) == 2500
    for name, value in learnt.items():
        np.testing.assert_array_equal(value, again.network_state[name])
    algorithm.stop()
    again.stop()


def test_handrail_train_shows_the_labels_and_demonstrations_of_a_run_that_asks_nobody(
    dataset: str, tmp_path: Path, ray_session: str
) -> None:
    run_file, imitation = tmp_path / "run.yaml", {"alone": True, "demonstrations": [dataset], "budget": 150}
    settings = {
        "runs_folder": str(tmp_path / "runs"),
        "mode": "lockstep",
        "environment": {"id": "CartPole-v1"},
        "rollouts": {"envs_per_runner": 2, "steps": 25},
        "policy": {"hidden": list(HIDDEN)},
        "reward": {"sources": {"environment": 0.0, "learned": 0.0}},
        "imitation": {**imitation, "expert": "hitl.teachers.cartpole:Balancer"},
        "stop": {"env_steps": 300},
        "evaluation": {"episodes": 0},
    }
    run_file.write_text(yaml.safe_dump(settings))
    trained = subprocess.run(
        [sys.executable, "-m", "cluster.cli.main", "train", str(run_file)],
        env=os.environ | {"RAY_ADDRESS": ray_session},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert trained.returncode == 0, trained.stderr
    (folder,) = RunFolder.list(tmp_path / "runs")
    row = read_status(folder)
    assert row is not None
    assert (row.labels, row.demonstrated) == (150, 2500)
    # How many lines are said of a run this short depends on how fast it is.
    for line in trained.stdout.splitlines():
        assert "steps/s" not in line or ("labels" in line and "demonstrated 2,500" in line)
    for nothing in ("answers", "held-out", "comparisons", "signals", "corrections"):
        assert nothing not in trained.stdout


def test_on_resume_only_other_demonstrations_are_learnt_again(dataset: str, tmp_path: Path) -> None:
    def imitating(*demonstrations: str) -> Imitating:
        return Imitating(ImitationConfig(alone=True, demonstrations=demonstrations), SPACES, None)

    first, same, other = imitating(dataset), imitating(dataset), imitating(dataset, _another(tmp_path))
    assert first.unlearnt(first.take([]))
    assert not first.unlearnt(first.take([]))
    for one in (same, other):
        one.set_state(first.get_state())
    assert not same.unlearnt(same.take([]))
    assert other.unlearnt(other.take([]))
    assert len(known(other.state)) == 3000
    for one in (first, same, other):
        one.stop()


def _another(folder: Path) -> str:
    return str(balanced(folder / "more-v0", episodes=1))


def test_they_join_what_an_expert_says_and_go_on_to_the_same_bits(dataset: str, tmp_path: Path) -> None:
    algorithm, again = (run(dataset, expert="hitl.teachers.cartpole:Balancer") for _ in range(2))
    for updates in range(3):
        algorithm.train()
        if updates == 0:
            algorithm.save_to_path(tmp_path / "checkpoint")
    assert algorithm.imitating is not None
    assert len(known(algorithm.imitating.state)) == 2500 + algorithm.imitating.state.labels > 2600
    goes_on_alike(again, tmp_path / "checkpoint", updates=2, to=algorithm)
    algorithm.stop()
    again.stop()


def test_beside_a_reward_they_count_from_the_first_update(dataset: str) -> None:
    algorithm = run(dataset, environment=1.0, alone=False, weight=1.0)
    algorithm.train()
    assert algorithm.statistics.losses["imitation_loss"] > 0
    algorithm.stop()


def _reader(dataset: str, **options: Any) -> LabelReader:
    settings = {"heldout_share": 0.1, "most_labels": None, "demonstrations": (dataset,), **options}
    return LabelReader(*SPACES, **settings)  # type: ignore[arg-type]


def _labelled() -> list[list[ray.ObjectRef]]:
    envs = make_vector(EnvironmentConfig(id="CartPole-v1"), 2)
    policy = acting_policy(*SPACES, seed=0, hidden=())
    network = ActorCritic(*SPACES, hidden=())
    policy.load({name: value.detach().numpy() for name, value in network.state_dict().items()})
    overseer = Overseer(Balancer(), [BetaMixture(0.5, seed=n) for n in range(2)], SPACES[1])
    overseer.is_asked = True
    collector = Collector(envs, policy, source="1", seed=0, share_reward=False, overseer=overseer)
    return [[ray.put(collector.collect(30, policy_version=1).rollout)]]


@pytest.mark.parametrize("most_labels", [None, 2520])
def test_a_reader_goes_on_with_the_same_labels_in_the_same_order(
    dataset: str, most_labels: int | None
) -> None:
    reader, begun, fresh = (_reader(dataset, most_labels=most_labels) for _ in range(3))
    before = known(reader.take(_labelled()))
    begun.take([])
    for other in (begun, fresh):
        other.set_state(reader.get_state())
        after = known(other.take([]))
        assert len(before) == len(after) > 2500
        assert after.version == before.version
        for name in ("observation_BO", "action_BA", "weight_B", "heldout_B"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_a_reader_that_died_has_them_again(dataset: str) -> None:
    reader = (
        ray.remote(LabelReader)
        .options(num_cpus=0, max_restarts=-1, max_task_retries=-1)
        .remote(*SPACES, heldout_share=0.1, most_labels=None, demonstrations=(dataset,))
    )
    assert len(known(ray.get(reader.take.remote([])))) == 2500
    ray.kill(reader, no_restart=False)
    assert len(known(ray.get(reader.take.remote([])))) == 2500
    ray.kill(reader)


def test_what_cannot_be_read_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    settings = ImitationConfig(alone=True, demonstrations=(str(tmp_path / "none"),))
    with pytest.raises(ConfigError, match=r"^imitation.demonstrations: .*none: no dataset in"):
        Imitating(settings, SPACES, None)


def test_demonstrations_that_are_all_held_out_are_refused(tmp_path: Path) -> None:
    one = str(balanced(tmp_path / "one-v0", episodes=1))
    reader = _reader(one, heldout_share=0.9999)
    with pytest.raises(ConfigError, match="every episode of them is held out"):
        reader.take([])


@pytest.mark.parametrize(
    ("imitation", "reason"),
    [
        ({"alone": True}, "what was done before with imitation.demonstrations"),
        ({"demonstrations": ["data/people-v0"]}, "imitation.demonstrations: nobody learns from it"),
    ],
)
def test_a_run_file_has_someone_to_imitate_and_someone_who_learns(
    imitation: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        RunConfig.model_validate({"imitation": imitation})


def test_the_example_is_behaviour_cloning() -> None:
    config = load_run(Path(__file__).parents[3] / "docs" / "examples" / "cartpole_cloning.yaml")
    assert config.imitation.alone
    assert not config.learns_from_people
    assert config.stop.env_steps == config.batch_steps
