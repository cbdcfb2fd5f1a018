"""Answers what should be done outlive whoever took them: the service, the reader of labels, and a run."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from gymnasium import spaces

from cluster.feedback.label_reader import LabelReader
from cluster.feedback.service import FeedbackLink
from cluster.loop import imitating
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from hitl.events import Abstention, Relabel, RelabelQuestion
from hitl.stages import ActionSpace
from tests.cluster.dial_people import QUESTIONS, Telling, agreement, opened, run_config, state_of, train
from tests.hitl.live import LiveRun, LiveService, eventually


def reader_of(link: FeedbackLink) -> LabelReader:
    seen = spaces.Box(-np.inf, np.inf, (3,))
    return LabelReader(seen, spaces.Discrete(4), heldout_share=0.0, most_labels=None, link=link)


def known(reader: LabelReader) -> list[tuple[list[float], int]]:
    newest = reader.take([]).newest
    if newest is None:
        return []
    labels = ray.get(newest.boxed[0])
    return [
        (state.tolist(), int(action))
        for state, action in zip(labels.observation_BO, labels.action_BA, strict=True)
    ]


@pytest.fixture
def asked_run(tmp_path: Path) -> Iterator[tuple[LiveService, LiveRun, FeedbackLink]]:
    own_service = LiveService(tmp_path / "folder")
    link = opened(own_service, "told")
    with own_service.cluster() as client:
        run = LiveRun(replace(link.run, epoch=link.epoch), client)
        run.publish("walk")
        space = ActionSpace(choices=(4,), single=True)
        client.ask(
            run.run,
            [
                RelabelQuestion(
                    question_id=f"q{n}", run_id="told", segment_id="walk", step=n, action_space=space
                )
                for n in range(4)
            ],
        )
        yield own_service, run, link
    own_service.kill()


def test_answers_are_labels_until_they_are_taken_back_and_outlive_the_service(
    ray_session: str, asked_run: tuple[LiveService, LiveRun, FeedbackLink]
) -> None:
    service, run, link = asked_run
    states = np.asarray(run.segment("walk").observations["obs"]).tolist()

    def say(question: int, answer: Any) -> Relabel:
        return Relabel(run_id="told", question_id=f"q{question}", step=question, answer=answer)

    first, skipped, last = say(2, np.array(3)), say(1, Abstention.SKIP), say(0, np.array(1))
    reader = reader_of(link)
    with service.teacher("ann") as ann:
        ann.submit([first, skipped])
        # Between the answer and the learning.
        service.kill()
        service.start()
        ann.submit([last])
        wanted = [(states[2], 3), (states[0], 1)]
        eventually(lambda: known(reader) == wanted, seconds=60)
        state = reader.take([])
        assert (state.relabels, state.skipped, state.corrected) == (3, 1, 0)
        before = state.newest
        ann.retract("told", first.event_id)
        eventually(lambda: known(reader) == wanted[1:])
    after = reader.take([]).newest
    assert before is not None
    assert after is not None
    assert after.version > before.version
    # One who is new reads it all from the journal.
    again = reader_of(link)
    eventually(lambda: again.take([]).relabels == 3 and known(again) == wanted[1:])


@pytest.mark.usefixtures("ray_session")
class TestRuns:
    @pytest.mark.parametrize("strategy", ["random", "doubt"])
    @pytest.mark.parametrize("killed", ["after its end", "in a round", "between rounds"])
    def test_a_run_goes_on_to_the_same_bits(
        self,
        service: LiveService,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        strategy: str,
        killed: str,
    ) -> None:
        # A round in every second update: what was learnt before the checkpoint is not learnt again behind it.
        questions = QUESTIONS | {"strategy": strategy, "round_env_steps": 150}
        config = run_config(imitation={"questions": questions, "help": {"members": 2}})
        name = f"whole {strategy} {killed}"
        whole = HITL(HITLConfig.from_run(config, opened(service, name)))
        # Who is quicker does not matter.
        with Telling(service, name, people=2) as teacher:
            train(whole, 6, checkpoint=(3, tmp_path / "checkpoint"))
        assert len(teacher.asked) == 36
        run_id, folder, answered = name, tmp_path / "checkpoint", 36
        if killed != "after its end":
            run_id, folder, answered = (
                f"{name} again",
                tmp_path / "life",
                29 if killed == "in a round" else 24,
            )
            lost = HITLConfig.from_run(config, opened(service, run_id))
            with Telling(service, run_id, most=answered), monkeypatch.context() as patch:
                patch.setattr(imitating, "ANSWER_SECONDS", 3.0)
                life = HITL(lost)
                train(life, 4, checkpoint=(3, folder))
                if killed == "in a round":
                    with pytest.raises(ray.exceptions.RayTaskError, match="had no answer"):
                        train(life, 6)
                life.stop()
        resumed = HITL(HITLConfig.from_run(config, opened(service, run_id)))
        resumed.restore_from_path(str(folder))
        with Telling(service, run_id) as again:
            train(resumed, 6)
        assert again.asked.keys() <= teacher.asked.keys()
        assert len(again.asked) == 36 - answered
        expected = whole.network_state
        for array_name, value in resumed.network_state.items():
            np.testing.assert_array_equal(value, expected[array_name])
        assert state_of(resumed).relabels == state_of(whole).relabels == 36
        whole.stop()
        resumed.stop()

    def test_an_overlapped_run_waits_for_nobody_and_goes_on_with_what_is_in_the_journal(
        self, service: LiveService, tmp_path: Path
    ) -> None:
        config = run_config(mode="overlapped", imitation={"questions": QUESTIONS | {"max_open": 12}})
        algorithm = HITL(HITLConfig.from_run(config, opened(service, "overlapped")))
        service.kill()
        train(algorithm, 5)
        service.start()
        with service.cluster() as client:
            eventually(lambda: client.get_run("overlapped").open_questions == 12, seconds=60)
        train(algorithm, 9)
        assert state_of(algorithm).open_relabels == 12, "no more than that wait for a teacher"
        assert algorithm.policy_version == 1
        with Telling(service, "overlapped"):
            end = time.monotonic() + 60
            while state_of(algorithm).relabels < 60:
                assert time.monotonic() < end, state_of(algorithm)
                algorithm.train()
        algorithm.train()
        assert agreement(algorithm) > 0.8
        algorithm.save_to_path(tmp_path / "checkpoint")
        algorithm.stop()
        later = HITL(HITLConfig.from_run(config, opened(service, "overlapped")))
        later.restore_from_path(str(tmp_path / "checkpoint"))
        eventually(lambda: later.train() and state_of(later).relabels == 60)
        assert state_of(later).open_relabels == 0
        later.stop()
