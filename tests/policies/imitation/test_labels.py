from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from policies.imitation.labels import LabelStore
from policies.splits import is_heldout

VECTOR, IMAGE = gym.spaces.Box(-1.0, 1.0, (2,), np.float32), gym.spaces.Box(0, 255, (2, 2, 1), np.uint8)
DISCRETE: gym.Space[Any] = gym.spaces.Discrete(3)
BOX = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
MULTI_DISCRETE = gym.spaces.MultiDiscrete([2, 3])


def _part(first: int, rows: int) -> dict[str, Any]:
    numbers = np.arange(first, first + rows)
    return {
        "observation_BO": np.stack([numbers, -numbers], 1).astype(np.float32),
        "action_BA": numbers % 3,
        "weight_B": numbers / 4,
    }


def test_versions_hold_all_that_came_and_never_change() -> None:
    """Against lists that are grown by hand, over many growths of the memory."""
    store, taken, first = LabelStore(VECTOR, DISCRETE, heldout_share=0.3, version=7), [], 0
    assert (store.labels().version, len(store.labels())) == (7, 0)
    for number, rows in enumerate([1, 0, 3, 2, 17, 1, 40, 5]):
        store.add(**_part(first, rows), group=f"episode {number}")
        first += rows
        taken.append((store.labels(), first))
    assert [labels.version for labels, _ in taken] == [8, 8, 9, 10, 11, 12, 13, 14]
    for labels, rows in taken:
        expected = _part(0, rows)
        np.testing.assert_array_equal(labels.observation_BO, expected["observation_BO"])
        np.testing.assert_array_equal(labels.action_BA, expected["action_BA"])
        np.testing.assert_array_equal(labels.weight_B, expected["weight_B"])
        with pytest.raises(ValueError, match="read-only"):
            labels.action_BA[:] = 0
    assert store.labels() is taken[-1][0]


def test_several_parts_are_one_version() -> None:
    store = LabelStore(VECTOR, DISCRETE)
    for first in range(3):
        store.add(**_part(first, 1), group="a")
    assert (store.labels().version, len(store.labels())) == (1, 3)


def test_a_group_is_held_out_as_a_whole_and_for_good() -> None:
    store = LabelStore(VECTOR, DISCRETE, heldout_share=0.3)
    groups = [f"run/{number}" for number in range(400)]
    for half in range(2):
        for group in groups:
            store.add(**_part(half, 2), group=group)
    heldout = store.labels().heldout_B.reshape(2, 400, 2)
    assert (heldout == heldout[:1, :, :1]).all()
    assert heldout[0, :, 0].tolist() == [is_heldout(group, 0.3) for group in groups]
    assert 0.25 < heldout.mean() < 0.35
    assert not any(is_heldout(group, 0.0) for group in groups)


def test_what_was_held_out_in_earlier_programs_still_is() -> None:
    assert [n for n in range(20) if is_heldout(str(n), 0.2)] == [3, 9, 14, 16]


def test_the_oldest_labels_go_first_and_are_counted() -> None:
    store, first = LabelStore(VECTOR, DISCRETE, most_labels=5), 0
    for rows in (3, 3, 4, 1, 12, 2, 2):
        store.add(**_part(first, rows), group="a")
        first += rows
        kept = min(first, 5)
        assert store.labels().observation_BO[:, 0].tolist() == list(range(first - kept, first))
        assert store.dropped == first - kept


@pytest.mark.parametrize("most_labels", [None, 300])
def test_growing_makes_room_for_each_label_a_few_times_at_most(most_labels: int | None) -> None:
    store = LabelStore(VECTOR, DISCRETE, most_labels=most_labels)
    memories: list[Any] = []
    for first in range(2000):
        store.add(**_part(first, 1), group="a")
        memory = store.labels().observation_BO.base
        assert memory is not None
        if not memories or memory is not memories[-1]:
            memories.append(memory)
    assert sum(len(memory) for memory in memories) < 5 * 2000


