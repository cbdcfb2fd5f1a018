"""Demonstrations: steps and event become durable together, once, and whole."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from hitl.client.teaching import TeacherClient
from hitl.demonstrations import Piece
from hitl.errors import Busy, Conflict, Forbidden, InvalidRequest, NotFound
from hitl.events import Demonstration, Outcome, Retraction, Segment, Signal
from hitl.teachers import demonstrator
from hitl.teachers.cartpole import Balancer
from hitl.teachers.demonstrator import demonstrate
from hitl.wire.demonstrations import MAX_STEPS, decode_piece, encode_piece, event_of
from hitl.wire.events import decode_event, encode_event
from tests.hitl.judgements import metric
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.test_journal import entries_of

pytestmark = pytest.mark.both_databases

STEPS = 120


def piece(run_id: str = "run", *, steps: int = STEPS, **options: Any) -> Piece:
    known: dict[str, Any] = {
        "episode": 3,
        "begin": 7,
        "observations": {"obs": np.arange(steps * 2, dtype=np.float32).reshape(steps, 2)},
        "actions": np.arange(steps) % 4,
        "outcome": Outcome(observations={"obs": np.array([-1.0, -2.0], np.float32)}, terminated=True),
        "event_id": "shown",
    }
    return Piece(run_id=run_id, **known | options)


def segments_of(run: LiveRun, ids: tuple[str, ...]) -> list[Segment]:
    known = {segment.segment_id: segment for segment in run.cluster.get_segments(run.run_id, sorted(ids))}
    return [known[segment_id] for segment_id in ids]


def test_a_piece_comes_back_as_it_was() -> None:
    sent = piece()
    back = decode_piece(encode_piece(sent))
    assert back == sent
    np.testing.assert_array_equal(back.observations["obs"], sent.observations["obs"], strict=True)
    np.testing.assert_array_equal(back.actions, sent.actions, strict=True)
    assert back.outcome is not None
    assert back.outcome.terminated
    assert decode_event(encode_event(event_of(sent))) == event_of(sent)


def test_steps_and_event_are_kept(service: LiveService, live_run: LiveRun) -> None:
    sent = piece(live_run.run_id)
    with service.teacher("bob") as bob:
        receipt = bob.demonstrate(sent)
    (entry,) = entries_of(live_run.cluster, live_run.run_id, 1)
    event = entry.event
    assert isinstance(event, Demonstration)
    assert (event.episode, event.begin, event.end, event.event_id) == (3, 7, 7 + STEPS, "shown")
    assert (entry.teacher_id, entry.offset, receipt.offset) == ("bob", 0, 0)
    parts = segments_of(live_run, entry.segment_ids)
    assert [len(part) for part in parts] == [50, 50, 20]
    assert [(part.address.begin, part.address.end) for part in parts] == [(7, 57), (57, 107), (107, 127)]
    for part in parts:
        assert (part.address.source, part.address.episode) == ("demonstration-bob", 3)
        assert (part.address.run_id, part.address.task_id) == (live_run.run_id, live_run.run.task_id)
        assert part.showing is None
    observations = np.concatenate([part.observations["obs"] for part in parts])
    np.testing.assert_array_equal(observations, sent.observations["obs"], strict=True)
    np.testing.assert_array_equal(np.concatenate([p.actions for p in parts]), sent.actions, strict=True)
    for part, following in itertools.pairwise(parts):
        assert part.outcome is not None
        np.testing.assert_array_equal(part.outcome.observations["obs"], following.observations["obs"][0])
        assert not part.outcome.terminated
    last = parts[-1].outcome
    assert last is not None
    assert (last.terminated, last.truncated, last.observations["obs"].tolist()) == (True, False, [-1.0, -2.0])


def test_the_end_may_be_unknown(service: LiveService, live_run: LiveRun) -> None:
    with service.teacher() as ann:
        ann.demonstrate(piece(live_run.run_id, steps=3, outcome=None))
    (entry,) = entries_of(live_run.cluster, live_run.run_id, 1)
    (part,) = segments_of(live_run, entry.segment_ids)
    assert part.outcome is None


def test_a_repeat_counts_once_and_another_body_is_refused(service: LiveService, live_run: LiveRun) -> None:
    sent = piece(live_run.run_id)
    changed = np.asarray(sent.actions).copy()
    changed[-1] += 1
    outcome = Outcome(observations={"obs": np.array([-1.0, -2.0], np.float32)}, truncated=True)
    with service.teacher("ann") as ann, service.teacher("bob") as bob:
        first = ann.demonstrate(sent)
        assert ann.demonstrate(sent) == first
        for other in (
            replace(sent, actions=changed),
            replace(sent, episode=4),
            replace(sent, begin=8),
            replace(sent, outcome=outcome),
        ):
            with pytest.raises(Conflict, match="recorded with another body"):
                ann.demonstrate(other)
        # Another teacher may have the same id for something else.
        bob.demonstrate(replace(sent, actions=changed))
    anns, bobs = entries_of(live_run.cluster, live_run.run_id, 2)
    assert not set(anns.segment_ids) & set(bobs.segment_ids)
    np.testing.assert_array_equal(
        np.concatenate([part.actions for part in segments_of(live_run, anns.segment_ids)]), sent.actions
    )
    np.testing.assert_array_equal(
        np.concatenate([part.actions for part in segments_of(live_run, bobs.segment_ids)]), changed
    )


def test_names_cannot_be_mistaken_for_each_other(service: LiveService, live_run: LiveRun) -> None:
    with service.teacher("a/b") as first, service.teacher("a") as second:
        first.demonstrate(piece(live_run.run_id, event_id="c"))
        second.demonstrate(piece(live_run.run_id, event_id="b/c"))
    one, other = entries_of(live_run.cluster, live_run.run_id, 2)
    assert not set(one.segment_ids) & set(other.segment_ids)


def test_a_long_name_is_no_obstacle(service: LiveService, live_run: LiveRun) -> None:
    # The longest there may be, of four bytes each and hard to compress.
    longest = "".join(map(chr, np.random.default_rng(0).integers(0x20000, 0x2A6DF, 300).tolist()))
    with service.teacher(longest) as ann, service.teacher(longest[:-1]) as bob:
        ann.demonstrate(piece(live_run.run_id))
        bob.demonstrate(piece(live_run.run_id))
    sources = {
        part.address.source
        for entry in entries_of(live_run.cluster, live_run.run_id, 2)
        for part in segments_of(live_run, entry.segment_ids)
    }
    assert len(sources) == 2


@pytest.mark.parametrize(
    ("words", "spoilt"),
    [
        ("actions: 0 steps", {"steps": 0}),
        ("actions: no steps", {"actions": np.array(1)}),
        (f"actions: {MAX_STEPS + 1} steps in one piece; send pieces of", {"steps": MAX_STEPS + 1}),
        ("send shorter pieces", {"observations": {"obs": np.zeros((STEPS, 40_000), np.float32)}}),
        (r"observations\['obs'\]: shape", {"observations": {"obs": np.zeros((STEPS - 1, 2), np.float32)}}),
        (r"observations\['obs'\]: shape", {"observations": {"obs": np.zeros((STEPS + 1, 2), np.float32)}}),
        (r"observations\['obs'\]: shape", {"observations": {"obs": np.array(1.0)}}),
        ("observations: none", {"observations": {}}),
        ("observations key", {"observations": {"": np.zeros((STEPS, 2), np.float32)}}),
        ("outcome", {"outcome": Outcome(observations={"obs": np.zeros(3, np.float32)})}),
        ("outcome", {"outcome": Outcome(observations={})}),
        ("episode: -1 is negative", {"episode": -1}),
        ("begin: -1 is negative", {"begin": -1}),
        ("event_id", {"event_id": ""}),
    ],
)
def test_what_cannot_be_kept_is_refused(
    service: LiveService, live_run: LiveRun, words: str, spoilt: dict[str, Any]
) -> None:
    with service.teacher() as ann, pytest.raises(InvalidRequest, match=words):
        ann.demonstrate(piece(live_run.run_id, **spoilt))
    entries_of(live_run.cluster, live_run.run_id, 0)


def test_an_event_without_its_steps_is_refused(service: LiveService, live_run: LiveRun) -> None:
    with service.teacher() as ann:
        (result,) = ann.submit([event_of(piece(live_run.run_id))])
    assert isinstance(result, InvalidRequest)
    assert "call Demonstrate" in str(result)
    entries_of(live_run.cluster, live_run.run_id, 0)


def test_only_who_may_teach_the_run_demonstrates(service: LiveService, live_run: LiveRun) -> None:
    with service.teacher(runs=["another"]) as ann, pytest.raises(Forbidden):
        ann.demonstrate(piece(live_run.run_id))
    with TeacherClient(service.address, service.token("cluster")) as driver, pytest.raises(Forbidden):
        driver.demonstrate(piece(live_run.run_id))
    with service.teacher() as ann, pytest.raises(NotFound, match="no run nowhere"):
        ann.demonstrate(piece("nowhere"))
    entries_of(live_run.cluster, live_run.run_id, 0)


def test_there_is_a_quota(service: LiveService, live_run: LiveRun) -> None:
    """The one of the teacher's signals: a flood of them leaves it empty on a slow machine too."""
    signals = [Signal(run_id=live_run.run_id, stage_id="away", frame=1, value=1.0) for _ in range(1000)]
    shown: list[int] = []
    held_back = threading.Event()

    def flood() -> None:
        while not held_back.is_set():
            eve.submit(signals)

    def refused() -> bool:
        try:
            hasty.demonstrate(piece(live_run.run_id, steps=1, event_id=str(len(shown))))
        except Busy:
            return True
        shown.append(len(shown))
        return False

    with (
        service.teacher("eve") as eve,
        service.teacher("eve", patience_seconds=0) as hasty,
        ThreadPoolExecutor(1) as thread,
    ):
        flooding = thread.submit(flood)
        try:
            eventually(refused)
        finally:
            held_back.set()
        flooding.result()
    entries_of(live_run.cluster, live_run.run_id, len(shown))


