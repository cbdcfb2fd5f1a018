"""How simulated teachers rank, rate and recognise, against the papers' probabilities, and over the wire."""

import itertools
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from hitl.errors import ConfigError, Forbidden, NotFound
from hitl.events import Abstention, Choice
from hitl.teachers.answers import RatingScale, rank, rate, recognise
from hitl.teachers.judging import load_goal
from hitl.teachers.program import run_teacher
from hitl.teachers.replay import RecordedTeacher, recorded_answers
from hitl.teachers.simulated import SimulatedSettings, SimulatedTeacher
from tests.hitl.judgements import ANSWERS, KINDS, STEP, ask
from tests.hitl.live import LiveRun, LiveService, eventually

SAMPLES = 20_000


def plackett_luce(order: tuple[int, ...], score: list[float]) -> float:
    """Plackett 1975: the best of those that are left, again and again."""
    chance, left = 1.0, list(range(len(score)))
    for best in order:
        chance *= math.exp(score[best]) / sum(math.exp(score[other]) for other in left)
        left.remove(best)
    return chance


def places(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(order.index(segment) + 1 for segment in range(len(order)))


def check_shares(counts: Counter[Any], chances: dict[Any, float]) -> None:
    assert sum(chances.values()) == pytest.approx(1.0)
    assert set(counts) <= set(chances)
    for what, chance in chances.items():
        # Five standard errors; exact where the chance is 0 or 1.
        error = 5 * math.sqrt(chance * (1 - chance) / SAMPLES)
        assert counts[what] / SAMPLES == pytest.approx(chance, abs=error + 1e-12), what


class TestRanking:
    @pytest.mark.parametrize(("beta", "mistake"), [(1.0, 0.0), (0.5, 0.3), (0.0, 0.0)])
    def test_follows_plackett_luce(self, beta: float, mistake: float) -> None:
        returns, rng = [1.0, -0.5, 2.0, 0.25], np.random.default_rng(0)
        counts = Counter(
            rank(returns, rng, rationality=beta, tie_threshold=0.0, mistake=mistake) for _ in range(SAMPLES)
        )
        chances: Counter[tuple[int, ...]] = Counter()
        for order in itertools.permutations(range(4)):
            chance = plackett_luce(order, [beta * value for value in returns])
            chances[places(order)] += chance * (1 - mistake)
            chances[places(order[::-1])] += chance * mistake
        check_shares(counts, dict(chances))

    def test_is_the_true_order_where_there_is_no_noise(self) -> None:
        rng = np.random.default_rng(0)
        assert rank([1.0, 3.0, 2.0], rng, rationality=None) == (3, 1, 2)
        assert rank([1.0, 3.0, 2.0], rng, rationality=1e9) == (3, 1, 2)
        assert rank([1.0, 3.0, 2.0], rng, rationality=None, mistake=1.0) == (1, 3, 2)
        assert rank([2.0, 2.0, 2.0], rng, rationality=None) == (1, 1, 1)
        assert rank([2.0, 1.0, 2.0], rng, rationality=None, mistake=1.0) == (2, 1, 2)

    def test_of_like_segments_one_place_is_shared_but_not_along_a_chain(self) -> None:
        rng = np.random.default_rng(0)
        assert rank([0.0, 1.0, 2.0], rng, rationality=None, tie_threshold=1.0) == (2, 1, 1)
        assert rank([0.0, 0.5, 3.0, 1.0], rng, rationality=None, tie_threshold=1.0) == (2, 2, 1, 2)
        assert rank([0.0, 1.0], rng, rationality=None, tie_threshold=0.99) == (2, 1)


class TestRating:
    @pytest.mark.parametrize(("beta", "mistake"), [(1.0, 0.0), (2.5, 0.2), (0.0, 0.0)])
    def test_follows_the_cumulative_logit_model(self, beta: float, mistake: float) -> None:
        cuts, true_return, rng = [-1.0, 0.5, 2.0], 0.75, np.random.default_rng(0)
        counts = Counter(
            rate(true_return, cuts, rng, rationality=beta, mistake=mistake) for _ in range(SAMPLES)
        )
        at_most = [1 / (1 + math.exp(-beta * (cut - true_return))) for cut in cuts]
        exactly = np.diff([0.0, *at_most, 1.0])
        chances = {
            point: (1 - mistake) * exactly[point - 1] + mistake * exactly[4 - point] for point in range(1, 5)
        }
        check_shares(counts, chances)

    def test_rises_with_the_return_where_there_is_no_noise(self) -> None:
        cuts, rng = [-1.0, 0.5, 2.0], np.random.default_rng(0)
        rated = [rate(value, cuts, rng, rationality=None) for value in (-9.0, -0.9, 0.6, 2.1)]
        assert rated == [1, 2, 3, 4]
        assert [rate(value, cuts, rng, rationality=None, mistake=1.0) for value in (-9.0, 0.6)] == [4, 2]
        assert [rate(value, cuts, rng, rationality=1e9) for value in (-9.0, 9.0)] == [1, 4]

    def test_a_scale_has_points_of_equal_width(self) -> None:
        assert RatingScale((-1.0, 3.0)).cuts(77.0, 4) == [0.0, 1.0, 2.0]
        assert RatingScale((0.0, 1.0)).cuts(0.0, 2) == [0.5]

    def test_a_scale_without_ends_grows_with_what_is_seen(self) -> None:
        scale, rng = RatingScale(), np.random.default_rng(0)
        rated = [
            rate(value, scale.cuts(value, 7), rng, rationality=None)
            for value in (5.0, 5.0, 12.0, 5.0, 8.6, 0.0)
        ]
        assert rated == [4, 4, 7, 1, 4, 1]
        assert scale.cuts(3.0, 4) == [3.0, 6.0, 9.0]


def test_a_state_is_recognised_but_for_mistakes() -> None:
    rng = np.random.default_rng(0)
    assert recognise(True, rng) is True
    assert recognise(False, rng) is False
    counts = Counter(recognise(True, rng, mistake=0.3) for _ in range(SAMPLES))
    check_shares(counts, {True: 0.7, False: 0.3})


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (0.0, math.nan)])
def test_impossible_ends_of_a_scale_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="rating_range is "):
        SimulatedSettings(rating_range=ends)


