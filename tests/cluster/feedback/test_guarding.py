"""What becomes of an alarm: told, asked about, or waited out; in lockstep as a function of the seed."""

import dataclasses
import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cluster.cli.main import main
from cluster.feedback.guarding import Guard, alarms_told
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder, write_json
from cluster.runs.progress import ProgressRow
from cluster.runs.reward.config import RewardConfig
from cluster.runs.reward.guards import GuardsConfig
from cluster.runs.reward.questions import QuestionsConfig
from hitl.reward.checks.alarms import AlarmState, OnPolicy
from hitl.reward.network.inputs import InputSpace
from hitl.reward.online import FitReport, KindReport
from tests.cluster.line_people import PEOPLE, Answering, link
from tests.hitl.live import LiveService

STRANGE = AlarmState(batches=3, newest=OnPolicy(predicted=1.0, disagreement=1.0, saturation=0.9))
ALARM = dataclasses.replace(STRANGE, reason="saturation", raised=((80, "saturation"),))
RIGHT, WRONG = 0.1, 3.0


def _guard(state: AlarmState = ALARM, **settings: Any) -> Guard:
    reward = RewardConfig(guards=GuardsConfig(**settings), questions=QuestionsConfig(budget=40))
    guard = Guard(reward, InputSpace(observation_size=2, action_size=2, discrete=True))
    guard.state = state
    return guard


def _asking(*, open: int = 0, left: int = 100) -> Any:
    return SimpleNamespace(open=open, at_once=lambda count: min(count, left))


def _report(*losses: float, rolled_back: bool = False) -> FitReport:
    kinds = {"comparisons": KindReport(newest_log_losses=losses)}
    return FitReport(accepted=True, rolled_back=rolled_back, kinds=kinds)


def test_questions_are_wanted_once_for_each_alarm() -> None:
    guard = _guard(on_alarm="ask", questions=7)
    assert guard.wanted(_asking(), fit_is_due=False) == 7
    assert guard.wanted(_asking(left=2), fit_is_due=False) == 2
    guard.has_asked()
    assert guard.wanted(_asking(open=3), fit_is_due=False) == 0
    assert guard.wanted(_asking(), fit_is_due=True) == 0
    # They have expired: nobody answered, and nothing is to be learnt.
    assert guard.wanted(_asking(), fit_is_due=False) == 7


@pytest.mark.parametrize("on_alarm", ["report", "freeze"])
def test_nothing_is_asked_out_of_turn_elsewhere(on_alarm: str) -> None:
    assert _guard(on_alarm=on_alarm).wanted(_asking(), fit_is_due=False) == 0
    assert _guard(STRANGE, on_alarm="ask").wanted(_asking(), fit_is_due=False) == 0


def test_the_alarm_is_over_when_a_fit_knows_the_answers() -> None:
    guard = _guard(on_alarm="ask")
    guard.hear(_report(WRONG), _asking(), env_steps=90)
    assert guard.state.reason == "saturation"
    guard.has_asked()
    guard.hear(_report(WRONG), _asking(open=1), env_steps=90)
    assert guard.state.reason == "saturation"
    guard.hear(None, _asking(), env_steps=90)
    assert guard.state.reason == "saturation"
    guard.hear(_report(WRONG), _asking(), env_steps=90)
    assert guard.state.reason is None
    assert guard.state.raised == ALARM.raised
    # The next one is asked about by itself, whatever is open, and no regular round ends it.
    guard.state = ALARM
    assert guard.wanted(_asking(open=3), fit_is_due=True) > 0
    guard.hear(_report(WRONG), _asking(), env_steps=95)
    assert guard.state.reason == "saturation"


def test_a_regular_round_ends_no_alarm_by_itself() -> None:
    guard = _guard(STRANGE, on_alarm="ask")
    guard.has_asked()
    guard.state = ALARM
    guard.hear(_report(WRONG), _asking(), env_steps=90)
    assert guard.state.reason == "saturation"


@pytest.mark.parametrize("on_alarm", ["report", "freeze"])
def test_no_round_of_questions_ends_an_alarm_that_waits_for_none(on_alarm: str) -> None:
    guard = _guard(on_alarm=on_alarm)
    guard.has_asked()
    guard.hear(_report(WRONG), _asking(), env_steps=90)
    assert guard.state.reason == "saturation"


