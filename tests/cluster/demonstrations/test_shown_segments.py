"""Demonstrations of earlier runs and of Minari datasets, for a reward that is learnt from them."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from cluster.demonstrations.shown_segments import shown_segments
from cluster.feedback.earlier import Earlier
from cluster.feedback.evidence import online_model
from cluster.runs.reward.config import RewardConfig
from cluster.runs.reward.kinds import DemonstrationsConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.questions import QuestionsConfig
from hitl.errors import ConfigError
from hitl.events import Segment, StepAddress, Task
from hitl.reward.evidence.demonstrations import Demonstrations
from tests.cluster.demonstrations.datasets import CARTPOLE, Four, balanced, write
from tests.cluster.demonstrations.test_writing import new_run
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.playing import Play

SPACES = Four.observation_space, Four.action_space
LINE = gym.spaces.Box(-1, 1, (2,), np.float32), gym.spaces.Discrete(2)


def test_episodes_of_a_dataset_are_segments_and_short_ones_are_left_out(tmp_path: Path) -> None:
    spaces = CARTPOLE.observation_space, CARTPOLE.action_space
    folder = balanced(tmp_path / "balanced-v0", episodes=2)
    found = list(shown_segments(str(folder), *spaces, steps=25))
    assert [len(segment) for segment in found] == [500, 500]
    assert found[1].observations["obs"].shape == (500, 4)
    assert len({segment.segment_id for segment in found}) == 2
    made = [(np.full((n + 1, 2), n / 10, np.float32), np.ones(n, np.int64)) for n in (3, 5, 4)]
    short = write(tmp_path / "short-v0", made, *LINE)
    assert [len(segment) for segment in shown_segments(str(short), *LINE, steps=4)] == [5, 4]
    with pytest.raises(
        ConfigError, match=r"reward.demonstrations.sources: \S+: nobody has shown 6 steps in a row"
    ):
        list(shown_segments(str(short), *LINE, steps=6))
    for source, complaint in ((str(tmp_path), "no dataset in"), (str(folder), "not this task's")):
        with pytest.raises(ConfigError, match=f"reward.demonstrations.sources: .*{complaint}"):
            list(shown_segments(source, *LINE, steps=4))


def test_what_teachers_did_with_the_controls_is_in_pieces_without_a_gap(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "runs")
    service = LiveService(folder.feedback)
    with service.cluster() as client:
        client.register_task(Task(task_id="four", name="Four", fingerprint="{}"))
        play = Play.open(LiveRun(client.open_run(folder.run_id, "four"), client))
        for teacher, steps in (("", 3), ("bob", 40), ("", 2), ("ann", 6)):
            play.teacher_id = teacher
            play.step(steps)
        play.reset()
        eventually(lambda: play.player.unstored == 1)
        play.player.close()
    service.kill()
    first, second = shown_segments(str(folder.path), *SPACES, steps=5)
    # Frame n shows the state [n], and the action in it is n modulo 4.
    for segment, begin, steps in ((first, 3, 40), (second, 45, 6)):
        states = np.arange(begin, begin + steps)
        assert segment.observations["obs"].ravel().tolist() == states.tolist()
        assert segment.actions.tolist() == ((states + 1) % 4).tolist()
    assert [len(segment) for segment in shown_segments(str(folder.path), *SPACES, steps=7)] == [40]
    with pytest.raises(
        ConfigError, match=r"reward.demonstrations.sources: run \S+: its observations are not"
    ):
        list(shown_segments(str(folder.path), *LINE, steps=5))


def test_a_reward_learns_that_what_was_shown_is_better_than_what_the_policy_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    up = [(rng.uniform(0.2, 1, (21, 2)).astype(np.float32), np.ones(20, np.int64)) for _ in range(20)]
    folder = write(tmp_path / "up-v0", up, *LINE)
    reward = RewardConfig(
        model=RewardModelConfig(members=2, hidden=(16,), learning_rate=1e-2, gradient_steps=50),
        questions=QuestionsConfig(segment_steps=10),
        demonstrations=DemonstrationsConfig(sources=(str(folder),)),
    )
    model = online_model(reward, *LINE, seed=0)
    model.set_probe(rng.uniform(-1, 1, (128, 2)).astype(np.float32), rng.integers(0, 2, 128))
    earlier = Earlier(reward, model, task_id="line", spaces=LINE, journals={}, ends={})
    assert earlier.pretrains
    kind = model.evidence["demonstrations"]
    assert isinstance(kind, Demonstrations)
    assert len(kind) == 40
    kind.show_own(_own(number, rng) for number in range(64))
    report = earlier.fit_first()
    assert report is not None
    accuracy = report.kinds["demonstrations"].train_accuracy
    assert accuracy is not None
    assert accuracy > 0.9


def _own(number: int, rng: np.random.Generator) -> Segment:
    address = StepAddress(task_id="line", run_id="run", source="1.0", episode=number, begin=0, end=10)
    return Segment(
        segment_id=f"own-{number}",
        address=address,
        observations={"obs": rng.uniform(-1, 0.3, (10, 2)).astype(np.float32)},
        actions=rng.integers(0, 2, 10),
        policy_version=0,
    )
