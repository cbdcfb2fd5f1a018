import numpy as np
import pytest

from hitl.errors import ConfigError
from hitl.teachers.live import LiveSettings, LiveTeacher, approval

STEP_SECONDS = 0.1


def watching(seconds: float = 2000.0, opinion: float = 1.0, **settings):
    teacher = LiveTeacher(LiveSettings(**settings))
    shown = np.arange(0, seconds, STEP_SECONDS)
    presses = [(moment, teacher.watch(moment, opinion)) for moment in shown]
    return [(moment, press) for moment, press in presses if press is not None]


def test_reactions_are_gamma_distributed_after_the_shortest() -> None:
    delays = [press.seconds - shown for shown, press in watching()]
    assert len(delays) == 20_000
    assert min(delays) >= 0.2
    assert np.mean(delays) == pytest.approx(0.2 + 2 * 0.28, abs=0.01)
    assert np.var(delays) == pytest.approx(2 * 0.28**2, rel=0.05)


def test_at_most_so_many_signals_a_second() -> None:
    times = [press.seconds for _, press in watching(signals_per_second=1.0)]
    assert np.diff(times).min() >= 1.0
    assert len(times) > 1000


def test_misses_and_mistakes_have_their_chances() -> None:
    presses = [press for _, press in watching(opinion=-1.0, miss=0.25, mistake=0.1)]
    assert len(presses) == pytest.approx(20_000 * 0.75, rel=0.03)
    assert np.mean([press.value == 1.0 for press in presses]) == pytest.approx(0.1, abs=0.01)


def test_a_tired_teacher_says_half_as_much() -> None:
    teacher = LiveTeacher(LiveSettings(tires_after_signals=500.0))
    given = [teacher.watch(moment, 1.0) is not None for moment in np.arange(0, 2000, STEP_SECONDS)]
    total = np.cumsum(given)
    around = np.searchsorted(total, 500)
    assert np.mean(given[:20]) > 0.9
    assert np.mean(given[around - 150 : around + 150]) == pytest.approx(0.5, abs=0.1)


def test_no_opinion_no_signal() -> None:
    assert watching(opinion=0.0) == []


def test_the_same_seed_teaches_alike() -> None:
    assert watching(50.0, seed=3, miss=0.5) == watching(50.0, seed=3, miss=0.5)
    assert watching(50.0, seed=3, miss=0.5) != watching(50.0, seed=4, miss=0.5)


@pytest.mark.parametrize(("action", "expected"), [(3, 1.0), (2, 0.0), (1, -1.0), (0, -1.0)])
def test_approval_is_by_rank(action, expected) -> None:
    assert approval(np.array([1.0, 2.0, 3.0, 4.0]), action, good_share=0.25, bad_share=0.5) == expected


def test_equally_good_actions_are_equally_approved() -> None:
    scores = np.array([5.0, 5.0, 0.0])
    assert [approval(scores, action, good_share=1 / 3, bad_share=1 / 3) for action in range(3)] == [1, 1, -1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"miss": 1.5},
        {"mistake": -0.1},
        {"signals_per_second": 0.0},
        {"tires_after_signals": -1.0},
        {"reaction_shape": 0.0},
        {"reaction_shortest_seconds": -0.1},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LiveSettings(**wrong)
