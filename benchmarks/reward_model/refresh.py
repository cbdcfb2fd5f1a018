"""A refresh after ten new answers at 500: ours beside `imitation`'s retraining, round by round in turns."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.dagger.peer import REQUIREMENTS, ROOT
from benchmarks.dagger.peer_environment import python_of
from benchmarks.intervals import Scores, interval
from benchmarks.reward_model.answers import ROUNDS, made_up

Figures = dict[str, float]
MOST_SHARE = 0.2
"""Of the peer's CPU time."""
MOST_LOSS = 1.02
"""Times the peer's held-out log-loss."""


class Side:
    """One of the two, in a process of its own on one thread; what it says first is its first training."""

    def __init__(self, command: list[str]) -> None:
        hidden = {"PYTHONPATH"}
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self._read()

    def refresh(self) -> Figures:
        """Let it learn what is new; returns its CPU seconds and its held-out log-loss."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Figures:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with exit code {self._process.wait()}")
        figures: Figures = json.loads(line)
        return figures

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@contextmanager
def _sides(path: Path, seed: int) -> Iterator[dict[str, Side]]:
    arguments = [str(path), str(seed), str(path.parent)]
    ours = Side([sys.executable, "-m", "benchmarks.reward_model.ours", *arguments])
    try:
        peer = Side([str(python_of(REQUIREMENTS)), "-m", "benchmarks.reward_model.peer_worker", *arguments])
        try:
            yield {"ours": ours, "peer": peer}
        finally:
            peer.end()
    finally:
        ours.end()


def measure(seeds: range) -> dict[str, Any]:
    """Return what either side's refreshes cost and how good they are, and how ours stands beside the peer's.

    Of each seed the medians of its rounds count: CPU seconds, and the log-loss on held-out answers in nats.
    """
    runs = [_measure_one(seed) for seed in seeds]
    figures: dict[str, Any] = {"runs": runs}
    for what in ("seconds", "log_loss"):
        ours, peer = (np.array([run[side][what] for run in runs]) for side in ("ours", "peer"))
        # Both sides had the same answers, so seeds are drawn as pairs.
        pairs = [np.arange(len(runs), dtype=np.float64)]
        ratio = partial(_ratio, ours, peer)
        figures[what] = {
            "ours": round(float(ours.mean()), 4),
            "peer": round(float(peer.mean()), 4),
            "ratio": [round(value, 4) for value in (ratio(pairs), *interval(ratio, pairs))],
        }
    return figures


def _ratio(ours: NDArray[np.float64], peer: NDArray[np.float64], rows: Scores) -> float:
    drawn = np.asarray(rows[0], np.int64)
    return float(ours[drawn].mean() / peer[drawn].mean())


def _measure_one(seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.npz"
        made_up(seed).save(path)
        with _sides(path, seed) as sides:
            rounds = [{name: side.refresh() for name, side in sides.items()} for _ in range(ROUNDS)]
            found: dict[str, Any] = {"seed": seed}
            for name, side in sides.items():
                found[name] = {"first": side.first}
                for what in ("seconds", "log_loss"):
                    found[name][what] = statistics.median(one[name][what] for one in rounds)
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def passed(figures: dict[str, Any]) -> bool:
    """Whether a refresh is as cheap, and as good, as it is to be."""
    cheap: bool = figures["seconds"]["ratio"][0] <= MOST_SHARE
    return cheap and figures["log_loss"]["ratio"][0] <= MOST_LOSS
