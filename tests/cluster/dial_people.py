"""A small run that asks people what should be done, and teachers who know an expert, over real gRPC."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cluster.feedback.label_reader import LabelsState
from cluster.feedback.service import FeedbackLink
from cluster.loop.algorithm import HITL
from cluster.loop.imitating import Imitating
from cluster.runs.config import RunConfig
from hitl.client.questions import LeasedPair, LeasedRelabel
from hitl.events import Choice, Task
from policies.networks import ActorCritic
from tests.cluster.stages.dial import Dial, Usher
from tests.hitl.live import LiveService

PLACES = np.arange(-1, 6, dtype=np.float32)[:, None]
"""That the hand comes by on its way."""
QUESTIONS: dict[str, Any] = {"budget": 60, "per_round": 12, "round_env_steps": 100, "segment_steps": 5}


def run_config(**changes: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "mode": "lockstep",
        "environment": {"id": "tests.cluster.stages.dial:Dial", "fixed_horizon": 15},
        "rollouts": {"env_runners": 0, "envs_per_runner": 4, "steps": 25},
        "policy": {"hidden": (16,)},
        "learner": {"minibatch_size": 50, "learning_rate": 0.01, "anneal_learning_rate": False},
        "reward": {"sources": {"environment": 0.0, "learned": 0.0}},
    }
    imitation = {
        "alone": True, "learning_rate": 0.01, "minibatch_size": 16, "heldout_share": 0.0, "questions": QUESTIONS,
        **changes.pop("imitation", {}),
    }  # fmt: skip
    return RunConfig.model_validate(settings | {"imitation": imitation} | changes)


def opened(service: LiveService, run_id: str) -> FeedbackLink:
    with service.cluster() as client:
        client.register_task(Task(task_id="dial", name="Dial", fingerprint="{}"))
        run = client.open_run(run_id, "dial")
    return FeedbackLink(
        address=service.address,
        token=service.token("cluster", "driver"),
        run_id=run_id,
        task_id="dial",
        epoch=run.epoch,
    )


class Telling:
    """Teachers in a thread each, over real gRPC, who know an expert; all together they answer at most so often."""

    def __init__(self, service: LiveService, run_id: str, *, most: int = 10**6, people: int = 1) -> None:
        self.asked: dict[str, float] = {}
        """The place of the hand, by the question."""
        self.seen: list[LeasedRelabel] = []
        self.clips: list[Any] = []
        self.compared = 0
        self._service, self._run_id, self._most = service, run_id, most
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._teach, args=(f"p{n}",)) for n in range(people)]

    def __enter__(self) -> "Telling":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _teach(self, name: str) -> None:
        with self._service.teacher(name) as client:
            while not self._stop.is_set() and len(self.asked) < self._most:
                for question in client.lease(self._run_id, wait_seconds=0.2):
                    if isinstance(question, LeasedPair):
                        self.compared += 1
                        question.answer(Choice.FIRST)
                        continue
                    self.seen.append(question)
                    self.clips.append(question.clips())
                    place = np.asarray(question.state["obs"])
                    self.asked[question.question_id] = float(place[0])
                    question.answer(Usher().act(place))


def agreement(algorithm: HITL) -> float:
    network = ActorCritic(Dial.observation_space, Dial.action_space, hidden=(16,))
    network.load_state_dict({k: torch.as_tensor(v) for k, v in algorithm.network_state.items()})
    action = network.act_greedily(torch.from_numpy(PLACES)).numpy()
    return float(np.mean(action == [Usher().act(place) for place in PLACES]))


def state_of(algorithm: HITL) -> LabelsState:
    assert isinstance(algorithm.imitating, Imitating)
    return algorithm.imitating.state


def train(algorithm: HITL, updates: int, *, checkpoint: tuple[int, Path] | None = None) -> None:
    while algorithm.updates < updates:
        algorithm.train()
        if checkpoint and algorithm.updates == checkpoint[0]:
            algorithm.save_to_path(checkpoint[1])
