"""Numbers as people read them, in the terminal and in the report."""

import itertools
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def number(value: float | None) -> str:
    """Write 312,320 or 487.3 or 0.0123; an en dash where there is no number."""
    if value is None:
        return "–"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


def percent(share: float | None) -> str:
    """Write 0.914 as 91 %."""
    return "–" if share is None else f"{share:.0%}".replace("%", " %")


def duration(seconds: float) -> str:
    """Write 41 s, 2:05 min or 1:02:05 h."""
    total = round(seconds)
    minutes, rest = divmod(total, 60)
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


def sparkline(
    values: Sequence[float], width: int, *, low: float | None = None, high: float | None = None
) -> str:
    """Draw values as at most `width` bars, on the scale from `low` to `high` (their own by default)."""
    if not values:
        return ""
    if len(values) > width:
        edges = [index * len(values) // width for index in range(width + 1)]
        parts = [values[begin:end] for begin, end in itertools.pairwise(edges)]
        values = [sum(part) / len(part) for part in parts]
    low = min(values) if low is None else low
    high = max(values) if high is None else high
    if high <= low:
        return _BARS[3] * len(values)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in values)
