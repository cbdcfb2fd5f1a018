"""What stages play while nobody watches, asked about with clips: real actors on a real service."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import ray

from cluster.feedback.questions.publisher import Asked, Cutting, Publisher
from cluster.feedback.service import FeedbackLink, FeedbackService
from cluster.runs.config import EnvironmentConfig
from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.live_config import ActingConfig, StagesConfig
from cluster.stages.company import Company, Rehearsing
from hitl.events import PairQuestion, StepAddress
from hitl.reward.questions import candidates
from hitl.stages import Clip
from policies.experience import Actor, Rollout
from tests.cluster.stages.clips import frames_of, place_on
from tests.cluster.stages.dial import END, RIGHT, STAY
from tests.cluster.stages.processes import process_of
from tests.cluster.stages.test_stage import weights
from tests.hitl.live import LiveService, eventually

HORIZON, STEPS, SEGMENT = 40, 400, 10
ENOUGH = STEPS - SEGMENT
"""What is too short for a segment is not asked about."""
DRIFT = EnvironmentConfig(id="tests.cluster.stages.dial:Drift", fixed_horizon=HORIZON)
WHIM = DRIFT.model_copy(update={"id": "tests.cluster.stages.dial:Whim"})
SETTINGS = StagesConfig(count=1, rate=50.0, safe_action=STAY, unwatched_steps=STEPS)


class Trainer:
    """Is told what can be rendered, in the place of a reward trainer."""

    def __init__(self) -> None:
        self._shown: dict[str, Rollout] = {}
        self._told = 0

    def show_played(self, stage_id: str, rollouts: dict[str, list[ray.ObjectRef]]) -> None:
        assert stage_id == "stage-0"
        self._shown = {name: ray.get(boxed[0]) for name, boxed in rollouts.items()}
        self._told += 1

    def shown(self) -> dict[str, Rollout]:
        return self._shown


@dataclass(slots=True)
class Rehearsed:
    company: Company
    link: FeedbackLink
    trainer: Any
    publisher: Any
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def shown(self) -> dict[str, Rollout]:
        shown: dict[str, Rollout] = ray.get(self.trainer.shown.remote())
        return shown

    def steps(self, policy_version: int = 1) -> int:
        return sum(r.steps for r in self.shown().values() if r.policy_version == policy_version)

    def cuttings(self) -> list[Cutting]:
        return [
            Cutting(segment=window.segment, rollout=name, row_L=window.row_L, column=window.column)
            for name, rollout in self.shown().items()
            for window in candidates.cut(
                rollout,
                steps=SEGMENT,
                task_id=self.link.task_id,
                run_id=self.link.run_id,
                rng=np.random.default_rng(0),
            )
        ]

    def ask(self, first: Cutting, second: Cutting) -> Asked:
        question = PairQuestion(
            question_id=f"q{next(self.numbers)}",
            run_id=self.link.run_id,
            first_segment_id=first.segment.segment_id,
            second_segment_id=second.segment.segment_id,
        )
        asked: Asked = ray.get(self.publisher.ask.remote([question], [first, second]))
        return asked


@pytest.fixture
def rehearsed(ray_session: str, service: LiveService, request: pytest.FixtureRequest) -> Iterator[Rehearsed]:
    environment = getattr(request, "param", DRIFT)
    at = FeedbackService(
        address=service.address, token=service.token("cluster", "driver"), name=request.node.name
    )
    link = at.open_run(environment, "trial")
    trainer: Any = ray.remote(Trainer).remote()
    publisher: Any = ray.remote(Publisher).remote(
        address=link.address, token=link.token, run=link.run, keep=24
    )
    company = Company(
        address=link.address,
        token=link.token,
        run=link.run,
        environment=environment,
        model_config={"hidden": ()},
        settings=SETTINGS,
        acting=ActingConfig(),
        imitation=ImitationConfig(),
        rewards=None,
        seeds=[0],
        rehearsing=Rehearsing(trainer=trainer, publisher=publisher, life="1", segment_steps=SEGMENT),
    )
    company.show_policy(1, weights(STAY), reward_weight=1.0)
    made = Rehearsed(company, link, trainer, publisher)
    eventually(lambda: made.steps() >= ENOUGH, seconds=90)
    yield made
    company.stop()
    for actor in (trainer, publisher):
        ray.kill(actor)


def test_a_rollout_says_what_was_played_and_stands_still_when_it_was_enough(rehearsed: Rehearsed) -> None:
    names = set(rehearsed.shown())
    for rollout in rehearsed.shown().values():
        assert (rollout.policy_version, rollout.environment_reward_TN) == (1, None)
        assert rollout.observation_TNO.shape == (rollout.steps + 1, 1, 1)

        ended = np.flatnonzero(rollout.terminated_TN | rollout.truncated_TN)
        np.testing.assert_array_equal(ended, rollout.final_index_K)
        begins = np.concatenate([[0], ended[:-1] + 1])
        # Every episode is whole: it begins in the middle of the dial, and has its steps in order.
        assert not rollout.observation_TNO[begins].any()
        assert not rollout.step_TN[begins].any()
        for first, last in zip(begins, ended, strict=True):
            np.testing.assert_array_equal(rollout.step_TN[first : last + 1, 0], np.arange(last - first + 1))
            assert len(set(rollout.episode_TN[first : last + 1, 0])) == 1
            length = rollout.duration_TN[first : last + 1].sum()
            assert length == HORIZON or last == ended[-1]
        nobody = rollout.actor_TN == Actor.NOBODY
        # Standing still for the one step that is left is such a row, too.
        assert nobody[rollout.duration_TN > 1].all()
        assert (np.abs(rollout.observation_TNO[:-1][nobody[..., None]]) == END).all()
    # Each episode has a seed of its own: they differ.
    episodes = [r.observation_TNO[:9].tobytes() for r in rehearsed.shown().values()]
    assert len(set(episodes)) > 1
    time.sleep(1.0)
    assert set(rehearsed.shown()) == names
    assert process_of("Rehearsal").nice() >= 10


def test_a_newer_policy_is_played_and_takes_the_place_of_the_older(rehearsed: Rehearsed) -> None:
    rehearsed.company.show_policy(2, weights(RIGHT), reward_weight=1.0)
    eventually(lambda: rehearsed.steps(2) >= ENOUGH, seconds=30)
    for rollout in rehearsed.shown().values():
        assert (rollout.action_TNA == {1: STAY, 2: RIGHT}[rollout.policy_version]).all()


def test_a_question_has_a_clip_of_each_segment(rehearsed: Rehearsed, service: LiveService) -> None:
    first, *_, second = rehearsed.cuttings()
    assert rehearsed.ask(first, second) == Asked(question_ids=["q0"])
    with service.teacher("program", "oracle") as oracle:
        (question,) = oracle.lease(rehearsed.link.run_id)
        clips = question.clips()
    for segment, clip in zip(question.segments, clips, strict=True):
        assert clip is not None
        places = [place_on(frame) for frame in frames_of(clip)]
        steps = np.asarray(segment.observations["obs"])[:, 0]
        # Frames that look alike may be one, which is shown for longer.
        wanted = [place for place, _ in itertools.groupby(steps.tolist())]
        shown = [place for place, _ in itertools.groupby(places)]
        # A clip shows what the last step led to as well.
        assert shown[: len(wanted)] == wanted
        assert len(shown) <= len(wanted) + 1
    # The true reward of a dial is the action: nothing else is what the stage was paid.
    assert question.true_returns == (SEGMENT * STAY, SEGMENT * STAY)


def test_a_stage_that_is_watched_is_its_audiences_at_once(rehearsed: Rehearsed, service: LiveService) -> None:
    run_id = rehearsed.link.run_id
    with service.teacher() as ann:
        eventually(lambda: bool(ann.stages(run_id)), seconds=60)
        with ann.watch(run_id, "stage-0", steps=True) as watch:
            frames = [watch.next(30.0) for _ in range(12)]
            time.sleep(0.5)
            rehearsed.company.show_policy(5, weights(RIGHT), reward_weight=1.0)
            time.sleep(3.0)
            # The rehearsal stands still, and its stage plays.
            assert {r.policy_version for r in rehearsed.shown().values()} == {1}
            newest = watch.next(30.0)
        assert all(frames)
        assert newest is not None
        # A stage looks every few hundredths of a second who is there.
        time.sleep(0.5)
        with ann.watch(run_id, "stage-0", steps=True) as watch:
            again = watch.next(30.0)
            # What it showed until it had noticed is still on show.
            while again is not None and again.shown.frame <= newest.shown.frame + 10:
                if again.shown.episode > newest.shown.episode:
                    break
                again = watch.next(30.0)
        assert again is not None
        assert again.shown.episode > newest.shown.episode
    eventually(lambda: rehearsed.steps(5) >= ENOUGH, seconds=30)


@pytest.mark.parametrize("rehearsed", [WHIM], indirect=True)
def test_an_environment_that_is_not_deterministic_is_asked_about_without_clips(
    rehearsed: Rehearsed, service: LiveService
) -> None:
    first, *_, second = rehearsed.cuttings()
    assert rehearsed.ask(first, second) == Asked(question_ids=["q0"], without_clip=2)
    with service.teacher() as ann:
        (question,) = ann.lease(rehearsed.link.run_id)
        assert question.clips() == (None, None)


def test_a_stage_that_is_killed_between_choosing_and_rendering_loses_nothing_acknowledged(
    rehearsed: Rehearsed, service: LiveService
) -> None:
    first, *_, second = rehearsed.cuttings()
    assert rehearsed.ask(first, second).question_ids == ["q0"]
    names = set(rehearsed.shown())
    third, fourth = rehearsed.cuttings()[2:4]
    process_of("Rehearsal").kill()
    # Its true rewards may have died with it.
    assert rehearsed.ask(third, fourth) in (
        Asked(question_ids=[]),
        Asked(question_ids=["q1"], without_clip=2),
    )
    with service.teacher() as ann:
        clips = {q.question_id: q.clips() for q in ann.lease(rehearsed.link.run_id, max_questions=9)}
        assert all(clips["q0"])
        assert not any(clips.get("q1", ()))
    # It comes back, and plays others.
    eventually(lambda: rehearsed.steps() >= ENOUGH and not names & set(rehearsed.shown()), seconds=60)
    fifth, *_, sixth = rehearsed.cuttings()
    assert rehearsed.ask(fifth, sixth) == Asked(question_ids=["q2"])


class Dies:
    """A stage that dies over what it is asked to render."""

    def render(self, address: StepAddress) -> Clip | None:
        import os

        os._exit(1)


def test_a_stage_that_dies_while_it_renders_is_asked_about_without_a_clip(
    rehearsed: Rehearsed, service: LiveService
) -> None:
    first, *_, second = rehearsed.cuttings()
    rehearsed.company.stop()
    stage: Any = ray.remote(Dies).remote()
    mine = {cutting.rollout: [ray.put(np.ones((STEPS, 1), np.float32))] for cutting in (first, second)}
    ray.get(rehearsed.publisher.remember.remote(mine, stage=stage))
    assert rehearsed.ask(first, second) == Asked(question_ids=["q0"], without_clip=2)
    with service.teacher() as ann:
        (question,) = ann.lease(rehearsed.link.run_id)
        assert question.clips() == (None, None)
