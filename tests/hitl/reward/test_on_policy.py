"""What a version says of the policy's steps, held against those that people judged."""

from typing import Any

import numpy as np
import pytest
import torch

from hitl.reward.checks.on_policy import JudgedSteps, on_policy
from hitl.reward.network.conservatism import Conservatism
from hitl.reward.network.ensemble import RewardEnsemble
from tests.hitl.reward.comparisons import SPACE, segment


def _steps(seed: int, count: int, scale: float = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    return (scale * rng.standard_normal((count, 2))).astype(np.float32), rng.integers(0, 3, count)


@pytest.mark.parametrize("kind", ["mean", "worst"])
def test_the_numbers_are_those_of_plain_loops(kind: Any) -> None:
    torch.manual_seed(0)
    ensemble = RewardEnsemble(SPACE, members=4, hidden=(8,))
    ensemble.conservatism = Conservatism(kind=kind)
    policy, judged = _steps(0, 60, 8.0), _steps(1, 20)
    ensemble.set_gauge(*map(torch.from_numpy, judged))

    def told(steps: Any) -> tuple[list[float], float]:
        members_KP = ensemble.member_rewards(*map(torch.from_numpy, steps)).double().detach().numpy()
        deviations = [float(np.sqrt(np.mean((column - column.mean()) ** 2))) for column in members_KP.T]
        one = [float(column.min() if kind == "worst" else column.mean()) for column in members_KP.T]
        return one, sum(deviations) / len(deviations)

    new, new_deviation = told(policy)
    old, old_deviation = told(judged)
    probe = _steps(2, 25)
    found = on_policy(ensemble, policy, judged, (torch.from_numpy(probe[0]), torch.from_numpy(probe[1])))
    known = old + told(probe)[0]
    limit = max(known) + 0.1 * (max(known) - min(known))
    assert found.predicted == pytest.approx(sum(new) / len(new), abs=1e-5)
    assert found.disagreement == pytest.approx(new_deviation / old_deviation, rel=1e-4)
    assert found.saturation == pytest.approx(sum(value > limit for value in new) / len(new))
    assert 0 < found.saturation < 1


def test_the_steps_that_people_judged_are_the_same_in_any_order_and_count_once() -> None:
    segments = [segment(f"{number}") for number in range(6)]
    first, second = JudgedSteps(12), JudgedSteps(12)
    assert first.arrays() is None
    first.take(segments)
    for one in reversed(segments):
        second.take([one, one])
    for mine, theirs in zip(first.arrays() or (), second.arrays() or (), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len((first.arrays() or ())[0]) == 12
    whole = JudgedSteps(1000)
    whole.take(segments)
    observation, action = whole.arrays() or ((), ())
    np.testing.assert_array_equal(observation, np.concatenate([s.observations["obs"] for s in segments]))
    np.testing.assert_array_equal(action, np.concatenate([s.actions for s in segments]))
    whole.take([segment("another")])
    assert len((whole.arrays() or ())[0]) == 35
