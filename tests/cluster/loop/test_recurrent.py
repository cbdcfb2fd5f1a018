"""A recurrent policy from the environment to the update, and what it is for."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cluster.environments.making import make_vector
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.evaluation import evaluate
from cluster.loop.learning.learner import acting_weights
from cluster.loop.learning.saved_policy import load_policy
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import EnvironmentConfig, RunConfig
from policies.acting.inference import acting_policy
from policies.networks import ActorCritic
from tests.cluster.remembering import Remember
from tests.policies.objectives.small_policies import settings
from tests.policies.updates import make_update

SPACES = (Remember.observation_space, Remember.action_space)
REMEMBER = EnvironmentConfig(id="tests.cluster.remembering:Remember", kwargs={"delay": 2})
SETTINGS = settings(
    discount=0.95, gae_lambda=0.95, epochs=4, minibatch_size=192, sequence_steps=6, entropy_coefficient=0.01
)


def _collector(network: ActorCritic, environment: EnvironmentConfig, count: int, **model: Any) -> Collector:
    acting = acting_policy(*SPACES, seed=0, **model)
    acting.load(acting_weights(network))
    return Collector(make_vector(environment, count), acting, source="r", seed=0, share_reward=True)


def test_an_env_runner_acts_as_the_learner_sees_it() -> None:
    """Over rollouts that begin and end in the middle of episodes, each column again by hand."""
    torch.manual_seed(0)
    network = ActorCritic(*SPACES, hidden=(8,), recurrent=6)
    assert network.memory is not None
    with torch.no_grad():
        network.policy[-1].weight.mul_(100)
    collector = _collector(network, REMEMBER, 3, hidden=(8,), recurrent=6)
    gathered = [collector.collect(7, policy_version=1) for _ in range(3)]
    memory, differs = torch.zeros(3, 6), False
    for collected in gathered:
        rollout = collected.rollout
        np.testing.assert_array_equal(rollout.memory_NH, memory.numpy())
        differs |= bool(memory.any())
        for t in range(7):
            with torch.no_grad():
                memory = network.memory.step(torch.from_numpy(rollout.observation_TNO[t]), memory)
                log_prob, _ = network.evaluate(memory, torch.from_numpy(rollout.action_TNA[t]))
            np.testing.assert_allclose(rollout.log_prob_TN[t], log_prob, atol=1e-6)
            memory[torch.from_numpy(rollout.terminated_TN[t] | rollout.truncated_TN[t])] = 0.0
    assert differs


def learn(updates: int, **model: Any) -> float:
    """Learn to remember; returns the mean return of greedy episodes."""
    model = {"hidden": (16,)} | model
    torch.manual_seed(0)
    network = ActorCritic(*SPACES, **model)
    update, generator = make_update(network, SETTINGS), torch.Generator().manual_seed(0)
    collector = _collector(network, REMEMBER, 32, **model)
    for version in range(updates):
        collector.policy.load(acting_weights(network))
        update(collector.collect(12, policy_version=version).rollout, generator)
    return float(np.mean(evaluate(network, REMEMBER, episodes=40, seed=1)))


def test_what_was_seen_once_is_remembered() -> None:
    assert learn(30, recurrent=16) == 1.0


def test_a_policy_with_a_memory_survives_its_checkpoint(ray_session: str, tmp_path: Path) -> None:
    """From the run file to the env runner, the learner, the checkpoint, RLlib alone, and back."""
    settings = {
        "mode": "lockstep",
        "environment": REMEMBER.model_dump(),
        "rollouts": {"env_runners": 0, "envs_per_runner": 4, "steps": 12},
        "policy": {"hidden": (8,), "recurrent": 6},
        "learner": {"minibatch_size": 24, "sequence_steps": 6},
        "reward": {"sources": {"environment": 1.0, "learned": 0.0}},
    }
    algorithm = HITL(HITLConfig.from_run(RunConfig.model_validate(settings)))
    began = copy.deepcopy(algorithm.network_state)
    for _ in range(2):
        algorithm.train()
    algorithm.save_to_path(tmp_path / "checkpoint")
    weights = algorithm.network_state
    algorithm.stop()
    loaded = load_policy(tmp_path / "checkpoint")
    for name, value in loaded.state_dict().items():
        np.testing.assert_array_equal(weights[name], value.numpy())
    assert not np.array_equal(weights["memory.cell.weight_hh"], began["memory.cell.weight_hh"])
    assert all(0 <= value <= 1 for value in evaluate(loaded, REMEMBER, episodes=5, seed=0))


def test_without_a_memory_it_cannot_be_done() -> None:
    assert learn(30) < 0.8
