import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain

import numpy as np
import pytest

from hitl.client.questions import LeasedQuestion
from hitl.errors import ConfigError, Forbidden, NotFound, StorageError
from hitl.events import Choice, Comparison
from hitl.teachers.program import run_teacher, teach
from hitl.teachers.replay import RecordedTeacher, recorded_answers
from hitl.teachers.simulated import SimulatedSettings, SimulatedTeacher, answer, question_rng
from tests.hitl.live import START_SECONDS, LiveRun, LiveService

SAMPLES = 20_000


def chances_by_the_paper(
    first: np.ndarray, second: np.ndarray, *, beta: float, mistake: float, skip: float, equal: float
) -> dict[Choice, float]:
    """B-Pref, section 3.1, equation 4, case by case: skip, equal, Boltzmann, and then the mistake."""
    if abs(first.sum() - second.sum()) <= equal:
        return {Choice.SKIP: skip, Choice.TIE: 1 - skip}
    chooses_first = math.exp(beta * first.sum()) / (
        math.exp(beta * first.sum()) + math.exp(beta * second.sum())
    )
    says_first = chooses_first * (1 - mistake) + (1 - chooses_first) * mistake
    return {
        Choice.SKIP: skip,
        Choice.FIRST: (1 - skip) * says_first,
        Choice.SECOND: (1 - skip) * (1 - says_first),
    }


@pytest.mark.parametrize(
    ("beta", "mistake", "skip", "equal"),
    [
        (1.0, 0.0, 0.0, 0.0),
        (0.5, 0.1, 0.2, 0.0),
        (3.0, 0.4, 0.0, 0.5),
        (1.0, 0.3, 0.25, 2.0),
        (0.0, 0.0, 0.0, 0.0),
    ],
)
def test_answers_follow_the_paper(beta: float, mistake: float, skip: float, equal: float) -> None:
    first, second = np.array([0.5, 1.0, -0.25]), np.array([0.0, 0.5, 0.0])
    settings = SimulatedSettings(rationality=beta, mistake=mistake, skip=skip, tie_threshold=equal)
    rng = np.random.default_rng(0)
    counts = Counter(answer(first, second, rng, settings) for _ in range(SAMPLES))
    chances = chances_by_the_paper(first, second, beta=beta, mistake=mistake, skip=skip, equal=equal)
    for choice in Choice:
        chance = chances.get(choice, 0.0)
        # Five standard errors; exact where the chance is 0 or 1.
        error = 5 * math.sqrt(chance * (1 - chance) / SAMPLES)
        assert counts[choice] / SAMPLES == pytest.approx(chance, abs=error + 1e-12)


def test_a_rational_teacher_always_takes_the_better_one() -> None:
    better, worse = np.array([1.0, 0.01]), np.array([1.0, 0.0])
    for seed in range(50):
        rng = np.random.default_rng(seed)
        assert answer(better, worse, rng, SimulatedSettings()) is Choice.FIRST
        assert answer(worse, better, rng, SimulatedSettings()) is Choice.SECOND
        assert answer(better, better, rng, SimulatedSettings()) is Choice.TIE
        assert answer(better, worse, rng, SimulatedSettings(mistake=1.0)) is Choice.SECOND
        assert answer(better, better, rng, SimulatedSettings(mistake=1.0)) is Choice.TIE
        assert answer(better, worse, rng, SimulatedSettings(mistake=1.0, skip=1.0)) is Choice.SKIP


def test_great_differences_do_not_overflow() -> None:
    settings = SimulatedSettings(rationality=1e6)
    great, small = np.array([1e6]), np.array([-1e6])
    assert answer(great, small, np.random.default_rng(0), settings) is Choice.FIRST
    assert answer(small, great, np.random.default_rng(0), settings) is Choice.SECOND


def test_chance_is_a_function_of_seed_and_question() -> None:
    def draws(seed: int, question_id: str) -> list[float]:
        return list(question_rng(seed, question_id).random(3))

    assert draws(1, "a") == draws(1, "a")
    assert len({tuple(draws(seed, question_id)) for seed in (1, 2) for question_id in "ab"}) == 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"mistake": 1.5},
        {"skip": -0.1},
        {"rationality": -1.0},
        {"tie_threshold": -1.0},
        {"answer_seconds": -1.0},
        {"answers_per_second": 0.0},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"{name} is "):
        SimulatedSettings(**wrong)  # type: ignore[arg-type]


def test_answering_takes_time_on_average(service: LiveService, live_run: LiveRun) -> None:
    live_run.ask(200)
    teacher = SimulatedTeacher(SimulatedSettings(answer_seconds=2.0))
    with service.teacher(role="oracle") as client:
        leased = client.lease(live_run.run_id, max_questions=100) + client.lease(
            live_run.run_id, max_questions=100
        )
    times = [teacher.thinking_seconds(question) for question in leased]
    assert len(times) == 200
    assert np.mean(times) == pytest.approx(2.0, abs=0.4)
    assert np.std(times) == pytest.approx(1.0, abs=0.25), "of a gamma distribution with shape 4"
    assert min(times) > 0
    assert len(set(times)) == 200


def answers_of(live_run: LiveRun, count: int) -> dict[str, Choice]:
    """Wait for so many entries of the journal; return the answers by question."""
    answers: dict[str, Choice] = {}
    for entry in chain.from_iterable(live_run.cluster.tail(live_run.run_id)):
        assert isinstance(entry.event, Comparison)
        assert entry.event.question_id not in answers
        answers[entry.event.question_id] = entry.event.choice
        if len(answers) == count:
            return answers
    raise AssertionError("the tail ended")