def test_a_person_ends_it() -> None:
    guard = _guard(on_alarm="ask")
    guard.has_asked()
    guard.thaw()
    assert guard.state.reason is None
    assert guard.state.batches == 3
    guard.state = ALARM
    assert guard.wanted(_asking(open=3), fit_is_due=True) > 0, "nobody has been asked about this one"


def test_what_the_driver_has_kept_is_taken_over_if_it_is_further() -> None:
    guard = _guard(AlarmState())
    guard.adopt(None)
    guard.adopt(ALARM)
    assert guard.state == ALARM
    guard.adopt(AlarmState(batches=2))
    assert guard.state == ALARM


def test_alarms_and_rollbacks_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    guard = _guard(dataclasses.replace(STRANGE, predicted_before=0.5, agreement_sum=1.0))
    with caplog.at_level(logging.WARNING):
        guard.hear(_report(*[WRONG] * 4), _asking(), env_steps=120)
    assert "alarm (agreement)" in caplog.text
    assert guard.state.raised == ((120, "agreement"),)
    assert "has cleared" not in caplog.text
    guard.hear(_report(rolled_back=True), _asking(), env_steps=130)
    assert guard.rollbacks == 1
    assert "earlier reward version is back" in caplog.text
    calm = OnPolicy(predicted=1.0, disagreement=0.0, saturation=0.0)
    over = _guard(dataclasses.replace(ALARM, newest=calm), clear_answers=2)
    over.hear(_report(RIGHT, RIGHT), _asking(), env_steps=140)
    assert over.state.reason is None
    assert "the alarm (saturation) has cleared" in caplog.text


@pytest.mark.parametrize(("budget", "raises"), [(10, True), (1000, False)])
def test_the_more_answers_a_run_will_have_the_more_they_must_say(budget: int, raises: bool) -> None:
    guards = GuardsConfig()
    reward = RewardConfig(guards=guards, questions=QuestionsConfig(budget=budget))
    guard = Guard(reward, InputSpace(observation_size=2, action_size=2, discrete=True))
    heard = math.log(100 / guards.false_alarms)
    guard.state = dataclasses.replace(STRANGE, predicted_before=0.5, agreement_sum=heard)
    guard.hear(_report(WRONG), _asking(), env_steps=90)
    assert (guard.state.reason == "agreement") == raises


def test_rows_of_progress_say_it() -> None:
    twice = dataclasses.replace(ALARM, raised=((80, "saturation"), (90, "agreement"), (95, "saturation")))
    assert alarms_told(twice) == {
        "alarms": {"saturation": 2, "agreement": 1},
        "alarm_env_steps": 95,
        "alarm_holds": True,
        "policy_disagreement": 1.0,
        "saturated_share": 0.9,
    }
    ProgressRow(time=0, wall_seconds=0, phase="learning", **alarms_told(AlarmState()))


def test_a_person_can_only_end_an_alarm_that_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.run_file.write_text("environment: {id: CartPole-v1}\n")
    for holds in (False, True):
        row = ProgressRow(time=0, wall_seconds=0, phase="learning", alarm_holds=holds)
        write_json(folder.status_file, row.to_json())
        assert main(["thaw", str(folder.path)]) == (0 if holds else 2)
        assert folder.thaw_file.exists() == holds
    said = capsys.readouterr()
    assert "no alarm holds" in said.err
    assert "as soon as the run goes on: handrail train --resume" in said.out, "nobody trains it"


JUMPY = {"saturation": 0.0, "disagreement": 1e-3, "patience": 1.5, "clear_answers": 1000, "questions": 3}
UPDATES = 8


def _config(service: LiveService, name: str, **guards: Any) -> HITLConfig:
    questions = PEOPLE["reward"]["questions"] | {"round_env_steps": 320, "budget": 40}
    reward = PEOPLE["reward"] | {"questions": questions, "guards": JUMPY | guards}
    run = RunConfig.model_validate(PEOPLE | {"reward": reward})
    return HITLConfig.from_run(run, link(service, name))


