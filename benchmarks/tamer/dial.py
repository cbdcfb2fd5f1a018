"""A dial that a teacher wants to stand at one place: TAMER with a network, greedy and with a temperature.

The hand starts at 0, goes left, stays or goes right, and falls off beyond 9; the teacher wants it at 4. What was never
tried there, to stay, looks as bad to a network as staying elsewhere: a greedy agent may never find out.
"""

import heapq
import itertools
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from cluster.feedback.evidence import online_model
from cluster.runs.live_config import ActingConfig
from cluster.runs.reward.config import RewardConfig
from cluster.runs.reward.signals import SignalsConfig
from hitl.events import JournalEntry, Segment, Showing, Signal, StepAddress
from hitl.reward.evidence.signals import Signals
from hitl.reward.serving.inference import NumpyReward
from hitl.teachers.live import LiveSettings, LiveTeacher
from policies.acting.on_reward import ActingOnReward, CandidateActions

Baseline = Literal["none", "alternatives"]
BASELINES: tuple[Baseline, ...] = ("none", "alternatives")
TEMPERATURES = (0.0, ActingConfig().temperature)
DEFAULT = f"alternatives, temperature {ActingConfig().temperature}"
"""Of a run."""
AS_IN_THE_PAPERS = "none, temperature 0.0"
EVALUATOR = "goes to 4 and stays"
STEP_SECONDS = 1.0
SECONDS = 600.0
WANTED, FARTHEST, HORIZON = 4, 9, 40
_OBSERVATIONS = gym.spaces.Box(-FARTHEST - 1, FARTHEST + 1, (1,), np.float32)
_ACTIONS: gym.Space[Any] = gym.spaces.Discrete(3)
_JUDGED = 40
"""Newest steps of which the agreement is told."""
_REMEMBERED = 40
"""Steps that a signal may be about."""


class Dial:
    """Where the hand is."""

    def __init__(self) -> None:
        self.place = self.steps = self.episode = 0

    @property
    def observation(self) -> Any:
        """[1]."""
        return np.array([self.place], np.float32)

    @property
    def wanted(self) -> int:
        """What the teacher would do."""
        return int(np.sign(WANTED - self.place)) + 1

    def step(self, action: int) -> None:
        """Turn; an episode that ends begins anew."""
        self.place += action - 1
        self.steps += 1
        if abs(self.place) > FARTHEST or self.steps == HORIZON:
            self.place = self.steps = 0
            self.episode += 1


def taught(seed: int, *, temperature: float, baseline: Baseline) -> dict[str, Any]:
    """One lesson with a run's defaults; the agent acts at random before the first version."""
    signals = SignalsConfig(baseline=baseline)
    model = online_model(RewardConfig(signals=signals), _OBSERVATIONS, _ACTIONS, seed=seed)
    told = model.evidence["signals"]
    assert isinstance(told, Signals)
    rng = np.random.default_rng(seed)
    model.set_probe(*_at_random(rng))
    known = NumpyReward(model.ensemble.space)
    acting = ActingOnReward(
        known, CandidateActions(_ACTIONS, count=3, rng=rng), temperature=temperature, seed=seed
    )
    teacher = LiveTeacher(LiveSettings(seed=seed, miss=0.2, mistake=0.05))
    dial, agreed, shown = Dial(), deque[bool](maxlen=_JUDGED), deque[Segment](maxlen=_REMEMBERED)
    under_way: list[tuple[float, float]] = []
    # What is held out, and what is drawn for a signal, follows from names: here from the seed.
    run_id, numbers_said = f"lesson {seed}", itertools.count()
    learnt_seconds: float | None = None
    refused = 0
    for frame in range(1, int(SECONDS / STEP_SECONDS)):
        now = frame * STEP_SECONDS
        action_N, _ = acting.act(dial.observation[None])
        action = int(action_N[0])
        agreed.append(action == dial.wanted)
        shown.append(_shown(run_id, dial, action, frame))
        if press := teacher.watch(now, 1.0 if agreed[-1] else -1.0):
            heapq.heappush(under_way, (press.seconds, press.value))
        dial.step(action)
        new = len(told)
        while under_way and under_way[0][0] <= now + STEP_SECONDS:
            seconds, value = heapq.heappop(under_way)
            entry = _said(run_id, next(numbers_said), frame, seconds - now, value)
            told.take(entry, list(shown))
        if len(told) > new:
            report = model.fit(quick_steps=signals.gradient_steps, newest=len(told) - new, is_first=not new)
            refused += report is not None and not report.accepted
            known.load(model.weights())
        if learnt_seconds is None and len(agreed) == _JUDGED and np.mean(agreed) >= 0.9:
            learnt_seconds = now
    return {
        "seed": seed,
        "temperature": temperature,
        "baseline": baseline,
        "learnt_seconds": learnt_seconds,
        "agreement": round(float(np.mean(agreed)), 3),
        "signals": len(told),
        "unplaced": told.unplaced,
        "refused": refused,
    }


def _at_random(rng: np.random.Generator) -> tuple[Any, Any]:
    """Return observations and actions of an agent that knows nothing."""
    dial, seen, done = Dial(), [], []
    for _ in range(1000):
        seen.append(dial.observation)
        done.append(int(rng.integers(3)))
        dial.step(done[-1])
    return np.array(seen), np.array(done)


def _shown(run_id: str, dial: Dial, action: int, frame: int) -> Segment:
    """Return a step as a stage stores it."""
    address = StepAddress(
        task_id="dial",
        run_id=run_id,
        source="stage",
        episode=dial.episode,
        begin=dial.steps,
        end=dial.steps + 1,
    )
    return Segment(
        segment_id=f"stage/{frame}",
        address=address,
        observations={"obs": dial.observation[None]},
        actions=np.array([action]),
        policy_version=1,
        showing=Showing(
            stage_id="stage",
            first_frame=frame,
            seconds=np.array([frame * STEP_SECONDS]),
            policy_versions=np.ones(1, np.int64),
        ),
    )


def _said(run_id: str, number: int, frame: int, seconds: float, value: float) -> JournalEntry:
    """Return a signal so many seconds after a frame, as the journal keeps it."""
    signal = Signal(
        run_id=run_id,
        stage_id="stage",
        frame=frame,
        offset=timedelta(seconds=seconds),
        value=value,
        event_id=f"signal-{number}",
    )
    return JournalEntry(
        offset=number,
        teacher_id="program",
        record_time=datetime.fromtimestamp(0, UTC),
        event=signal,
        segment_ids=(),
    )
