"""Rankings, ratings and goals: on the wire, in the journal, and in the hands of teachers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from hitl.client.questions import LeasedGoal, LeasedRanking, LeasedRating
from hitl.errors import Conflict, InvalidRequest, NotFound, NotYours
from hitl.events import Abstention, Choice, Comparison, Goal, Ranking, Rating
from hitl.v1 import types_pb2
from hitl.wire.events import decode_entry, decode_event, encode_event
from hitl.wire.questions import decode_question, encode_question
from tests.hitl.judgements import ANSWERS, KINDS, STEP, WALKS, answer, ask, metric, question, said
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.test_journal import entries_of

LEASED = {"ranking": LeasedRanking, "rating": LeasedRating, "goal": LeasedGoal}


class TestWire:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_question_comes_back_as_it_was(self, kind: str) -> None:
        asked = question(kind, value=0.5, policy_version=4, expire_time=datetime(2030, 1, 2, tzinfo=UTC))
        assert decode_question(encode_question(asked)) == asked
        assert asked.segment_ids == (WALKS if kind == "ranking" else ("fast",))

    @pytest.mark.parametrize(
        ("kind", "given"),
        [
            ("ranking", (1, 1, 1)),
            ("ranking", (3, 1, 2)),
            ("rating", 1),
            ("rating", 5),
            ("goal", True),
            ("goal", False),
            *((kind, abstention) for kind in KINDS for abstention in Abstention),
        ],
    )
    def test_an_answer_comes_back_as_it_was(self, kind: str, given: Any) -> None:
        event = answer(kind, given, thinking_time=timedelta(seconds=1.25))
        back = decode_event(encode_event(event))
        assert back == event
        assert type(said(back)) is type(given)

    @pytest.mark.parametrize(
        ("kind", "field", "spoil"),
        [
            ("ranking", "question.ranking.segment_ids", lambda m: m.ranking.ClearField("segment_ids")),
            (
                "ranking",
                "question.ranking.segment_ids",
                lambda m: m.ranking.segment_ids.__delitem__(slice(1, 3)),
            ),
            ("ranking", "question.ranking.segment_ids", lambda m: m.ranking.segment_ids.append("slow")),
            ("ranking", "question.ranking.segment_ids", lambda m: m.ranking.segment_ids.append("")),
            (
                "ranking",
                "question.ranking.segment_ids",
                lambda m: m.ranking.segment_ids.extend(str(n) for n in range(98)),
            ),
            ("rating", "question.rating.segment_id", lambda m: m.rating.ClearField("segment_id")),
            ("rating", "question.rating.points", lambda m: setattr(m.rating, "points", 1)),
            ("rating", "question.rating.points", lambda m: setattr(m.rating, "points", -7)),
            ("rating", "question.rating.points", lambda m: setattr(m.rating, "points", 101)),
            ("goal", "question.goal.segment_id", lambda m: m.goal.ClearField("segment_id")),
            ("goal", "question.goal.step", lambda m: setattr(m.goal, "step", -1)),
            ("goal", "question.kind", lambda m: m.ClearField("goal")),
        ],
    )
    def test_a_malformed_question_is_refused_by_field(
        self, kind: str, field: str, spoil: Callable[[types_pb2.Question], object]
    ) -> None:
        message = encode_question(question(kind))
        spoil(message)
        with pytest.raises(InvalidRequest) as refused:
            decode_question(message)
        assert str(refused.value).startswith(f"{field}: ")

    @pytest.mark.parametrize(
        ("kind", "field", "spoil"),
        [
            ("ranking", "event.ranking.question_id", lambda m: m.ranking.ClearField("question_id")),
            ("ranking", "event.ranking.ranks", lambda m: m.ranking.ranks.ClearField("ranks")),
            ("ranking", "event.ranking.ranks", lambda m: m.ranking.ranks.ranks.append(4)),
            ("ranking", "event.ranking.ranks", lambda m: m.ranking.ranks.ranks.append(0)),
            ("ranking", "event.ranking.ranks", lambda m: m.ranking.ranks.ranks.append(-1)),
            ("ranking", "event.ranking.answer", lambda m: m.ranking.ClearField("ranks")),
            ("ranking", "event.ranking.answer", lambda m: setattr(m.ranking, "abstention", 77)),
            ("rating", "event.rating.question_id", lambda m: m.rating.ClearField("question_id")),
            ("rating", "event.rating.rating", lambda m: setattr(m.rating, "rating", 0)),
            ("rating", "event.rating.rating", lambda m: setattr(m.rating, "rating", 6)),
            ("rating", "event.rating.points", lambda m: m.rating.ClearField("points")),
            ("rating", "event.rating.answer", lambda m: m.rating.ClearField("rating")),
            ("rating", "event.rating.answer", lambda m: setattr(m.rating, "abstention", 0)),
            ("goal", "event.goal.question_id", lambda m: m.goal.ClearField("question_id")),
            ("goal", "event.goal.step", lambda m: setattr(m.goal, "step", -1)),
            ("goal", "event.goal.answer", lambda m: m.goal.ClearField("reached")),
            ("goal", "event.goal.answer", lambda m: setattr(m.goal, "abstention", 77)),
            *(
                (kind, "event.thinking_time", lambda m: setattr(m.thinking_time, "seconds", -1))
                for kind in KINDS
            ),
        ],
    )
    def test_a_malformed_answer_is_refused_by_field(
        self, kind: str, field: str, spoil: Callable[[types_pb2.FeedbackEvent], object]
    ) -> None:
        message = encode_event(answer(kind, ANSWERS[kind]))
        spoil(message)
        with pytest.raises(InvalidRequest) as refused:
            decode_event(message)
        assert str(refused.value).startswith(f"{field}: ")

    def test_a_kind_of_tomorrow_is_an_entry_without_an_event(self) -> None:
        event = types_pb2.FeedbackEvent(event_id="e", run_id="run")
        message = types_pb2.JournalEntry(offset=3, teacher_id="ann", event=event, segment_ids=["slow"])
        entry = decode_entry(message)
        assert (entry.event, entry.offset, entry.segment_ids) == (None, 3, ("slow",))


class TestAsking:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_question_comes_with_its_segments(
        self, service: LiveService, live_run: LiveRun, kind: str
    ) -> None:
        ask(live_run, kind, "q", value=0.25)
        with service.teacher() as ann:
            (leased,) = ann.lease(live_run.run_id)
        assert type(leased) is LEASED[kind]
        assert leased.question == question(kind, live_run.run_id, value=0.25)
        assert tuple(segment.segment_id for segment in leased.segments) == leased.question.segment_ids
        assert leased.true_rewards is None
        if isinstance(leased, LeasedGoal):
            wanted = live_run.segment("fast").observations["obs"][STEP]
            np.testing.assert_array_equal(leased.state["obs"], wanted)
        if isinstance(leased, LeasedRating):
            assert (leased.points, leased.segment.segment_id) == (5, "fast")

    @pytest.mark.parametrize("kind", KINDS)
    def test_only_oracles_get_true_rewards(self, service: LiveService, live_run: LiveRun, kind: str) -> None:
        ask(live_run, kind, "q")
        with service.teacher("oracle", "oracle") as oracle:
            (leased,) = oracle.lease(live_run.run_id)
        assert leased.true_returns == ((4.0, 8.0, 0.0) if kind == "ranking" else (8.0,))

    def test_a_step_that_the_segment_lacks_is_refused(self, service: LiveService, live_run: LiveRun) -> None:
        ask(live_run, "goal", "last", step=3)
        with pytest.raises(InvalidRequest, match=r"goal\.step is 4, but segment fast has the steps 0 to 3"):
            ask(live_run, "goal", "beyond", step=4)
        with pytest.raises(NotFound, match="no segment elsewhere"):
            ask(live_run, "goal", "nowhere", segment_id="elsewhere")
        with pytest.raises(NotFound, match="no segment elsewhere"):
            ask(live_run, "ranking", "nowhere", segment_ids=("fast", "elsewhere"))
        assert live_run.cluster.get_run(live_run.run_id).open_questions == 1


class TestAnswering:
    @pytest.mark.parametrize("kind", KINDS)
    def test_answers_are_kept_as_they_were_said(
        self, service: LiveService, live_run: LiveRun, kind: str
    ) -> None:
        ask(live_run, kind, "said", "skipped", "unsure")
        with service.teacher("bob") as bob:
            leased: dict[str, Any] = {
                one.question_id: one for one in bob.lease(live_run.run_id, max_questions=9)
            }
            leased["said"].answer(ANSWERS[kind], thinking_time=timedelta(seconds=2))
            leased["skipped"].skip()
            receipt = leased["unsure"].answer(Abstention.CANNOT_TELL)
        entries = entries_of(live_run.cluster, live_run.run_id, 3)
        assert [said(entry.event) for entry in entries] == [
            ANSWERS[kind],
            Abstention.SKIP,
            Abstention.CANNOT_TELL,
        ]
        assert {entry.segment_ids for entry in entries} == {WALKS if kind == "ranking" else ("fast",)}
        first, last = entries[0].event, entries[-1].event
        assert isinstance(first, Ranking | Rating | Goal)
        assert (first.question_id, first.thinking_time) == ("said", timedelta(seconds=2))
        assert last is not None
        assert last.event_id == receipt.event_id
        stands = live_run.cluster.get_run(live_run.run_id)
        assert (stands.answered_questions, stands.open_questions) == (3, 0)

    def test_an_answer_must_be_one_to_its_question(self, service: LiveService, live_run: LiveRun) -> None:
        run_id = live_run.run_id
        (pair,) = live_run.ask()
        for kind in KINDS:
            ask(live_run, kind, kind)
        wrong = [
            *(answer(kind, ANSWERS[kind], run_id, pair) for kind in KINDS),
            *(Comparison(run_id=run_id, question_id=kind, choice=Choice.FIRST) for kind in KINDS),
            answer("rating", Abstention.SKIP, run_id, "goal"),
            answer("goal", Abstention.SKIP, run_id, "rating"),
            answer("ranking", (1, 2), run_id, "ranking"),
            answer("ranking", (1, 2, 3, 4), run_id, "ranking"),
            answer("rating", 3, run_id, "rating", points=7),
            answer("rating", Abstention.SKIP, run_id, "rating", points=7),
            answer("goal", True, run_id, "goal", step=STEP + 1),
            answer("goal", Abstention.SKIP, run_id, "goal", step=0),
        ]
        with service.teacher() as ann:
            results = ann.submit([*wrong, answer("goal", True, run_id, "never asked")])
        assert [type(result) for result in results] == [*[InvalidRequest] * len(wrong), NotFound]
        words = [
            *[f"question {pair} is answered by a comparison, not by a {kind}" for kind in KINDS],
            *[f"question {kind} is answered by a {kind}, not by a comparison" for kind in KINDS],
            "question goal is answered by a goal, not by a rating",
            "question rating is answered by a rating, not by a goal",
            *["is about 3 segments"] * 2,
            *["has 5 points"] * 2,
            *[f"is about step {STEP}"] * 2,
        ]
        for said_so, result in zip(words, results, strict=False):
            assert said_so in str(result)
        entries_of(live_run.cluster, run_id, 0)
        assert live_run.cluster.get_run(run_id).open_questions == 4

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_answer_needs_an_open_question(
        self, service: LiveService, live_run: LiveRun, kind: str
    ) -> None:
        run_id, given = live_run.run_id, ANSWERS[kind]
        ask(live_run, kind, "answered", "leased")
        ask(live_run, kind, "expired", expire_time=datetime.now(UTC) + timedelta(milliseconds=300))
        with service.teacher("ann") as ann, service.teacher("bob") as bob:
            ann.submit([answer(kind, given, run_id, "answered")])
            ann.lease(run_id, max_questions=9)
            eventually(lambda: live_run.cluster.get_run(run_id).closed_questions == 1)
            results = bob.submit(
                [answer(kind, given, run_id, name) for name in ("answered", "expired", "leased")]
            )
        assert [type(result) for result in results] == [NotYours] * 3
        entries_of(live_run.cluster, run_id, 1)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_repeat_counts_once_and_another_body_is_refused(
        self, service: LiveService, live_run: LiveRun, kind: str
    ) -> None:
        ask(live_run, kind, "q")
        event = answer(kind, ANSWERS[kind], live_run.run_id, event_id="mine")
        with service.teacher() as ann:
            (first,) = ann.submit([event])
            other = answer(kind, Abstention.SKIP, live_run.run_id, event_id="mine")
            (again, refused) = ann.submit([event, other])
            ann.retract(live_run.run_id, "mine")
        assert again == first
        assert isinstance(refused, Conflict)
        entries_of(live_run.cluster, live_run.run_id, 2)

    def test_answers_outlive_the_service(self, own_service: LiveService, own_run: LiveRun) -> None:
        for kind in KINDS:
            ask(own_run, kind, kind)
        with own_service.teacher() as ann:
            leased: list[Any] = ann.lease(own_run.run_id, max_questions=3)
            leased[0].answer(ANSWERS["ranking"])
            own_service.kill()
            own_service.start()
            leased[1].answer(ANSWERS["rating"])
            leased[2].answer(ANSWERS["goal"])
        entries = entries_of(own_run.cluster, own_run.run_id, 3)
        assert [said(entry.event) for entry in entries] == [ANSWERS[kind] for kind in KINDS]

    def test_each_is_counted_by_what_it_says(self, own_service: LiveService, own_run: LiveRun) -> None:
        given = {"ranking": (1, 2, 3), "rating": 5, "goal": False}
        for kind in KINDS:
            ask(own_run, kind, f"{kind}-said", f"{kind}-skipped")
        with own_service.teacher() as ann:
            for kind in KINDS:
                ann.submit(
                    [
                        answer(kind, given[kind], own_run.run_id, f"{kind}-said"),
                        answer(kind, Abstention.CANNOT_TELL, own_run.run_id, f"{kind}-skipped"),
                    ]
                )
        labels = {"ranking": "ranks", "rating": "rating", "goal": "no"}
        for kind in KINDS:
            for label in (labels[kind], "cannot_tell"):
                assert metric(own_service, f'hitl_feedback_{kind}s_total{{answer="{label}"}}') == 1
        assert metric(own_service, "hitl_feedback_thinking_duration_seconds_count") == 6
