"""Corrections of other runs on the same service, as labels."""

import numpy as np
import pytest
import ray
from gymnasium import spaces

from cluster.feedback.label_reader import LabelReader
from cluster.feedback.service import FeedbackLink
from hitl.events import Retraction, Task
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.playing import Play, seen

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