def _lived(algorithm: HITL, folder: Path | None = None) -> tuple[list[Any], list[int], list[AlarmState]]:
    """The network, the questions so far and the alarms after each update."""
    networks, asked, alarms = [], [], []
    while algorithm.updates < UPDATES:
        before = algorithm.updates
        algorithm.train()
        assert algorithm.teaching is not None
        if algorithm.updates > before:
            networks.append(algorithm.network_state)
            asked.append(algorithm.teaching.state.asked)
            alarms.append(algorithm.teaching.state.alarms)
            if folder is not None:
                algorithm.save_to_path(folder / str(algorithm.updates))
    return networks, asked, alarms


def _same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.usefixtures("ray_session")
def test_a_frozen_policy_stays_as_it_is_until_a_person_ends_the_alarm(service: LiveService) -> None:
    config = _config(service, "freeze", on_alarm="freeze")
    with Answering(service, "freeze"):
        algorithm = HITL(config)
        networks, asked, alarms = _lived(algorithm)
        raised = next(place for place, state in enumerate(alarms) if state.reason)
        assert 0 < raised < UPDATES - 2
        assert not _same(networks[0], networks[raised - 1])
        for network in networks[raised:]:
            assert _same(network, networks[raised - 1])
        assert asked[-1] > asked[raised]
        assert len(alarms[-1].raised) == 1
        assert algorithm.teaching is not None
        algorithm.teaching.thaw()
        algorithm.train()
        assert not _same(algorithm.network_state, networks[-1])
        algorithm.stop()


@pytest.mark.usefixtures("ray_session")
def test_asking_goes_on_with_a_reward_that_knows_the_answers_or_waits_without_a_budget(
    service: LiveService,
) -> None:
    config = _config(service, "ask", on_alarm="ask")
    with Answering(service, "ask"):
        algorithm = HITL(config)
        networks, asked, alarms = _lived(algorithm)
        algorithm.stop()
    raised = next(place for place, state in enumerate(alarms) if state.raised)
    # Asked, answered and fitted before the update that saw it.
    assert asked[raised] - asked[raised - 1] == 3
    assert alarms[raised].reason is None
    assert not _same(networks[raised], networks[raised - 1])
    poor = _config(service, "poor", on_alarm="ask")
    poor.questions = poor.questions.model_copy(update={"budget": 12})
    with Answering(service, "poor"):
        algorithm = HITL(poor)
        networks, asked, alarms = _lived(algorithm)
        algorithm.stop()
    assert asked[-1] == 12
    assert alarms[-1].reason is not None
    assert _same(networks[-1], networks[-2])


@pytest.mark.usefixtures("ray_session")
def test_reporting_changes_nothing(service: LiveService) -> None:
    ends = []
    for name, patience in (("jumpy", 1.5), ("calm", 1e9)):
        config = _config(service, name, patience=patience)
        with Answering(service, name):
            algorithm = HITL(config)
            networks, _, alarms = _lived(algorithm)
            ends.append(networks[-1])
            assert bool(alarms[-1].raised) == (name == "jumpy")
            algorithm.stop()
    assert _same(*ends)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("on_alarm", ["ask", "freeze"])
def test_alarms_and_kept_versions_survive_resuming_bit_for_bit(
    on_alarm: str, service: LiveService, tmp_path: Path
) -> None:
    name = f"resumed {on_alarm}"
    config = _config(service, name, on_alarm=on_alarm, earlier_versions=2)
    with Answering(service, name):
        algorithm = HITL(config)
        networks, asked, alarms = _lived(algorithm, tmp_path)
        algorithm.stop()
    raised = next(place for place, state in enumerate(alarms) if state.raised)
    for checkpoint in (raised, raised + 2):
        with Answering(service, name):
            again = HITL(_config(service, name, on_alarm=on_alarm, earlier_versions=2))
            again.restore_from_path(tmp_path / str(checkpoint))
            # It is saved as often as the one that was not interrupted: that begins anew.
            more, also_asked, also_alarms = _lived(again, tmp_path / "again")
            again.stop()
        assert also_alarms == alarms[checkpoint:]
        assert also_asked == asked[checkpoint:]
        for mine, theirs in zip(more, networks[checkpoint:], strict=True):
            assert _same(mine, theirs)
