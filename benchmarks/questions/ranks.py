"""Labels until a reward model tells pairs of new segments apart, without a policy that learns.

Cheap and less noisy than whole runs; but the segments are of policies at random, and what a policy would find out by
following a wrong reward does not come in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.journal import entry_of
from benchmarks.preferences import RUNS
from benchmarks.questions.labels import Curve
from cluster.environments.making import make_vector, spaces_of
from cluster.feedback.evidence import online_model
from cluster.loop.learning.learner import acting_weights
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import RunConfig
from cluster.runs.loading import load_run
from hitl.events import Comparison, Segment
from hitl.reward.online import OnlineRewardModel
from hitl.reward.questions.candidates import cut
from hitl.reward.questions.choosing import choose_pairs
from hitl.reward.questions.looking import predicted_returns
from hitl.reward.questions.prospects import prospects_of
from hitl.teachers.simulated import SimulatedSettings, answer, question_rng
from policies.acting.inference import acting_policy
from policies.networks import ActorCritic
from policies.threads import use_threads

_POLICIES, _ENVIRONMENTS, _STEPS = 4, 32, 128
_JUDGED_PAIRS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTask:
    """A run file, and how many labels its model gets."""

    run_file: str
    initial: int
    per_round: int
    labels: int


RANK_TASKS = {
    "cartpole": RankTask(run_file="cartpole_comparisons.yaml", initial=4, per_round=4, labels=80),
    "pendulum": RankTask(run_file="pendulum_comparisons.yaml", initial=10, per_round=5, labels=150),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Segments with their true rewards, [L] each."""

    segments: list[Segment]
    rewards: list[NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.segments)


def rank_curve(task: RankTask, strategy: str, seed: int) -> Curve:
    """Teach one reward model; returns the share of pairs of new segments that it tells apart, as labels come."""
    use_threads(1)
    config = load_run(RUNS / task.run_file, ["--reward.questions.strategy", strategy])
    asked, judged = gather(config, seed), gather(config, seed + 1_000_000)
    model = _model(config, seed, asked)
    rng = np.random.default_rng(seed)
    settings = config.reward.questions.choice
    teacher = SimulatedSettings(seed=seed, tie_threshold=config.teachers.tie_threshold)
    pool, curve, labels = list(range(len(asked))), [], 0
    while labels < task.labels:
        segments = [asked.segments[place] for place in pool]
        seen = prospects_of(
            model.ensemble, segments, lapse=config.reward.model.lapse, heldout_share=model.heldout_share
        )
        count = task.per_round if labels else task.initial
        found = choose_pairs(seen, count=count, settings=settings, seconds=lambda steps: 1.0, rng=rng)
        chosen = [(pool[pair.first], pool[pair.second]) for pair in found.pairs]
        for first, second in chosen:
            _answer(model, asked, first, second, teacher, number=labels)
            labels += 1
        if not chosen:
            raise SystemExit(
                f"there is nothing more to ask about after {labels} labels; gather more segments"
            )
        pool = [place for place in pool if place not in {place for pair in chosen for place in pair}]
        model.fit(is_first=True)
        curve.append((labels, told_apart(model, judged)))
    return curve


def gather(config: RunConfig, seed: int) -> Gathered:
    """Gather segments by policies as they are before they have learnt anything."""
    envs = make_vector(config.environment, _ENVIRONMENTS)
    spaces, steps = (envs.observation_space, envs.action_space), config.reward.questions.segment_steps
    found = Gathered(segments=[], rewards=[])
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    for number in range(_POLICIES):
        policy = acting_policy(*spaces, seed=seed + number, hidden=(16,))
        policy.load(acting_weights(ActorCritic(*spaces, hidden=(16,))))
        collector = Collector(envs, policy, source=f"{seed}.{number}", seed=seed + number, share_reward=False)
        collected = collector.collect(_STEPS, policy_version=number)
        for window in cut(collected.rollout, steps=steps, task_id="task", run_id="run", rng=rng):
            found.segments.append(window.segment)
            found.rewards.append(collected.true_reward_TN[window.row_L, window.column])
    envs.close()
    return found


def told_apart(model: OnlineRewardModel, judged: Gathered) -> float:
    """Return the share of pairs, of those that truly differ, whose order by the model is the true one."""
    rng = np.random.default_rng(0)
    first_P, second_P = rng.integers(len(judged), size=(2, _JUDGED_PAIRS))
    true_S = np.array([reward.sum(dtype=np.float64) for reward in judged.rewards])
    predicted_S = predicted_returns(model.ensemble, judged.segments).double().mean(0).numpy()
    true_P, predicted_P = true_S[first_P] - true_S[second_P], predicted_S[first_P] - predicted_S[second_P]
    differs_P = true_P != 0
    return float(np.mean(np.sign(true_P[differs_P]) == np.sign(predicted_P[differs_P])))


def _model(config: RunConfig, seed: int, asked: Gathered) -> OnlineRewardModel:
    model = online_model(config.reward, *spaces_of(config.environment), seed=seed)
    model.set_probe(*_steps_of(asked.segments))
    return model


def _steps_of(segments: Sequence[Segment]) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
    observation = np.concatenate([np.asarray(s.observations["obs"]) for s in segments])
    return observation.reshape(len(observation), -1), np.concatenate(
        [np.asarray(s.actions) for s in segments]
    )


def _answer(
    model: OnlineRewardModel,
    asked: Gathered,
    first: int,
    second: int,
    teacher: SimulatedSettings,
    *,
    number: int,
) -> None:
    name = f"q{number}"
    choice = answer(asked.rewards[first], asked.rewards[second], question_rng(teacher.seed, name), teacher)
    event = Comparison(run_id="run", question_id=name, choice=choice, event_id=name)
    pair = [asked.segments[first], asked.segments[second]]
    model.take(entry_of(event, "teacher", pair, offset=number), pair)
