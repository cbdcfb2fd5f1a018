"""Runs that learn from what people said before them: recorded, and in earlier runs of the task."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.feedback.progress_reporter import VERSION_MARGIN
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.config import RunConfig
from hitl.events import Comparison
from tests.cluster.line_people import PEOPLE, Answering, link
from tests.cluster.line_recorded import PAIRS, recorded, settings
from tests.cluster.whole_runs.test_resume import _train
from tests.hitl.live import LiveRun, LiveService


@pytest.mark.usefixtures("ray_session")
def test_the_reward_is_there_before_the_first_question(service: LiveService, tmp_path: Path) -> None:
    config = settings(recorded(tmp_path / "people"), budget=0, initial=0, initial_env_steps=10**6)
    algorithm = HITL(HITLConfig.from_run(RunConfig.model_validate(config), link(service, "before")))
    while not algorithm.updates:
        algorithm.train()
    assert algorithm.teaching is not None
    state = algorithm.teaching.state
    # As soon as there are steps enough for the scale, and with the first batch that has them the policy learns.
    assert algorithm.env_steps == 320
    assert (algorithm.teaching.version, state.asked) == (1, 0)
    assert state.report is not None
    report = state.report.kinds["comparisons"]
    assert report.count == PAIRS
    assert report.heldout_accuracy is not None
    assert report.heldout_accuracy > 0.75
    algorithm.stop()


@pytest.mark.usefixtures("ray_session")
def test_a_pretrained_run_goes_on_to_the_same_bits_and_asks_as_any_other(
    service: LiveService, tmp_path: Path
) -> None:
    run = RunConfig.model_validate(settings(recorded(tmp_path / "people"), per_round=4, round_env_steps=400))

    def life(run_id: str) -> HITLConfig:
        return HITLConfig.from_run(run, link(service, run_id))

    config = life("pretrained")
    with Answering(service, "pretrained") as teacher:
        whole = _train(HITL(config), tmp_path)
    assert len(teacher.answers) >= 16
    config = life("pretrained")
    with Answering(service, "pretrained"):
        resumed = HITL(config)
        resumed.restore_from_path(tmp_path / "2")
        resumed.policy_version += VERSION_MARGIN
        np.testing.assert_equal(_train(resumed, tmp_path / "resumed"), whole)


def taught(service: LiveService, run_id: str) -> LiveRun:
    """A run whose teacher has compared."""
    config = HITLConfig.from_run(RunConfig.model_validate(settings()), link(service, run_id))
    with Answering(service, run_id):
        algorithm = HITL(config)
        while not algorithm.updates:
            algorithm.train()
        algorithm.stop()
    client = service.cluster()
    return LiveRun(client.get_run(run_id), client)


@pytest.mark.usefixtures("ray_session")
def test_in_lockstep_a_run_that_is_read_from_counts_as_far_as_it_went_at_first(
    service: LiveService, tmp_path: Path
) -> None:
    other = taught(service, "other")
    end = other.run.journal_end
    assert end > 4
    reward = PEOPLE["reward"] | {"pretraining": {"earlier_runs": True, "fits": 2}}
    reads = {"reads_from": ["other"]}
    run = RunConfig.model_validate(PEOPLE | {"reward": reward, "feedback": reads})

    def life(run_id: str) -> HITLConfig:
        opened = replace(link(service, run_id), reads_from=("other",), read_until={"other": end})
        return HITLConfig.from_run(run, opened)

    config = life("reader")
    with Answering(service, "reader"):
        algorithm = HITL(config)
        whole = _train(algorithm, tmp_path)
    # Somebody goes on teaching the other run.
    segments = [replace(s, segment_id=f"new-{n}") for n, s in enumerate(_segments(other))]
    other.cluster.publish_segments(other.cluster.open_run("other", "line"), [(s, None) for s in segments])
    with service.teacher("oracle", "oracle") as ann:
        asking = other.cluster.get_run("other")
        other.cluster.ask(
            asking, [other.question("late", first_segment_id="new-0", second_segment_id="new-1")]
        )
        (late,) = ann.lease("other", wait_seconds=5.0)
        late.skip()
        ann.retract("other", _first_event(other))
    assert other.cluster.get_run("other").journal_end == end + 2
    config = life("reader")
    with Answering(service, "reader"):
        resumed = HITL(config)
        resumed.restore_from_path(tmp_path / "2")
        resumed.policy_version += VERSION_MARGIN
        np.testing.assert_equal(_train(resumed, tmp_path / "resumed"), whole)


def _segments(run: LiveRun) -> list[Any]:
    for entries in run.cluster.tail(run.run_id):
        return run.cluster.get_segments(run.run_id, entries[0].segment_ids)
    raise AssertionError


def _first_event(run: LiveRun) -> str:
    for entries in run.cluster.tail(run.run_id):
        event = entries[0].event
        assert isinstance(event, Comparison)
        return event.event_id
    raise AssertionError
