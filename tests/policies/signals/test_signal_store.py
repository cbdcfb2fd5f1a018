from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from policies.signals.signal_store import SignalStore

VECTOR = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
DISCRETE: gym.Space[Any] = gym.spaces.Discrete(3)
BOX = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
MULTI_DISCRETE = gym.spaces.MultiDiscrete([2, 3])
STEPWISE = {
    "observation_SLO": "observation_LO",
    "action_SLA": "action_LA",
    "credit_SL": "credit_L",
    "acted_SL": "acted_L",
    "begin_SL": "begin_L",
    "policy_version_SL": "policy_version_L",
}


def store(space: gym.Space[Any] = DISCRETE, *, about_policy: bool = True) -> SignalStore:
    return SignalStore(VECTOR, space, about_policy=about_policy, version=7)


def signal(number: int, steps: int = 3, **changes: Any) -> dict[str, Any]:
    step_L = np.arange(steps)
    given = {
        "key": str(number),
        "value": (number % 5 - 2) / 2,
        "observation_LO": np.stack([number + step_L, -step_L], 1).astype(np.float32),
        "action_LA": (number + step_L) % 3,
        "credit_L": (step_L + 1) / (step_L + 1).sum(),
        "policy_version_L": number + step_L,
        "acted_L": step_L != 1,
        "begin_L": step_L == 2,
    }
    return given | changes


def columns(taken: SignalStore) -> dict[str, Any]:
    return {name: getattr(taken.batch(), name).copy() for name in (*STEPWISE, "value_S", "number_S")}


def test_versions_hold_all_that_came_and_never_change() -> None:
    """Against lists, over many growths of the rows and of their length."""
    made, taken, lengths = store(), [], [1, 3, 2, 9, 4, 17, 3, *[5] * 150]
    assert (made.batch().version, len(made.batch())) == (7, 0)
    for number, steps in enumerate(lengths):
        made.add(**signal(number, steps))
        taken.append(made.batch())
    assert [batch.version for batch in taken] == list(range(8, 8 + len(lengths)))
    assert made.batch() is taken[-1]
    for rows, batch in enumerate(taken, 1):
        assert len(batch) == rows
        assert batch.number_S.tolist() == list(range(1, rows + 1))
        for row in (0, rows - 1):
            given, steps = signal(row, lengths[row]), lengths[row]
            assert batch.value_S[row] == given["value"]
            for name, key in STEPWISE.items():
                column = getattr(batch, name)
                np.testing.assert_allclose(column[row, :steps], given[key])
                behind = -1 if name == "policy_version_SL" else 0
                assert (column[row, steps:] == behind).all()
        with pytest.raises(ValueError, match="read-only"):
            batch.value_S[:] = 0


def test_several_signals_are_one_version_and_a_known_one_is_none() -> None:
    made = store()
    for number in (0, 1, 1, 0, 2):
        made.add(**signal(number))
    assert (made.batch().version, len(made.batch())) == (8, 3)
    made.add(**signal(2))
    assert made.batch().version == 8


def test_what_is_taken_back_counts_no_more_whenever_it_comes() -> None:
    made = store()
    made.retract("3")
    for number in range(5):
        made.add(**signal(number))
    before = made.batch()
    assert before.number_S.tolist() == [1, 2, 3, 4]
    kept = columns(made)
    made.retract("1")
    made.retract("never came")
    after = made.batch()
    assert after.version == before.version + 1
    assert after.value_S.tolist() == [signal(n)["value"] for n in (0, 2, 4)]
    made.add(**signal(1))
    made.add(**signal(9))
    assert made.batch().number_S.tolist() == [1, 3, 4, 5]
    for name, values in kept.items():
        np.testing.assert_array_equal(getattr(before, name), values)


