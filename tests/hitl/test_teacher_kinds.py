"""The six teachers of B-Pref against its text, step by step, and those that are worse."""

import math
from collections import Counter
from datetime import UTC, datetime
from typing import get_args

import numpy as np
import pytest

from hitl.client.questions import LeasedPair
from hitl.errors import ConfigError
from hitl.events import Choice, PairQuestion
from hitl.teachers.kinds import B_PREF, KINDS, KindName
from hitl.teachers.likeness import likeness
from hitl.teachers.simulated import SeenReturns, SimulatedSettings, SimulatedTeacher, answer, settings_of
from tests.hitl.live import make_segment

STEPS = 6


def by_the_paper(
    first: list[float], second: list[float], mean_return: float, rng: np.random.Generator, *,
    beta: float | None = None, gamma: float = 1.0, mistake: float = 0.0, skip: float = 0.0, equal: float = 0.0,
) -> Choice:  # fmt: skip
    """B-Pref, section 3.1: thresholds are shares of the mean return, and returns are not negative."""
    if skip and max(sum(first), sum(second)) <= skip * mean_return:
        return Choice.SKIP
    if abs(sum(first) - sum(second)) <= equal * mean_return:
        return Choice.TIE
    worth = []
    for rewards in (first, second):
        total = 0.0
        for t, reward in enumerate(rewards):
            total += gamma ** (len(rewards) - 1 - t) * reward
        worth.append(total)
    if beta is None:
        prefers_first = worth[0] > worth[1]
    else:
        chance = math.exp(beta * worth[0]) / (math.exp(beta * worth[0]) + math.exp(beta * worth[1]))
        prefers_first = rng.random() < chance
    if rng.random() < mistake:
        prefers_first = not prefers_first
    return Choice.FIRST if prefers_first else Choice.SECOND


NUMBERS = {
    "oracle": {},
    "stochastic": {"beta": 1.0},
    "mistake": {"mistake": 0.1},
    "skip": {"skip": 0.1},
    "equal": {"equal": 0.1},
    "myopic": {"gamma": 0.9},
}


@pytest.mark.parametrize("kind", B_PREF)
def test_the_six_answer_as_the_paper_says(kind: KindName) -> None:
    rng, seen = np.random.default_rng(0), SeenReturns()
    settings, returns = settings_of(kind), [0.0, 0.0]
    seen.add(0.0, 0.0)
    said: Counter[Choice] = Counter()
    expected: Counter[Choice] = Counter()
    for number in range(3000):
        scale = rng.choice([0.05, 1.0, 1.0])
        first, second = rng.random((2, STEPS)) * scale
        returns += [float(first.sum()), float(second.sum())]
        chance, same = np.random.default_rng(number), np.random.default_rng(number)
        choice = answer(first, second, _after_skip(chance), settings, seen=seen)
        paper = by_the_paper(
            list(first),
            list(second),
            float(np.mean(returns)),
            same,
            **NUMBERS[kind],  # type: ignore[arg-type]
        )
        said[choice] += 1
        expected[paper] += 1
        assert choice is paper
    assert said == expected
    assert (Choice.SKIP in said) is (kind == "skip")
    assert (Choice.TIE in said) is (kind == "equal")


