"""Corrections of other runs on the same service, as labels."""

from pathlib import Path

import numpy as np
import pytest
import ray
from gymnasium import spaces

from cluster.demonstrations.sources import read_sources
from cluster.feedback.label_reader import LabelReader
from cluster.feedback.service import FeedbackLink
from hitl.client.questions import LeasedRelabel
from hitl.events import Abstention, RelabelQuestion, Retraction, Task
from policies.imitation.labels import LabelStore
from tests.cluster.demonstrations.datasets import Four
from tests.cluster.demonstrations.test_writing import new_run
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.playing import FOUR_ACTIONS, Play, seen

pytestmark = pytest.mark.usefixtures("ray_session")


def _labels(reader: LabelReader) -> list[tuple[float, int]]:
    newest = reader.take([]).newest
    labels = ray.get(newest.boxed[0]) if newest else None
    return sorted(zip(labels.observation_BO[:, 0], labels.action_BA, strict=True)) if labels else []


def test_they_join_those_of_the_run_and_are_told_apart(service: LiveService) -> None:
    client = service.cluster()
    client.register_task(Task(task_id="task", name="Task-v0", fingerprint="{}"))
    earlier = LiveRun(client.open_run("earlier", "task"), client)
    now = LiveRun(client.open_run("now", "task", reads_from=["earlier"]), client)
    for run, steps in ((earlier, 2), (now, 3)):
        play = Play.open(run)
        play.teacher_id = "bob"
        play.step(steps)
        play.reset()
        eventually(lambda play=play: play.player.unstored == 1)  # type: ignore[misc]
        seen(service, run, steps + 1)
        play.player.close()
    reader = LabelReader(
        spaces.Box(-np.inf, np.inf, (1,)),
        spaces.Discrete(4),
        heldout_share=0.0,
        most_labels=None,
        link=FeedbackLink(
            address=service.address,
            token=service.token("cluster", "driver"),
            run_id="now",
            task_id="task",
            epoch=now.run.epoch,
            reads_from=["earlier"],
        ),
    )
    first, second = [(0.0, 1), (1.0, 2)], [(0.0, 1), (1.0, 2), (2.0, 3)]
    # Those of other runs are there at once.
    assert _labels(reader)[:2] in (first, [first[0]] * 2)
    eventually(lambda: _labels(reader) == sorted(first + second))
    with service.teacher("bob") as bob:
        bob.submit([Retraction(run_id="earlier", retracted_event_id="takeover/stage/1")])
    eventually(lambda: _labels(reader) == second)
    client.close()


def test_answers_of_an_earlier_run_are_demonstrations_too(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "runs")
    service = LiveService(folder.feedback)
    with service.cluster() as client:
        client.register_task(Task(task_id="four", name="Four", fingerprint="{}"))
        run = LiveRun(client.open_run(folder.run_id, "four"), client)
        client.publish_segments(run.run, [(run.segment("walk", width=1), None)])
        asked = [
            RelabelQuestion(
                question_id=f"q{n}", run_id=run.run_id, segment_id="walk", step=n, action_space=FOUR_ACTIONS
            )
            for n in range(4)
        ]
        client.ask(run.run, asked)
        answers = [np.array(3), Abstention.SKIP, np.array(2), np.array(0)]
        with service.teacher("bob") as bob:
            receipts = [
                one.answer(answers[one.step])
                for one in bob.lease(run.run_id, max_questions=4)
                if isinstance(one, LeasedRelabel)
            ]
            bob.retract(run.run_id, receipts[3].event_id)
    service.kill()
    store = LabelStore(Four.observation_space, Four.action_space, heldout_share=0.0)
    assert read_sources([str(folder.path)], store, Four.observation_space, Four.action_space) == 2
    labels = store.labels()
    assert labels.observation_BO[:, 0].tolist() == [0.0, 2.0]
    assert labels.action_BA.tolist() == [3, 2]