def test_it_can_be_taken_back(service: LiveService, live_run: LiveRun) -> None:
    with service.teacher() as ann:
        receipt = ann.demonstrate(piece(live_run.run_id))
        ann.retract(live_run.run_id, receipt.event_id)
    event = entries_of(live_run.cluster, live_run.run_id, 2)[1].event
    assert isinstance(event, Retraction)
    assert event.retracted_event_id == "shown"


def test_it_outlives_the_service(own_service: LiveService, own_run: LiveRun) -> None:
    sent = piece(own_run.run_id)
    with own_service.teacher() as ann:
        first = ann.demonstrate(sent)
        assert metric(own_service, "hitl_feedback_demonstrated_steps_total") == STEPS
        own_service.kill()
        own_service.start()
        assert ann.demonstrate(sent) == first
    (entry,) = entries_of(own_run.cluster, own_run.run_id, 1)
    assert sum(len(part) for part in segments_of(own_run, entry.segment_ids)) == STEPS
    assert metric(own_service, "hitl_feedback_demonstrated_steps_total") == 0, "a repeat counts once"


class TestDemonstrator:
    def test_sends_what_its_expert_did(
        self, service: LiveService, live_run: LiveRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(demonstrator, "PIECE_STEPS", 80)
        env = gym.make("CartPole-v1")
        with service.teacher("expert") as client:
            receipts = demonstrate(
                client, live_run.run_id, env, Balancer(), episodes=2, seed=5, most_steps=120
            )
            again = demonstrate(client, live_run.run_id, env, Balancer(), episodes=2, seed=5, most_steps=120)
        assert again == receipts
        entries = entries_of(live_run.cluster, live_run.run_id, 4)
        assert [receipt.offset for receipt in receipts] == [0, 1, 2, 3]
        pieces = [entry.event for entry in entries]
        assert [(p.episode, p.begin, p.end) for p in pieces if isinstance(p, Demonstration)] == [
            (5, 0, 80),
            (5, 80, 120),
            (6, 0, 80),
            (6, 80, 120),
        ]
        for seed, mine in ((5, entries[:2]), (6, entries[2:])):
            parts = [part for entry in mine for part in segments_of(live_run, entry.segment_ids)]
            state, _ = env.reset(seed=seed)
            for part in parts:
                for shown, action in zip(part.observations["obs"], np.asarray(part.actions), strict=True):
                    np.testing.assert_array_equal(shown, state, strict=True)
                    assert action == Balancer().act(state)
                    state, *_ = env.step(action)
            end = parts[-1].outcome
            assert end is not None
            np.testing.assert_array_equal(end.observations["obs"], state)
            assert (end.truncated, end.terminated) == (True, False)

    def test_tells_that_an_episode_ended_by_itself(self, service: LiveService, live_run: LiveRun) -> None:
        class Falls:
            def act(self, observation: Any, /) -> int:
                return 0

        with service.teacher() as client:
            demonstrate(client, live_run.run_id, gym.make("CartPole-v1"), Falls(), episodes=1)
        (entry,) = entries_of(live_run.cluster, live_run.run_id, 1)
        (part,) = segments_of(live_run, entry.segment_ids)
        assert part.outcome is not None
        assert (part.outcome.terminated, part.outcome.truncated) == (True, False)

    def test_goes_on_after_an_episode_that_went_otherwise_before(
        self, service: LiveService, live_run: LiveRun
    ) -> None:
        class Falls:
            def __init__(self, action: int) -> None:
                self._action = action

            def act(self, observation: Any, /) -> int:
                return self._action

        env = gym.make("CartPole-v1")
        with service.teacher() as client:
            (first,) = demonstrate(client, live_run.run_id, env, Falls(0), episodes=1)
            (second,) = demonstrate(client, live_run.run_id, env, Falls(1), episodes=2)
        assert (first.offset, second.offset) == (0, 1)
        entries_of(live_run.cluster, live_run.run_id, 2)

    def test_stops_when_told(self, service: LiveService, live_run: LiveRun) -> None:
        stop = threading.Event()
        stop.set()
        with service.teacher() as client:
            env = gym.make("CartPole-v1")
            assert demonstrate(client, live_run.run_id, env, Balancer(), episodes=3, stop=stop) == []
        entries_of(live_run.cluster, live_run.run_id, 0)
