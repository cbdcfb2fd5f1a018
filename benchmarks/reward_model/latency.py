"""From a label's receipt to the version that has learnt it: service, journal and reward trainer as in a run.

A teacher answers one question after the other, at random times, on top of 500 answers. The clock starts when the
receipt is there, and stops when the reward trainer hands a version that knows of the answer to whoever shows it. A
version that the gate refuses is not published: then the label waits for the next one, and that counts.
"""

import time
from typing import Any

import numpy as np
import ray

from benchmarks.feedback_service import Place, feedback_service
from benchmarks.reward_model.answers import FIRST, Answers, made_up
from benchmarks.reward_model.ours import entry, reward_config
from cluster.environments.making import spaces_of
from cluster.feedback.reward_trainer import RewardTrainer
from cluster.feedback.service import FeedbackLink, FeedbackService
from cluster.newest import Published
from cluster.runs.config import EnvironmentConfig
from hitl.client.teaching import TeacherClient
from hitl.client.training import TrainingClient
from hitl.events import Comparison, PairQuestion, Receipt
from policies.experience import Rollout

MOST_P95_MS = 250.0
LABELS, SECONDS_BETWEEN, TOGETHER = 100, 1.0, 50
ENVIRONMENT = EnvironmentConfig(id="CartPole-v1", fixed_horizon=500)


class Board:
    """Notes when each version comes; it stands where stages would take it from."""

    def __init__(self) -> None:
        self._came: list[tuple[float, int]] = []

    def publish(self, published: Published) -> None:
        """See `cluster.newest.Newest.publish`."""
        self._came.append((time.time(), published.journal_end))

    def came(self) -> list[tuple[float, int]]:
        """Return when each version came, in seconds since 1970, and the feedback before which offset is in it."""
        return self._came


def measure(seed: int, labels: int = LABELS) -> dict[str, Any]:
    """Start everything, answer, and return the percentiles of the waits in milliseconds."""
    with feedback_service() as place:
        return _measure_at(place, seed, labels)


def _measure_at(place: Place, seed: int, labels: int) -> dict[str, Any]:
    address, token = place.address, place.token("driver", "cluster")
    link = FeedbackService(address=address, token=token, name="latency").open_run(ENVIRONMENT, "latency")
    told = made_up(seed)
    with TrainingClient(address, token) as cluster:
        _ask(cluster, link, told, FIRST + labels)
        board, trainer = _trainer(cluster, link, told, seed)
        teacher = TeacherClient(address, place.token("teacher", "teacher"))
        for begin in range(0, FIRST, TOGETHER):
            teacher.submit([_event(told, pair, link.run_id) for pair in range(begin, begin + TOGETHER)])
        _wait_for(board, FIRST)
        rng = np.random.default_rng(seed)
        waits = []
        for pair in range(FIRST, FIRST + labels):
            time.sleep(rng.exponential(SECONDS_BETWEEN))
            (receipt,) = teacher.submit([_event(told, pair, link.run_id)])
            acknowledged = time.time()
            assert isinstance(receipt, Receipt)
            waits.append((acknowledged, receipt.offset + 1))
        came = _wait_for(board, FIRST + labels)
        state = ray.get(trainer.state.remote())
        ray.kill(trainer)
        teacher.close()
    waited = [1000 * (min(t for t, end in came if end >= offset) - at) for at, offset in waits]
    return {
        "labels": labels,
        "p50_ms": round(float(np.percentile(waited, 50)), 1),
        "p95_ms": round(float(np.percentile(waited, 95)), 1),
        "most_ms": round(max(waited), 1),
        "refused_versions": state.refused,
    }


def _ask(cluster: TrainingClient, link: FeedbackLink, told: Answers, pairs: int) -> None:
    run = cluster.get_run(link.run_id)
    for begin in range(0, pairs, TOGETHER):
        some = range(begin, min(begin + TOGETHER, pairs))
        of_pairs = [entry(told, pair, link.run_id, run.task_id)[1] for pair in some]
        cluster.publish_segments(run, [(segment, None) for segments in of_pairs for segment in segments])
        cluster.ask(
            run,
            [
                PairQuestion(
                    question_id=f"answer-{pair}",
                    run_id=link.run_id,
                    first_segment_id=first.segment_id,
                    second_segment_id=second.segment_id,
                )
                for pair, (first, second) in zip(some, of_pairs, strict=True)
            ],
        )


def _event(told: Answers, pair: int, run_id: str) -> Comparison:
    event = entry(told, pair, run_id)[0].event
    assert isinstance(event, Comparison)
    return event


def _trainer(cluster: TrainingClient, link: FeedbackLink, told: Answers, seed: int) -> tuple[Any, Any]:
    observation_space, action_space = spaces_of(ENVIRONMENT)
    board = ray.remote(Board).options(num_cpus=0).remote()
    reward = reward_config()
    questions = reward.questions.model_copy(update={"budget": 0, "initial": 0, "initial_env_steps": 1})
    trainer = (
        ray.remote(RewardTrainer)
        .options(num_cpus=0, max_concurrency=4)
        .remote(
            address=link.address,
            token=link.token,
            run=cluster.get_run(link.run_id),
            observation_space=observation_space,
            action_space=action_space,
            reward=reward.model_copy(update={"questions": questions}),
            board=board,
            publisher=None,
            reads_from=(),
            life="1",
            seed=seed,
            lockstep=False,
        )
    )
    rollout = ray.put(_rollout(told))
    ray.get(trainer.observe.remote({"rollout": [rollout]}, env_steps=rollout_steps(told), base=None))
    return board, trainer


def rollout_steps(told: Answers) -> int:
    """Return how many steps there are to fix the scale on."""
    return int(told.action_SL.size)


def _rollout(told: Answers) -> Rollout:
    """Return the pieces side by side, for the probe set."""
    action_TN = told.action_SL.T
    seen_TNO = np.concatenate([told.observation_SLO, told.following_SLO[:, -1:]], 1).transpose(1, 0, 2)
    zeros = np.zeros(action_TN.shape, np.int64)
    return Rollout(
        source="source",
        policy_version=0,
        observation_TNO=np.ascontiguousarray(seen_TNO),
        action_TNA=action_TN.copy(),
        log_prob_TN=zeros.astype(np.float32),
        terminated_TN=zeros.astype(bool),
        truncated_TN=zeros.astype(bool),
        final_index_K=np.zeros(0, np.int64),
        final_observation_KO=np.zeros((0, 4), np.float32),
        actor_TN=zeros.astype(np.uint8),
        episode_TN=zeros + np.arange(action_TN.shape[1]),
        step_TN=zeros + np.arange(len(action_TN))[:, None],
        duration_TN=zeros + 1,
    )


def _wait_for(board: Any, offset: int) -> list[tuple[float, int]]:
    """Wait until a version knows of the feedback before this offset; returns all that came."""
    while True:
        came: list[tuple[float, int]] = ray.get(board.came.remote())
        if came and came[-1][1] >= offset:
            return came
        time.sleep(0.05)


def passed(figures: dict[str, Any]) -> bool:
    """Whether versions come as soon as they are to."""
    soon: bool = figures["p95_ms"] <= MOST_P95_MS
    return soon
