"""What a person sees in the terminal while a run goes on."""

import io
import time
from typing import Any

import pytest
from rich.console import Console

from cluster.cli.screens import live_view
from cluster.cli.screens.live_view import LiveView
from cluster.cli.supervision.supervisor import ProcessState
from cluster.runs.config import RunConfig
from cluster.runs.progress import ProgressRow
from cluster.runs.wording import duration, number, percent, sparkline

PROCESSES = [ProcessState("service", "running", 0), ProcessState("driver", "restarting", 2)]


def row(**changes: object) -> ProgressRow:
    values: dict[str, object] = {
        "time": time.time() + 1, "wall_seconds": 40.0, "phase": "learning", "env_steps": 250_000,
        "policy_version": 61, "reward_version": 12, "lag_updates": 1, "steps_per_second": 8123.4,
        "true_return": 487.25, "comparisons": 85, "open_questions": 5, "heldout_accuracy": 0.914,
    }  # fmt: skip
    return ProgressRow(**(values | changes))  # type: ignore[arg-type]


def view(
    config: RunConfig | None = None, *, terminal: bool, width: int = 100
) -> tuple[LiveView, io.StringIO]:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=width, highlight=False, color_system=None)
    return LiveView(config or RunConfig(), "run-1", started=time.time(), console=console), output


def test_the_panel_shows_everything_about_the_run() -> None:
    live, output = view(terminal=True)
    with live:
        live.show(row(), PROCESSES)
    text = output.getvalue()
    for part in (
        "run-1", "CartPole-v1", "learning", "250,000 / 500,000 steps, 31 s left", "487.2", "91 %",
        "85 / 100, 5 open", "8,123 steps/s", "61, lag 1", "12", "● service",
        "● driver (restarting, restarted 2×)",
    ):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("width", [80, 96, 200])
def test_the_panel_fits_the_terminal(width: int) -> None:
    live, _ = view(terminal=False, width=width)
    for step in range(30):
        live.show(row(time=time.time() + step), [])
    output = io.StringIO()
    Console(file=output, width=width).print(live.panel(row(refused_reward_versions=2), PROCESSES))
    assert max(map(len, output.getvalue().splitlines())) <= min(width, 96)
    assert "12, 2 refused" in output.getvalue()
    assert "…" not in output.getvalue()


def test_a_run_without_people_shows_no_answers() -> None:
    config = RunConfig.model_validate({"reward": {"sources": {"environment": 1, "learned": 0}}})
    live, output = view(config, terminal=True)
    with live:
        live.show(row(comparisons=0, updates=33), PROCESSES)
    assert "answers" not in output.getvalue()
    assert "33" in output.getvalue()
    assert "answers" not in live.line(row())


STAGE = {"stages": {"count": 1}}
NO_REWARD: dict[str, Any] = {"sources": {"environment": 0, "learned": 0}}
PEOPLE = {"imitation": {"alone": True}, "reward": NO_REWARD}
NOTHING = (
    "answers",
    "held-out accuracy",
    "signals",
    "unplaced",
    "expired",
    "corrections",
    "labels",
    "demonstrated",
)


@pytest.mark.parametrize(
    ("settings", "changes", "said"),
    [
        ({}, {}, ("answers", "held-out accuracy")),
        # TAMER, in front of a stage of the cluster or of a program.
        (
            {"reward": {"questions": {"budget": 0, "initial": 0}}, **STAGE},
            {"signals": 12, "signal_accuracy": 0.75, "unplaced_signals": 3},
            ("signals 12, 75 % predicted", "unplaced signals 3", "corrections 0"),
        ),
        (
            {"reward": {"questions": {"budget": 0, "initial": 0}}, "stages": {"driven": True}},
            {"signals": 1200, "corrections": 7, "correction_accuracy": 0.5},
            ("signals 1,200", "corrections 7, 50 % predicted"),
        ),
        (
            {
                "reward": {"questions": {"budget": 0, "initial": 0}, "model": {"kinds": {"corrections": 0}}},
                **STAGE,
            },
            {},
            ("signals 0",),
        ),
        # COACH.
        (
            {"reward": {**NO_REWARD, "signals": {"reading": "advantage"}}, **STAGE},
            {"signals": 12, "unplaced_signals": 3, "expired_signals": 4},
            ("signals 12", "unplaced signals 3", "expired signals 4"),
        ),
        # DAgger, with people and with a program, and behaviour cloning.
        (PEOPLE | STAGE, {"corrections": 9}, ("corrections 9",)),
        (
            {**PEOPLE, "imitation": {"alone": True, "expert": "m:Expert", "budget": 2000}},
            {"labels": 400},
            ("labels 400 / 2,000",),
        ),
        (
            {**PEOPLE, "imitation": {"alone": True, "demonstrations": ["data"]}},
            {"demonstrated": 5000},
            ("demonstrated 5,000",),
        ),
    ],
)
def test_what_a_run_learns_from_is_shown_and_nothing_else(
    settings: dict[str, Any], changes: dict[str, object], said: tuple[str, ...]
) -> None:
    live, _ = view(RunConfig.model_validate(settings), terminal=False)
    now = row(**{"comparisons": 0, **changes})
    output = io.StringIO()
    Console(file=output, width=80).print(live.panel(now, []))
    panel = " ".join(output.getvalue().split())
    assert "…" not in panel
    for word in (*said, *NOTHING):
        wanted = any(word in part for part in said)
        assert (word in live.line(now)) is wanted, word
        assert (word in panel) is wanted, word


def test_before_the_first_row_it_is_starting() -> None:
    live, output = view(terminal=True)
    with live:
        live.show(None, PROCESSES)
        assert "\x1b[?25l" in output.getvalue(), "while it draws there is no cursor"
        assert "\x1b[?25h" not in output.getvalue()
    assert "starting" in output.getvalue()
    assert "\x1b[?25h" in output.getvalue(), "and then it is given back"


def test_the_last_row_of_an_earlier_life_is_not_shown_as_news() -> None:
    live, output = view(terminal=False)
    live.show(row(time=time.time() - 100), PROCESSES)
    assert output.getvalue() == ""
    assert "resuming" in live.line(row(time=time.time() - 100))


def test_without_a_terminal_there_are_plain_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(live_view.time, "monotonic", lambda: now)
    live, output = view(terminal=False)
    with live:
        for second in range(11):
            now = 100.0 + second
            live.show(row(), PROCESSES)
        live.note("driver died")
    lines = output.getvalue().splitlines()
    assert len(lines) == 4
    for part in ("learning", "250,000/500,000 steps", "true return 487.2", "answers 85/100 (5 open)"):
        assert part in lines[0]
    assert lines[-1] == "driver died"
    assert "\x1b" not in output.getvalue()


def test_numbers_read_well() -> None:
    assert [number(value) for value in (None, 312320, 487.25, 0.01234, -3.0)] == [
        "–", "312,320", "487.2", "0.0123", "-3"
    ]  # fmt: skip
    assert [duration(seconds) for seconds in (9.6, 125, 3725)] == ["10 s", "2:05 min", "1:02:05 h"]
    assert percent(0.914) == "91 %"


def test_sparklines_keep_to_scale_and_width() -> None:
    assert sparkline([0, 1, 2, 7], 10) == "▁▂▃█"
    assert sparkline([0, 1], 10, low=0, high=7) == "▁▂"
    assert sparkline([5, 5], 10) == "▄▄"
    assert len(sparkline(list(range(1000)), 12)) == 12
    assert sparkline([], 12) == ""