def is_late(observation: Any) -> bool:
    return bool(observation[0] >= STEP * 3)


class TestGoals:
    def test_are_found_by_name(self) -> None:
        assert load_goal(f"{__name__}:is_late") is is_late
        for wrong in ("nothing", f"{__name__}:missing", f"{__name__}:SAMPLES"):
            with pytest.raises(ConfigError, match="goal"):
                load_goal(wrong)


@contextmanager
def taught(
    service: LiveService,
    run: LiveRun,
    settings: SimulatedSettings,
    goal: Callable[[Any], bool] | None = None,
) -> Iterator[None]:
    stop, token = threading.Event(), service.token("oracle", "program")
    thread = threading.Thread(
        target=run_teacher,
        args=(service.address, token, run.run_id, settings),
        kwargs={"goal": goal, "stop": stop},
    )
    thread.start()
    yield
    stop.set()
    thread.join(timeout=20)
    assert not thread.is_alive()


class TestPrograms:
    def test_answer_every_kind_of_question(self, service: LiveService, live_run: LiveRun) -> None:
        (pair,) = live_run.ask()
        for kind in KINDS:
            ask(live_run, kind, kind)
        ask(live_run, "goal", "early", step=1)
        settings = SimulatedSettings(rating_range=(0.0, 10.0))
        with taught(service, live_run, settings, is_late):
            eventually(lambda: live_run.cluster.get_run(live_run.run_id).journal_end == 5)
        answers = recorded_answers(service.folder / "feedback.db", live_run.run_id)
        assert answers == {
            pair: Choice.SECOND,
            "ranking": (2, 1, 3),
            "rating": 4,
            "goal": True,
            "early": False,
        }

    def test_know_a_wanted_state_by_its_true_reward(self, service: LiveService, live_run: LiveRun) -> None:
        ask(live_run, "goal", "fast")
        ask(live_run, "goal", "slow", segment_id="slow")
        with taught(service, live_run, SimulatedSettings(goal_reward=2.0)):
            eventually(lambda: live_run.cluster.get_run(live_run.run_id).journal_end == 2)
        answers = recorded_answers(service.folder / "feedback.db", live_run.run_id)
        assert answers == {"fast": True, "slow": False}

    def test_skip_and_err_as_their_settings_say(self, service: LiveService, live_run: LiveRun) -> None:
        for kind in KINDS:
            ask(live_run, kind, *(f"{kind}-{number}" for number in range(40)))
        settings = SimulatedSettings(skip=0.3, mistake=0.4, seed=5, rating_range=(0.0, 10.0), goal_reward=0.0)
        with taught(service, live_run, settings):
            eventually(lambda: live_run.cluster.get_run(live_run.run_id).journal_end == 120)
        answers = recorded_answers(service.folder / "feedback.db", live_run.run_id)
        right = {"ranking": (2, 1, 3), "rating": 4, "goal": True}
        wrong = {"ranking": (2, 3, 1), "rating": 2, "goal": False}
        for kind in KINDS:
            said = Counter(answers[f"{kind}-{number}"] for number in range(40))
            assert said.keys() == {Abstention.SKIP, right[kind], wrong[kind]}
            assert said[Abstention.SKIP] == pytest.approx(12, abs=9)
            assert said[wrong[kind]] == pytest.approx(0.4 * 28, abs=9)

    @pytest.mark.parametrize("kind", KINDS)
    def test_need_true_rewards(self, service: LiveService, live_run: LiveRun, kind: str) -> None:
        ask(live_run, kind, "q")
        teacher: Any = SimulatedTeacher(SimulatedSettings(goal_reward=1.0))
        with service.teacher("program") as client:
            (leased,) = client.lease(live_run.run_id)
        how = {"ranking": teacher.rank, "rating": teacher.rate, "goal": teacher.recognise}[kind]
        with pytest.raises(Forbidden, match="needs a token of the role oracle"):
            how(leased)

    def test_know_no_wanted_state_unless_told(self, service: LiveService, live_run: LiveRun) -> None:
        ask(live_run, "goal", "q")
        with service.teacher("program", "oracle") as client:
            (leased,) = client.lease(live_run.run_id)
        with pytest.raises(ConfigError, match=r"teachers\.goal"):
            SimulatedTeacher(SimulatedSettings()).recognise(leased)  # type: ignore[arg-type]

    def test_say_again_what_was_said(self, service: LiveService, live_run: LiveRun) -> None:
        for kind in KINDS:
            ask(live_run, kind, f"{kind}-said", f"{kind}-skipped", f"{kind}-new")
        record = RecordedTeacher(
            {
                **{f"{kind}-said": ANSWERS[kind] for kind in KINDS},
                **{f"{kind}-skipped": Abstention.SKIP for kind in KINDS},
                "ranking-new": 3,
                "rating-new": True,
                "goal-new": 1,
            }
        )
        hows: dict[str, Any] = {"ranking": record.rank, "rating": record.rate, "goal": record.recognise}
        with service.teacher() as client:
            leased = {one.question_id: one for one in client.lease(live_run.run_id, max_questions=9)}
        for kind, how in hows.items():
            assert how(leased[f"{kind}-said"]) == ANSWERS[kind]
            assert how(leased[f"{kind}-skipped"]) is Abstention.SKIP
            with pytest.raises(NotFound):
                how(leased[f"{kind}-new"])
