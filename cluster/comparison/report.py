"""A comparison as one page, with nothing loaded from outside."""

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cluster.comparison.folder import ComparisonFolder
from cluster.comparison.wording import condorcet_line, ranking, said_chance, said_line, verdict
from cluster.runs.folder import read_json, write_text
from cluster.runs.loading import load_run
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
    page = _PAGE.format(
        title=html.escape(folder.run.run_id),
        subtitle=html.escape(f"{environment} · {length}, {where}, from equal first states"),
        verdict=html.escape(verdict(found)),
        scores=_table(_SCORE_HEAD, _score_rows(found)),
        condorcet=html.escape(condorcet_line(found)),
        wins=_table(("", *found["policies"]), _win_rows(found)),
        said=html.escape(said_line(found)),
        origins=_table(
            ("policy", "run", "checkpoint"), [(p.name, p.run, p.checkpoint) for p in settings.policies]
        ),
    )
    write_text(folder.run.report_file, page)
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


def _bar(score: float, low: float, high: float) -> str:
    """Draw an interval from 0 to 1 with its score."""
    return (
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


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...], tag: str) -> str:
        shown = (cell if cell.startswith("<svg ") else html.escape(cell) for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in shown) + "</tr>"

    return f"<table><thead>{line(head, 'th')}</thead><tbody>{''.join(line(r, 'td') for r in rows)}</tbody></table>"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --paper: #ffffff; --ink: #1d2330; --soft: #667085; --line: #e4e7ec;
  --accent: #0f8b8d; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #14171c; --ink: #e7eaf0; --soft: #98a2b3;
  --line: #2a303a; --accent: #4cc9c0; }} }}
body {{ margin: 0 auto; max-width: 1080px; padding: 2.5rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
h1 {{ font-size: 1.7rem; margin: 0; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.15rem; margin: 2.5rem 0 .75rem; }}
.sub {{ color: var(--soft); margin: .25rem 0 1.75rem; }}
.verdict {{ font-size: 1.25rem; color: var(--accent); }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }}
td, th {{ text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); }}
th {{ color: var(--soft); font-weight: 500; }}
svg .axis {{ stroke: var(--line); }} svg .range {{ stroke: var(--accent); stroke-width: 2; }}
svg circle {{ fill: var(--accent); }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="sub">{subtitle}</p>
<p class="verdict">{verdict}</p>
<div class="wide">{scores}</div>
<p class="sub">Copeland: the share of the others that a policy beats. Borda: how probably it is preferred to another one
drawn at random; the line in the middle is one half. Intervals and probabilities are those of the posterior, which takes
every preference to be as likely as any other before the first answer.</p>
<p>Condorcet winner, who beats every other one by the majority of the answers: {condorcet}</p>
<h2>How often the policy of a row was preferred to that of a column</h2>
<div class="wide">{wins}</div>
<p class="sub">A tie is half a win for each. {said}.</p>
<h2>Where they come from</h2>
<div class="wide">{origins}</div>
</body>
</html>
"""
