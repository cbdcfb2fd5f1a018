"""Runs in a process of its own: our reward model; each line that it reads is a refresh, and is answered by its cost."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from benchmarks.reward_model.answers import FIRST, HELDOUT, NEW, STEPS, Answers
from benchmarks.reward_model.lines import say
from cluster.feedback.evidence import online_model
from cluster.runs.reward.config import RewardConfig
from cluster.runs.reward.model import RewardModelConfig
from hitl.events import Choice, Comparison, JournalEntry, Segment, StepAddress
from hitl.reward.online import OnlineRewardModel
from policies.threads import use_threads

MODEL: dict[str, Any] = {
    "members": 5,
    "hidden": [32, 32],
    "gradient_steps": 200,
    "refresh_steps": 20,
    "weight_decay": 1.0,
    "lapse": 0.0,
}
"""Networks as large as the peer's, for teachers who do not lapse. With hundreds of answers the default weight decay of
0.01 makes a model far too sure. Chosen on seeds 0 to 4, 100 and 101."""


def reward_config() -> RewardConfig:
    """Return the settings: the defaults, but for these."""
    return RewardConfig(model=RewardModelConfig.model_validate(MODEL))


def entry(
    told: Answers, pair: int, run_id: str = "run", task_id: str = "task"
) -> tuple[JournalEntry, list[Segment]]:
    """Return an answer as the journal has it."""
    choice = Choice.FIRST if told.first_P[pair] else Choice.SECOND
    name = f"answer-{pair}"
    event = Comparison(run_id=run_id, question_id=name, choice=choice, event_id=name)
    segments = [_segment(told, int(row), run_id, task_id) for row in told.pair_P2[pair]]
    made = JournalEntry(
        offset=pair,
        teacher_id="teacher",
        record_time=datetime(2030, 1, 1, tzinfo=UTC),
        event=event,
        segment_ids=tuple(segment.segment_id for segment in segments),
    )
    return made, segments


def _segment(told: Answers, row: int, run_id: str, task_id: str) -> Segment:
    return Segment(
        segment_id=f"segment-{row}",
        address=StepAddress(task_id=task_id, run_id=run_id, source="source", episode=row, begin=0, end=STEPS),
        observations={"obs": told.observation_SLO[row]},
        actions=told.action_SL[row],
        policy_version=0,
    )


def log_loss(model: OnlineRewardModel, told: Answers) -> float:
    """Return the mean log-loss on the pairs that only judge, of which side is better; in nats."""
    pair_P2, first_P = told.pair_P2[-HELDOUT:], torch.from_numpy(told.first_P[-HELDOUT:])
    with torch.no_grad():
        raw_KSL = model.ensemble.raw(torch.from_numpy(told.observation_SLO), torch.from_numpy(told.action_SL))
    return_KS, lapse = raw_KSL.sum(-1), MODEL["lapse"]
    margin_KP = return_KS[:, pair_P2[:, 0]] - return_KS[:, pair_P2[:, 1]]
    share_KP = torch.softmax(
        torch.stack([margin_KP / 2, -margin_KP / 2, model.ensemble.log_tie.detach().expand_as(margin_KP)]), 0
    )
    said_2P = ((1 - lapse) * share_KP[:2] + lapse / 3).mean(1)
    of_first_P = said_2P[0] / said_2P.sum(0)
    return float(-torch.where(first_P, of_first_P, 1 - of_first_P).log().mean())


def main() -> None:
    """Learn the first answers, then refresh on demand."""
    use_threads(1)
    told = Answers.load(Path(sys.argv[1]))
    model = online_model(
        reward_config(), gym.spaces.Box(-np.inf, np.inf, (4,)), gym.spaces.Discrete(2), seed=int(sys.argv[2])
    )
    rows = np.random.default_rng(0).integers(len(told.action_SL), size=4096 // STEPS)
    model.set_probe(told.observation_SLO[rows].reshape(-1, 4), told.action_SL[rows].reshape(-1))
    began = time.process_time()
    known = 0

    def learn(count: int) -> None:
        nonlocal known
        for pair in range(known, known + count):
            model.take(*entry(told, pair))
        known += count
        model.fit(is_first=True)

    for upto in range(20, FIRST + 1, 20):
        learn(upto - known)
    say(seconds=time.process_time() - began, log_loss=log_loss(model, told))
    for _ in sys.stdin:
        began = time.process_time()
        learn(NEW)
        say(seconds=time.process_time() - began, log_loss=log_loss(model, told))


if __name__ == "__main__":
    main()
