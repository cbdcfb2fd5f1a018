"""Small folders of recorded feedback, written as anybody would with pandas."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from cluster.recorded import layout
from tests.cluster.recorded.taught import TASK

TOLD = {"task_id": TASK.task_id, "name": TASK.name, "fingerprint": TASK.fingerprint}
HEADER: dict[str, Any] = {"format": "handrail feedback", "version": 1, "task": TOLD}


def segments() -> list[dict[str, Any]]:
    """Three segments of two, three and two steps."""
    return [
        {"segment_id": "a", "observations": [[0.5], [1.0]], "actions": [0, 1]},
        {"segment_id": "b", "observations": [[0.0], [0.25], [0.5]], "actions": [3, 2, 1]},
        {"segment_id": "c", "observations": [[2.0], [3.0]], "actions": [0, 0]},
    ]


def events() -> list[dict[str, Any]]:
    """Two comparisons."""
    return [
        {"segment_ids": ["a", "b"], "choice": "first"},
        {"segment_ids": ["b", "c"], "choice": "tie"},
    ]


def write(folder: Path, *, header: Any = HEADER, **tables: list[dict[str, Any]]) -> Path:
    """Write a folder; tables by their names, those above where they are left out."""
    folder.mkdir(exist_ok=True)
    if header is not None:
        (folder / layout.HEADER).write_text(header if isinstance(header, str) else json.dumps(header))
    for name, rows in ({"segments": segments(), "events": events()} | tables).items():
        pd.DataFrame(rows).to_parquet(folder / f"{name}.parquet")
    return folder
