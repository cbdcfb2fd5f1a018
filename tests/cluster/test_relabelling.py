"""Runs that ask what should be done in the states that their policy visits, and imitate the answers."""

import io
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from gymnasium import spaces
from PIL import Image

from cluster.feedback.label_reader import LabelReader, LabelsState
from cluster.feedback.service import FeedbackLink
from cluster.loop import imitating
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.imitating import Imitating
from cluster.runs.config import RunConfig
from hitl.client.questions import LeasedPair, LeasedRelabel
from hitl.errors import ConfigError
from hitl.events import Abstention, Choice, Relabel, RelabelQuestion, Task
from hitl.stages import ActionSpace
from policies.networks import ActorCritic
from tests.cluster.stages.dial import Dial, Usher
from tests.hitl.live import LiveRun, LiveService, eventually

PLACES = np.arange(-1, 6, dtype=np.float32)[:, None]
"""That the hand comes by on its way."""
QUESTIONS: dict[str, Any] = {"budget": 60, "per_round": 12, "round_env_steps": 100, "segment_steps": 5}


def run_config(**changes: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "mode": "lockstep",
        "environment": {"id": "tests.cluster.stages.dial:Dial", "fixed_horizon": 15},
        "rollouts": {"env_runners": 0, "envs_per_runner": 4, "steps": 25},
        "policy": {"hidden": (16,)},
        "learner": {"minibatch_size": 50, "learning_rate": 0.01, "anneal_learning_rate": False},
        "reward": {"sources": {"environment": 0.0, "learned": 0.0}},
    }
    imitation = {
        "alone": True, "learning_rate": 0.01, "minibatch_size": 16, "heldout_share": 0.0, "questions": QUESTIONS,
        **changes.pop("imitation", {}),
    }  # fmt: skip
    return RunConfig.model_validate(settings | {"imitation": imitation} | changes)


def opened(service: LiveService, run_id: str) -> FeedbackLink:
    with service.cluster() as client:
        client.register_task(Task(task_id="dial", name="Dial", fingerprint="{}"))
        run = client.open_run(run_id, "dial")
    return FeedbackLink(
        address=service.address,
        token=service.token("cluster", "driver"),
        run_id=run_id,
        task_id="dial",
        epoch=run.epoch,
    )


class Telling:
    """Teachers in a thread each, over real gRPC, who know an expert; all together they answer at most so often."""

    def __init__(self, service: LiveService, run_id: str, *, most: int = 10**6, people: int = 1) -> None:
        self.asked: dict[str, float] = {}
        """The place of the hand, by the question."""
        self.seen: list[LeasedRelabel] = []
        self.clips: list[Any] = []
        self.compared = 0
        self._service, self._run_id, self._most = service, run_id, most
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._teach, args=(f"p{n}",)) for n in range(people)]

    def __enter__(self) -> "Telling":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _teach(self, name: str) -> None:
        with self._service.teacher(name) as client:
            while not self._stop.is_set() and len(self.asked) < self._most:
                for question in client.lease(self._run_id, wait_seconds=0.2):
                    if isinstance(question, LeasedPair):
                        self.compared += 1
                        question.answer(Choice.FIRST)
                        continue
                    self.seen.append(question)
                    self.clips.append(question.clips())
                    place = np.asarray(question.state["obs"])
                    self.asked[question.question_id] = float(place[0])
                    question.answer(Usher().act(place))


def agreement(algorithm: HITL) -> float:
    network = ActorCritic(Dial.observation_space, Dial.action_space, hidden=(16,))
    network.load_state_dict({k: torch.as_tensor(v) for k, v in algorithm.network_state.items()})
    action = network.act_greedily(torch.from_numpy(PLACES)).numpy()
    return float(np.mean(action == [Usher().act(place) for place in PLACES]))


def state_of(algorithm: HITL) -> LabelsState:
    assert isinstance(algorithm.imitating, Imitating)
    return algorithm.imitating.state


