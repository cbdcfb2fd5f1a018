import gymnasium as gym
import numpy as np
import pytest

from policies.imitation.gates import discrepancy, doubt

BOX = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
DISCRETE: gym.Space[np.int64] = gym.spaces.Discrete(4)
MULTI_DISCRETE = gym.spaces.MultiDiscrete([2, 3])


def test_discrepancy_by_hand() -> None:
    assert discrepancy([[1.0, 2.0], [0.0, 0.5]], [[1.0, 0.0], [0.5, 0.0]], BOX).tolist() == [4.0, 0.5]
    assert discrepancy([1, 2, 3], [1, 3, 2], DISCRETE).tolist() == [0.0, 1.0, 1.0]
    assert discrepancy([[1, 2], [0, 0], [1, 1]], [[1, 2], [0, 1], [0, 0]], MULTI_DISCRETE).tolist() == [
        0,
        0.5,
        1,
    ]
    assert float(discrepancy([1.0, 2.0], [0.0, 0.0], BOX)) == 5.0
    assert float(discrepancy(np.int64(1), np.int64(2), DISCRETE)) == 1.0


def test_doubt_of_box_actions_is_the_mean_variance() -> None:
    member_KBA = np.random.default_rng(0).normal(1e5, 1.0, (5, 3, 2)).astype(np.float32)
    slow = []
    for b in range(3):
        variances = []
        for a in range(2):
            values = [float(member_KBA[k, b, a]) for k in range(5)]
            mean = sum(values) / 5
            variances.append(sum((x - mean) ** 2 for x in values) / 5)
        slow.append(sum(variances) / 2)
    assert doubt(member_KBA, BOX).tolist() == pytest.approx(slow)


def test_doubt_of_choices_is_the_share_that_does_not_go_along() -> None:
    members = [[0, 3, 1], [0, 3, 2], [0, 1, 3], [0, 1, 0], [0, 3, 0]]
    assert doubt(members, DISCRETE).tolist() == pytest.approx([0.0, 0.4, 0.6])
    members_KBA = [[[0, 2], [1, 1]], [[0, 1], [1, 1]], [[1, 0], [1, 1]]]
    assert doubt(members_KBA, MULTI_DISCRETE).tolist() == pytest.approx([(1 / 3 + 2 / 3) / 2, 0.0])
