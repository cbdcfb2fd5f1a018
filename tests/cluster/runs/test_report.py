"""The report: pictures of what the run has numbers for, on one page that needs nothing else."""

import base64
import math
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cluster.cli.main import main
from cluster.cli.supervision.finish import finish
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder, write_json
from cluster.runs.goal import goal_met
from cluster.runs.lives import begin_life
from cluster.runs.loading import save_run
from cluster.runs.pictures import draw_pictures
from cluster.runs.progress import ProgressRow
from cluster.runs.report import write_report

ALL = {"return_by_comparisons", "return_by_steps", "accuracy_by_comparisons", "true_by_predicted"}
SUMMARY = {
    "run_id": "run", "environment": "CartPole-v1", "seed": 0, "env_steps": 90_000, "wall_seconds": 91.7,
    "comparisons": 100, "true_return_mean": 487.25, "true_return_episodes": 20, "heldout_accuracy": 0.93,
    "policy_version": 89, "reward_version": 18, "goal_met": True,
}  # fmt: skip


def make_run(tmp_path: Path, config: dict[str, Any], rows: list[ProgressRow]) -> RunFolder:
    import json

    folder = RunFolder.create(tmp_path, "run", datetime(2026, 1, 2, tzinfo=UTC))
    save_run(RunConfig.model_validate(config), folder.run_file)
    begin_life(folder, 1_000_000.0)
    folder.progress_file.write_text("".join(json.dumps(row.to_json()) + "\n" for row in rows))
    if rows:
        write_json(folder.status_file, rows[-1].to_json())
    return folder


