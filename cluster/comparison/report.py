"""A comparison as one page, with nothing loaded from outside."""

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cluster.comparison.folder import ComparisonFolder
from cluster.comparison.wording import condorcet_line, ranking, said_chance, said_line, verdict
from cluster.runs.folder import read_json, write_text
from cluster.runs.loading import load_run
from cluster.runs.page import Markup, page, table
from cluster.runs.wording import number
from hitl.errors import ConfigError


def write_comparison_report(folder: ComparisonFolder) -> Path:
    """Write report.html from the newest standings.

    Raises:
        ConfigError: nobody was asked yet.
        StorageError: a file is damaged, or the page cannot be written.
    """
    found, settings = read_json(folder.standings_file), folder.load_settings()
    if found is None:
        raise ConfigError(
            f"nobody was asked in {folder.run.run_id} yet; go on with `handrail compare --resume`"
        )
    length = "whole episodes" if settings.steps is None else f"segments of {settings.steps} steps"
    where = (
        "from the begin of episodes"
        if settings.begin == "start"
        else "at the same random place of two episodes"
    )
    environment = load_run(folder.run.run_file).environment.id
    body = _BODY.format(
        verdict=html.escape(verdict(found)),
        scores=table(_SCORE_HEAD, _score_rows(found)),
        condorcet=html.escape(condorcet_line(found)),
        wins=table(("", *found["policies"]), _win_rows(found)),
        said=html.escape(said_line(found)),
        origins=table(
            ("policy", "run", "checkpoint"), [(p.name, p.run, p.checkpoint) for p in settings.policies]
        ),
    )
    subtitle = f"{environment} · {length}, {where}, from equal first states"
    write_text(folder.run.report_file, page(folder.run.run_id, subtitle, body, style=_STYLE))
    return folder.run.report_file


_SCORE_HEAD = ("", "wins with probability", "Copeland", "95 % interval", "Borda", "95 % interval", "")


def _score_rows(found: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    copeland, borda = found["copeland"], found["borda"]
    for place in ranking(found):
        yield (
            found["policies"][place],
            said_chance(copeland["probability"][place]),
            number(copeland["score"][place]),
            _between(copeland["interval"][place]),
            number(borda["score"][place]),
            _between(borda["interval"][place]),
            _bar(borda["score"][place], *borda["interval"][place]),
        )


def _between(interval: list[float]) -> str:
    return f"{number(interval[0])} to {number(interval[1])}"


def _bar(score: float, low: float, high: float) -> Markup:
    """Draw an interval from 0 to 1 with its score."""
    return Markup(
        '<svg viewBox="0 0 100 12" width="160" height="18" role="img" aria-label="Borda score">'
        '<line class="axis" x1="0" y1="6" x2="100" y2="6"/><line class="axis" x1="50" y1="1" x2="50" y2="11"/>'
        f'<line class="range" x1="{100 * low:.1f}" y1="6" x2="{100 * high:.1f}" y2="6"/>'
        f'<circle cx="{100 * score:.1f}" cy="6" r="3.5"/></svg>'
    )


def _win_rows(found: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    wins = found["wins"]
    for row, name in enumerate(found["policies"]):
        yield (
            name,
            *(
                "–" if row == column else f"{number(won)} of {number(won + wins[column][row])}"
                for column, won in enumerate(wins[row])
            ),
        )


_STYLE = """.verdict { font-size: 1.25rem; color: var(--accent); }
.wide { overflow-x: auto; }
svg .axis { stroke: var(--line); } svg .range { stroke: var(--accent); stroke-width: 2; }
svg circle { fill: var(--accent); }"""

_BODY = """<p class="verdict">{verdict}</p>
<div class="wide">{scores}</div>
<p class="sub">Copeland: the share of the others that a policy beats. Borda: how probably it is preferred to another one
drawn at random; the line in the middle is one half. Intervals and probabilities are those of the posterior, which takes
every preference to be as likely as any other before the first answer.</p>
<p>Condorcet winner, who beats every other one by the majority of the answers: {condorcet}</p>
<h2>How often the policy of a row was preferred to that of a column</h2>
<div class="wide">{wins}</div>
<p class="sub">A tie is half a win for each. {said}.</p>
<h2>Where they come from</h2>
<div class="wide">{origins}</div>"""