class _AfterSkip:
    """Has the chance to skip, which the six do not take, before the paper's."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._asked = rng, 0

    def random(self) -> float:
        self._asked += 1
        return 1.0 if self._asked == 1 else float(self._rng.random())


def _after_skip(rng: np.random.Generator) -> np.random.Generator:
    return _AfterSkip(rng)  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["mistake", "stochastic", "myopic"])
def test_each_of_them_differs_from_the_oracle(kind: KindName) -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(2000):
        first, second = rng.random((2, STEPS))
        oracle = answer(first, second, rng, settings_of("oracle"))
        wrong += answer(first, second, rng, settings_of(kind)) is not oracle
    assert {"mistake": 0.08 < wrong / 2000 < 0.12}.get(kind, wrong > 20)


def test_the_zero_of_the_reward_does_not_matter() -> None:
    """Of a task that only costs, no threshold is a share of something negative."""
    for kind in ("skip", "equal"):
        said = []
        for shift in (0.0, -50.0):
            rng, seen = np.random.default_rng(2), SeenReturns()
            said.append(
                [
                    answer(*(rng.random((2, STEPS)) * size + shift), rng, settings_of(kind), seen=seen)
                    for size in [1.0, 0.01] * 150
                ]
            )
        assert said[0] == said[1]
        assert len(set(said[0])) > 2


def leased(
    first: np.ndarray, second: np.ndarray, question_id: str, rewards: tuple[float, float]
) -> LeasedPair:
    segments = []
    for name, observation in (("a", first), ("b", second)):
        segment = make_segment(name, steps=len(observation))
        segment.observations["obs"] = observation  # type: ignore[index]
        segments.append(segment)
    return LeasedPair(
        question=PairQuestion(
            question_id=question_id, run_id="run", first_segment_id="a", second_segment_id="b"
        ),
        lease_expire_time=datetime.now(UTC),
        segments=tuple(segments),
        true_rewards=tuple(np.full(4, reward) for reward in rewards),
        _submit=lambda event: None,  # type: ignore[arg-type, return-value]
        _release=lambda question: None,
        _clip=lambda run, segment: None,
    )


@pytest.mark.parametrize(("apart", "share"), [(0.0, 0.5), (1.0, 0.25), (30.0, 0.0)])
def test_some_err_where_both_look_alike(apart: float, share: float) -> None:
    """One standard deviation apart the chance is half of what it is where they are the same."""
    looks = np.array([-1.0, 1.0, -1.0, 1.0])[:, None]
    teacher = SimulatedTeacher(settings_of("alike"))
    wrong = [
        teacher.choose(leased(looks, looks + apart, f"q{number}", (1.0, 2.0))) is Choice.FIRST
        for number in range(2000)
    ]
    assert np.mean(wrong) == pytest.approx(share, abs=0.04)


def test_two_chances_to_err_are_those_of_one_after_the_other() -> None:
    """Half of the time it errs anyway, and of the rest half of the time as both look half alike: 3 / 4."""
    rng, settings = np.random.default_rng(0), SimulatedSettings(mistake=0.5, alike_mistake=1.0)
    said = [answer(np.ones(1), np.zeros(1), rng, settings, alike=0.5) for _ in range(2000)]
    assert said.count(Choice.SECOND) / 2000 == pytest.approx(0.75, abs=0.04)


def test_likeness() -> None:
    rng = np.random.default_rng(0)
    looks = rng.standard_normal((50, 2, 3))
    assert likeness(looks, looks) == 1.0
    assert likeness(looks, looks + 1) == pytest.approx(0.5, abs=0.1)
    assert likeness(looks, looks + 10) < 0.02
    assert likeness(np.zeros((4, 1)), np.zeros((4, 1))) == 1.0
    assert likeness(np.zeros((4, 1)), np.ones((4, 1))) < 1e-6


def test_thresholds_are_of_all_that_a_teacher_has_seen() -> None:
    teacher = SimulatedTeacher(settings_of("skip"))
    looks = np.zeros((4, 1))
    assert teacher.choose(leased(looks, looks, "q0", (100.0, 0.0))) is Choice.FIRST
    assert teacher.choose(leased(looks, looks, "q1", (1.0, 0.5))) is Choice.SKIP
    fresh = SimulatedTeacher(settings_of("skip"))
    assert fresh.choose(leased(looks, looks, "q1", (1.0, 0.5))) is Choice.FIRST


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"skip_share": 0.5}, Choice.SKIP),
        ({"skip_share": 0.499}, Choice.FIRST),
        ({"equal_share": 0.5}, Choice.TIE),
        ({"equal_share": 0.499}, Choice.FIRST),
        ({"tie_threshold": 1.0}, Choice.TIE),
        # The greater of the two counts, not their sum.
        ({"equal_share": 0.25, "tie_threshold": 0.75}, Choice.FIRST),
    ],
)
def test_what_is_as_good_as_a_threshold_is_below_it(own: dict[str, float], said: Choice) -> None:
    """The mean of 7, 0, 1 and 0 is 2."""
    seen, rng = SeenReturns(), np.random.default_rng(0)
    seen.add(7.0, 0.0)
    settings = SimulatedSettings(**own)  # type: ignore[arg-type]
    assert answer(np.array([1.0]), np.array([0.0]), rng, settings, seen=seen) is said


def test_an_adversary_is_an_oracle_turned_round_and_a_lazy_one_does_not_look() -> None:
    rng = np.random.default_rng(0)
    better, worse = np.ones(3), np.zeros(3)
    assert settings_of("adversary").mistake == 1.0, "it never errs to the good"
    for _ in range(20):
        assert answer(better, worse, rng, settings_of("adversary")) is Choice.SECOND
        assert answer(worse, better, rng, settings_of("lazy")) is Choice.FIRST
        assert answer(worse, worse, rng, settings_of("adversary")) is Choice.TIE
    assert 0 < settings_of("lazy").answer_seconds < 0.2


def test_every_kind_has_its_settings_and_own_ones_win() -> None:
    assert set(KINDS) == set(get_args(KindName))
    assert settings_of("oracle") == SimulatedSettings()
    assert settings_of("mistake", mistake=0.3, tie_threshold=0.5).mistake == 0.3
    assert settings_of("mistake", mistake=0.0).mistake == 0.1, "0 is the default"
    assert settings_of("adversary", seed=3).seed == 3


@pytest.mark.parametrize("name", ["skip_share", "equal_share", "discount", "alike_mistake"])
def test_impossible_settings_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is "):
        SimulatedSettings(**{name: 1.5})