def learning(count: int, **without: Any) -> list[ProgressRow]:
    rows = []
    for i in range(count):
        quality = 1 - math.exp(-i / 5)
        values: dict[str, Any] = {
            "true_return": 500 * quality,
            "predicted_return": 3 * quality - 1,
            "comparisons": 20 + 5 * (i // 2),
            "heldout_accuracy": 0.5 + 0.4 * quality,
            "train_accuracy": 0.6 + 0.4 * quality,
            "reward_version": i,
        }
        values |= without
        rows.append(ProgressRow(time=i, wall_seconds=i, phase="learning", env_steps=4096 * i, **values))
    return rows


class Outside(HTMLParser):
    """Collects everything that a page would load, and whether its tags match."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attributes if name in ("src", "href", "srcset")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_whole_run_has_four_pictures_and_one_page(tmp_path: Path) -> None:
    goal = {"true_return": 475, "comparisons": 90, "wall_seconds": 120}
    folder = make_run(tmp_path, {"goal": goal, "feedback": {"token": "t0p-secret"}}, learning(20))
    write_json(folder.summary_file, SUMMARY)
    assert {path.stem for path in draw_pictures(folder)} == ALL
    assert {path.name for path in folder.pictures.iterdir()} == {f"{name}.png" for name in ALL}
    page = write_report(folder).read_text()
    parser = Outside()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.loaded) == 4
    for source in parser.loaded:
        assert base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    for part in (
        folder.run_id,
        "487.2",
        "93 %",
        "at least 475",
        "reward.questions.budget",
        "1 January|12 January",
    ):
        assert re.search(part, page)
    assert page.count(">met<") == 2
    assert page.count(">missed<") == 2, "one line of the goal is missed, and so is the whole"
    assert "t0p-secret" not in page


def test_a_run_without_people_has_the_learning_curve_only(tmp_path: Path) -> None:
    rows = learning(5, predicted_return=None, heldout_accuracy=None, train_accuracy=None)
    rows = [ProgressRow(**(row.to_json() | {"comparisons": 0, "reward_version": 0})) for row in rows]
    folder = make_run(tmp_path, {"reward": {"sources": {"environment": 1, "learned": 0}}}, rows)
    assert [path.stem for path in draw_pictures(folder)] == ["return_by_steps"]
    page = write_report(folder).read_text()
    assert "answers of teachers" not in page
    assert "not finished" in page


def test_a_run_that_asks_nobody_counts_no_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"reward": {"questions": {"budget": 0, "initial": 0}}, "stages": {"count": 1}}
    folder = make_run(tmp_path, settings, learning(3))
    write_json(folder.summary_file, {key: value for key, value in SUMMARY.items() if key != "goal_met"})
    assert "answers of teachers" not in write_report(folder).read_text()
    config = RunConfig.model_validate(settings)
    assert finish(config, folder) is True
    said = capsys.readouterr().out
    for word in ("comparisons", "accuracy", " 100 ", "93 %"):
        assert word not in said
    assert main(["runs", "--runs-folder", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert " 100 " not in said
    assert "487.2" in said


def test_a_run_without_true_return_shows_its_reward_model(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {}, learning(5, true_return=None))
    assert [path.stem for path in draw_pictures(folder)] == ["accuracy_by_comparisons"]
    assert "–" in write_report(folder).read_text()


def test_a_run_that_has_only_started_has_a_report(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {}, [])
    assert draw_pictures(folder) == []
    assert "no numbers to draw" in write_report(folder).read_text()


def test_pictures_that_no_longer_apply_go_away(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {}, learning(5))
    draw_pictures(folder)
    folder.progress_file.write_text("")
    draw_pictures(folder)
    assert list(folder.pictures.iterdir()) == []


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"environment": {"id": "<script>alert(1)</script>"}}, learning(3))
    assert "<script>" not in write_report(folder).read_text()


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        ({}, None),
        ({"true_return": 487.25, "comparisons": 100, "wall_seconds": 91.7}, True),
        ({"true_return": 488}, False),
        ({"comparisons": 99}, False),
        ({"wall_seconds": 91}, False),
    ],
)
def test_a_goal_is_met_when_every_line_is(goal: dict[str, float], met: bool | None) -> None:
    assert goal_met(RunConfig.model_validate({"goal": goal}).goal, SUMMARY) is met


def test_what_is_not_known_is_not_reached() -> None:
    goal = RunConfig.model_validate({"goal": {"true_return": 1}}).goal
    assert goal_met(goal, SUMMARY | {"true_return_mean": None}) is False


def test_a_run_that_judged_held_out_answers_shows_their_reliability(tmp_path: Path) -> None:
    rows = learning(4)
    bins = [(0.6, 0.7, 12), (0.9, 1.0, 12)]
    rows[2] = ProgressRow(**(rows[2].to_json() | {"reliability": bins, "calibration_error": 0.1}))
    folder = make_run(tmp_path, {}, rows)
    assert "reliability" in [path.stem for path in draw_pictures(folder)]
    assert "too modest" in write_report(folder).read_text()


def test_the_report_says_what_the_reward_was_learnt_from_and_what_each_teacher_counts_in_it(
    tmp_path: Path,
) -> None:
    looks = {"pieces": 12, "mean": 1.25, "low": 0.5, "high": 2.5, "weight": 1.25}
    upset = looks | {"mean": -3.5, "low": -4.5, "high": -2.5, "weight": -3.0}
    nothing: dict[str, Any] = {"heldout_accuracy": None, "heldout_log_loss": None, "teachers": {}}
    judged = {"heldout_accuracy": 0.75, "heldout_log_loss": 0.625, "teachers": {"ann": looks, "bob": upset}}
    kinds = {"comparisons": {"count": 33, **judged}, "demonstrations": {"count": 61, **nothing}}
    settings = {"reward": {"model": {"kinds": {"demonstrations": 0.5}}}}
    folder = make_run(tmp_path, settings, learning(3, kinds=kinds))
    page = write_report(folder).read_text()
    assert "<td>comparisons</td><td>33</td><td>1</td><td>0.625</td><td>75 %</td>" in page
    assert "<td>demonstrations</td><td>61</td><td>0.5</td><td>–</td><td>–</td>" in page
    assert "<td>ann</td><td>1.25 (0.5 to 2.5)</td>" in page
    assert "<td>bob</td><td>-3.5 (-4.5 to -2.5), counts -3</td>" in page
    without = make_run(tmp_path / "other", settings, learning(3))
    assert "What the reward model learnt from" not in write_report(without).read_text()
