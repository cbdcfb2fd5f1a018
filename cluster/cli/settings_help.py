"""All settings of a run as text: name, default and what it is for, section by section."""

import shutil
import textwrap
from typing import Any, Literal, get_args, get_origin

from cluster.runs.keys import Key, walk

_TWO_COLUMNS_WIDTH = 100

_HEAD = """\
settings: keys of the run file, and options on the command line, which win
  Dashes may stand for underscores. Lists are written --policy.hidden 64 64; `null` empties a setting."""


def settings_help() -> str:
    """Return the listing, as wide as the terminal."""
    width = min(shutil.get_terminal_size().columns, 110)
    narrow = width < _TWO_COLUMNS_WIDTH
    keys = [key for key in walk() if key.path != "runs_folder"]
    column = 8 if narrow else max(len(_setting(key)) for key in keys if key.section is None) + 4
    lines = [_HEAD]
    for key in keys:
        if key.section is not None:
            if key.help:
                lines.append("")
                lines += textwrap.wrap(f"{key.path}: {key.help}", width)
            continue
        start, indent = f"  {_setting(key)}".ljust(column), " " * column
        if narrow:
            lines.append(start)
            start = indent
        lines += textwrap.wrap(
            key.help + _choices(key), width, initial_indent=start, subsequent_indent=indent
        )
    return "\n".join(lines)


def _setting(key: Key) -> str:
    return f"--{key.path} {_shown(key.default)}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _choices(key: Key) -> str:
    if get_origin(key.field.annotation) is not Literal:
        return ""
    return f" One of: {', '.join(get_args(key.field.annotation))}."
