"""How live live teaching is: stages at 30 frames a second, several teachers, and training beside them.

    python -m benchmarks.live

Two stages play CartPole, five teachers watch each over gRPC, and one of the five is slow: it looks at each frame for
200 ms. Beside them PPO trains, an update a second, on the environment's reward and on the one that is learnt from the
signals, which also biases whoever acts. Everybody is on this machine, so their clocks are one.
Frame age is the time from a frame being shown by the stage to a teacher having it in hand. Each teacher signals once a
second, at random times, and waits until the signal is durable. Acting is the time from a key press to the first step
that the same stage shows, and to the end of the update whose rollouts all env runners gathered, by a reward model that
has learnt from that signal. The last line is one JSON object; `passed` is null when the size is not the full one.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.feedback_service import Place, feedback_service
from cluster.feedback.service import FeedbackService
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.local_ray import start_ray
from cluster.runs.live_config import ActingConfig, StagesConfig
from cluster.runs.reward.config import RewardSourcesConfig
from cluster.runs.reward.questions import QuestionsConfig
from hitl.client.teaching import TeacherClient
from hitl.tokens import load_or_create_secret, mint
from policies.threads import use_threads

STAGES, WATCHERS, RATE, FULL_SECONDS = 2, 5, 30.0, 60.0
SLOW_SECONDS, SIGNAL_SECONDS, UPDATE_SECONDS = 0.2, 1.0, 1.0
WARM_UP_SECONDS = 10.0
LEAST_SHARE = 0.8
"""Of the frames must reach each teacher who is not slow, or ages say nothing."""
GOALS = {
    "age_p99_ms": 100.0,
    "slow_age_p99_ms": 250.0,
    "acknowledged_p99_ms": 50.0,
    "stage_acts_p95_ms": 250.0,
    "env_runners_act_p95_ms": 250.0 + 3 * 1000 * UPDATE_SECONDS,
}


class Watcher:
    """A teacher who looks and signals."""

    def __init__(self, address: str, token: str, run_id: str, stage_id: str, *, slow: bool) -> None:
        self.ages: list[float] = []
        self.acknowledged: list[float] = []
        self.stage_acts: list[float] = []
        self.signals: list[tuple[int, float]] = []
        """The journal's offset of each signal, and when its key was pressed."""
        self.skipped = 0
        self.slow = slow
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(address, token, run_id, stage_id))
        self._thread.start()

    def _watch(self, address: str, token: str, run_id: str, stage_id: str) -> None:
        with TeacherClient(address, token) as client, client.watch(run_id, stage_id) as watch:
            rng = np.random.default_rng()
            next_signal = time.monotonic() + SIGNAL_SECONDS * rng.random()
            unlearnt: list[tuple[int, float]] = []
            while not self._stop.is_set():
                frame = watch.next(1.0)
                if frame is None:
                    continue
                now, pressed = time.monotonic(), time.time()
                self.ages.append(pressed - frame.shown.show_seconds)
                if frame.shown.step:
                    learnt = [told for told in unlearnt if told[0] < frame.shown.step.journal_end]
                    self.stage_acts += [frame.shown.show_seconds - press for _, press in learnt]
                    unlearnt = unlearnt[len(learnt) :]
                if now >= next_signal and frame.shown.step:
                    # Something to learn: to the right is good.
                    receipt = frame.signal(1.0 if frame.shown.step.action else -1.0)
                    self.acknowledged.append(time.monotonic() - now)
                    unlearnt.append((receipt.offset, pressed))
                    self.signals.append((receipt.offset, pressed))
                    next_signal = now + 2 * SIGNAL_SECONDS * rng.random()
                if self.slow:
                    time.sleep(SLOW_SECONDS)
            self.skipped = watch.skipped

    def forget(self) -> None:
        """Begin to count."""
        for figures in (self.ages, self.acknowledged, self.stage_acts, self.signals):
            figures.clear()

    def end(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()


def watch(folder: Path, run_id: str, stage_id: str, seconds: float) -> dict[str, Any]:
    """Be the teachers of one stage, in a process of their own."""
    address = json.loads((folder / "ready").read_text())["address"]
    secret = load_or_create_secret(folder / "secret")
    watchers = []
    for number in range(WATCHERS):
        token = mint(secret, name=f"{stage_id} {number}", role="teacher")
        watchers.append(Watcher(address, token, run_id, stage_id, slow=number == WATCHERS - 1))
    time.sleep(WARM_UP_SECONDS)
    for watcher in watchers:
        watcher.forget()
    time.sleep(seconds)
    for watcher in watchers:
        watcher.end()
    return {
        "ages": [age for w in watchers if not w.slow for age in w.ages],
        "slow_ages": [age for w in watchers if w.slow for age in w.ages],
        "acknowledged": [wait for w in watchers for wait in w.acknowledged],
        # Whoever is slow sees the step late, and that is measured apart.
        "stage_acts": [wait for w in watchers if not w.slow for wait in w.stage_acts],
        "signals": [told for w in watchers for told in w.signals],
        "frames_per_second": [len(w.ages) / seconds for w in watchers],
    }


def measure(seconds: float) -> dict[str, Any]:
    """Start everything, and let the teachers look for a while."""
    with feedback_service() as place:
        return _measure_at(place, seconds) | {"mean_in_service_ms": _mean_durations(place)}


def _mean_durations(place: Place) -> dict[str, float]:
    """Where the time goes in the service: commits, and some calls."""
    with urllib.request.urlopen(f"http://{place.metrics_address}/metrics") as response:
        lines = response.read().decode().splitlines()
    samples = {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }
    histograms = {
        "commit": ("hitl_feedback_commit_duration_seconds", ""),
        "submit": ("hitl_feedback_request_duration_seconds", '{method="SubmitEvents"}'),
        "acknowledge": ("hitl_feedback_request_duration_seconds", '{method="AcknowledgeFrame"}'),
    }
    return {
        what: round(1000 * samples[f"{name}_sum{labels}"] / samples[f"{name}_count{labels}"], 2)
        for what, (name, labels) in histograms.items()
    }


def _measure_at(place: Place, seconds: float) -> dict[str, Any]:
    folder = place.folder
    config = (
        HITLConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=1, num_envs_per_env_runner=8, least_update_s=UPDATE_SECONDS)
        .debugging(seed=0)
        .horizon(fixed=500)
        .people(
            sources=RewardSourcesConfig(environment=1.0, learned=0.1),
            questions=QuestionsConfig(budget=0, initial=0, initial_env_steps=2048),
            stages=StagesConfig(count=STAGES, rate=RATE),
            acting=ActingConfig(kind="action_biasing"),
        )
    )
    service = FeedbackService(address=place.address, token=place.token("driver", "cluster"))
    link = service.open_run(config.environment_config, "live")
    algorithm = config.people(feedback=link).build_algo()
    try:
        again = [sys.executable, "-m", "benchmarks.live"]
        watching = [
            subprocess.Popen(
                [*again, "--seconds", str(seconds), "--watch", str(folder), link.run_id, f"stage-{n}"],
            )
            for n in range(STAGES)
        ]
        acted: list[tuple[float, int]] = []
        learnt_from = {0: 0}
        while any(process.poll() is None for process in watching):
            before = algorithm.updates
            algorithm.train()
            if algorithm.teaching and (newest := algorithm.teaching.newest_version):
                learnt_from[newest.version] = newest.journal_end
            if algorithm.updates > before:
                version = algorithm.statistics.acting_reward_version
                acted.append((time.time(), learnt_from[version]))
        told = [json.loads((folder / f"stage-{n}").read_text()) for n in range(STAGES)]
    finally:
        algorithm.stop()
    return {
        **_percentiles("age", told, "ages"),
        **_percentiles("slow_age", told, "slow_ages"),
        **_percentiles("acknowledged", told, "acknowledged"),
        **_percentiles("stage_acts", told, "stage_acts"),
        **_percentiles("env_runners_act", [{"": _waits(told, acted)}], ""),
        "signals": sum(len(of_stage["acknowledged"]) for of_stage in told),
        "reward_versions": len(learnt_from) - 1,
        "frames_per_second": [
            [round(rate, 1) for rate in of_stage["frames_per_second"]] for of_stage in told
        ],
        "updates": len(acted),
    }


