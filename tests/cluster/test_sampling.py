"""Env runners that overlap with learning: new weights reach all of them, none is waited for, and none is too old."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray
import torch

from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.env_runner import Sample
from cluster.runs.config import RunConfig
from policies.networks import ActorCritic

pytestmark = pytest.mark.usefixtures("ray_session")


class Watched(HITL):
    """Keeps what each update learnt from."""

    def setup(self, config: Any) -> None:
        super().setup(config)
        self.learnt_from: list[tuple[int, list[Sample]]] = []
        self.published: dict[int, Any] = {}

    def _learn(self, samples: list[Sample], reward_model: Any) -> None:
        self.learnt_from.append((self.policy_version, samples))
        self.published[self.policy_version] = self.network_state
        super()._learn(samples, reward_model)


def _acted_by(sample: Sample, weights: Any) -> bool:
    """Whether its actions were drawn by these weights."""
    rollout, space = ray.get(sample.rollout), gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    network = ActorCritic(space, gym.spaces.Discrete(3), hidden=(8,))
    network.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    with torch.no_grad():
        log_prob, _ = network.evaluate(
            torch.tensor(rollout.observation_TNO[:-1]), torch.tensor(rollout.action_TNA)
        )
    return np.allclose(rollout.log_prob_TN, log_prob, atol=1e-5)


def _algorithm(folder: Path) -> Watched:
    run = RunConfig.model_validate(
        {
            "environment": {"id": "tests.cluster.worlds:Gated", "kwargs": {"folder": str(folder)}},
            "reward": {"sources": {"environment": 1.0, "learned": 0.0}},
            "rollouts": {"env_runners": 2, "envs_per_runner": 2, "steps": 20, "timeout_seconds": 0.5},
            "learner": {"minibatch_size": 16},
            "policy": {"hidden": (8,)},
        }
    )
    return Watched(HITLConfig.from_run(run))


def test_without_actors_nothing_piles_up() -> None:
    run: dict[str, Any] = {"reward": {"sources": {"environment": 1.0, "learned": 0.0}}}
    run |= {
        "rollouts": {"env_runners": 0, "envs_per_runner": 2, "steps": 10},
        "learner": {"minibatch_size": 10},
    }
    algorithm = Watched(HITLConfig.from_run(RunConfig.model_validate(run)))
    while algorithm.updates < 6:
        algorithm.train()
    assert len(algorithm._sampler._ready) <= 1
    lags = [version - s.policy_version for version, samples in algorithm.learnt_from for s in samples]
    assert max(lags) == 1
    assert algorithm.dropped_rollouts == {"stale": 0, "lost": 0}
    algorithm.stop()


def test_nobody_is_asked_who_is_a_rollout_ahead(tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    algorithm = _algorithm(tmp_path)
    samples: list[Sample] = []
    while len(samples) < 2:
        algorithm._request()
        samples = algorithm._sampler.gather(policy_version=1)
    algorithm._sampler._ready = samples[:1]
    algorithm._request()
    assert algorithm._sampler.in_flight == 1
    while algorithm._sampler.in_flight:
        algorithm._sampler._ready = algorithm._sampler.gather(policy_version=1)
    algorithm._sampler._ready = samples
    algorithm._request()
    assert not algorithm._sampler.in_flight
    algorithm.stop()


def test_new_weights_reach_all_env_runners_and_a_slow_one_stops_nobody(tmp_path: Path) -> None:
    """The slow one sits in a step until we let it go on: no clock decides anything here."""
    gate = tmp_path / "open"
    gate.touch()
    algorithm = _algorithm(tmp_path)
    most_lag = algorithm.config.max_policy_lag
    while len({s.worker for _, samples in algorithm.learnt_from for s in samples}) < 2:
        algorithm.train()
    gate.unlink()
    closed, stale = algorithm.policy_version, algorithm.dropped_rollouts["stale"]
    # One of them sits at the gate now; the other one, which holds the key, goes on without it.
    while algorithm.policy_version <= closed + most_lag + 4:
        algorithm.train()
    alone = algorithm.learnt_from[-1][1][0].worker
    while_slow = [s for _, samples in algorithm.learnt_from[-3:] for s in samples]
    assert {s.worker for s in while_slow} == {alone}
    assert len({s.policy_version for s in while_slow}) == 3, "it got no new weights"
    lags = {version - s.policy_version for version, samples in algorithm.learnt_from[-3:] for s in samples}
    assert lags == {1}
    ahead = [sample.worker for sample in algorithm._sampler._ready]
    assert ahead == [alone], "it stood still while the slow one was waited for"
    gate.touch()
    opened = algorithm.policy_version
    while not any(v > opened and s.worker != alone for v, samples in algorithm.learnt_from for s in samples):
        algorithm.train()
    # What the slow one had under way was too old by then.
    assert algorithm.dropped_rollouts == {"stale": stale + 1, "lost": 0}
    for version, samples in algorithm.learnt_from:
        assert all(0 <= version - sample.policy_version <= most_lag for sample in samples)
        assert all(_acted_by(sample, algorithm.published[sample.policy_version]) for sample in samples)
    algorithm.stop()
