"""When a stage asks for help, and how long it waits."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from cluster.gates import make_gate
from cluster.runs.imitation_config import ImitationConfig
from cluster.stages.help import Help
from policies.acting.counsel import Counsel

SPACE: gym.Space[Any] = gym.spaces.Discrete(3)
STATE = np.zeros((1, 1), np.float32)
OWN = np.array([1])


class Says(Counsel):
    """Says what it is told to."""

    def __init__(self) -> None:
        self.doubt, self.expected = 0.0, 0.0
        self.missing: float | None = None

    def about(self, *_: Any) -> Any:
        return np.array([self.doubt]), np.array([self.expected])

    def risk(self, *_: Any) -> Any:
        return None if self.missing is None else np.array([self.missing])


def asking(gate: str, **settings: Any) -> tuple[Help, Says]:
    config = ImitationConfig.model_validate({"alone": True, "help": {"gate": gate, **settings}})
    says = Says()
    gate_of_run = make_gate(config, seed=0, asks_always=False)
    return Help(gate_of_run, says, SPACE, wait_seconds=config.help.wait_seconds), says


@pytest.mark.parametrize("gate", ["ensemble", "thrifty"])
def test_doubt_asks_for_help(gate: str) -> None:
    stage, says = asking(gate, doubt=0.3)
    assert not stage.look(STATE, OWN, begins=True, now=0.0)
    says.doubt = 0.31
    assert stage.look(STATE, OWN, begins=False, now=0.1)


def test_an_expected_distance_asks_and_what_people_do_ends_it() -> None:
    stage, says = asking("lazy", discrepancy=0.5, calm_discrepancy=0.1)
    says.expected = 0.6
    assert stage.look(STATE, OWN, begins=True, now=0.0)
    # They do something else than the policy would: they are still needed, whatever is expected.
    says.expected = 0.0
    stage.acted(np.array(2))
    assert stage.look(STATE, OWN, begins=False, now=1.0)
    stage.acted(np.array(1))
    assert not stage.look(STATE, OWN, begins=False, now=2.0)


def test_where_nobody_comes_the_expected_distance_is_what_counts() -> None:
    stage, says = asking("lazy", discrepancy=0.5, calm_discrepancy=0.1)
    says.expected = 0.6
    assert stage.look(STATE, OWN, begins=True, now=0.0)
    stage.acted(np.array(2))
    stage.acted(None)
    says.expected = 0.05
    assert not stage.look(STATE, OWN, begins=False, now=1.0)


def test_a_stage_waits_once_for_each_call() -> None:
    stage, says = asking("ensemble", doubt=0.3, wait_seconds=5.0)
    says.doubt = 0.5
    assert not stage.waits(10.0)
    assert stage.look(STATE, OWN, begins=True, now=10.0)
    assert stage.waits(14.9)
    assert not stage.waits(15.0)
    # It goes on asking, and nobody came: the policy goes on alone.
    assert stage.look(STATE, OWN, begins=False, now=15.0)
    assert not stage.waits(15.1)
    says.doubt = 0.0
    assert not stage.look(STATE, OWN, begins=False, now=16.0)
    says.doubt = 0.5
    assert stage.look(STATE, OWN, begins=False, now=17.0)
    assert stage.waits(21.9)


def test_people_are_called_by_doubt_alone_however_far_they_may_be() -> None:
    stage, says = asking("ensemble", doubt=0.3, discrepancy=0.5)
    says.expected = 1.0
    assert not stage.look(STATE, OWN, begins=True, now=0.0)


def test_whoever_needs_no_help_any_more_is_not_waited_for() -> None:
    stage, says = asking("ensemble", doubt=0.3)
    says.doubt = 0.5
    assert stage.look(STATE, OWN, begins=True, now=0.0)
    says.doubt = 0.0
    assert not stage.look(STATE, OWN, begins=False, now=0.1)
    assert not stage.waits(0.2)


def test_a_new_episode_calls_anew() -> None:
    stage, says = asking("ensemble", doubt=0.3)
    says.doubt = 0.5
    assert stage.look(STATE, OWN, begins=True, now=0.0)
    assert stage.look(STATE, OWN, begins=True, now=100.0)
    assert stage.waits(100.1)


def test_calls_in_an_episode_are_bounded() -> None:
    stage, says = asking("ensemble", doubt=0.3, most_switches=2)

    def calls() -> int:
        asked = 0
        for step in range(12):
            says.doubt = 0.5 * (step % 2)
            asked += stage.look(STATE, OWN, begins=step == 0, now=float(step))
        return asked

    assert [calls(), calls()] == [2, 2]


def test_risk_asks_for_help_once_it_is_known_and_only_where_there_is_a_goal() -> None:
    """Stages see few steps: limits are chosen from those that they have seen themselves."""

    def calls(goal: str) -> list[bool]:
        stage, says = asking("thrifty", doubt=0.3, target_share=0.1, goal=goal)
        first = [stage.look(STATE, OWN, begins=step == 0, now=float(step)) for step in range(10)]
        for step in range(40):
            says.missing = 0.2 + 0.001 * (step % 20)
            first.append(stage.look(STATE, OWN, begins=step % 20 == 0, now=10.0 + step))
        assert not any(first)
        asks = []
        for risk in (0.2, 0.9, 0.9, 0.2):
            says.missing = risk
            asks.append(stage.look(STATE, OWN, begins=not asks, now=100.0 + len(asks)))
        return asks

    assert calls("none") == [False] * 4
    assert calls("is_success") == [False, True, True, False]