@pytest.mark.parametrize(
    ("space", "actions"),
    [
        (MULTI_DISCRETE, np.array([[0, 2], [1, 0]])),
        (BOX, np.array([[0.5, -2.0], [0.0, 1.0]])),
    ],
)
def test_actions_of_each_space(space: gym.Space[Any], actions: Any) -> None:
    store = LabelStore(VECTOR, space)
    store.add(np.zeros((2, 2)), actions, group="a")
    assert store.labels().action_BA.tolist() == actions.tolist()
    assert store.labels().action_BA.dtype == (np.float32 if space is BOX else np.int64)


def test_bytes_stay_bytes() -> None:
    store = LabelStore(IMAGE, DISCRETE)
    store.add(np.full((1, 4), 255, np.uint8), [2], group="a")
    assert store.labels().observation_BO.dtype == np.uint8
    with pytest.raises(ValueError, match="uint8 is needed"):
        store.add(np.full((1, 4), 256), [2], group="a")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"observation_BO": np.zeros((2, 3))}, r"observations have the shape \(2, 3\)"),
        ({"observation_BO": np.zeros((3, 2))}, r"\(2, 2\) is needed"),
        ({"observation_BO": [[0.0, np.nan], [0.0, 0.0]]}, "observations have numbers that are not finite"),
        ({"action_BA": [0, 3]}, "outside"),
        ({"action_BA": [0, -1]}, "outside"),
        ({"action_BA": [0.0, 1.5]}, "actions are float64"),
        ({"weight_B": [1.0, -1.0]}, "below 0"),
        ({"weight_B": [1.0]}, "weights have the shape"),
        ({"weight_B": [1.0, np.inf]}, "weights have numbers that are not finite"),
    ],
)
def test_a_part_that_does_not_fit_is_refused_as_a_whole(wrong: dict[str, Any], message: str) -> None:
    store = LabelStore(VECTOR, DISCRETE)
    with pytest.raises(ValueError, match=message):
        store.add(**(_part(0, 2) | wrong), group="a")
    assert store.labels().version == 0


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(TypeError, match="no policy"):
        LabelStore(VECTOR, gym.spaces.Text(3))
    with pytest.raises(ValueError, match="heldout_share"):
        LabelStore(VECTOR, DISCRETE, heldout_share=1.0)
    with pytest.raises(ValueError, match="most_labels"):
        LabelStore(VECTOR, DISCRETE, most_labels=0)


def _rows(store: LabelStore) -> list[int]:
    return store.labels().observation_BO[:, 0].astype(int).tolist()


def test_a_part_with_a_key_counts_once_and_can_be_taken_back() -> None:
    store = LabelStore(VECTOR, DISCRETE)
    for key, first in (("a", 0), ("b", 10), ("a", 20), (None, 30)):
        store.add(**_part(first, 3), group="g", key=key)
    before = store.labels()
    assert _rows(store) == [0, 1, 2, 10, 11, 12, 30, 31, 32]
    store.retract("b")
    store.retract("never came")
    assert _rows(store) == [0, 1, 2, 30, 31, 32]
    assert store.labels().version == before.version + 1
    assert before.observation_BO[:, 0].tolist() == [0, 1, 2, 10, 11, 12, 30, 31, 32]
    store.add(**_part(40, 2), group="g", key="never came")
    store.add(**_part(50, 2), group="g", key="b")
    store.add(**_part(60, 1), group="g", key="c")
    assert _rows(store) == [0, 1, 2, 30, 31, 32, 60]


def test_a_store_goes_on_from_what_another_has_without_keys() -> None:
    store = LabelStore(VECTOR, DISCRETE, heldout_share=0.5)
    for number in range(8):
        store.add(**_part(10 * number, 2), group=f"{number}", key=None if number % 2 else f"{number}")
    kept = store.without_keys()
    other = LabelStore(VECTOR, DISCRETE, heldout_share=0.5)
    other.resume(kept)
    assert _rows(other) == [10, 11, 30, 31, 50, 51, 70, 71]
    heldout = [is_heldout(f"{number}", 0.5) for number in (1, 3, 5, 7) for _ in range(2)]
    assert other.labels().heldout_B.tolist() == heldout
    assert other.labels().version == store.labels().version
    other.add(**_part(0, 2), group="0", key="0")
    assert other.labels().version == store.labels().version + 1
