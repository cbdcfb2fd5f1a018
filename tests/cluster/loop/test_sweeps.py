"""A sweep of Tune over HITLConfig: four trials that learn from one shared run's feedback, told to trackers."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray import tune

from cluster.environments.making import make_vector
from cluster.feedback.reward_trainer import RewardTrainer
from cluster.feedback.service import FeedbackLink, FeedbackService
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.learning.learner import acting_weights
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import EnvironmentConfig
from cluster.runs.reward.config import RewardConfig, RewardSourcesConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.questions import QuestionsConfig
from hitl.events import Choice, PairQuestion, Run, Segment, StepAddress
from policies.acting.inference import acting_policy
from policies.networks import ActorCritic
from tests.hitl.live import LiveService, eventually

pytestmark = pytest.mark.usefixtures("ray_session")

LINE = EnvironmentConfig(id="tests.cluster.small_worlds:Line", allow_variable_horizon=True)
STEPS, PAIRS = 5, 24


def feedback(service: LiveService, *reads_from: str) -> FeedbackService:
    token = service.token("cluster", "sweep")
    return FeedbackService(address=service.address, token=token, name="sweep", reads_from=reads_from)


def shared_run(service: LiveService, name: str) -> Run:
    """A run whose teacher has said, of each pair, that going right is better than going left."""
    link = feedback(service).open_run(LINE, name)
    with service.cluster() as client, service.teacher("ann") as ann:
        run = client.get_run(link.run_id)
        client.publish_segments(run, [(made_up(link, n, right=n % 2), None) for n in range(2 * PAIRS)])
        client.ask(
            run,
            [
                PairQuestion(
                    question_id=f"question-{n}",
                    run_id=run.run_id,
                    first_segment_id=f"segment-{2 * n}",
                    second_segment_id=f"segment-{2 * n + 1}",
                )
                for n in range(PAIRS)
            ],
        )
        for question in ann.lease(run.run_id, max_questions=PAIRS, wait_seconds=5.0):
            question.answer(Choice.SECOND)
        return client.get_run(run.run_id)


def made_up(link: FeedbackLink, number: int, *, right: int) -> Segment:
    position = np.random.default_rng(number).uniform(-1, 1, (STEPS, 1)).astype(np.float32)
    address = StepAddress(
        task_id=link.task_id, run_id=link.run_id, source="people", episode=number, begin=0, end=STEPS
    )
    return Segment(
        segment_id=f"segment-{number}",
        address=address,
        observations={"obs": np.hstack([position, position])},
        actions=np.full(STEPS, right),
        policy_version=0,
    )


def small() -> HITLConfig:
    return (
        HITLConfig()
        .environment(LINE.id)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=4, rollout_fragment_length=32)
        .training(minibatch_size=64, num_epochs=1)
        .rl_module(model_config={"hidden": (8,), "activation": "tanh"})
        .learners(num_learners=0, num_gpus_per_learner=0)
        .horizon(allow_variable=True)
        .order(lockstep=True)
    )


@dataclass(frozen=True, slots=True)
class Tracked:
    """What one trial left with the trackers that are installed."""

    folder: Path
    metrics: Mapping[str, Any]


def have(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def run_config(folder: Path, *, callbacks: Sequence[Any] = (), **stop: int) -> tune.RunConfig:
    return tune.RunConfig(storage_path=str(folder), stop=stop, callbacks=list(callbacks), verbose=0)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """One trial for both trackers: starting one is slow."""
    folder = tmp_path_factory.mktemp("trackers")
    callbacks: list[Any] = []
    if have("wandb"):
        from ray.air.integrations.wandb import WandbLoggerCallback

        callbacks.append(WandbLoggerCallback(project="sweep", mode="offline", dir=str(folder)))
    if have("mlflow"):
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        uri = f"sqlite:///{folder}/mlflow.db"
        callbacks.append(MLflowLoggerCallback(tracking_uri=uri, experiment_name="sweep"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        configured = run_config(folder, callbacks=callbacks, training_iteration=2)
        (result,) = tune.Tuner(HITL, param_space=small(), run_config=configured).fit()
    assert result.error is None
    return Tracked(folder, result.metrics)


def test_four_trials_learn_from_the_feedback_of_one_run(service: LiveService, tmp_path: Path) -> None:
    shared = shared_run(service, "shared")
    config = (
        small()
        .training(lr=tune.grid_search([1e-3, 3e-3]), lambda_=tune.grid_search([0.9, 0.95]))
        .people(
            sources=RewardSourcesConfig(environment=0.0, learned=1.0),
            model=RewardModelConfig(members=2, hidden=(8,), gradient_steps=20),
            questions=QuestionsConfig(budget=0, initial=0, initial_env_steps=64),
            feedback=feedback(service, shared.run_id),
        )
    )
    grid = tune.Tuner(
        HITL, param_space=config, run_config=run_config(tmp_path, env_steps=256, training_iteration=300)
    ).fit()
    assert [result.error for result in grid] == [None] * 4
    assert len({(result.config["lr"], result.config["lambda"]) for result in grid}) == 4
    for result in grid:
        assert result.metrics["env_steps"] >= 256
        assert np.isfinite(result.metrics["episode_return_mean"])
        assert np.isfinite(result.metrics["learner"]["reward_learned"])
    with service.teacher("ann") as ann:
        trials = [run for run in ann.runs() if run.run_id[6:] not in ("shared", "live", "reader")]
    assert {run.run_id[6:] for run in trials} == {result.metrics["trial_id"] for result in grid}
    # They asked nothing themselves: their reward is that of the shared answers.
    assert [run.journal_end for run in trials] == [0] * 4
    assert all(run.progress.reward_version >= 1 for run in trials)
    assert {run.task_id for run in trials} == {shared.task_id}


def test_a_run_goes_on_reading_what_others_are_told(service: LiveService) -> None:
    shared = shared_run(service, "live")
    link = feedback(service, shared.run_id).open_run(LINE, "reader")
    envs = make_vector(LINE, 4)
    policy = acting_policy(envs.observation_space, envs.action_space, seed=0, hidden=(8,))
    policy.load(acting_weights(ActorCritic(envs.observation_space, envs.action_space, hidden=(8,))))
    collector = Collector(envs, policy, source="1.0", seed=0, share_reward=False)
    with service.cluster() as client:
        trainer = (
            ray.remote(RewardTrainer)
            .options(num_cpus=0)
            .remote(
                address=link.address,
                token=link.token,
                run=client.get_run(link.run_id),
                observation_space=envs.observation_space,
                action_space=envs.action_space,
                reward=RewardConfig(
                    model=RewardModelConfig(members=2, hidden=(8,), gradient_steps=20),
                    questions=QuestionsConfig(budget=0, initial=0, initial_env_steps=64),
                ),
                board=None,
                publisher=None,
                reads_from=link.reads_from,
                life="1",
                seed=0,
                lockstep=False,
            )
        )
        rollout = ray.put(collector.collect(32, policy_version=1).rollout)
        trainer.observe.remote({"rollout": [rollout]}, env_steps=128, base=None)
        # A call of before, overtaken.
        trainer.observe.remote({}, env_steps=32, base=None)

        def answers() -> int:
            report = ray.get(trainer.state.remote()).report
            return report.kinds["comparisons"].count if report else 0

        eventually(lambda: answers() == PAIRS, seconds=60.0)
        again = PairQuestion(
            question_id="again",
            run_id=shared.run_id,
            first_segment_id="segment-0",
            second_segment_id="segment-3",
        )
        client.ask(shared, [again])
        with service.teacher("ann") as ann:
            for question in ann.lease(shared.run_id, max_questions=1, wait_seconds=5.0):
                question.answer(Choice.SECOND)
        eventually(lambda: answers() == PAIRS + 1, seconds=60.0)
        ray.kill(trainer)


@pytest.mark.skipif(not have("wandb"), reason="Weights & Biases comes with the extra wandb")
def test_a_trial_is_told_to_weights_and_biases(tracked: Tracked) -> None:
    (told,) = tracked.folder.glob("wandb/offline-run-*/*.wandb")
    content = told.read_bytes()
    assert b"env_steps" in content
    assert b"episode_return_mean" in content


@pytest.mark.skipif(not have("mlflow"), reason="MLflow comes with the extra mlflow")
def test_a_trial_is_told_to_mlflow(tracked: Tracked) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{tracked.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("sweep")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["lr"] == "0.0003"
    for name in ("env_steps", "episode_return_mean"):
        assert run.data.metrics[name] == pytest.approx(tracked.metrics[name])
