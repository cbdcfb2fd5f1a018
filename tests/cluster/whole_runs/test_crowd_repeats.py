"""In lockstep it repeats bit for bit what several different teachers make of a run, whoever of them is faster."""

import argparse
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.cli.supervision.launch import RunCommands, ServiceAddresses
from cluster.cli.teach import configure
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from hitl.client.questions import LeasedQuestion
from hitl.questions import Turn
from hitl.teachers.program import teach
from hitl.teachers.simulated import SimulatedTeacher, settings_of
from tests.cluster.line_people import PEOPLE, link
from tests.hitl.live import LiveService

UPDATES, HALF = 24, 12
CROWD = PEOPLE | {
    "seed": 5,
    "teachers": {
        "count": 0,
        "crowd": [{"kind": "oracle", "count": 2}, {"kind": "adversary"}, {"kind": "stochastic"}],
    },
    "reward": {
        "model": PEOPLE["reward"]["model"] | {"teachers": {"weighted": True}},
        "questions": PEOPLE["reward"]["questions"]
        | {"budget": 100, "per_round": 8, "duplicates": 0.3, "gold": 0.1},
        "reliability": {"accuracy": 0.9, "adversaries": 0.3, "false_flags": 0.2},
    },
}


class Dawdling(SimulatedTeacher):
    """Answers as its settings say, but is sometimes fast and sometimes slow; that follows from nothing."""

    def thinking_seconds(self, question: LeasedQuestion) -> float:
        return random.SystemRandom().choice([0.0, 0.0, 0.01, 0.03])


@contextmanager
def crowd(service: LiveService, run: RunConfig, run_id: str, folder: Path) -> Iterator[None]:
    """The teachers that a run of this file starts, each in a thread of its own."""
    commands = RunCommands(run, RunFolder.create(folder, run_id, datetime(2026, 1, 1, tzinfo=UTC)))
    parser, stop, threads = argparse.ArgumentParser(), threading.Event(), []
    configure(parser)
    with ExitStack() as clients:
        for number, command in enumerate(commands.teachers(ServiceAddresses(service.address))):
            told = parser.parse_args(command.arguments[4:])
            teacher = Dawdling(settings_of(told.kind, seed=told.seed))
            turn = None if told.places is None else Turn(told.place, told.places)
            client = clients.enter_context(service.teacher(f"teacher-{number}", "oracle", stop=stop))
            work = threading.Thread(
                target=teach, args=(client, run_id, teacher, stop), kwargs={"turn": turn}, daemon=True
            )
            work.start()
            threads.append(work)
        yield
        stop.set()
        for work in threads:
            work.join()


def train(algorithm: HITL, *, updates: int) -> dict[str, Any]:
    """Train to the end; returns what was learnt."""
    while algorithm.updates < updates:
        algorithm.train()
    learner, teaching = algorithm.learner_group.get_state()["learner"], algorithm.teaching
    assert teaching is not None
    reports = {
        report.teacher_id: (
            (report.answers, report.skips, report.shared, report.weight),
            [(flag.reason, flag.answers, flag.shared, flag.evidence) for flag in report.flags],
        )
        for report in teaching.state.teachers
    }
    return {
        "network": algorithm.network_state,
        "optimiser": learner["optimizer"],
        "reward model": dict(teaching.arrays()),
        "version": teaching.version,
        "asked": (teaching.state.asked, teaching.state.answered),
        "teachers": reports,
        "env_steps": algorithm.env_steps,
    }


@pytest.mark.usefixtures("ray_session")
def test_a_mixed_crowd_repeats_bit_for_bit_and_so_does_going_on(service: LiveService, tmp_path: Path) -> None:
    run = RunConfig.model_validate(CROWD)
    config = {run_id: HITLConfig.from_run(run, link(service, run_id)) for run_id in ("one", "other")}
    with crowd(service, run, "one", tmp_path):
        algorithm = HITL(config["one"])
        train(algorithm, updates=HALF)
        algorithm.save_to_path(tmp_path / "checkpoint")
        one = train(algorithm, updates=UPDATES)
        algorithm.stop()
    with crowd(service, run, "other", tmp_path):
        algorithm = HITL(config["other"])
        train(algorithm, updates=HALF)
        algorithm.save_to_path(tmp_path / "other checkpoint")
        other = train(algorithm, updates=UPDATES)
        algorithm.stop()
    assert len(one["teachers"]) == 4
    assert min(shared for (_, _, shared, _), _ in one["teachers"].values()) > 0
    assert len({weight for (*_, weight), _ in one["teachers"].values()}) == 4
    assert any(flags for _, flags in one["teachers"].values())
    np.testing.assert_equal(other, one)
    again = HITLConfig.from_run(run, link(service, "one"))
    with crowd(service, run, "one", tmp_path / "again"):
        algorithm = HITL(again)
        algorithm.restore_from_path(tmp_path / "checkpoint")
        resumed = train(algorithm, updates=UPDATES)
        algorithm.stop()
    # The service gives out no number of a version twice.
    np.testing.assert_equal(resumed | {"version": 0}, one | {"version": 0})
