"""The algorithm on a live Ray: what it learns from, what it must not see, and that it can be repeated."""

import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.loop.evaluation import evaluate
from cluster.loop.learning.saved_policy import load_policy
from cluster.runs.config import RunConfig
from hitl.events import Choice
from policies.networks.convolutional import Convolutional
from tests.cluster.line_people import PEOPLE, SMALL, Answering, link
from tests.hitl.live import LiveService

pytestmark = pytest.mark.usefixtures("ray_session")


def updates(config: HITLConfig, count: int) -> dict[str, Any]:
    """Do updates and return the weights."""
    algorithm = HITL(config)
    try:
        while algorithm.updates < count:
            algorithm.train()
        return algorithm.network_state
    finally:
        algorithm.stop()


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def taught(service: LiveService, run_id: str, record: dict[str, Choice] | None = None, **world: Any) -> Any:
    settings = PEOPLE | {"environment": PEOPLE["environment"] | {"kwargs": world}}
    config = HITLConfig.from_run(RunConfig.model_validate(settings), link(service, run_id))
    with Answering(service, run_id, record) as teacher:
        weights = updates(config, 4)
    return weights, teacher


def test_a_changed_environment_reward_moves_no_weight_when_the_answers_are_replayed(
    service: LiveService,
) -> None:
    weights, teacher = taught(service, "original")
    again, other = taught(service, "replayed", teacher.answers, scale=-7.0, shift=3.0)
    assert len(teacher.answers) >= 16
    assert other.answers == teacher.answers
    assert other.seen_rewards != teacher.seen_rewards, "the environment's reward did not change"
    assert same(weights, again)


def test_answers_move_the_weights(service: LiveService) -> None:
    weights, teacher = taught(service, "right")
    flip = {Choice.FIRST: Choice.SECOND, Choice.SECOND: Choice.FIRST}
    reverse = {question: flip[choice] for question, choice in teacher.answers.items()}
    first_round = {question for question in reverse if int(question.rpartition("-")[2]) <= 12}
    again, _ = taught(service, "wrong", _Answers(reverse, first_round))
    assert not same(weights, again)


class _Answers(dict[str, Choice]):
    """Reversed answers; questions that the other run never asked get the second as their answer."""

    def __init__(self, answers: dict[str, Choice], known: set[str]) -> None:
        super().__init__({question: answers[question] for question in known})

    def __missing__(self, question: str) -> Choice:
        return Choice.SECOND


def environment_run(**changes: Any) -> HITLConfig:
    settings = SMALL | {
        "environment": {"id": "tests.cluster.small_worlds:Line"},
        "reward": {"sources": {"environment": 1.0, "learned": 0.0}},
    }
    return HITLConfig.from_run(RunConfig.model_validate(settings | changes))


def test_lockstep_is_a_function_of_the_seed() -> None:
    first, second = updates(environment_run(), 3), updates(environment_run(), 3)
    assert same(first, second)
    assert not same(first, updates(environment_run(seed=1), 3))


def test_it_learns_from_the_environments_reward() -> None:
    algorithm = HITL(environment_run())
    algorithm.train()
    before = algorithm.statistics.true_return
    for _ in range(40):
        algorithm.train()
    after = algorithm.statistics.true_return
    algorithm.stop()
    # The best possible return from the middle is about 14.5; random play comes to 0.
    assert before is not None
    assert before < 5
    assert after is not None
    assert after > 8


def test_box_actions_are_learnt() -> None:
    config = environment_run(environment={"id": "Pendulum-v1"})
    algorithm = HITL(config)
    for _ in range(3):
        algorithm.train()
    losses = algorithm.statistics.losses
    algorithm.stop()
    assert all(np.isfinite(value) for value in losses.values())
    assert losses["entropy"] != 0


def test_a_checkpoint_goes_on_bit_for_bit(tmp_path: Path) -> None:
    algorithm = HITL(environment_run())
    for _ in range(2):
        algorithm.train()
    algorithm.save_to_path(tmp_path / "checkpoint")
    weights, steps = algorithm.network_state, algorithm.env_steps
    optimiser = algorithm.learner_group.get_state()["learner"]["optimizer"]
    algorithm.stop()
    other = HITL(environment_run(seed=9))
    other.restore_from_path(tmp_path / "checkpoint")
    assert same(weights, other.network_state)
    assert other.env_steps == steps
    assert other.updates == 2
    moments = other.learner_group.get_state()["learner"]["optimizer"]
    assert _leaves(moments) == _leaves(optimiser)
    other.stop()


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in _leaves(value)]
    if isinstance(tree, list | tuple):
        return [leaf for value in tree for leaf in _leaves(value)]
    return [np.asarray(tree).tolist()]


def test_rllib_loads_our_policy(tmp_path: Path) -> None:
    from ray.rllib.core.rl_module.rl_module import RLModule

    algorithm = HITL(environment_run())
    algorithm.save_to_path(tmp_path / "checkpoint")
    weights = algorithm.network_state
    algorithm.stop()
    module = RLModule.from_checkpoint(
        str(tmp_path / "checkpoint/learner_group/learner/rl_module/default_policy")
    )
    assert same(weights, {k: v.numpy() for k, v in module.network.state_dict().items()})


