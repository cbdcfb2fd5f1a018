"""What a comparison has found, in its files, in words, in the terminal and as a page."""

import io
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from cluster.cli.screens.compare_view import CompareView
from cluster.cli.supervision.supervisor import ProcessState
from cluster.comparison.folder import ComparedPolicy, ComparisonFolder, ComparisonSettings
from cluster.comparison.report import write_comparison_report
from cluster.comparison.standings import to_json
from cluster.comparison.wording import condorcet_line, ranking, said_chance, said_line, verdict
from cluster.runs.config import RunConfig
from cluster.runs.folder import RunFolder, write_json
from cluster.runs.loading import save_run
from hitl.errors import StorageError
from hitl.events import Choice
from hitl.voting.posterior import standings
from hitl.voting.tally import Duel, tally

NAMES = ["a<b>@1", "run[2]@7", "c@3"]
CIRCLE = [Duel(0, 1, Choice.FIRST), Duel(1, 2, Choice.FIRST), Duel(2, 0, Choice.FIRST)] * 5
CLEAR = [Duel(1, 0, Choice.FIRST), Duel(2, 1, Choice.SECOND), Duel(0, 2, Choice.TIE)] * 9


def found_of(duels: list[Duel], *, confidence: float = 0.95) -> dict[str, Any]:
    counted = tally(duels, policies=3)
    found = to_json(
        NAMES, counted, standings(counted.wins_IJ), budget=50, confidence=confidence, asked=len(duels) + 2
    )
    # As whoever reads the file gets it.
    loaded: dict[str, Any] = json.loads(json.dumps(found))
    return loaded


@pytest.fixture
def folder(tmp_path: Path) -> ComparisonFolder:
    run = RunFolder.create(tmp_path, "compare", datetime(2026, 1, 2, tzinfo=UTC))
    save_run(RunConfig(), run.run_file)
    folder = ComparisonFolder(run)
    folder.save_settings(settings())
    return folder


def settings(**changes: Any) -> ComparisonSettings:
    policies = tuple(ComparedPolicy(name=name, run="/runs/r", checkpoint="000000000001") for name in NAMES)
    return ComparisonSettings(
        **{
            "policies": policies,
            "steps": 25,
            "begin": "anywhere",
            "schedule": "double_thompson",
            "budget": 50,
            "confidence": 0.95,
            "open_questions": 4,
            "clips": None,
            "seed": 3,
            **changes,
        }
    )


def test_a_winner_is_named_with_how_sure_that_is() -> None:
    found = found_of(CLEAR)
    assert found["condorcet"]["winner"] == found["copeland"]["winner"] == NAMES[1]
    assert found["wins"] == [[0, 0, 4.5], [9, 0, 9], [4.5, 0, 0]]
    assert found["tied"] == [[0, 0, 9], [0, 0, 0], [9, 0, 0]]
    assert verdict(found) == "people prefer run[2]@7: it wins with a probability of over 99 %"
    assert condorcet_line(found) == "run[2]@7 (over 99 %)"
    assert ranking(found)[0] == 1
    assert said_line(found) == (
        "27 of at most 50 answers: 9 for what was shown first, 9 for the second, 9 ties, 0 skipped, 0 could not tell"
    )
    assert found["asked"] == 29


def test_in_a_circle_nobody_beats_all_others() -> None:
    found = found_of(CIRCLE)
    assert found["condorcet"]["winner"] is None
    assert found["condorcet"]["probability_of_none"] > 0.9
    assert condorcet_line(found) == "none (there is none with a probability of 95 %)"
    assert verdict(found).startswith("not decided: ")
    for score in ("copeland", "borda"):
        assert np.sum(found[score]["probability"]) == pytest.approx(1.0, abs=0.001)
        assert all(low <= high for low, high in found[score]["interval"])
    assert found["copeland"]["score"] == [0.5] * 3