def test_signals_about_old_policies_expire_and_are_counted() -> None:
    """By the newest version among the policy's steps that have credit."""
    made = store()
    for number in range(6):
        made.add(**signal(number))
    before, kept = made.batch(), columns(made)
    assert before.newest_version_S.tolist() == [2, 3, 4, 5, 6, 7]
    assert made.drop_older(4) == 2
    assert (made.expired, len(made), made.drop_older(4)) == (2, 4, 0)
    assert made.batch().number_S.tolist() == [3, 4, 5, 6]
    made.add(**signal(0))
    assert len(made) == 4
    assert made.drop_older(100) == 4
    assert (made.expired, len(made.batch())) == (6, 0)
    for name, values in kept.items():
        np.testing.assert_array_equal(getattr(before, name), values)


def test_neither_others_steps_nor_steps_without_credit_keep_a_signal() -> None:
    made = store()
    made.add(**signal(0, policy_version_L=[1, 9, 2], acted_L=[True, False, True]))
    made.add(**signal(1, policy_version_L=[1, 2, 9], credit_L=[0.5, 0.5, 0.0], acted_L=[True, True, True]))
    assert made.batch().newest_version_S.tolist() == [2, 2]
    assert made.drop_older(3) == 2


def test_signals_on_steps_of_others_are_not_the_policys() -> None:
    on_others = signal(0, acted_L=[True, False, False], credit_L=[0.0, 0.5, 0.5])
    made, best = store(), store(about_policy=False)
    for one in (made, best):
        one.add(**on_others)
        one.add(**signal(1))
        one.add(**on_others)
    assert (len(made), made.not_policy) == (1, 1)
    assert made.batch().number_S.tolist() == [2]
    assert (len(best), best.not_policy) == (2, 0)


def test_signals_about_the_best_policy_never_expire() -> None:
    made = store(about_policy=False)
    made.add(**signal(0))
    assert made.drop_older(100) == 0
    assert (len(made), made.expired) == (1, 0)


@pytest.mark.parametrize(
    ("space", "actions"),
    [(MULTI_DISCRETE, [[0, 2], [1, 0], [1, 1]]), (BOX, [[0.5, -2.0], [0.0, 1.0], [0.0, 0.0]])],
)
def test_actions_of_each_space(space: gym.Space[Any], actions: Any) -> None:
    made = store(space)
    made.add(**signal(0, action_LA=np.array(actions)))
    batch = made.batch()
    assert batch.action_SLA[0, :3].tolist() == actions
    assert batch.action_SLA.dtype == (np.float32 if space is BOX else np.int64)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"value": 1.5}, r"value 1.5; give a number in \[-1, 1\]"),
        ({"value": float("nan")}, "give a number in"),
        ({"observation_LO": np.zeros((3, 4))}, r"observation has the shape \(3, 4\), but \(3, 2\)"),
        ({"observation_LO": np.full((3, 2), np.inf)}, "observation has numbers that are not finite"),
        ({"action_LA": [0, 1]}, "action has the shape"),
        ({"action_LA": [0.5, 1.5, 0.0]}, "action is float64"),
        ({"acted_L": [1.0, 0.0, 1.0]}, "acted is float64"),
        ({"policy_version_L": [1, 2]}, "policy_version has the shape"),
        ({"credit_L": [-0.5, 0.5, 0.5]}, "probability"),
        ({"credit_L": [0.5, 0.5, 0.5]}, "probability"),
        ({"credit_L": [0.0, 0.0, 0.0]}, "probability"),
        ({"credit_L": []}, "shape"),
    ],
)
def test_a_signal_that_means_nothing_is_refused(wrong: dict[str, Any], message: str) -> None:
    made = store()
    with pytest.raises(ValueError, match=message):
        made.add(**(signal(0) | wrong))
    assert (len(made), made.batch().version) == (0, 7)
    made.add(**signal(0))
    assert len(made) == 1


def test_spaces_without_a_policy_are_refused() -> None:
    with pytest.raises(TypeError, match="no policy"):
        store(gym.spaces.Text(3))
