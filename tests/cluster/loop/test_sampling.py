"""Env runners that overlap with learning: new weights reach all of them, none is waited for, and none is too old."""

import threading
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import ray
import torch

from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.rollouts.env_runner import Sample
from cluster.runs.config import RunConfig
from hitl.errors import DeadlineExceeded, Unavailable
from policies.networks import ActorCritic

pytestmark = pytest.mark.usefixtures("ray_session")


class Watched(HITL):
    """Keeps what each update learnt from."""

    def setup(self, config: Any) -> None:
        super().setup(config)
        self.learnt_from: list[tuple[int, list[Sample]]] = []
        self.published: dict[int, Any] = {}

    def _learn(self, samples: list[Sample], *others: Any) -> None:
        self.learnt_from.append((self.policy_version, samples))
        self.published[self.policy_version] = self.network_state
        super()._learn(samples, *others)


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


def _algorithm(folder: Path, mode: str = "overlapped", **rollouts: float) -> Watched:
    run = RunConfig.model_validate(
        {
            "mode": mode,
            "environment": {"id": "tests.cluster.worlds:Gated", "kwargs": {"folder": str(folder)}},
            "reward": {"sources": {"environment": 1.0, "learned": 0.0}},
            "rollouts": {
                "env_runners": 2,
                "envs_per_runner": 2,
                "steps": 20,
                "timeout_seconds": 0.5,
                **rollouts,
            },
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


def test_whoever_takes_longer_than_the_timeout_is_waited_for_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open").touch()
    algorithm = _algorithm(tmp_path)
    sampler, awaited = algorithm._sampler, []
    while len({s.worker for _, samples in algorithm.learnt_from for s in samples}) < 2:
        algorithm.train()
    (tmp_path / "open").unlink()
    while len(algorithm.learnt_from[-1][1]) == 2:
        algorithm.training_step()
    (slow,) = (request for request in sampler._since if sampler._age(request) > 0.5)
    fetch = sampler._fetch
    monkeypatch.setattr(sampler, "_fetch", lambda requests: [awaited.append(requests), fetch(requests)][1])
    for _ in range(10):
        algorithm.training_step()
    assert slow in sampler._under_way()
    assert awaited
    assert all(slow not in requests for requests in awaited)
    (tmp_path / "open").touch()
    algorithm.stop()


def test_an_env_runner_that_hangs_is_made_anew(tmp_path: Path) -> None:
    gate = tmp_path / "open"
    gate.touch()
    algorithm = _algorithm(tmp_path, give_up_seconds=4.0)
    while len({s.worker for _, samples in algorithm.learnt_from for s in samples}) < 2:
        algorithm.train()
    gate.unlink()
    while not algorithm.dropped_rollouts["lost"]:
        algorithm.train()
    gate.touch()
    seen = len(algorithm.learnt_from)
    while len({s.worker for _, samples in algorithm.learnt_from[seen:] for s in samples}) < 2:
        algorithm.train()
    assert algorithm.dropped_rollouts["lost"] == 1
    algorithm.stop()


def test_lockstep_waits_for_whoever_is_slow_and_ends_with_whoever_hangs(tmp_path: Path) -> None:
    gate = tmp_path / "open"
    gate.touch()
    algorithm = _algorithm(tmp_path, mode="lockstep", give_up_seconds=6.0)
    algorithm.train()
    gate.unlink()
    threading.Timer(2.0, gate.touch).start()
    for _ in range(2):
        algorithm.train()
    assert [len(samples) for _, samples in algorithm.learnt_from] == [2] * len(algorithm.learnt_from)
    gate.unlink()
    with pytest.raises(DeadlineExceeded, match=r"raise rollouts\.give_up_seconds"):
        algorithm.train()
    # Without us: nobody opens the gate any more.
    algorithm.stop()


def test_lockstep_ends_with_a_lost_env_runner(tmp_path: Path) -> None:
    gate = tmp_path / "open"
    gate.touch()
    algorithm = _algorithm(tmp_path, mode="lockstep")
    algorithm.train()
    gate.unlink()
    algorithm._request()
    under_way = algorithm._sampler._under_way()
    _, (stuck,) = ray.wait(list(under_way), num_returns=1)
    ray.kill(algorithm.env_runner_group._worker_manager.actors()[under_way[stuck]], no_restart=False)
    # Ray kills in its own time: whoever sees an open gate before may still hand over.
    assert ray.wait([stuck], timeout=60)[0]
    gate.touch()
    with pytest.raises(Unavailable, match="go on from the last checkpoint"):
        algorithm.training_step()
    algorithm.stop()