def test_who_is_surest_to_win_comes_first_and_is_named_only_when_sure_enough() -> None:
    found = found_of(CLEAR[:4], confidence=0.95)
    chance = found["copeland"]["probability"]
    assert chance[1] == max(chance) < 0.95
    assert verdict(found) == (
        f"not decided: run[2]@7 is ahead, and wins with a probability of {said_chance(chance[1])}"
    )
    assert verdict({**found, "confidence": 0.51}).startswith("people prefer run[2]@7: ")
    assert ranking(found) == sorted(range(3), key=lambda number: -chance[number])


def test_without_an_answer_nothing_is_claimed() -> None:
    found = found_of([Duel(0, 1, Choice.SKIP)])
    assert verdict(found) == "nobody has preferred anything yet"
    assert found["condorcet"]["winner"] is None
    assert (found["skipped"], found["comparisons"]) == (1, 1)


def test_no_chance_is_certain() -> None:
    assert [said_chance(c) for c in (0.0, 0.02, 0.5, 0.954, 1.0)] == [
        "under 1 %", "2 %", "50 %", "95 %", "over 99 %",
    ]  # fmt: skip


def test_the_page_says_it_all_and_takes_no_name_for_markup(folder: ComparisonFolder) -> None:
    write_json(folder.standings_file, found_of(CLEAR))
    page = write_comparison_report(folder).read_text()
    assert "people prefer run[2]@7" in page
    assert "a&lt;b&gt;@1" in page
    assert "<b>" not in page
    assert "segments of 25 steps, at the same random place" in page
    assert "9 of 9" in page
    assert "4.5 of 9" in page
    folder.save_settings(settings(steps=None, begin="start"))
    assert "whole episodes, from the begin of episodes" in write_comparison_report(folder).read_text()


def drawn(folder: ComparisonFolder, *, terminal: bool, width: int = 100) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, highlight=False, color_system=None)
    with CompareView(folder, settings(), started=time.time(), console=console) as view:
        view.show(None, [ProcessState("service", "running", 0)])
        view.conclude()
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_a_narrow_terminal_shows_all_of_the_scores(folder: ComparisonFolder, width: int) -> None:
    write_json(folder.standings_file, found_of(CLEAR))
    text = drawn(folder, terminal=True, width=width)
    assert ("●━" in text) is (width == 120)
    assert "…" not in text.replace("starting …", "")


@pytest.mark.parametrize("terminal", [True, False])
def test_the_terminal_says_who_is_ahead(folder: ComparisonFolder, terminal: bool) -> None:
    write_json(folder.standings_file, found_of(CLEAR))
    text = drawn(folder, terminal=terminal)
    for part in ("people prefer run[2]@7", "a<b>@1", "Condorcet winner: run[2]@7", "4.5/9", "over 99 %"):
        assert part in text
    assert ("27/50 answers" in text) is not terminal
    assert ("● service" in text) is terminal


def test_the_terminal_says_when_there_is_nothing_yet(folder: ComparisonFolder) -> None:
    assert "starting …" in drawn(folder, terminal=True)
    assert drawn(folder, terminal=False) == ""


def test_settings_outlive_their_process(folder: ComparisonFolder) -> None:
    assert folder.is_comparison
    assert folder.load_settings() == settings()
    folder.settings_file.write_text("{}")
    with pytest.raises(StorageError, match=r"comparison.json is damaged; start another"):
        folder.load_settings()


def test_a_question_that_was_cut_off_while_it_was_written_was_never_asked(folder: ComparisonFolder) -> None:
    assert folder.questions() == []
    folder.add_question({"question_id": "ä"})
    with folder.questions_file.open("a") as file:
        file.write('{"question_id": "2", "fir')
    assert folder.questions() == [{"question_id": "ä"}]
    folder.add_question({"question_id": "3"})
    assert folder.questions() == [{"question_id": "ä"}, {"question_id": "3"}]
    with folder.questions_file.open("a") as file:
        file.write("no JSON\n")
    with pytest.raises(StorageError, match=r"questions.jsonl is damaged"):
        folder.questions()
