from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hitl.errors import ConfigError
from hitl.stages import ActionSpace
from hitl.teachers.judging import Expert, ExpertJudge, Judge, ScoreJudge, load_expert, load_mind

FOUR = ActionSpace(choices=(4,), single=True)
BOX = ActionSpace(low=np.array([-1.0, 0.0], np.float32), high=np.array([1.0, 10.0], np.float32))
UNBOUNDED = ActionSpace(low=np.array([-np.inf], np.float32), high=np.array([np.inf], np.float32))

OWN = """
class Strict:
    def __init__(self, value=-1.0):
        self.value = value

    def opinion(self, observation, action):
        return self.value

class Still:
    def act(self, observation):
        return 0

class Mute:
    pass

broken = None
"""


class Constant:
    def __init__(self, action: Any) -> None:
        self.action = action

    def act(self, observation: np.ndarray) -> Any:
        return self.action


def state(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def opinion(wanted: Any, action: Any, space: ActionSpace, **options: float) -> float:
    return ExpertJudge(Constant(wanted), space, **options).opinion(state(0.0), np.asarray(action))


@pytest.mark.parametrize(("action", "expected"), [(0, -1.0), (1, 0.0), (2, 1.0)])
def test_a_score_judge_compares_with_the_alternatives(action: int, expected: float) -> None:
    judge = ScoreJudge(lambda seen: seen[0] * np.arange(3), good_share=1 / 3, bad_share=2 / 3)
    assert judge.opinion(state(2.0), np.array(action)) == expected
    # Where the score is the other way round, so is the opinion.
    assert judge.opinion(state(-2.0), np.array(action)) == -expected


def test_an_expert_approves_of_its_own_action_alone() -> None:
    assert [opinion(2, action, FOUR) for action in range(4)] == [-1.0, -1.0, 1.0, -1.0]
    pairs = ActionSpace(choices=(2, 3))
    assert opinion([1, 2], [1, 2], pairs) == 1.0
    assert opinion([1, 2], [1, 1], pairs) == -1.0


@pytest.mark.parametrize(
    ("action", "expected"), [((0.0, 5.0), 1.0), ((0.19, 4.1), 1.0), ((0.21, 5.0), -1.0), ((0.0, 3.9), -1.0)]
)
def test_numbers_may_differ_by_a_share_of_their_range(action: tuple[float, float], expected: float) -> None:
    assert opinion((0.0, 5.0), np.array(action, np.float32), BOX, tolerance=0.1) == expected


@pytest.mark.parametrize(("action", "expected"), [(50.09, 1.0), (50.2, -1.0)])
def test_without_bounds_they_may_differ_by_the_share_itself(action: float, expected: float) -> None:
    assert opinion([50.0], np.array([action], np.float32), UNBOUNDED, tolerance=0.1) == expected


@pytest.mark.parametrize(
    ("wanted", "space"), [(4, FOUR), (1.0, FOUR), ([1], FOUR), ([0.0, 11.0], BOX), ([0.0], BOX)]
)
def test_an_expert_that_wants_no_action_of_the_task_is_told_so(wanted: Any, space: ActionSpace) -> None:
    with pytest.raises(ConfigError, match=r"Constant\.act: .* send"):
        ExpertJudge(Constant(wanted), space).wanted(state(0.0))


def test_an_experts_numbers_get_the_dtype_of_the_space() -> None:
    assert ExpertJudge(Constant([0, 1]), BOX).wanted(state(0.0)).dtype == np.float32


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_minds.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_minds"


def test_minds_are_made_by_their_names(own_module: str) -> None:
    judge = load_mind(f"{own_module}:Strict", value=0.5)
    assert isinstance(judge, Judge)
    assert judge.opinion(state(0.0), np.array(1)) == 0.5
    expert = load_expert(f"{own_module}:Still")
    assert isinstance(expert, Expert)
    assert expert.act(state(0.0)) == 0


def test_they_are_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "minds_at_hand.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [part for part in __import__("sys").path if part])
    assert load_expert("minds_at_hand:Still").act(state(0.0)) == 0


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("Strict", {}, "no module:Class; write for example lessons:Judge"),
        (":Strict", {}, "no module:Class"),
        ("no_such_module:Strict", {}, "cannot import Strict from no_such_module.*PYTHONPATH"),
        ("own_minds:Missing", {}, "cannot import Missing from own_minds"),
        ("own_minds:Strict", {"size": 3}, "cannot be made with {'size': 3}.*Check"),
        ("own_minds:broken", {}, "cannot be made"),
        ("own_minds:Mute", {}, "has no opinions; give it a method opinion"),
    ],
)
def test_a_judge_that_cannot_be_made_is_told_so(
    own_module: str, name: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_mind(name, **options)


def test_an_expert_that_cannot_act_is_told_so(own_module: str) -> None:
    with pytest.raises(ConfigError, match="cannot act; give it a method act"):
        load_expert(f"{own_module}:Strict")


def test_a_mind_is_a_judge_or_an_expert(own_module: str) -> None:
    assert isinstance(load_mind(f"{own_module}:Strict"), Judge)
    assert isinstance(load_mind(f"{own_module}:Still"), Expert)
    with pytest.raises(ConfigError, match=r"give it a method opinion\(.*or act\("):
        load_mind("builtins:object")