def _waits(told: list[dict[str, Any]], acted: list[tuple[float, int]]) -> list[float]:
    """Return the time from each key press to the first update whose rollouts knew of it."""
    return [
        next((when - press for when, end in acted if end > offset), float("inf"))
        for of_stage in told
        for offset, press in of_stage["signals"]
        # What was said at the very end has no time to be learnt.
        if press < acted[-1][0] - 3 * UPDATE_SECONDS
    ]


def _percentiles(name: str, told: list[dict[str, Any]], key: str) -> dict[str, float]:
    milliseconds = 1000 * np.concatenate([of_stage[key] for of_stage in told])
    return {f"{name}_p{p}_ms": round(float(np.percentile(milliseconds, p)), 1) for p in (50, 95, 99)}


def main() -> int:
    """Run the benchmark; 0 unless a goal at full size is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=FULL_SECONDS, help="that are measured")
    parser.add_argument("--watch", nargs=3, metavar=("FOLDER", "RUN", "STAGE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    use_threads(1)
    if options.watch:
        folder, run_id, stage_id = options.watch
        told = watch(Path(folder), run_id, stage_id, options.seconds)
        # Not through a pipe: nobody reads it while this goes on.
        (Path(folder) / stage_id).write_text(json.dumps(told))
        return 0
    start_ray(cpus=2)
    figures = measure(options.seconds)
    whole = min(min(rates[:-1]) for rates in figures["frames_per_second"]) > LEAST_SHARE * RATE
    passed = whole and all(figures[name] < goal for name, goal in GOALS.items())
    figures |= {
        "stages": STAGES,
        "watchers_each": WATCHERS,
        "rate": RATE,
        "seconds": options.seconds,
        "versions": {package: version(package) for package in ("ray", "grpcio", "pillow", "gymnasium")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    full = options.seconds >= FULL_SECONDS
    print(json.dumps({"name": "live", "goal": GOALS, "figures": figures, "passed": passed if full else None}))
    return 1 if full and not passed else 0


if __name__ == "__main__":
    sys.exit(main())
