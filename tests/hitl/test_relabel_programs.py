"""Programs that are asked what should be done in a visited state."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from hitl.errors import ConfigError, NotFound
from hitl.events import Abstention, Choice
from hitl.teachers.program import run_teacher
from hitl.teachers.replay import RecordedTeacher, recorded_answers
from hitl.teachers.simulated import SimulatedSettings, SimulatedTeacher, question_rng
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.relabels import STEP, ask


class Sum:
    """An expert: the sum of what it sees, modulo four."""

    def act(self, observation: Any, /) -> int:
        return int(observation.sum()) % 4


WANTED = int(np.arange(12).reshape(4, 3)[STEP].sum()) % 4
"""By `Sum`, in the state of the question."""


@contextmanager
def taught(service: LiveService, run: LiveRun, settings: SimulatedSettings) -> Iterator[None]:
    stop = threading.Event()
    token = service.token("oracle", "program")
    arguments = (service.address, token, run.run_id, settings)
    thread = threading.Thread(target=run_teacher, args=arguments, kwargs={"expert": Sum(), "stop": stop})
    thread.start()
    yield
    stop.set()
    thread.join(timeout=20)
    assert not thread.is_alive()


class TestPrograms:
    def test_say_what_their_expert_would_do(self, service: LiveService, live_run: LiveRun) -> None:
        pairs = live_run.ask(3)
        ask(live_run, "one", "two")
        with taught(service, live_run, SimulatedSettings()):
            eventually(lambda: live_run.cluster.get_run(live_run.run_id).journal_end == 5)
        answers = recorded_answers(service.folder / "feedback.db", live_run.run_id)
        assert {name: answers[name] for name in ("one", "two")} == {"one": WANTED, "two": WANTED}
        assert {answers[name] for name in pairs} == {Choice.SECOND}

    def test_skip_and_err_as_their_settings_say(self, service: LiveService, live_run: LiveRun) -> None:
        ids = [f"q{number}" for number in range(60)]
        ask(live_run, *ids)
        settings = SimulatedSettings(skip=0.3, mistake=0.4, seed=5)
        with taught(service, live_run, settings):
            eventually(lambda: live_run.cluster.get_run(live_run.run_id).journal_end == 60)
        answers = recorded_answers(service.folder / "feedback.db", live_run.run_id)
        policys = STEP
        assert policys != WANTED
        for question_id in ids:
            rng = question_rng(settings.seed, question_id)
            skips, errs = rng.random() < 0.3, rng.random() < 0.4
            assert answers[question_id] == (Abstention.SKIP if skips else policys if errs else WANTED)
        assert len({str(answer) for answer in answers.values()}) == 3

    def test_know_nothing_without_an_expert(self, service: LiveService, live_run: LiveRun) -> None:
        ask(live_run, "q")
        with service.teacher("program", "oracle") as client:
            (leased,) = client.lease(live_run.run_id)
            with pytest.raises(ConfigError, match=r"teachers\.expert"):
                SimulatedTeacher(SimulatedSettings()).relabel(leased)

    def test_say_again_what_was_said(self, service: LiveService, live_run: LiveRun) -> None:
        ask(live_run, "q", "skipped", "new")
        record = RecordedTeacher({"q": np.array(2), "skipped": Abstention.SKIP, "new": Choice.TIE})
        with service.teacher() as client:
            leased = {one.question_id: one for one in client.lease(live_run.run_id, max_questions=3)}
        assert record.relabel(leased["q"]) == 2
        assert record.relabel(leased["skipped"]) is Abstention.SKIP
        with pytest.raises(NotFound):
            record.relabel(leased["new"])
        with pytest.raises(NotFound):
            record.choose(leased["q"])
