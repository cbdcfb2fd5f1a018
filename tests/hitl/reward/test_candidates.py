import dataclasses

import numpy as np
import pytest

from hitl.reward.questions.candidates import Window, cut, stack
from policies.experience import Rollout
from tests.policies.rollouts import made_up_rollout, waves

ROWS, COLUMNS = 60, 3
ENDS = {0: [9, 30], 1: [25], 2: []}
"""Rows after which an episode ends, by column."""


def _rollout(duration: dict[tuple[int, int], int] | None = None) -> Rollout:
    """Rows of one step each, but for those given."""
    episode, step = np.zeros((ROWS, COLUMNS), np.int64), np.zeros((ROWS, COLUMNS), np.int64)
    for column, ends in ENDS.items():
        begins = [0, *(end + 1 for end in ends)]
        for number, begin in enumerate(begins):
            episode[begin:, column] = 10 * column + number
            step[begin:, column] = np.arange(ROWS - begin) + (100 if begin == 0 else 0)
    durations = np.ones((ROWS, COLUMNS), np.int64)
    for place, steps in (duration or {}).items():
        durations[place] = steps
    return dataclasses.replace(
        made_up_rollout(),
        source="runner-3",
        observation_TNO=waves(ROWS + 1, COLUMNS, 2),
        action_TNA=np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS),
        episode_TN=episode,
        step_TN=step,
        duration_TN=durations,
    )


def _cut(rollout: Rollout, steps: int = 7, seed: int = 0) -> list[Window]:
    return cut(rollout, steps=steps, task_id="task", run_id="run", rng=np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(8))
def test_windows_lie_within_one_episode_and_do_not_overlap(seed: int) -> None:
    rollout = _rollout()
    windows = _cut(rollout, seed=seed)
    taken = np.zeros((ROWS, COLUMNS), int)
    for window in windows:
        rows = window.row_L
        assert len(set(rollout.episode_TN[rows, window.column])) == 1
        taken[rows, window.column] += 1
    assert taken.shape == (ROWS, COLUMNS)
    assert taken.max() == 1
    assert len({window.segment.segment_id for window in windows}) == len(windows)


@pytest.mark.parametrize("seed", range(4))
def test_as_many_windows_are_cut_as_fit(seed: int) -> None:
    """Between a shifted beginning and the next end, nothing of a window's length is left over."""
    by_column = [
        [int(w.row_L[0]) for w in _cut(_rollout(), seed=seed) if w.column == c] for c in range(COLUMNS)
    ]
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
        rows = window.row_L
        np.testing.assert_array_equal(
            segment.observations["obs"], rollout.observation_TNO[rows, window.column]
        )
        np.testing.assert_array_equal(segment.actions, rollout.action_TNA[rows, window.column])
        steps = rollout.step_TN[rows, window.column]
        assert list(range(address.begin, address.end)) == steps.tolist()
        assert address.episode == rollout.episode_TN[window.row_L[0], window.column]
        assert (address.task_id, address.run_id, address.source) == ("task", "run", "runner-3")
        assert segment.segment_id == f"runner-3/{address.episode}/{address.begin}-{address.end}"
        assert segment.policy_version == rollout.policy_version
        assert len(segment) == 7


def test_cuts_are_shifted_at_random() -> None:
    firsts = {
        min(int(w.row_L[0]) for w in _cut(_rollout(), seed=seed) if w.column == 2) for seed in range(60)
    }
    assert firsts == set(range(7))


def test_of_a_row_that_stands_for_many_steps_one_segment_is_cut() -> None:
    """Row 25 ends episode 10 of column 1; it stands for 400 steps, of which no more than 7 are shown."""
    shares = set()
    for seed in range(30):
        windows = [w for w in _cut(_rollout({(25, 1): 400}), seed=seed) if w.column == 1]
        still = [int((w.row_L == 25).sum()) for w in windows]
        assert sum(still) <= 7
        shares.add(max(still))
        for window in windows:
            address = window.segment.address
            shown = window.segment.observations["obs"]
            np.testing.assert_array_equal(shown, _rollout().observation_TNO[window.row_L, 1])
            assert address.end - address.begin == len(shown) == 7
            assert len({w.segment.segment_id for w in windows}) == len(windows)
            if window.row_L[0] < 26:
                assert address.end <= 100 + 25 + 7
    assert shares == set(range(1, 8))


def test_a_segment_within_such_a_row_has_its_own_address() -> None:
    rollout = _rollout({(0, 1): 400})
    begins = {w.segment.address.begin for s in range(30) for w in _cut(rollout, seed=s) if w.row_L[0] == 0}
    assert begins == {100} | set(range(101, 107))


def test_a_short_stand_still_is_shown_as_it_was() -> None:
    rows = [
        w.row_L.tolist() for s in range(30) for w in _cut(_rollout({(25, 1): 3}), seed=s) if w.column == 1
    ]
    assert max(row.count(25) for row in rows) == 3


def test_a_window_may_be_as_long_as_the_rollout_and_no_longer() -> None:
    windows = _cut(_rollout(), steps=ROWS)
    assert [(int(w.row_L[0]), w.column) for w in windows] == [(0, 2)]


def test_segments_are_stacked_in_their_order() -> None:
    segments = [window.segment for window in _cut(_rollout())]
    observation, action = stack(segments)
    assert observation.shape == (len(segments), 7, 2)
    np.testing.assert_array_equal(observation[2], segments[2].observations["obs"])
    np.testing.assert_array_equal(action[-1], segments[-1].actions)
