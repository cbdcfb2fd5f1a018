"""A run that simulated teachers have taught in all ways that there are, over real gRPC."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from cluster.feedback.evidence import online_model
from cluster.runs.reward.config import RewardConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.signals import SignalsConfig
from hitl.client.questions import LeasedPair, LeasedRelabel
from hitl.client.training import TrainingClient
from hitl.demonstrations import Piece
from hitl.events import Abstention, JournalEntry, PairQuestion, RelabelQuestion, Segment, StepAddress, Task
from hitl.stages import Clip
from hitl.teachers.simulated import SimulatedSettings, answer
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.playing import FOUR_ACTIONS, Play, seen

TASK = Task(
    task_id="four", name="Four-v0", fingerprint='{"observation_space": "one", "action_space": "four"}'
)
OBSERVATIONS, ACTIONS = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32), gym.spaces.Discrete(4)
PAIRS, STEPS = 40, 5


@dataclass(frozen=True)
class Taught:
    """What there is to know of it."""

    run_id: str
    entries: list[tuple[JournalEntry, list[Segment]]]


def teach(service: LiveService, run_id: str = "run", *, pairs: int = PAIRS) -> Taught:
    """Teach a run; the service has it all then."""
    with service.cluster() as client:
        client.register_task(TASK)
        run = LiveRun(client.open_run(run_id, TASK.task_id), client)
        _ask(run, pairs)
        _answer(service, run_id, pairs)
        _play(service, run)
        _demonstrate(service, run_id)
        # But for one question all are answered; one answer is taken back, and the stage has taught 2 + 1 + 1 times.
        eventually(lambda: client.get_run(run_id).journal_end == pairs + 3 + 1 + 4 + 1)
        entries = read_journal(client, run_id)
    return Taught(run_id, entries)


def make_segment(number: int, run_id: str, rng: np.random.Generator) -> tuple[Segment, Any]:
    """Some steps, whose true reward says that small states are good."""
    observation = rng.normal(size=(STEPS, 1)).astype(np.float32)
    segment = Segment(
        segment_id=f"segment-{number:03d}",
        address=StepAddress(
            task_id=TASK.task_id, run_id=run_id, source="1.0", episode=number, begin=3, end=3 + STEPS
        ),
        observations={"obs": observation},
        actions=rng.integers(0, 4, STEPS),
        policy_version=number % 7,
    )
    return segment, -np.abs(observation[:, 0])


def _ask(run: LiveRun, pairs: int) -> None:
    rng = np.random.default_rng(0)
    made = [make_segment(number, run.run_id, rng) for number in range(2 * pairs)]
    clips = {made[0][0].segment_id: Clip(data=b"a moving picture")}
    run.cluster.publish_segments(run.run, made, clips=clips)
    ids = [segment.segment_id for segment, _ in made]
    questions: list[PairQuestion | RelabelQuestion] = [
        PairQuestion(
            question_id=f"pair-{n}",
            run_id=run.run_id,
            first_segment_id=ids[2 * n],
            second_segment_id=ids[2 * n + 1],
            value=n / 10,
            policy_version=3,
        )
        for n in range(pairs)
    ]
    questions += [
        RelabelQuestion(
            question_id=f"relabel-{n}",
            run_id=run.run_id,
            segment_id=ids[n],
            step=n,
            action_space=FOUR_ACTIONS,
        )
        for n in range(4)
    ]
    run.cluster.ask(run.run, questions)


def _answer(service: LiveService, run_id: str, pairs: int) -> None:
    settings = SimulatedSettings(rationality=4.0, tie_threshold=0.1, skip=0.1, seed=1)
    rng = np.random.default_rng(1)
    left = pairs + 4
    with service.teacher("Ann", "oracle") as ann, service.teacher("Bob", "oracle") as bob:
        first = None
        while left > 1:
            for teacher in (ann, bob):
                for question in teacher.lease(run_id, max_questions=min(3, left - 1)) if left > 1 else ():
                    left -= 1
                    time = timedelta(seconds=rng.random())
                    if isinstance(question, LeasedPair):
                        assert question.true_rewards is not None
                        receipt = question.answer(
                            answer(*question.true_rewards, rng, settings), thinking_time=time
                        )
                        first = first or (teacher, receipt)
                    elif isinstance(question, LeasedRelabel):
                        question.answer(
                            Abstention.SKIP if question.step == 2 else np.array(1), thinking_time=time
                        )
        assert first is not None
        first[0].retract(run_id, first[1].event_id)


def _play(service: LiveService, run: LiveRun) -> None:
    """A stage that is watched: signals, a correction, a takeover."""
    play = Play.open(run)
    with service.teacher("Cid") as cid:
        play.step(6)
        seen(service, run, play.newest)
        with cid.watch(run.run_id, "stage") as watch:
            frame = watch.next(20)
            assert frame is not None
            frame.signal(1.0, offset=timedelta(seconds=0.5))
            frame.signal(-0.5, offset=timedelta(seconds=0.6))
            frame.correct(2)
    play.teacher_id = "Dan"
    play.step(3)
    play.teacher_id = ""
    play.step(1)
    play.reset()
    eventually(lambda: play.player.unstored == 1)
    play.player.close()


def _demonstrate(service: LiveService, run_id: str) -> None:
    observation = np.linspace(0, 1, 2 * STEPS, dtype=np.float32)[:, None]
    with service.teacher("Flo") as flo:
        flo.demonstrate(
            Piece(run_id=run_id, observations={"obs": observation}, actions=np.full(2 * STEPS, 3))
        )


def read_journal(client: TrainingClient, run_id: str) -> list[tuple[JournalEntry, list[Segment]]]:
    """Read a journal as whoever follows it does."""
    end, found = client.get_run(run_id).journal_end, []
    for entries in client.tail(run_id):
        found += [(entry, client.get_segments(run_id, entry.segment_ids)) for entry in entries]
        if len(found) >= end:
            break
    return found


def rebuilt(entries: list[tuple[JournalEntry, list[Segment]]]) -> tuple[dict[str, Any], dict[str, int]]:
    """Fit a reward model to a journal; returns its weights, and how much counts of each kind."""
    reward = RewardConfig(
        model=RewardModelConfig(members=2, hidden=(8,), gradient_steps=20),
        signals=SignalsConfig(baseline="none"),
    )
    model = online_model(reward, OBSERVATIONS, ACTIONS, seed=0)
    rng = np.random.default_rng(2)
    model.set_probe(rng.normal(size=(64, 1)).astype(np.float32), rng.integers(0, 4, 64))
    for entry, segments in entries:
        model.take(entry, segments)
    report = model.fit()
    assert report is not None
    weights = {name: torch.as_tensor(value).numpy().copy() for name, value in model.weights().items()}
    return weights, {name: kind.count for name, kind in report.kinds.items()}