def train(algorithm: HITL, updates: int, *, checkpoint: tuple[int, Path] | None = None) -> None:
    while algorithm.updates < updates:
        algorithm.train()
        if checkpoint and algorithm.updates == checkpoint[0]:
            algorithm.save_to_path(checkpoint[1])


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
    def test_a_policy_learns_what_people_answer(self, service: LiveService) -> None:
        algorithm = HITL(HITLConfig.from_run(run_config(), opened(service, "learns")))
        assert agreement(algorithm) < 0.8
        with Telling(service, "learns") as teacher:
            train(algorithm, 7)
            assert agreement(algorithm) > 0.85
            state = state_of(algorithm)
            assert (state.relabels, state.open_relabels, state.skipped) == (60, 0, 0)
            assert len(teacher.asked) == 60, "the budget is spent, and no more is asked"
        # They are asked about what the newest policy visits, not only how episodes begin.
        assert len(set(teacher.asked.values())) > 3
        assert [q.question.policy_version for q in teacher.seen][-12:] == [5] * 12
        assert all(len(question.segment) == 5 for question in teacher.seen)
        algorithm.stop()

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
                patch.setattr(imitating, "_ANSWER_SECONDS", 3.0)
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

    def test_a_learned_reward_stands_on_the_answers_too(self, service: LiveService) -> None:
        config = run_config(
            imitation={"alone": False, "weight": 1.0, "questions": QUESTIONS | {"budget": 30}},
            reward={
                "sources": {"environment": 0.0, "learned": 1.0},
                "model": {"hidden": (16,), "gradient_steps": 20, "heldout_share": 0.0},
                "questions": {
                    "initial": 4, "initial_env_steps": 100, "per_round": 2, "round_env_steps": 100, "segment_steps": 5,
                    "budget": 20,
                },
            },
        )  # fmt: skip
        algorithm = HITL(HITLConfig.from_run(config, opened(service, "both")))
        with Telling(service, "both") as teacher:
            train(algorithm, 6)
        assert algorithm.teaching is not None
        report = algorithm.teaching.state.report
        assert report is not None
        assert state_of(algorithm).relabels == len(teacher.asked) == 30
        # What came after the last round of comparisons is not learnt yet.
        assert 12 <= report.kinds["corrections"].count <= 30
        assert algorithm.teaching.state.answered == teacher.compared > 4
        assert "imitation_loss" in algorithm.statistics.losses
        algorithm.stop()

    def test_people_see_clips_of_what_stages_play(self, service: LiveService) -> None:
        config = run_config(
            mode="overlapped",
            environment={"id": "tests.cluster.stages.dial:Drift", "fixed_horizon": 40},
            rollouts={"env_runners": 1, "envs_per_runner": 4, "steps": 25, "least_update_seconds": 0.1},
            stages={"count": 1, "unwatched_steps": 400},
            imitation={"questions": QUESTIONS | {"clips": True}},
        )
        algorithm = HITL(HITLConfig.from_run(config, opened(service, "clips")))
        with Telling(service, "clips") as teacher:
            end = time.monotonic() + 120
            while state_of(algorithm).relabels < 15:
                assert time.monotonic() < end, state_of(algorithm)
                algorithm.train()
        assert all(".stage-0-" in question.segment.address.source for question in teacher.seen)
        rendered = [clip for clips in teacher.clips for clip in clips if clip is not None]
        assert rendered
        assert all(Image.open(io.BytesIO(clip.data)).format == "WEBP" for clip in rendered)
        algorithm.stop()

    def test_without_stages_there_are_no_clips(self, service: LiveService) -> None:
        config = HITLConfig.from_run(run_config(mode="overlapped"), opened(service, "no clips"))
        questions = config.imitation.questions.model_copy(update={"clips": True})
        config.experts(config.imitation.model_copy(update={"questions": questions}))
        with pytest.raises(ConfigError, match="they need some"):
            HITL(config)


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (r"imitation\.questions\.budget: nobody learns", {"imitation": {"alone": False}}),
        (r"imitation\.questions\.segment_steps is 5", {"rollouts": {"steps": 4}}),
        (r"teachers\.expert", {"teachers": {"count": 1}}),
        (r"imitation\.questions\.clips", {"imitation": {"questions": QUESTIONS | {"clips": True}}}),
        (
            r"imitation\.questions\.strategy",
            {"imitation": {"alone": False, "weight": 1.0, "questions": QUESTIONS | {"strategy": "doubt"}}},
        ),
        (r"there is nobody to imitate", {"imitation": {"questions": QUESTIONS | {"budget": 0}}}),
    ],
)
def test_what_cannot_work_is_refused(words: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=words):
        run_config(**changes)


def test_a_run_that_asks_needs_a_service() -> None:
    assert run_config().learns_from_people
    with pytest.raises(ValueError, match="people teach through a feedback service"):
        HITLConfig.from_run(run_config()).validate()
