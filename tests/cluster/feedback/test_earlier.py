"""What people said before a run, as its reward model gets it."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from pydantic import ValidationError

from cluster.environments.making import make, task_of
from cluster.feedback.earlier import Earlier, check_recorded, read_recorded
from cluster.feedback.evidence import online_model
from cluster.feedback.journal_follower import JournalFollower
from cluster.feedback.service import FeedbackService
from cluster.runs.config import RunConfig
from cluster.runs.reward.config import RewardConfig
from cluster.runs.reward.kinds import DemonstrationsConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.pretraining import PretrainingConfig
from hitl.client.training import TrainingClient
from hitl.errors import ConfigError
from hitl.events import Task
from tests.cluster.line_people import PEOPLE
from tests.cluster.line_recorded import LINE, SPACES, STEPS, TASK, recorded, settings
from tests.hitl.live import LiveRun, LiveService


def model_of(**model: Any) -> Any:
    reward = RewardConfig(model=RewardModelConfig(members=2, hidden=(16,), learning_rate=1e-2, **model))
    made = online_model(reward, *SPACES, seed=0)
    rng = np.random.default_rng(1)
    made.set_probe(rng.uniform(-1, 1, (256, 2)).astype(np.float32), rng.integers(0, 2, 256))
    return made


def earlier(
    settings: PretrainingConfig, model: Any = None, *, demonstrations: tuple[str, ...] = (), **options: Any
) -> Earlier:
    reward = RewardConfig(pretraining=settings, demonstrations=DemonstrationsConfig(sources=demonstrations))
    given = {"journals": {}, "ends": {}} | options
    return Earlier(reward, model or model_of(), task_id="line", spaces=SPACES, **given)


def test_pretraining_fits_as_long_as_it_helps_and_a_reward_that_explains_nothing_is_none(
    tmp_path: Path,
) -> None:
    sense, contrary = recorded(tmp_path / "sense"), recorded(tmp_path / "contrary", contrary_share=0.3)
    for folder, known in ((sense, True), (contrary, False)):
        model = model_of(heldout_share=0.3, gradient_steps=100)
        before = {name: array.copy() for name, array in model.weights().items()}
        first = earlier(PretrainingConfig(recorded=(str(folder),), fits=3), model)
        assert first.pretrains
        for entry, segments in first.take():
            model.take(entry, segments)
        report = first.fit_first()
        assert (report is not None) == known
        assert not first.pretrains
        assert first.fit_first() is None
        weights = model.weights()
        assert all(np.array_equal(weights[name], before[name]) for name in before) == (not known)
        assert list(first.take()) == []


def test_one_more_fit_goes_on_from_the_one_before(tmp_path: Path) -> None:
    folder, losses = recorded(tmp_path / "people"), []
    for fits in (1, 4):
        model = model_of(heldout_share=0.1, gradient_steps=10)
        first = earlier(PretrainingConfig(recorded=(str(folder),), fits=fits), model)
        for entry, segments in first.take():
            model.take(entry, segments)
        report = first.fit_first()
        assert report is not None
        loss = report.kinds["comparisons"].train_log_loss
        assert loss is not None
        losses.append(loss)
    assert losses[1] < losses[0] - 0.02


def test_nothing_is_pretrained_unless_the_run_file_says_so(tmp_path: Path) -> None:
    for settings_ in (PretrainingConfig(), PretrainingConfig(earlier_runs=True)):
        nothing = earlier(settings_)
        assert not nothing.pretrains
        assert nothing.fit_first() is None
    assert not earlier(PretrainingConfig(), journals={"other": object()}).pretrains
    assert earlier(PretrainingConfig(earlier_runs=True), journals={"other": object()}).pretrains


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"observations": [[0.0]] * STEPS}, r"observation is float64 of shape \(1,\), not 2 numbers"),
        ({"actions": [2] * STEPS}, "its actions: outside"),
        ({"actions": [0.5] * STEPS}, "its actions: float64"),
    ],
)
def test_recorded_steps_of_other_spaces_are_refused(changes: Any, complaint: str, tmp_path: Path) -> None:
    broken = recorded(tmp_path / "broken", pairs=2, **changes)
    with pytest.raises(ConfigError, match=rf"reward.pretraining.recorded: \S+: segment r0: .*{complaint}"):
        list(read_recorded([str(broken)], TASK, SPACES))
    folder = str(recorded(tmp_path / "people", pairs=2))
    assert len(list(read_recorded([folder, folder], TASK, SPACES))) == 2


def test_actions_that_a_policy_drew_outside_of_the_bounds_are_those_of_the_task(tmp_path: Path) -> None:
    spaces = SPACES[0], gym.spaces.Box(-1, 1, (1,))
    for actions, right in (([[3.0]] * STEPS, True), ([3.0] * STEPS, False)):
        folder = recorded(tmp_path / str(right), pairs=1, actions=actions)
        if right:
            assert len(list(read_recorded([str(folder)], TASK, spaces))) == 1
        else:
            with pytest.raises(ConfigError, match="its actions are float64 of shape"):
                list(read_recorded([str(folder)], TASK, spaces))


def test_a_run_file_names_what_is_of_its_task(
    tmp_path: Path,
) -> None:
    task = task_of(LINE, make(LINE))
    bare = recorded(tmp_path / "people")
    (bare / "recorded.json").unlink()
    run = RunConfig.model_validate(settings(bare))
    check_recorded(run, task, SPACES)
    recorded(tmp_path / "people")
    with pytest.raises(ConfigError, match="about another task, Line"):
        check_recorded(run, task, SPACES)
    with pytest.raises(ConfigError, match="nowhere holds no recorded feedback"):
        check_recorded(RunConfig.model_validate(settings(tmp_path / "nowhere")), task, SPACES)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"reward": {"sources": {"learned": 0, "environment": 1}, "pretraining": {"recorded": ["x"]}}},
            "no reward",
        ),
        ({"reward": {"pretraining": {"earlier_runs": True}}}, "name them with feedback.reads_from"),
    ],
)
def test_settings_that_say_nothing_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        RunConfig.model_validate({"environment": PEOPLE["environment"]} | changes)


def test_all_runs_of_a_task_are_those_that_began_before(service: LiveService) -> None:
    token = service.token("cluster", "driver")
    service_of = FeedbackService(address=service.address, token=token, reads_from=("task",))
    with service.cluster() as client:
        task = Task(task_id="all", name="All", fingerprint='{"all": 1}')
        _, first = service_of.open_task(client, "first", task)
        assert first.reads_from == ()
        client.register_task(Task(task_id="stranger", name="S", fingerprint="{}"))
        client.open_run("strange", "stranger")
        _, second = service_of.open_task(client, "second", task)
        assert second.reads_from == ("first",)
        client.open_run("third", "all")
        assert service_of.open_task(client, "second", task)[1].reads_from == ("first",)
        both = replace(service_of, reads_from=("third", "task"))
        assert both.open_task(client, "second", task)[1].reads_from == ("third", "first")
        assert [run.run_id for run in client.list_runs("all")] == ["first", "second", "third"]
        assert client.list_runs("nobody's") == []
        narrow = service.token("cluster", "driver", runs=["second", "third"])
        assert service_of.open_task(client, "fourth", task)[1].reads_from == ("first", "second", "third")
    with TrainingClient(service.address, narrow) as own:
        assert [run.run_id for run in own.list_runs("all")] == ["second", "third"]


def test_another_run_counts_up_to_its_end_and_each_entry_once(service: LiveService) -> None:
    with service.cluster() as client:
        client.register_task(TASK)
        run = LiveRun(client.open_run("counted", "line"), client)
        run.ask(4)
        with service.teacher("ann") as ann:
            for question in ann.lease("counted", max_questions=4):
                question.skip()
        for end, count in ((None, 4), (3, 3), (0, 0)):
            follower = JournalFollower(client, "counted", news=threading.Event())
            assert follower.wait_for(4)
            ends = {} if end is None else {"counted": end}
            there = earlier(PretrainingConfig(), journals={"counted": follower}, ends=ends)
            assert [entry.offset for entry, _ in there.take()] == list(range(count))
            assert list(there.take()) == []


def test_ends_that_are_known_stay(service: LiveService) -> None:
    with service.cluster() as client:
        client.register_task(TASK)
        run = LiveRun(client.open_run("ended", "line"), client)
        run.ask(2)
        client.open_run("other end", "line")
        service_of = FeedbackService(
            address=service.address,
            token=service.token("cluster", "driver"),
            reads_from=("ended", "other end"),
        )
        _, link = service_of.open_task(client, "reads on", TASK)
        assert link.read_until == {}
        first = link.ending(client, {})
        assert first.read_until == {"ended": 0, "other end": 0}
        with service.teacher("ann") as ann:
            for question in ann.lease("ended", max_questions=2):
                question.skip()
        assert link.ending(client, {"ended": 0}).read_until == {"ended": 0, "other end": 0}
        assert link.ending(client, {}).read_until == {"ended": 2, "other end": 0}