@contextmanager
def teacher_process(
    service: LiveService, run_id: str, settings: SimulatedSettings, name: str
) -> Iterator[subprocess.Popen[bytes]]:
    program = (
        "import json, os, sys\n"
        "from hitl.teachers.program import run_teacher\n"
        "from hitl.teachers.simulated import SimulatedSettings\n"
        "settings = SimulatedSettings(**json.loads(sys.argv[3]))\n"
        "sys.exit(run_teacher(sys.argv[1], os.environ['HANDRAIL_TOKEN'], sys.argv[2], settings))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, service.address, run_id, json.dumps(asdict(settings))],
        env={**os.environ, "HANDRAIL_TOKEN": service.token("oracle", name)},
    )
    try:
        yield process
        assert process.poll() is None, "the teacher ended by itself"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=START_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


def test_teacher_processes_answer_and_survive_a_restart(own_service: LiveService, own_run: LiveRun) -> None:
    settings = SimulatedSettings(rationality=0.2, mistake=0.1, skip=0.1, seed=3)
    with (
        teacher_process(own_service, own_run.run_id, settings, "first"),
        teacher_process(own_service, own_run.run_id, settings, "second"),
    ):
        before = own_run.ask(20)
        assert set(answers_of(own_run, 20)) == set(before)
        own_service.kill()
        own_service.start()
        after = own_run.ask(20)
        answers = answers_of(own_run, 40)
    assert set(answers) == {*before, *after}
    rewards = (np.full(4, 1.0), np.full(4, 2.0))
    for question_id, choice in answers.items():
        assert choice is answer(*rewards, question_rng(settings.seed, question_id), settings)
    assert len(set(answers.values())) > 1, "with these settings not every answer is the same"


def test_a_teacher_waits_for_its_run_and_ends_when_told(service: LiveService, live_run: LiveRun) -> None:
    stop = threading.Event()
    codes: list[int] = []
    token = service.token("oracle")
    thread = threading.Thread(
        target=lambda: codes.append(
            run_teacher(service.address, token, "opened later", SimulatedSettings(), stop=stop)
        )
    )
    thread.start()
    later = LiveRun(live_run.cluster.open_run("opened later", "task"), live_run.cluster)
    (question_id,) = later.ask()
    assert answers_of(later, 1) == {question_id: Choice.SECOND}
    stop.set()
    thread.join(timeout=20)
    assert codes == [0]


def test_a_teacher_of_a_run_that_nobody_opens_gives_up(service: LiveService) -> None:
    with pytest.raises(NotFound, match="no run nowhere"):
        run_teacher(
            service.address, service.token("oracle"), "nowhere", SimulatedSettings(), wait_for_run_seconds=0
        )


def test_a_teacher_without_the_role_oracle_says_what_it_needs(
    service: LiveService, live_run: LiveRun
) -> None:
    live_run.ask()
    with pytest.raises(Forbidden, match="needs a token of the role oracle"):
        run_teacher(service.address, service.token("teacher"), live_run.run_id, SimulatedSettings())


def test_a_teacher_that_is_told_to_stop_gives_its_question_back(
    service: LiveService, live_run: LiveRun
) -> None:
    (question_id,) = live_run.ask()
    stop = threading.Event()
    asked = threading.Event()

    class Slow(SimulatedTeacher):
        def thinking_seconds(self, question: LeasedQuestion) -> float:
            asked.set()
            return 60.0

    with service.teacher("slow", "oracle") as client, service.teacher("bob") as bob:
        slow = Slow(SimulatedSettings())
        thread = threading.Thread(target=teach, args=(client, live_run.run_id, slow, stop))
        thread.start()
        assert asked.wait(20)
        stop.set()
        thread.join(timeout=20)
        assert not thread.is_alive()
        assert [question.question_id for question in bob.lease(live_run.run_id)] == [question_id]


class TestReplay:
    def test_says_again_what_was_said(self, service: LiveService, live_run: LiveRun) -> None:
        ids = live_run.ask(3)
        choices = [Choice.FIRST, Choice.SECOND, Choice.CANNOT_TELL]
        with service.teacher() as ann:
            taken_back = Comparison(run_id=live_run.run_id, question_id=ids[0], choice=choices[0])
            ann.submit([taken_back])
            for question_id, choice in zip(ids[1:], choices[1:], strict=True):
                ann.compare(live_run.run_id, question_id, choice)
            answers = recorded_answers(service.folder / "feedback.db", live_run.run_id)
            assert answers == dict(zip(ids, choices, strict=True))
            ann.retract(live_run.run_id, taken_back.event_id)
        answers = recorded_answers(service.folder / "feedback.db", live_run.run_id)
        assert answers == dict(zip(ids[1:], choices[1:], strict=True))

    def test_runs_as_any_teacher(self, service: LiveService, live_run: LiveRun) -> None:
        ids = live_run.ask(3)
        record = dict(zip(ids, [Choice.TIE, Choice.SKIP, Choice.FIRST], strict=True))
        stop = threading.Event()
        with service.teacher() as client:
            thread = threading.Thread(
                target=teach, args=(client, live_run.run_id, RecordedTeacher(record), stop)
            )
            thread.start()
            assert answers_of(live_run, 3) == record
            stop.set()
            thread.join(timeout=20)

    def test_of_an_unknown_question_is_refused(self, service: LiveService, live_run: LiveRun) -> None:
        live_run.ask()
        with service.teacher() as client, pytest.raises(NotFound, match="the record has no answer"):
            teach(client, live_run.run_id, RecordedTeacher({}), threading.Event())

    def test_of_no_journal_is_refused(self, service: LiveService) -> None:
        with pytest.raises(ConfigError, match=r"name the feedback\.db"):
            recorded_answers(service.folder / "nothing.db", "run")
        with pytest.raises(StorageError, match="not a database"):
            recorded_answers(service.folder / "secret", "run")
