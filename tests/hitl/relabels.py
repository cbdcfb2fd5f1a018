"""Questions what should be done in a state, and answers to them."""

from typing import Any

import numpy as np

from hitl.events import Abstention, JournalEntry, Relabel, RelabelQuestion
from hitl.stages import ActionSpace
from tests.hitl.live import LiveRun

FOUR = ActionSpace(choices=(4,), single=True)
PAIR = ActionSpace(choices=(2, 3))
BOX = ActionSpace(low=np.array([-1.0, 0.0], np.float32), high=np.array([1.0, 2.0], np.float32))
SPACES = {"discrete": FOUR, "several": PAIR, "box": BOX}
ACTIONS: dict[str, Any] = {
    "discrete": np.array(3),
    "several": np.array([1, 2]),
    "box": np.array([0.5, 1.5], np.float32),
}
STEP = 2


def question(run_id: str = "run", question_id: str = "question", **options: Any) -> RelabelQuestion:
    known: dict[str, Any] = {"segment_id": "walk", "step": STEP, "action_space": FOUR}
    return RelabelQuestion(run_id=run_id, question_id=question_id, **known | options)


def ask(run: LiveRun, *question_ids: str, **options: Any) -> None:
    run.publish("walk")
    run.cluster.ask(run.run, [question(run.run_id, question_id, **options) for question_id in question_ids])


def relabel(run: LiveRun, question_id: str, answer: Any, **options: Any) -> Relabel:
    return Relabel(
        **{"run_id": run.run_id, "question_id": question_id, "step": STEP, "answer": answer} | options
    )


def said(entry: JournalEntry) -> Any:
    assert isinstance(entry.event, Relabel)
    answer = entry.event.answer
    return answer if isinstance(answer, Abstention) else np.asarray(answer).tolist()
