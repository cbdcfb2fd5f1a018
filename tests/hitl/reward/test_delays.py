import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hitl.credit import GAMMA, GammaDelay, UniformDelay
from hitl.events import JournalEntry, Segment, Showing, Signal, StepAddress
from hitl.reward.evidence.crediting import Crediting
from hitl.reward.evidence.delays import FittedDelays, RandomFeatures
from hitl.reward.evidence.evidence import Teachers
from hitl.reward.evidence.shown import credit_of
from hitl.reward.evidence.signals import Signals
from hitl.reward.network.inputs import InputSpace
from tests.hitl.reward.test_crediting import entry
from tests.hitl.reward.test_signals import SETTINGS

SPACE = InputSpace(observation_size=2, action_size=3, discrete=True)
SLOW = GammaDelay(9.0, 0.15, 0.4)
"""Mean 1.75 s, far from 0.76 s of the prior."""
STEP_SECONDS = 0.1
FRAMES = 12_000


@pytest.fixture(scope="module")
def shown() -> list[Segment]:
    """What a stage showed: states that move slowly, and an action in each."""
    rng = np.random.default_rng(0)
    state = np.zeros((FRAMES, 2), np.float32)
    for frame in range(1, FRAMES):
        state[frame] = 0.9 * state[frame - 1] + np.sqrt(1 - 0.9**2) * rng.normal(size=2)
    action = rng.integers(0, 3, FRAMES // 5).repeat(5)
    return [
        Segment(
            segment_id=f"stage/{begin}",
            address=StepAddress(
                task_id="task", run_id="run", source="stage", episode=0, begin=begin - 1, end=begin + 49
            ),
            observations={"obs": state[begin : begin + 50]},
            actions=action[begin : begin + 50],
            policy_version=1,
            showing=Showing(
                stage_id="stage",
                first_frame=begin,
                seconds=np.arange(begin, begin + 50) * STEP_SECONDS,
                policy_versions=np.ones(50, np.int64),
            ),
        )
        for begin in range(1, FRAMES - 50, 50)
    ]


def said(
    shown: list[Segment], delay: GammaDelay, *, teacher: str = "ann", count: int = 400, run: str = "run"
) -> Iterator[tuple[JournalEntry, list[Segment]]]:
    """What a teacher of these delays says of steps: good where the action fits the state; some presses are mistakes."""
    rng = np.random.default_rng(len(teacher))
    for number in range(count):
        frame = 30 + number * (FRAMES - 150) // count
        segment, place = shown[(frame - 1) // 50], (frame - 1) % 50
        good = (segment.observations["obs"][place] @ (1.0, 0.3) > 0) == (segment.actions[place] > 0)
        value = (1.0 if good else -1.0) * (1 if rng.random() > 0.1 else -1)
        seconds = delay.shortest + rng.gamma(delay.shape, delay.scale) + rng.uniform(0, STEP_SECONDS)
        seen, offset = divmod(frame * STEP_SECONDS + seconds, STEP_SECONDS)
        one = entry(int(seen), offset, value)
        assert one.event is not None
        event = dataclasses.replace(one.event, event_id=f"{teacher}-{number}", run_id=run)  # type: ignore[type-var]
        last = (int(seen) - 1) // 50
        yield dataclasses.replace(one, event=event, teacher_id=teacher), shown[max(last - 1, 0) : last + 1]


def fitted(**changes: Any) -> FittedDelays:
    return FittedDelays(GAMMA, SPACE, **{"shortest": 0.2, "prior_signals": 5.0, "seed": 0, **changes})


def signals(delays: FittedDelays | None) -> Signals:
    crediting = Crediting(GAMMA, across_episodes=False, smallest_share=0.5, fitted=delays)
    return Signals(crediting, Teachers(), **SETTINGS)


def test_a_teacher_far_from_the_prior_is_found(shown: list[Segment]) -> None:
    delays = fitted()
    kind = signals(delays)
    for one in said(shown, SLOW):
        kind.take(*one)
    found = delays.of_run("run")
    assert found.mean_seconds["ann"] == pytest.approx(SLOW.mean_seconds, abs=0.3)
    at = np.linspace(0, 3, 31)
    apart = np.abs(found.of("ann").cumulative(at) - SLOW.cumulative(at)).max()
    assert apart < 0.4 * np.abs(GAMMA.cumulative(at) - SLOW.cumulative(at)).max()


def test_two_teachers_are_kept_apart_though_they_speak_by_turns(shown: list[Segment]) -> None:
    kind = signals(delays := fitted())
    both = zip(said(shown, SLOW, teacher="slow"), said(shown, GAMMA, teacher="as usual"), strict=True)
    for one in both:
        for each in one:
            kind.take(*each)
    found = delays.of_run("run").mean_seconds
    assert found["slow"] == pytest.approx(SLOW.mean_seconds, abs=0.3)
    assert found["as usual"] == pytest.approx(GAMMA.mean_seconds, abs=0.2)


def test_later_signals_have_the_credit_of_the_fitted_delays(shown: list[Segment]) -> None:
    kind, at = signals(delays := fitted()), np.linspace(0, 3, 31)
    told = list(said(shown, SLOW))
    for one in told:
        kind.take(*one)
    known = delays.of_run("run").of("ann")
    assert np.abs(known.cumulative(at) - GAMMA.cumulative(at)).max() > 0.3
    # The first ones were credited by the prior, and stay as they are.
    assert spread(kind, told[0], 0) == pytest.approx(GAMMA.mean_seconds, abs=0.1)
    kind.take(*renamed(told[0]))
    assert spread(kind, told[0], 400) == pytest.approx(known.mean_seconds, abs=0.15)


def test_a_signal_is_credited_by_what_was_known_before_it(shown: list[Segment]) -> None:
    # With hardly any prior, the delays move with every signal.
    crediting = Crediting(GAMMA, across_episodes=False, smallest_share=0.0, fitted=fitted(prior_signals=0.1))
    moved = 0
    for told, segments in itertools.islice(said(shown, SLOW), 30):
        before = crediting.delay_of("run", "ann")
        found = crediting.take(told, segments)
        after = crediting.delay_of("run", "ann")
        assert found is not None
        expected, instead = (credit_of(found.shown, delay, smallest_share=0.0) for delay in (before, after))
        np.testing.assert_array_equal(found.credit_L, expected)
        moved += not np.array_equal(expected, instead)
    assert moved > 5


def renamed(told: tuple[JournalEntry, list[Segment]]) -> tuple[JournalEntry, list[Segment]]:
    event = dataclasses.replace(told[0].event, event_id="late")  # type: ignore[type-var]
    return dataclasses.replace(told[0], event=event), told[1]


def spread(kind: Signals, told: tuple[JournalEntry, list[Segment]], row: int) -> float:
    """Return how long before the press of a signal the steps with credit were shown, on average."""
    entry, segments = told
    assert kind._rows is not None
    assert isinstance(entry.event, Signal)
    assert segments[0].showing is not None
    credit = kind._rows.credit_SL[row]
    seen = np.concatenate([segment.observations["obs"] for segment in segments])
    places = [int(np.flatnonzero((seen == x).all(1))[0]) for x in kind._rows.observation_SLO[row][credit > 0]]
    # The middle of the time that each was on show.
    middle = segments[0].showing.seconds[0] + STEP_SECONDS * (np.array(places) + 0.5)
    press = entry.event.frame * STEP_SECONDS + entry.event.offset.total_seconds()
    return float(press - middle @ credit[credit > 0])


def test_whoever_reads_the_journal_again_finds_the_same(shown: list[Segment]) -> None:
    told = [*said(shown, SLOW, count=60), *said(shown, GAMMA, teacher="bob", count=60)]
    other = list(said(shown, GAMMA, teacher="cay", count=60, run="another run"))
    kinds = []
    # The journal of another run comes mixed with this one, as it likes; and what is said twice counts once.
    for entries in ([*told, *other], [*other[:30], *told[:40], *told[20:50], *other[30:], *told[50:]]):
        kind = signals(fitted())
        for one in entries:
            kind.take(*one)
        kinds.append(kind)
    first, second = (kind.crediting for kind in kinds)
    assert first.mean_delays("run") == second.mean_delays("run")
    assert first.delay_of("run", "ann") == second.delay_of("run", "ann")
    assert first.delay_of("run", "ann") != first.delay_of("run", "bob")
    rows, again = (kind._rows for kind in kinds)
    assert rows is not None
    assert again is not None
    assert sorted(map(tuple, rows.credit_SL[:180, :10].tolist())) == sorted(
        map(tuple, again.credit_SL[:180, :10].tolist())
    )


def test_before_the_first_signals_a_teacher_has_the_prior(shown: list[Segment]) -> None:
    delays, at = fitted(), np.linspace(0, 3, 31)
    assert np.abs(delays.of_run("run").of("ann").cumulative(at) - GAMMA.cumulative(at)).max() < 0.01
    assert delays.of_run("run").mean_seconds["ann"] == pytest.approx(GAMMA.mean_seconds, abs=0.01)


def test_the_first_signals_count_though_they_wait_for_a_scale(shown: list[Segment]) -> None:
    kind = signals(delays := fitted())
    for number, one in enumerate(said(shown, SLOW, count=12)):
        kind.take(*one)
        assert len(delays.of_run("run")._fit("ann")._likelihoods) == (0 if number < 9 else number + 1)


def test_a_prior_that_cannot_be_fitted_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="too short"):
        FittedDelays(UniformDelay(0.2, 0.22), SPACE, shortest=0.2, prior_signals=10.0, seed=0)


def test_random_features_are_those_of_a_gaussian_kernel() -> None:
    """The mean product over many draws is the kernel, written out; and the constant is one more."""
    rng = np.random.default_rng(0)
    scale = np.array([3.0, 0.2, 1.0])
    seen = rng.normal(size=(500, 3)) * scale + 5.0
    some = seen[:6]
    product = np.zeros((6, 6))
    for _ in range(400):
        feature = RandomFeatures(seen, rng)(some)
        product += feature @ feature.T / 400
    for one in range(6):
        for other in range(6):
            apart = (some[one] - some[other]) / seen.std(0)
            kernel = np.exp(-(apart**2).sum() / (2 * 3))
            assert product[one, other] == pytest.approx(kernel + 1.0, abs=0.03)
    constant = np.ones((50, 3))
    assert np.isfinite(RandomFeatures(constant, rng)(some)).all()
