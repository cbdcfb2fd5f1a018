"""Questions of the kinds ranking, rating and goal, answers to them, and what the service counts."""

import urllib.request
from typing import Any

from hitl.events import Answer, Goal, GoalQuestion, Question, Ranking, RankingQuestion, Rating, RatingQuestion
from hitl.teachers.replay import said_in
from tests.hitl.live import LiveRun, LiveService

WALKS = ("slow", "fast", "still")
RETURNS = (4.0, 8.0, 0.0)
"""True returns of the walks: four steps alike."""
STEP = 2
KINDS = ("ranking", "rating", "goal")
ANSWERS: dict[str, Any] = {"ranking": (2, 1, 2), "rating": 3, "goal": True}
"""One to a question of each kind."""


def question(kind: str, run_id: str = "run", question_id: str = "q", **options: Any) -> Question:
    common: dict[str, Any] = {"run_id": run_id, "question_id": question_id}
    if kind == "ranking":
        return RankingQuestion(**common | {"segment_ids": WALKS} | options)
    if kind == "rating":
        return RatingQuestion(**common | {"segment_id": "fast", "points": 5} | options)
    return GoalQuestion(**common | {"segment_id": "fast", "step": STEP} | options)


def answer(kind: str, said: Any, run_id: str = "run", question_id: str = "q", **options: Any) -> Answer:
    common: dict[str, Any] = {"run_id": run_id, "question_id": question_id}
    if kind == "ranking":
        return Ranking(**common | {"ranks": said} | options)
    if kind == "rating":
        return Rating(**common | {"rating": said, "points": 5} | options)
    return Goal(**common | {"reached": said, "step": STEP} | options)


def said(event: object) -> Any:
    assert isinstance(event, Answer)
    return said_in(event)


def publish(run: LiveRun) -> None:
    for segment_id, true_return in zip(WALKS, RETURNS, strict=True):
        run.publish(segment_id, reward=true_return / 4)


def ask(run: LiveRun, kind: str, *question_ids: str, **options: Any) -> None:
    publish(run)
    run.cluster.ask(
        run.run, [question(kind, run.run_id, question_id, **options) for question_id in question_ids]
    )


def metric(service: LiveService, name: str) -> float:
    """Read a number that the service exports; 0 where it has none of this name yet."""
    with urllib.request.urlopen(f"http://{service.metrics_address}/metrics") as response:
        lines = response.read().decode().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return float(samples.get(name, 0))
