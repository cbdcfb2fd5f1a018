"""Rounds of questions of every kind, and demonstrations, from a run to its teachers and back into the reward model."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import ray

from cluster.environments.making import make, make_vector
from cluster.feedback.demonstrated import complaint
from cluster.feedback.label_reader import LabelReader
from cluster.feedback.questions.judgement_questions import kinds_in_turn
from cluster.feedback.questions.publisher import Publisher
from cluster.feedback.reward_trainer import RewardTrainer
from cluster.feedback.service import FeedbackLink
from cluster.loop.learning.learner import acting_weights
from cluster.loop.rollouts.collector import Collector
from cluster.runs.reward.config import RewardConfig
from hitl.demonstrations import Piece
from hitl.events import Demonstration, Goal, Judgement, Outcome, Ranking, Rating, Segment, StepAddress
from hitl.teachers.demonstrator import demonstrate
from hitl.teachers.program import run_teacher
from hitl.teachers.simulated import SimulatedSettings
from policies.acting.inference import acting_policy
from policies.networks import ActorCritic
from tests.cluster.feedback.test_reward_trainer import DIAL, counts, open_run, version
from tests.cluster.stages.dial import Dial, Usher
from tests.hitl.live import LiveService, eventually

KINDS = {"comparison": 2.0, "ranking": 1.0, "rating": 1.0, "goal": 1.0}
REWARD: dict[str, Any] = {
    "model": {"members": 2, "hidden": (8,), "heldout_share": 0.0, "gradient_steps": 10},
    "questions": {
        "kinds": KINDS,
        "ranking_size": 3,
        "rating_points": 5,
        "budget": 15,
        "initial": 10,
        "initial_env_steps": 64,
        "per_round": 5,
        "round_env_steps": 100,
        "segment_steps": 4,
    },
}
SETTINGS = SimulatedSettings(rating_range=(-8.0, 8.0), goal_reward=0.0)


@contextmanager
def taught(service: LiveService, run_id: str) -> Iterator[None]:
    stop, token = threading.Event(), service.token("oracle", "program")
    thread = threading.Thread(
        target=run_teacher, args=(service.address, token, run_id, SETTINGS), kwargs={"stop": stop}
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=20)


class Lockstep:
    """A reward trainer in lockstep, with the actor that asks for it, and rollouts of a policy."""

    def __init__(self, service: LiveService, link: FeedbackLink) -> None:
        envs = make_vector(DIAL, 4)
        policy = acting_policy(envs.observation_space, envs.action_space, seed=0, hidden=(8,))
        policy.load(acting_weights(ActorCritic(envs.observation_space, envs.action_space, hidden=(8,))))
        self._collector = Collector(envs, policy, source="1.0", seed=0, share_reward=False)
        self._env_steps = 0
        self._publisher: Any = ray.remote(Publisher).remote(
            address=link.address, token=link.token, run=link.run, keep=24
        )
        self._trainer: Any = (
            ray.remote(RewardTrainer)
            .options(num_cpus=0)
            .remote(
                address=link.address,
                token=link.token,
                run=link.run,
                observation_space=envs.observation_space,
                action_space=envs.action_space,
                reward=RewardConfig.model_validate(REWARD),
                board=None,
                publisher=self._publisher,
                reads_from=(),
                life="1",
                seed=0,
                lockstep=True,
            )
        )

    def advance(self) -> Any:
        collected = self._collector.collect(32, policy_version=1)
        self._env_steps += 128
        name = f"rollout-{self._env_steps}"
        ray.get(self._publisher.remember.remote({name: [ray.put(collected.true_reward_TN)]}))
        rollouts = {name: [ray.put(collected.rollout)]}
        return ray.get(
            self._trainer.advance.remote(rollouts, env_steps=self._env_steps, base=None, timeout_seconds=60.0)
        )

    def stop(self) -> None:
        ray.kill(self._trainer)
        ray.kill(self._publisher)


@pytest.mark.usefixtures("ray_session")
def test_every_kind_is_asked_answered_and_learnt(service: LiveService) -> None:
    link = open_run(service, "rounds")
    lockstep = Lockstep(service, link)
    with service.cluster() as client, taught(service, link.run_id):
        states = [lockstep.advance() for _ in range(3)]
        lockstep.stop()
        assert [(state.asked, state.answered) for state in states] == [(10, 10), (15, 15), (15, 15)]
        assert version(states[0]) == 1
        asked = kinds_in_turn(KINDS, 15)  # type: ignore[arg-type]
        entries = []
        for part in client.tail(link.run_id):
            entries.extend(part)
            if len(entries) == 15:
                break
    said = [entry.event for entry in entries if isinstance(entry.event, Judgement)]
    assert len(said) == 15
    # The first ten come before the others, in whatever order.
    for begin, end in ((0, 10), (10, 15)):
        names = Counter(type(event).__name__.lower() for event in said[begin:end])
        assert names == Counter(asked[begin:end])
    assert {event.question_id for event in said} == {f"q1-{number:05d}" for number in range(1, 16)}
    for entry in entries:
        event = entry.event
        assert len(entry.segment_ids) == {Ranking: 3, Rating: 1, Goal: 1}.get(type(event), 2)
        if isinstance(event, Rating):
            assert event.points == 5
    learnt = counts(states[-1])
    assert learnt == {"comparisons": 6, "rankings": 3, "ratings": 3, "goals": 3}


def show(run_id: str, **changes: Any) -> Piece:
    known: dict[str, Any] = {
        "observations": {"obs": np.linspace(-1, 1, 30, dtype=np.float32)[:, None]},
        "actions": np.arange(30) % 3,
    }
    return Piece(run_id=run_id, **known | changes)


MISFITS: dict[str, dict[str, Any]] = {
    "another name": {"observations": {"camera": np.zeros((30, 1), np.float32)}},
    "too wide": {"observations": {"obs": np.zeros((30, 2), np.float32)}},
    "bytes": {"observations": {"obs": np.zeros((30, 1), np.uint8)}},
    "not finite": {"observations": {"obs": np.full((30, 1), np.nan, np.float32)}},
    "not finite in the end": {"outcome": Outcome(observations={"obs": np.array([np.inf], np.float32)})},
    "no such action": {"actions": np.full(30, 99)},
    "actions of another kind": {"actions": np.zeros((30, 2), np.float32)},
}


def test_what_is_demonstrated_is_evidence_and_what_does_not_fit_is_left_out(service: LiveService) -> None:
    link = open_run(service, "shown")
    env = make(DIAL)
    with service.teacher("ann") as ann:
        for changes in MISFITS.values():
            ann.demonstrate(show(link.run_id, **changes))
        ann.demonstrate(show(link.run_id))
        (receipt,) = demonstrate(ann, link.run_id, env, Usher(), episodes=1, most_steps=60)
        trainer = RewardTrainer(
            address=link.address,
            token=link.token,
            run=link.run,
            observation_space=env.observation_space,
            action_space=env.action_space,
            reward=RewardConfig.model_validate(REWARD),
            board=None,
            publisher=None,
            reads_from=(),
            life="1",
            seed=0,
            lockstep=True,
        )
        evidence = trainer._model.evidence["demonstrations"]

        def windows() -> int:
            trainer._read_journal()
            return len(evidence)

        # Of four steps each: 30 of one, 50 and 10 of the other.
        eventually(lambda: windows() == 8 + 13 + 3)
        ann.retract(link.run_id, receipt.event_id)
        eventually(lambda: windows() == 8)


@pytest.mark.parametrize("changes", MISFITS.values(), ids=MISFITS)
def test_it_is_said_what_does_not_fit(changes: dict[str, Any]) -> None:
    env = Dial()

    def segment(piece: Piece) -> Segment:
        address = StepAddress(
            task_id="task", run_id="run", source="demonstration-ann", episode=0, begin=0, end=30
        )
        return Segment(
            segment_id="s",
            address=address,
            observations=piece.observations,
            actions=piece.actions,
            policy_version=0,
            outcome=piece.outcome,
        )

    spaces = env.observation_space, env.action_space
    good, bad = segment(show("run")), segment(show("run", **changes))
    assert complaint([good], *spaces) is None
    assert complaint([good, bad], *spaces)


@pytest.mark.usefixtures("ray_session")
def test_what_is_demonstrated_is_imitated_until_it_is_taken_back(service: LiveService) -> None:
    link = open_run(service, "imitated")
    env = Dial()

    def labels_of(reader: LabelReader) -> dict[float, int]:
        newest = reader.take([]).newest
        labels = ray.get(newest.boxed[0]) if newest else None
        if labels is None:
            return {}
        pairs = zip(labels.observation_BO[:, 0], labels.action_BA, strict=True)
        return {round(float(state), 4): int(action) for state, action in pairs}

    reader = LabelReader(
        env.observation_space, env.action_space, heldout_share=0.0, most_labels=None, link=link
    )
    # In two segments.
    states = np.arange(70, dtype=np.float32)[:, None] / 100
    shown = {"observations": {"obs": states}, "actions": np.arange(70) % 3}
    with service.teacher("ann") as ann:
        for changes in MISFITS.values():
            ann.demonstrate(show(link.run_id, **changes))
        receipt = ann.demonstrate(show(link.run_id, **shown))
        wanted = {round(float(state), 4): step % 3 for step, state in enumerate(states[:, 0])}
        # Bytes are numbers as good as others to who imitates.
        eventually(lambda: len(labels_of(reader)) >= 70)
        assert labels_of(reader).items() >= {s: a for s, a in wanted.items() if s}.items()
        ann.retract(link.run_id, receipt.event_id)
        eventually(lambda: len(labels_of(reader)) < 70)


def test_a_demonstration_names_its_steps() -> None:
    event = Demonstration(run_id="run", episode=1, begin=2, end=9, digest=b"x" * 32)
    assert "digest" not in repr(event)
