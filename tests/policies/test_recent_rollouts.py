"""Batches that are kept for the critic: the newest, and copies."""

import dataclasses

import numpy as np

from policies.recent_rollouts import RecentRollouts, size_of
from tests.policies.rollouts import made_up_rollout


def test_the_newest_batches_are_kept_within_both_bounds() -> None:
    batches = [made_up_rollout(policy_version=number) for number in range(5)]
    size = size_of(batches[0])
    for most, most_bytes, kept in ((3, 10**9, [2, 3, 4]), (9, 2 * size, [3, 4]), (9, size - 1, [])):
        recent = RecentRollouts(most=most, most_bytes=most_bytes)
        for batch in batches:
            recent.take(batch)
        assert [rollout.policy_version for rollout in recent] == kept
    recent.clear()
    assert len(recent) == 0


def test_what_is_kept_is_a_copy() -> None:
    recent, batch = RecentRollouts(most=1, most_bytes=10**9), made_up_rollout()
    recent.take(batch)
    (kept,) = recent
    for field in dataclasses.fields(batch):
        was, now = getattr(batch, field.name), getattr(kept, field.name)
        np.testing.assert_equal(now, was)
        assert not isinstance(was, np.ndarray) or not np.shares_memory(was, now)


def test_the_size_is_that_of_all_arrays() -> None:
    rollout = made_up_rollout()
    arrays = [getattr(rollout, field.name) for field in dataclasses.fields(rollout)]
    assert size_of(rollout) == sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