def test_a_policy_with_encoders_survives_its_checkpoint(tmp_path: Path) -> None:
    """From the run file to the env runner, the learner, the checkpoint and back."""
    dicts = {"id": "tests.cluster.identities:Identity", "kwargs": {"kind": "dict"}}
    policy = {"hidden": (16,), "shared": True, "encoders": {"number": "flat"}, "filters": [[4, 3, 2]]}
    learner = SMALL["learner"] | {"precision": "bfloat16"}
    algorithm = HITL(environment_run(environment=dicts, policy=policy, learner=learner))
    (precise,) = algorithm.learner_group.foreach_learner(
        lambda learner: [m.in_bfloat16 for m in learner.network.modules() if isinstance(m, Convolutional)]
    )
    assert precise.get() == [True]
    began = copy.deepcopy(algorithm.network_state)
    for _ in range(2):
        algorithm.train()
    algorithm.save_to_path(tmp_path / "checkpoint")
    weights, config = algorithm.network_state, algorithm.config
    algorithm.stop()
    loaded = load_policy(tmp_path / "checkpoint")
    assert same(weights, {k: v.numpy() for k, v in loaded.state_dict().items()})
    assert not np.array_equal(weights["policy.1.weight"], began["policy.1.weight"])
    returns = evaluate(loaded, config.environment_config, episodes=2, seed=0)
    assert all(0 <= value <= 8 for value in returns)


def test_overlapped_sampling_lags_by_one_update() -> None:
    config = environment_run(
        mode="overlapped", rollouts={"env_runners": 2, "envs_per_runner": 2, "steps": 40}
    )
    algorithm = HITL(config)
    lags = []
    for _ in range(6):
        algorithm.train()
        lags.append(algorithm.statistics.lag_updates)
    steps, updates_done = algorithm.env_steps, algorithm.updates
    algorithm.stop()
    assert updates_done == 6
    assert steps == 6 * 2 * 2 * 40
    assert lags[0] == 0
    assert set(lags[1:]) == {1}


def test_the_environments_reward_stays_out_of_the_rollouts_of_a_run_on_people(service: LiveService) -> None:
    import ray

    config = HITLConfig.from_run(RunConfig.model_validate(PEOPLE), link(service, "hidden"))
    algorithm = HITL(config)
    algorithm._request()
    (sample,) = algorithm._sampler.gather(policy_version=1)
    rollout = ray.get(sample.rollout)
    algorithm.stop()
    assert rollout.environment_reward_TN is None


def test_a_trainer_that_dies_before_the_first_questions_gets_experience_again(service: LiveService) -> None:
    import ray

    people = HITLConfig.from_run(
        RunConfig.model_validate(PEOPLE | {"mode": "overlapped"}), link(service, "early")
    )
    algorithm = HITL(people)
    teaching = algorithm.teaching
    assert teaching is not None
    ray.get(teaching.trainer.state.remote())
    algorithm.training_step()
    ray.kill(teaching.trainer, no_restart=False)
    deadline = time.monotonic() + 60
    with Answering(service, "early"):
        while not teaching.version and time.monotonic() < deadline:
            algorithm.training_step()
    version = teaching.version
    algorithm.stop()
    # The driver may have looked after the second answer.
    assert version >= 1


def breaking(observation_NO: NDArray[np.float32]) -> NDArray[np.float32]:
    """A task's own features with a mistake that shows on real observations alone."""
    if observation_NO.any():
        raise ZeroDivisionError("these features are broken")
    return np.zeros((len(observation_NO), 2, 1), np.float32)


def test_a_trainer_that_breaks_ends_the_run_and_not_the_learning_alone(service: LiveService) -> None:
    settings: dict[str, Any] = copy.deepcopy(PEOPLE) | {"mode": "overlapped"}
    settings["reward"]["model"]["features"] = f"{__name__}:breaking"
    algorithm = HITL(HITLConfig.from_run(RunConfig.model_validate(settings), link(service, "breaks")))

    def learn() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            algorithm.training_step()

    try:
        with pytest.raises(ZeroDivisionError, match="these features are broken"):
            learn()
    finally:
        algorithm.stop()


def test_rows_that_stand_for_no_time_are_no_environment_steps() -> None:
    import ray

    algorithm = HITL(environment_run(environment={"id": "CartPole-v1", "vectorised": True}))
    algorithm._request()
    (sample,) = algorithm._sampler.gather(policy_version=1)
    rollout = ray.get(sample.rollout)
    algorithm.train()
    told, trained = sample.steps, algorithm.env_steps
    algorithm.stop()
    assert told == (rollout.duration_TN > 0).sum() < sample.rows == 160
    assert 80 < trained < 160


def test_a_reward_from_people_needs_a_service() -> None:
    with pytest.raises(ValueError, match="feedback service"):
        HITLConfig.from_run(RunConfig.model_validate(PEOPLE)).build_algo()
