import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from hitl.credit import TAMER, UniformDelay
from hitl.events import JournalEntry, Segment, Showing, Signal, StepAddress
from hitl.reward.evidence.crediting import Credited, Crediting
from hitl.reward.evidence.shown import shown_before

LAST_STEP = UniformDelay(0.0, 1e-9)


def segment(first_frame: int, steps: int, *, episode: int = 0) -> Segment:
    """Frame n is shown at n tenths of a second; its step begins in the state [n] and takes action n."""
    frames = np.arange(first_frame, first_frame + steps)
    begin = first_frame - episode - 1
    return Segment(
        segment_id=f"stage/{first_frame}",
        address=StepAddress(
            task_id="task", run_id="run", source="stage", episode=episode, begin=begin, end=begin + steps
        ),
        observations={"obs": frames[:, None].astype(np.float32)},
        actions=frames,
        policy_version=1,
        showing=Showing(
            stage_id="stage", first_frame=first_frame, seconds=frames / 10, policy_versions=frames // 5
        ),
    )


def entry(frame: int, seconds: float = 0.0, value: float = -1.0) -> JournalEntry:
    signal = Signal(
        run_id="run",
        stage_id="stage",
        frame=frame,
        value=value,
        offset=timedelta(seconds=seconds),
        event_id="event",
    )
    return JournalEntry(
        offset=3, teacher_id="ann", record_time=datetime(2030, 1, 1, tzinfo=UTC), event=signal, segment_ids=()
    )


def place(frame: int, seconds: float, *segments: Segment, **options: Any) -> Credited | None:
    settings: dict[str, Any] = {"delay": TAMER, "across_episodes": False, "smallest_share": 0.5, **options}
    return Crediting(settings.pop("delay"), **settings).take(entry(frame, seconds), segments)


def meant(found: Credited | None) -> list[int]:
    """Return the actions of the steps with credit."""
    assert found is not None
    actions: list[int] = found.shown.action_LA[found.credit_L > 0].tolist()
    return actions


def test_credit_goes_to_the_steps_shown_a_reaction_time_before_the_key() -> None:
    # Pressed at 2.0 s: delays of 0.2 to 0.8 s mean steps shown between 1.2 and 1.8 s.
    found = place(20, 0.0, segment(1, 12), segment(13, 12))
    assert found is not None
    some = found.credit_L > 0
    assert meant(found) == [12, 13, 14, 15, 16, 17]
    assert found.shown.observation_LO[some, 0].tolist() == [12, 13, 14, 15, 16, 17]
    assert found.shown.policy_version_L[some].tolist() == [2, 2, 2, 3, 3, 3]
    np.testing.assert_allclose(found.credit_L[some], 1 / 6)


def test_time_in_front_of_the_frame_counts() -> None:
    found = place(15, 0.5, segment(1, 30))
    # Pressed at 2.0 s as well, but nothing after frame 15 had been seen; it stayed on show.
    assert meant(found) == [12, 13, 14, 15]
    assert found is not None
    np.testing.assert_allclose(found.credit_L[-4:], [1 / 6, 1 / 6, 1 / 6, 3 / 6])


def test_segments_may_come_in_any_order() -> None:
    there, back = (
        place(20, 0.0, *parts)
        for parts in ([segment(1, 12), segment(13, 12)], [segment(13, 12), segment(1, 12)])
    )
    assert meant(there) == meant(back)


@pytest.mark.parametrize(("across", "expected"), [(False, [18, 19]), (True, [14, 15, 18, 19])])
def test_the_episode_before_counts_only_if_asked(across: bool, expected: list[int]) -> None:
    parts = [segment(1, 15), segment(18, 10, episode=17)]
    found = place(19, 0.3, *parts, across_episodes=across, smallest_share=0.0)
    assert meant(found) == expected
    assert found is not None
    assert found.credit_L.sum() == pytest.approx(1)


def test_a_signal_that_is_mostly_about_what_was_before_finds_no_place() -> None:
    parts = [segment(1, 15), segment(18, 10, episode=17)]
    assert place(19, 0.3, *parts, smallest_share=0.9) is None


def test_the_current_step_is_the_frames() -> None:
    found = place(7, 0.05, segment(1, 30), delay=LAST_STEP)
    assert meant(found) == [7]


@pytest.mark.parametrize(
    "segments",
    [
        [],
        # The frame itself is lost.
        [segment(1, 10)],
        # All that is known was shown later.
        [segment(30, 5, episode=29)],
    ],
)
def test_without_its_steps_a_signal_finds_no_place(segments: list[Segment]) -> None:
    assert place(20, 0.0, *segments) is None


def test_a_frame_that_begins_an_episode_shows_no_step_to_judge() -> None:
    assert place(17, 0.3, segment(1, 15), segment(18, 10, episode=17)) is None


def test_what_was_shown_says_whose_actions_they_are_and_where_episodes_begin() -> None:
    mine, theirs = segment(1, 10), segment(11, 5)
    assert theirs.showing is not None
    theirs = dataclasses.replace(theirs, showing=dataclasses.replace(theirs.showing, teacher_id="bob"))
    # Frame 16 begins the next episode; what follows it is the policy's own again.
    later = segment(17, 8, episode=16)
    found = shown_before(entry(20, 0.05), [later, theirs, mine], across_episodes=True)
    assert found is not None
    assert found.press == pytest.approx(2.05)
    assert found.action_LA.tolist() == [*range(1, 16), *range(17, 21)]
    assert found.acted_L.tolist() == [True] * 10 + [False] * 5 + [True] * 4
    assert np.flatnonzero(found.first_L).tolist() == [0, 15]
    assert found.policy_version_L.tolist() == (found.action_LA // 5).tolist()
    # A step is on show until the next one is.
    np.testing.assert_allclose(found.end_L, [*found.begin_L[1:], np.inf])
    assert found.begin_L[15] == pytest.approx(1.7)
    alone = shown_before(entry(20, 0.05), [later, theirs, mine], across_episodes=False)
    assert alone is not None
    assert alone.action_LA.tolist() == [17, 18, 19, 20]
    assert alone.first_L.tolist() == [True, False, False, False]
    assert alone.acted_L.all()
