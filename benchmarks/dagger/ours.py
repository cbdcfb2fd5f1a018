"""Our side: the run that `handrail train` makes, in lockstep in this process, judged after its rounds.

Labels are those that the run counts: one for each state in which the expert was asked, as at the peer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.dagger.tasks import TARGET, TASKS, Judged, Task, returns_of
from benchmarks.own_policy import policy_of
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.config import RunConfig
from policies.networks import ActorCritic


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Who acts while labels are gathered, and how."""

    schedule: str
    """Of `imitation.beta`."""
    envs: int
    """Side by side."""
    steps: int
    """Of each of them in a round."""
    asked_share: float = 1.0
    """Of the policy's steps, which become labels."""
    epochs: int = 100
    """Over all labels so far, in each round."""


FEWEST_LABELS = Way(schedule="never", envs=4, steps=100, asked_share=0.1)
"""About 40 labels a round, the same on every task; chosen on seeds 0 to 4, as are the numbers in `_build`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run after one of its rounds."""

    labels: int
    """Given so far."""
    policy: ActorCritic


def rounds(task: str, way: Way, *, seed: int, most_labels: int) -> Iterator[Snapshot]:
    """Train once, on one thread, and yield what there is after each round; Ray must have been started.

    Args:
        task: of `benchmarks.dagger.tasks.TASKS`.
        way: to gather labels.
        seed: of the run.
        most_labels: after which it ends.
    """
    algorithm = _build(TASKS[task], way, seed)
    try:
        while _labels(algorithm) < most_labels:
            algorithm.train()
            yield Snapshot(labels=_labels(algorithm), policy=policy_of(algorithm))
    finally:
        algorithm.stop()


def run(task: str, way: Way, *, seed: int, most_labels: int, until: float = TARGET) -> list[Judged]:
    """Train until a round's greedy policy reaches a normalised score, or the labels are spent.

    Returns:
        How good the greedy policy was after each round, in order.
    """
    judged: list[Judged] = []
    for snapshot in rounds(task, way, seed=seed, most_labels=most_labels):
        judged.append(judge(task, snapshot))
        if judged[-1].score >= until:
            break
    return judged


def _build(task: Task, way: Way, seed: int) -> HITL:
    expert = type(task.expert)
    config = RunConfig.model_validate(
        {
            "seed": seed,
            "mode": "lockstep",
            "environment": {"id": task.env_id},
            "rollouts": {"env_runners": 0, "envs_per_runner": way.envs, "steps": way.steps},
            "policy": {"normalise_observations": True, "initial_log_std": -1.0},
            "learner": {"device": "cpu"},
            "reward": {"sources": {"environment": 0.0, "learned": 0.0}},
            "imitation": {
                "alone": True,
                "expert": f"{expert.__module__}:{expert.__qualname__}",
                "beta": {"schedule": way.schedule},
                "asked_share": way.asked_share,
                # Every label is learnt from, and all epochs are made.
                "heldout_share": 0.0,
                "epochs": way.epochs,
                "learning_rate": 3e-3,
                "minibatch_size": 32,
            },
        }
    )
    algorithm: HITL = HITLConfig.from_run(config).build_algo()
    return algorithm


def _labels(algorithm: HITL) -> int:
    assert algorithm.imitating is not None
    return algorithm.imitating.state.labels


def judge(task: str, snapshot: Snapshot) -> Judged:
    """Play the episodes that judge everybody."""

    @torch.inference_mode()
    def act(observation_NO: NDArray[np.float32]) -> NDArray[Any]:
        action_NA: NDArray[Any] = snapshot.policy.act_greedily(torch.from_numpy(observation_NO)).numpy()
        return action_NA

    true_return = float(returns_of(act, TASKS[task].env_id).mean())
    return Judged(labels=snapshot.labels, true_return=true_return, score=TASKS[task].normalised(true_return))
