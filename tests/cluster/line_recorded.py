"""Comparisons of made-up steps on a line, recorded."""

from pathlib import Path
from typing import Any

import numpy as np

from cluster.environments.making import spaces_of
from cluster.runs.config import EnvironmentConfig
from hitl.events import Task
from policies.splits import is_heldout
from tests.cluster.line_people import PEOPLE
from tests.cluster.recorded.tables import write

LINE = EnvironmentConfig(id="tests.cluster.small_worlds:Line", allow_variable_horizon=True)
SPACES = spaces_of(LINE)
TASK = Task(task_id="line", name="Line", fingerprint="{}")
TOLD = {"task_id": "line", "name": "Line", "fingerprint": "{}"}
HEADER = {"format": "handrail feedback", "version": 1, "task": TOLD}
STEPS, PAIRS = 10, 60


def recorded(folder: Path, *, contrary_share: float = 0.0, pairs: int = PAIRS, **changes: Any) -> Path:
    """Comparisons by the position on the line; where this share of segments judges, its answers are the contrary."""
    rng = np.random.default_rng(0)
    segments, events = [], []
    for number in range(2 * pairs):
        observation = rng.uniform(-1, 1, (STEPS, 2))
        action = rng.integers(0, 2, STEPS)
        row = {"segment_id": f"r{number}", "observations": observation.tolist(), "actions": action.tolist()}
        segments.append(row | changes)
        if number % 2:
            better = np.sum(_positions(segments[-2])) > np.sum(observation[:, 0])
            ids = (f"r{number - 1}", f"r{number}")
            better = better != any(is_heldout(name, contrary_share) for name in ids)
            events.append(
                {"segment_ids": [f"r{number - 1}", f"r{number}"], "choice": "first" if better else "second"}
            )
    return write(folder, header=HEADER, segments=segments, events=events)


def _positions(segment: dict[str, Any]) -> Any:
    return np.array(segment["observations"])[:, 0]


def settings(folder: Path | None = None, **questions: Any) -> dict[str, Any]:
    """Of a run that learns from a folder, if there is one."""
    pretraining = {} if folder is None else {"pretraining": {"recorded": [str(folder)], "fits": 4}}
    asked = PEOPLE["reward"]["questions"] | questions
    return PEOPLE | {"reward": PEOPLE["reward"] | {"questions": asked} | pretraining}
