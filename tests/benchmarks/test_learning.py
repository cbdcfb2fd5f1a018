"""The peer of the learning benchmark trains and is judged; ours does so in the tests of the loop."""

import pytest

from benchmarks.learning.__main__ import measure

pytest.importorskip("stable_baselines3")


def test_the_peer_is_judged() -> None:
    row = measure("sb3", "CartPole-v1", 0, 600)
    assert row["env_steps"] >= 600
    assert 8 <= row["score"] <= 500
    assert row["training"]["steps"] is None, "nobody learns CartPole in 600 steps"
