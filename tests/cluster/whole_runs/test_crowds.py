"""Who a run starts to teach it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.cli.main import main
from cluster.cli.supervision.launch import RunCommands, ServiceAddresses
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from hitl.errors import ConfigError
from hitl.questions import Turn


def commands(tmp_path: Path, **tree: Any) -> list[dict[str, str]]:
    """The options of each teacher that a run starts."""
    config = RunConfig.model_validate({"seed": 7, **tree})
    folder = RunFolder.create(tmp_path, "run", datetime(2026, 1, 1, tzinfo=UTC))
    started = RunCommands(config, folder).teachers(ServiceAddresses("host:1"))
    return [dict(zip(c.arguments[5::2], c.arguments[6::2], strict=False)) for c in started]


def test_a_run_starts_a_mixed_crowd(tmp_path: Path) -> None:
    crowd = [{"kind": "oracle", "count": 2}, {"kind": "adversary"}]
    found = commands(tmp_path, teachers={"count": 1, "kind": "myopic", "crowd": crowd})
    assert [options["--kind"] for options in found] == ["myopic", "oracle", "oracle", "adversary"]
    assert [options["--seed"] for options in found] == ["7", "8", "9", "10"]


def test_chances_are_each_teachers_own_only_where_some_answer_the_same(tmp_path: Path) -> None:
    alike = commands(tmp_path, teachers={"count": 2, "kind": "mistake"})
    assert [options["--seed"] for options in alike] == ["7", "7"]
    for share in ("duplicates", "gold"):
        apart = commands(tmp_path, teachers={"count": 2}, reward={"questions": {share: 0.1}})
        assert [options["--seed"] for options in apart] == ["7", "8"]


def test_those_of_a_run_in_lockstep_take_turns(tmp_path: Path) -> None:
    crowd = {"count": 2, "crowd": [{"kind": "adversary"}]}
    found = commands(tmp_path, mode="lockstep", teachers=crowd)
    assert [(options["--place"], options["--places"]) for options in found] == [
        ("0", "3"),
        ("1", "3"),
        ("2", "3"),
    ]
    one, *others = commands(tmp_path, mode="lockstep", teachers={"count": 1})
    assert not others
    assert "--place" not in one
    assert all("--places" not in options for options in commands(tmp_path, teachers=crowd))


def test_a_simulated_teacher_may_take_turns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDRAIL_TOKEN", "given")
    turns: list[Turn | None] = []
    monkeypatch.setattr("hitl.teachers.program.run_teacher", lambda *_, turn, **__: turns.append(turn) or 0)

    def teach(*options: str) -> str:
        words = ["teach", "--simulated", "--address", "far:1", "--run-id", "x", *options]
        return capsys.readouterr().err if main(words) == 2 else ""

    assert teach() == teach("--place", "0", "--places", "5") == ""
    assert turns == [None, Turn(0, 5)]
    assert "--place, from 0, and --places" in teach("--place", "0")
    assert "--place, from 0, and --places" in teach("--places", "2")
    assert "error: --place: 5 is none of 5 places; give one from 0 to 4" in teach(
        "--place", "5", "--places", "5"
    )
    assert "error: --places: 0 teachers" in teach("--place", "0", "--places", "0")


def test_nobody_is_too_fast_where_programs_answer_at_once() -> None:
    def look_seconds(**tree: Any) -> float | None:
        config = RunConfig.model_validate(tree)
        reliability = config.reward.reliability.beside(programs_at_once=config.teachers.answer_at_once)
        return reliability.look_seconds

    assert look_seconds() == 0.5
    assert look_seconds(teachers={"count": 2}) == 0.0
    assert look_seconds(teachers={"crowd": [{}]}) == 0.0
    assert look_seconds(teachers={"count": 2, "answer_seconds": 2.0}) == 0.5
    for teachers in ({}, {"count": 2}):
        assert look_seconds(teachers=teachers, reward={"reliability": {"look_seconds": 1.5}}) == 1.5


def test_a_crowd_at_anothers_service_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"teachers\.crowd is 1"):
        commands(tmp_path, teachers={"crowd": [{}]}, feedback={"address": "host:1", "token": "t"})
