"""The dial that a network is taught by TAMER, as the benchmark has it."""

from typing import Any

import numpy as np
import pytest

from benchmarks.tamer import dial
from benchmarks.tamer.dial import FARTHEST, HORIZON, WANTED, Dial, taught
from cluster.runs.live_config import ActingConfig
from hitl.reward.serving.inference import NumpyReward


def test_the_hand_is_wanted_at_one_place() -> None:
    hand = Dial()
    for place in range(WANTED):
        assert (hand.place, hand.wanted) == (place, 2)
        hand.step(hand.wanted)
    assert hand.wanted == 1
    hand.step(hand.wanted)
    assert (hand.place, hand.steps, hand.episode) == (WANTED, WANTED + 1, 0)
    hand.step(2)
    assert hand.wanted == 0
    assert hand.observation.tolist() == [WANTED + 1]


@pytest.mark.parametrize(("action", "steps"), [(0, FARTHEST + 1), (1, HORIZON), (2, FARTHEST + 1)])
def test_an_episode_ends_at_its_horizon_or_where_the_hand_falls_off(action: int, steps: int) -> None:
    hand = Dial()
    for _ in range(steps - 1):
        hand.step(action)
    assert (hand.steps, hand.episode) == (steps - 1, 0)
    hand.step(action)
    assert (hand.place, hand.steps, hand.episode) == (0, 0, 1)


def test_a_lesson_follows_from_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[dict[str, Any]] = []

    class Recorded(NumpyReward):
        def load(self, weights: Any) -> None:
            learnt.append(dict(weights))
            super().load(weights)

    def lesson(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        learnt.clear()
        return taught(seed, temperature=0.3, baseline="alternatives"), [*learnt]

    monkeypatch.setattr(dial, "SECONDS", 40.0)
    monkeypatch.setattr(dial, "NumpyReward", Recorded)
    (told, first), (again, second), (_, other) = lesson(0), lesson(0), lesson(1)
    assert told == again
    assert told["signals"] > 15
    assert told["unplaced"] < told["signals"] / 5
    assert len(first) == len(second) > 10
    for one, same in zip(first, second, strict=True):
        for name, array in one.items():
            np.testing.assert_array_equal(array, same[name])
    assert any((first[-1][name] != other[-1][name]).any() for name in first[-1])


def test_the_default_is_among_what_is_measured() -> None:
    assert ActingConfig().temperature in dial.TEMPERATURES
    assert f"{dial.BASELINES[-1]}, temperature {dial.TEMPERATURES[-1]}" == dial.DEFAULT
