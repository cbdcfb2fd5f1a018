from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from policies.signals.minibatches import SignalMinibatches
from policies.signals.readings import counted_credit, less_baseline, told_value
from policies.signals.settings import PolicyReading, SignalSettings
from tests.policies.signals.made_up import batch_of, signal

SPACE, ACTIONS = gym.spaces.Box(-1.0, 1.0, (1,), np.float32), gym.spaces.Discrete(3)
CPU = torch.device("cpu")


def batch(*values: float) -> Any:
    """Three steps each, of which someone else took the second."""
    one = {"credit_L": [0.25, 0.25, 0.5], "acted_L": [True, False, True]}
    return batch_of(SPACE, ACTIONS, [signal(np.full((3, 1), v), [0, 1, 2], v, **one) for v in values])


@pytest.mark.parametrize(
    ("reading", "wanted"),
    [("advantage", [0.25, 0.0, 0.5]), ("return", [0.25, 0.0, 0.5]), ("regret", [0.25, 0.25, 0.5])],
)
def test_what_others_did_counts_for_the_best_policy_alone(reading: PolicyReading, wanted: Any) -> None:
    credit = counted_credit(batch(1.0), SignalSettings(reading=reading))
    assert credit[0, :3].tolist() == wanted
    assert not credit[0, 3:].any()


def test_only_advantages_speak_for_the_steps_before() -> None:
    steps = signal(np.zeros((3, 1)), [0, 1, 2], 0.5)
    made = batch_of(SPACE, ACTIONS, [steps, steps | {"begin_L": [False, True, False]}])
    advantage = counted_credit(made, SignalSettings(reading="advantage", trace_decay=0.5))
    assert advantage[:, :3].tolist() == [[0.25, 0.5, 1.0], [0.0, 0.5, 1.0]]
    for reading in ("return", "regret"):
        credit = counted_credit(made, SignalSettings(reading=reading, trace_decay=0.5))
        assert credit[:, :3].tolist() == [[0.0, 0.0, 1.0]] * 2


def test_a_baseline_is_the_mean_of_all_others() -> None:
    value_S = np.random.default_rng(0).uniform(-1, 1, 9).astype(np.float32)
    for s, found in enumerate(less_baseline(value_S)):
        others = [float(v) for i, v in enumerate(value_S) if i != s]
        assert found == pytest.approx(value_S[s] - sum(others) / 8, abs=1e-6)
    assert less_baseline(value_S[:1]).tolist() == [0.0]
    assert less_baseline(value_S[:0]).tolist() == []


def test_signals_as_each_reading_takes_them() -> None:
    made = batch(1.0, 0.5, -0.5)
    assert told_value(made, SignalSettings(reading="advantage")).tolist() == [1.0, 0.5, -0.5]
    assert told_value(made, SignalSettings(reading="return")).tolist() == [1.0, 0.25, -1.25]
    regret = told_value(made, SignalSettings(reading="regret"))
    np.testing.assert_allclose(regret, np.array([1.0, 0.5, -0.5]) / np.std([1.0, 0.5, -0.5]), rtol=1e-6)
    alike = told_value(batch(1.0, 1.0), SignalSettings(reading="regret"))
    assert np.isfinite(alike).all()
    for reading in ("advantage", "return", "regret"):
        assert told_value(batch_of(SPACE, ACTIONS, []), SignalSettings(reading=reading)).shape == (0,)


def test_the_newest_are_in_every_minibatch_and_others_by_chance() -> None:
    values = [-1.0 + 0.1 * number for number in range(20)]
    signals = SignalMinibatches(
        batch(*values), SignalSettings(reading="advantage", minibatch_size=8), device=CPU
    )
    generator, seen = torch.Generator().manual_seed(0), []
    for _ in range(50):
        drawn = signals.draw(generator, newest=3)
        assert drawn.weight_S.tolist() == [1.0] * 8
        said = np.round(drawn.value_S.numpy() * 10 + 10).astype(int).tolist()
        np.testing.assert_allclose(drawn.observation_SLO[:, 0, 0], drawn.value_S)
        assert {17, 18, 19} <= set(said)
        assert len(set(said)) == 8
        seen += said
    assert set(seen) == set(range(20))
    many = signals.draw(generator, newest=20)
    # Half of it at most, so that the older ones have their say.
    assert (many.value_S[:4].sort().values * 10 + 10).round().tolist() == [16, 17, 18, 19]
    assert len(set(many.value_S.tolist())) == 8


def test_few_signals_are_filled_up_without_weight() -> None:
    signals = SignalMinibatches(batch(0.5, -0.5, 1.0), SignalSettings(minibatch_size=8), device=CPU)
    for newest in (0, 2, 3):
        drawn = signals.draw(torch.Generator().manual_seed(0), newest=newest)
        assert drawn.weight_S.tolist() == [1.0] * 3 + [0.0] * 5
        assert sorted(drawn.value_S[:3].tolist()) == [-0.5, 0.5, 1.0]
        assert drawn.credit_SL.shape == (8, 8)
        assert drawn.credit_SL[:3, :3].tolist() == [[0.25, 0.0, 0.5]] * 3
