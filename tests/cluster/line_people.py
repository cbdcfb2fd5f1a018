"""A small run on answers, in lockstep: its settings, its link, and a teacher who answers over real gRPC."""

import math
import threading

from cluster.feedback.service import FeedbackLink
from hitl.events import Choice, Task
from tests.hitl.live import LiveService

SMALL = {
    "mode": "lockstep",
    "rollouts": {"env_runners": 0, "envs_per_runner": 4, "steps": 40},
    "learner": {"minibatch_size": 64, "learning_rate": 3e-3},
    "policy": {"hidden": (16,)},
}
PEOPLE = SMALL | {
    "environment": {"id": "tests.cluster.small_worlds:Line", "allow_variable_horizon": True},
    "reward": {
        "model": {"hidden": (16,), "gradient_steps": 30, "learning_rate": 1e-2},
        "questions": {
            "initial": 12,
            "initial_env_steps": 160,
            "per_round": 4,
            "round_env_steps": 160,
            "segment_steps": 10,
            "budget": 24,
        },
    },
}


class Answering:
    """A teacher in a thread, over real gRPC: prefers the higher true return, or repeats a record.

    After `most` answers it goes home.
    """

    def __init__(
        self,
        service: LiveService,
        run_id: str,
        record: dict[str, Choice] | None = None,
        most: float = math.inf,
    ) -> None:
        self.answers: dict[str, Choice] = {}
        self.seen_rewards: list[float] = []
        self._client = service.teacher("oracle", "oracle")
        self._record, self._most = record, most
        self._run_id = run_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._teach, daemon=True)

    def __enter__(self) -> "Answering":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _teach(self) -> None:
        while not self._stop.is_set() and len(self.answers) < self._most:
            for question in self._client.lease(self._run_id, max_questions=2, wait_seconds=0.2):
                first, second = question.true_returns or (0.0, 0.0)
                self.seen_rewards += [first, second]
                choice = Choice.FIRST if first > second else Choice.SECOND
                if self._record is not None:
                    choice = self._record[question.question_id]
                self.answers[question.question_id] = choice
                question.answer(choice)


def link(service: LiveService, run_id: str) -> FeedbackLink:
    with service.cluster() as client:
        client.register_task(Task(task_id="line", name="Line", fingerprint="{}"))
        run = client.open_run(run_id, "line")
    return FeedbackLink(
        address=service.address,
        token=service.token("cluster", "driver"),
        run_id=run_id,
        task_id="line",
        epoch=run.epoch,
    )
