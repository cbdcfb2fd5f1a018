"""A report as one page of HTML, with nothing loaded from outside."""

import html
from collections.abc import Iterable


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; a head without any text is left out, and what is no `Markup` is text."""
    top = _line(names, "th") if any(names := list(head)) else ""
    body = "".join(_line(row, "td") for row in rows)
    return "<table>" + (f"<thead>{top}</thead>" if top else "") + f"<tbody>{body}</tbody></table>"


def _line(cells: Iterable[str], tag: str) -> str:
    shown = (cell if isinstance(cell, Markup) else html.escape(cell) for cell in cells)
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in shown) + "</tr>"


def page(title: str, subtitle: str, body: str, *, style: str = "") -> str:
    """Return a whole page.

    Args:
        title: as text.
        subtitle: as text.
        body: as HTML, what comes below them.
        style: CSS for this page beside the common one.
    """
    return _PAGE.format(title=html.escape(title), subtitle=html.escape(subtitle), body=body, style=style)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --paper: #ffffff; --ink: #1d2330; --soft: #667085; --line: #e4e7ec;
  --tile: #f6f8fa; --accent: #0f8b8d; --good: #1a7f4b; --bad: #b42318; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #14171c; --ink: #e7eaf0; --soft: #98a2b3;
  --line: #2a303a; --tile: #1c2129; --accent: #4cc9c0; --good: #54c98a; --bad: #f97066; }} }}
body {{ margin: 0 auto; max-width: 1080px; padding: 2.5rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
h1 {{ font-size: 1.7rem; margin: 0; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.15rem; margin: 2.5rem 0 .75rem; }}
.sub {{ color: var(--soft); margin: .25rem 0 1.75rem; }}
table {{ border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }}
td, th {{ text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); }}
th {{ color: var(--soft); font-weight: 500; }}
{style}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="sub">{subtitle}</p>
{body}
</body>
</html>
"""
