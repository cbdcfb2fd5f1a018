import dataclasses

import numpy as np
import pytest

from hitl.reward.candidates import Window, cut, stack
from policies.experience import Actor, Rollout
from tests.policies.rollouts import made_up_rollout, waves

ROWS, COLUMNS = 60, 3
ENDS = {0: [9, 30], 1: [25], 2: []}
"""Rows after which an episode ends, by column."""


def _rollout(idle: dict[int, slice] | None = None) -> Rollout:
    episode, step = np.zeros((ROWS, COLUMNS), np.int64), np.zeros((ROWS, COLUMNS), np.int64)
    for column, ends in ENDS.items():
        begins = [0, *(end + 1 for end in ends)]
        for number, begin in enumerate(begins):
            episode[begin:, column] = 10 * column + number
            step[begin:, column] = np.arange(ROWS - begin) + (100 if begin == 0 else 0)
    actor = np.full((ROWS, COLUMNS), Actor.POLICY, np.uint8)
    for column, rows in (idle or {}).items():
        actor[rows, column] = Actor.NOBODY
    return dataclasses.replace(
        made_up_rollout(),
        source="runner-3",
        observation_TNO=waves(ROWS + 1, COLUMNS, 2),
        action_TNA=np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS),
        actor_TN=actor,
        episode_TN=episode,
        step_TN=step,
        duration_TN=np.ones_like(step),
    )


def _cut(rollout: Rollout, steps: int = 7, seed: int = 0) -> list[Window]:
    return cut(rollout, steps=steps, task_id="task", run_id="run", rng=np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(8))
def test_windows_lie_within_one_episode_and_do_not_overlap(seed: int) -> None:
    rollout = _rollout()
    windows = _cut(rollout, seed=seed)
    taken = np.zeros((ROWS, COLUMNS), int)
    for window in windows:
        rows = slice(window.first_row, window.first_row + 7)
        assert len(set(rollout.episode_TN[rows, window.column])) == 1
        taken[rows, window.column] += 1
    assert taken.shape == (ROWS, COLUMNS)
    assert taken.max() == 1
    assert len({window.segment.segment_id for window in windows}) == len(windows)


@pytest.mark.parametrize("seed", range(4))
def test_as_many_windows_are_cut_as_fit(seed: int) -> None:
    """Between a shifted beginning and the next end, nothing of a window's length is left over."""
    by_column = [[w.first_row for w in _cut(_rollout(), seed=seed) if w.column == c] for c in range(COLUMNS)]
    for column, firsts in enumerate(by_column):
        begins = [firsts[0], *(end + 1 for end in ENDS[column])]
        stops = [*(end + 1 for end in ENDS[column]), ROWS]
        assert 0 <= firsts[0] < 7 + 10 * (column == 0)
        expected = sum(
            max(stop - max(begin, firsts[0]), 0) // 7
            for begin, stop in zip(begins, stops, strict=True)
            if stop > firsts[0]
        )
        assert len(firsts) == expected


def test_a_segment_holds_what_its_address_says() -> None:
    rollout = _rollout()
    for window in _cut(rollout):
        segment, address = window.segment, window.segment.address
        rows = slice(window.first_row, window.first_row + 7)
        np.testing.assert_array_equal(
            segment.observations["obs"], rollout.observation_TNO[rows, window.column]
        )
        np.testing.assert_array_equal(segment.actions, rollout.action_TNA[rows, window.column])
        steps = rollout.step_TN[rows, window.column]
        assert list(range(address.begin, address.end)) == steps.tolist()
        assert address.episode == rollout.episode_TN[window.first_row, window.column]
        assert (address.task_id, address.run_id, address.source) == ("task", "run", "runner-3")
        assert segment.segment_id == f"runner-3/{address.episode}/{address.begin}-{address.end}"
        assert segment.policy_version == rollout.policy_version
        assert len(segment) == 7


def test_cuts_are_shifted_at_random() -> None:
    firsts = {min(w.first_row for w in _cut(_rollout(), seed=seed) if w.column == 2) for seed in range(60)}
    assert firsts == set(range(7))


def test_of_a_stand_still_only_the_first_segment_is_cut() -> None:
    fallen = 20
    for seed in range(12):
        windows = [w.first_row for w in _cut(_rollout({2: slice(fallen, ROWS)}), seed=seed) if w.column == 2]
        still = [first for first in windows if first >= fallen]
        assert len(still) == 1
        assert still[0] < fallen + 7
    awake = [w for w in _cut(_rollout()) if w.column == 2]
    assert max(w.first_row for w in awake) > fallen + 14


def test_a_rollout_that_stands_still_from_its_beginning_offers_nothing() -> None:
    everywhere = dict.fromkeys(range(COLUMNS), slice(0, ROWS))
    assert _cut(_rollout(everywhere)) == []


def test_a_window_may_be_as_long_as_the_rollout_and_no_longer() -> None:
    windows = _cut(_rollout(), steps=ROWS)
    assert [(w.first_row, w.column) for w in windows] == [(0, 2)]


def test_segments_are_stacked_in_their_order() -> None:
    segments = [window.segment for window in _cut(_rollout())]
    observation, action = stack(segments)
    assert observation.shape == (len(segments), 7, 2)
    np.testing.assert_array_equal(observation[2], segments[2].observations["obs"])
    np.testing.assert_array_equal(action[-1], segments[-1].actions)
