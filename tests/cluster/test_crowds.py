"""Who a run starts to teach it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.cli.supervision.launch import RunCommands, ServiceAddresses
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder
from hitl.errors import ConfigError


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
