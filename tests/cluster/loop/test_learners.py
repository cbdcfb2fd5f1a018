"""Learners as Ray actors: two of them do what the one in the driver does."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.config import RunConfig

pytestmark = pytest.mark.usefixtures("ray_session")


def _made(learners: int) -> HITL:
    run = {
        "mode": "lockstep",
        "rollouts": {"env_runners": 0, "envs_per_runner": 4, "steps": 40},
        "policy": {"hidden": (16,)},
        "environment": {"id": "tests.cluster.small_worlds:Line"},
        "reward": {"sources": {"environment": 1.0, "learned": 0.0}},
        "learner": {"minibatch_size": 64, "learning_rate": 3e-3, "learners": learners, "device": "cpu"},
    }
    return HITL(HITLConfig.from_run(RunConfig.model_validate(run)))


def _learnt(made: HITL, updates: int) -> dict[str, NDArray[Any]]:
    for _ in range(updates):
        made.train()
    return {name: value.copy() for name, value in made.network_state.items()}


def _assert_close(state: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(state[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.fixture
def pair() -> Iterator[HITL]:
    made = _made(2)
    yield made
    made.stop()


def test_two_learners_do_what_one_does(pair: HITL, tmp_path: Any) -> None:
    alone = _made(0)
    for name, value in (start := _learnt(alone, 0)).items():
        np.testing.assert_array_equal(pair.network_state[name], value, err_msg=name)
    expected, together = _learnt(alone, 3), _learnt(pair, 3)
    _assert_close(together, expected)
    assert any(not np.allclose(start[name], value) for name, value in expected.items())
    assert pair.statistics.losses["policy_loss"] == pytest.approx(
        alone.statistics.losses["policy_loss"], rel=1e-3, abs=1e-6
    )
    # Its checkpoint is one learner's, so that either can go on from the other's.
    pair.save_to_path(tmp_path / "checkpoint")
    alone.restore_from_path(tmp_path / "checkpoint")
    _assert_close(_learnt(alone, 1), _learnt(pair, 1))
    alone.stop()
