"""Questions what should be done in a visited state: on the wire, in the journal, and in the hands of teachers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from hitl.client.questions import LeasedPair, LeasedRelabel
from hitl.errors import InvalidRequest, NotFound, NotYours
from hitl.events import Abstention, Choice, Comparison, Relabel, RelabelQuestion, Retraction
from hitl.v1 import types_pb2
from hitl.wire.events import decode_event, encode_event
from hitl.wire.questions import decode_question, encode_question
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.relabels import ACTIONS, BOX, PAIR, SPACES, STEP, ask, question, relabel, said
from tests.hitl.test_journal import entries_of


class TestWire:
    @pytest.mark.parametrize("kind", SPACES)
    def test_a_question_comes_back_as_it_was(self, kind: str) -> None:
        asked = question(
            action_space=SPACES[kind],
            value=0.5,
            policy_version=4,
            expire_time=datetime(2030, 1, 2, tzinfo=UTC),
        )
        back = decode_question(encode_question(asked))
        assert back == asked
        assert isinstance(back, RelabelQuestion)
        assert back.segment_ids == ("walk",)
        assert str(back.action_space) == str(SPACES[kind])

    @pytest.mark.parametrize("answer", [*ACTIONS.values(), *Abstention], ids=str)
    def test_an_answer_comes_back_as_it_was(self, answer: Any) -> None:
        event = Relabel(
            run_id="run", question_id="question", step=3, answer=answer, thinking_time=timedelta(seconds=1.25)
        )
        back = decode_event(encode_event(event))
        assert back == event
        assert isinstance(back, Relabel)
        if isinstance(answer, Abstention):
            assert back.answer is answer
        else:
            np.testing.assert_array_equal(back.answer, answer, strict=True)

    @pytest.mark.parametrize(
        ("field", "spoil"),
        [
            ("question.relabel.segment_id", lambda m: m.relabel.ClearField("segment_id")),
            ("question.relabel.step", lambda m: setattr(m.relabel, "step", -1)),
            ("question.relabel.action_space", lambda m: m.relabel.ClearField("action_space")),
            ("question.relabel.action_space", lambda m: setattr(m.relabel.action_space, "discrete", 0)),
            ("question.kind", lambda m: m.ClearField("relabel")),
        ],
    )
    def test_a_malformed_question_is_refused_by_field(
        self, field: str, spoil: Callable[[types_pb2.Question], object]
    ) -> None:
        message = encode_question(question())
        spoil(message)
        with pytest.raises(InvalidRequest) as refused:
            decode_question(message)
        assert str(refused.value).startswith(f"{field}: ")

    @pytest.mark.parametrize(
        ("field", "spoil"),
        [
            ("event.relabel.question_id", lambda m: m.relabel.ClearField("question_id")),
            ("event.relabel.step", lambda m: setattr(m.relabel, "step", -1)),
            ("event.relabel.answer", lambda m: m.relabel.ClearField("action")),
            ("event.relabel.answer", lambda m: setattr(m.relabel, "abstention", 0)),
            ("event.relabel.answer", lambda m: setattr(m.relabel, "abstention", 77)),
            ("event.relabel.action", lambda m: m.relabel.action.ClearField("dtype")),
            ("event.thinking_time", lambda m: setattr(m.thinking_time, "seconds", -1)),
        ],
    )
    def test_a_malformed_answer_is_refused_by_field(
        self, field: str, spoil: Callable[[types_pb2.FeedbackEvent], object]
    ) -> None:
        message = encode_event(Relabel(run_id="run", question_id="q", step=0, answer=np.array(1)))
        spoil(message)
        with pytest.raises(InvalidRequest) as refused:
            decode_event(message)
        assert str(refused.value).startswith(f"{field}: ")


class TestAsking:
    def test_a_question_comes_with_its_state_and_what_can_be_done(
        self, service: LiveService, live_run: LiveRun
    ) -> None:
        ask(live_run, "q", action_space=BOX, value=0.25)
        with service.teacher() as ann:
            (leased,) = ann.lease(live_run.run_id)
        assert isinstance(leased, LeasedRelabel)
        assert leased.question == question(live_run.run_id, "q", value=0.25)
        assert (leased.segment.segment_id, leased.step, len(leased.segment)) == ("walk", STEP, 4)
        assert str(leased.action_space) == str(BOX)
        assert leased.state.keys() == {"obs"}
        np.testing.assert_array_equal(leased.state["obs"], live_run.segment("walk").observations["obs"][STEP])
        assert leased.true_rewards is None

    def test_all_kinds_wait_in_one_line(self, service: LiveService, live_run: LiveRun) -> None:
        (pair,) = live_run.ask(value=0.5)
        ask(live_run, "dull", value=0.1)
        ask(live_run, "good", value=0.9)
        with service.teacher() as ann:
            leased = ann.lease(live_run.run_id, max_questions=9)
        assert [one.question_id for one in leased] == ["good", pair, "dull"]
        assert [type(one) for one in leased] == [LeasedRelabel, LeasedPair, LeasedRelabel]

    def test_a_step_that_the_segment_lacks_is_refused(self, service: LiveService, live_run: LiveRun) -> None:
        ask(live_run, "last", step=3)
        with pytest.raises(
            InvalidRequest, match=r"relabel\.step is 4, but segment walk has the steps 0 to 3"
        ):
            ask(live_run, "beyond", step=4)
        with pytest.raises(NotFound, match="no segment elsewhere"):
            ask(live_run, "nowhere", segment_id="elsewhere")
        assert live_run.cluster.get_run(live_run.run_id).open_questions == 1


class TestAnswering:
    def test_answers_are_kept_as_they_were_said(self, service: LiveService, live_run: LiveRun) -> None:
        ask(live_run, "action", "skipped", "unsure", "number")
        with service.teacher("bob") as bob:
            leased = {one.question_id: one for one in bob.lease(live_run.run_id, max_questions=9)}
            leased["action"].answer(np.array(3), thinking_time=timedelta(seconds=2))
            leased["skipped"].skip()
            leased["unsure"].answer(Abstention.CANNOT_TELL)
            receipt = leased["number"].answer(1)
        entries = entries_of(live_run.cluster, live_run.run_id, 4)
        assert [said(entry) for entry in entries] == [3, Abstention.SKIP, Abstention.CANNOT_TELL, 1]
        assert {entry.segment_ids for entry in entries} == {("walk",)}
        assert {entry.teacher_id for entry in entries} == {"bob"}
        first, last = entries[0].event, entries[-1].event
        assert isinstance(first, Relabel)
        assert (first.question_id, first.step, first.thinking_time) == ("action", STEP, timedelta(seconds=2))
        assert last is not None
        assert last.event_id == receipt.event_id
        stands = live_run.cluster.get_run(live_run.run_id)
        assert (stands.answered_questions, stands.open_questions) == (4, 0)

    def test_numbers_become_actions_of_the_space(self, service: LiveService, live_run: LiveRun) -> None:
        ask(live_run, "box", action_space=BOX)
        ask(live_run, "several", action_space=PAIR)
        with service.teacher() as ann:
            answers = {"box": [1, 2], "several": (1, 0)}
            for one in ann.lease(live_run.run_id, max_questions=2):
                one.answer(answers[one.question_id])
        entries = entries_of(live_run.cluster, live_run.run_id, 2)
        assert sorted(said(entry) for entry in entries) == [[1, 0], [1.0, 2.0]]

    @pytest.mark.parametrize(
        ("kind", "action"),
        [
            ("discrete", np.array(4)),
            ("discrete", np.array(-1)),
            ("discrete", np.array([1])),
            ("discrete", np.array(1.0)),
            ("several", np.array([1, 3])),
            ("several", np.array(1)),
            ("box", np.array([0.0, 2.5], np.float32)),
            ("box", np.array([0.0, np.nan], np.float32)),
            ("box", np.array([0, 1])),
            ("box", np.array([[0.0, 1.0]])),
        ],
        ids=str,
    )
    def test_what_cannot_be_done_is_refused(
        self, service: LiveService, live_run: LiveRun, kind: str, action: Any
    ) -> None:
        ask(live_run, "q", action_space=SPACES[kind])
        with service.teacher() as ann:
            (result,) = ann.submit([relabel(live_run, "q", action)])
            assert isinstance(result, InvalidRequest)
            assert str(result).startswith("relabel.action")
            # The question is still there to be answered.
            ann.submit([relabel(live_run, "q", ACTIONS[kind])])
        entries_of(live_run.cluster, live_run.run_id, 1)

    def test_an_answer_must_be_one_to_its_question(self, service: LiveService, live_run: LiveRun) -> None:
        (pair,) = live_run.ask()
        ask(live_run, "q")
        with service.teacher() as ann:
            results = ann.submit(
                [
                    Comparison(run_id=live_run.run_id, question_id="q", choice=Choice.FIRST),
                    relabel(live_run, pair, np.array(1)),
                    relabel(live_run, pair, Abstention.SKIP),
                    relabel(live_run, "q", np.array(1), step=STEP + 1),
                    relabel(live_run, "q", Abstention.SKIP, step=0),
                    relabel(live_run, "never asked", np.array(1)),
                ]
            )
        assert [type(result) for result in results] == [*[InvalidRequest] * 5, NotFound]
        assert "question q is answered by a relabel, not by a comparison" in str(results[0])
        assert f"question {pair} is answered by a comparison, not by a relabel" in str(results[1])
        assert f"is about step {STEP}" in str(results[3])
        entries_of(live_run.cluster, live_run.run_id, 0)
        assert live_run.cluster.get_run(live_run.run_id).open_questions == 2

    def test_an_answer_needs_an_open_question(self, service: LiveService, live_run: LiveRun) -> None:
        ask(live_run, "answered", "leased")
        soon = datetime.now(UTC) + timedelta(milliseconds=300)
        ask(live_run, "expired", expire_time=soon)
        with service.teacher("ann") as ann, service.teacher("bob") as bob:
            ann.submit([relabel(live_run, "answered", np.array(1))])
            mine = ann.lease(live_run.run_id, max_questions=9)
            assert "leased" in {one.question_id for one in mine}
            eventually(lambda: live_run.cluster.get_run(live_run.run_id).closed_questions == 1)
            results = bob.submit(
                [relabel(live_run, name, np.array(2)) for name in ("answered", "expired", "leased")]
            )
        assert [type(result) for result in results] == [NotYours] * 3
        for words, result in zip(
            ("is answered already", "has expired", "another teacher"), results, strict=True
        ):
            assert words in str(result)
        entries_of(live_run.cluster, live_run.run_id, 1)

    def test_an_answer_can_be_taken_back_by_whoever_gave_it(
        self, service: LiveService, live_run: LiveRun
    ) -> None:
        ask(live_run, "q")
        with service.teacher("ann") as ann, service.teacher("bob") as bob:
            (leased,) = ann.lease(live_run.run_id)
            receipt = leased.answer(2)
            with pytest.raises(NotFound):
                bob.retract(live_run.run_id, receipt.event_id)
            ann.retract(live_run.run_id, receipt.event_id)
        event = entries_of(live_run.cluster, live_run.run_id, 2)[1].event
        assert isinstance(event, Retraction)
        assert event.retracted_event_id == receipt.event_id

    def test_answers_outlive_the_service(self, own_service: LiveService, own_run: LiveRun) -> None:
        ask(own_run, "before", "after")
        with own_service.teacher() as ann:
            first, second = ann.lease(own_run.run_id, max_questions=2)
            first.answer(1)
            own_service.kill()
            own_service.start()
            second.answer(3)
        assert [said(entry) for entry in entries_of(own_run.cluster, own_run.run_id, 2)] == [1, 3]
