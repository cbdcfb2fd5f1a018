"""The reward trainer beside a stage whose frames are made by hand."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import ray

from cluster.environments.making import make_vector
from cluster.feedback.reward_trainer import RewardTrainer
from cluster.feedback.service import FeedbackLink, FeedbackService
from cluster.feedback.teaching_state import TeachingState
from cluster.feedback.versions import model_arrays
from cluster.loop.learning.learner import acting_weights
from cluster.loop.rollouts.collector import Collector
from cluster.runs.config import EnvironmentConfig
from cluster.runs.reward.config import RewardConfig
from cluster.runs.reward.model import RewardModelConfig
from hitl.acting import make_acting
from hitl.events import Choice
from hitl.policies import ActingSettings
from hitl.stages import ActionSpace
from policies.acting.inference import acting_policy
from policies.networks import ActorCritic
from tests.cluster.stages.dial import Dial
from tests.hitl.live import LiveRun, LiveService, eventually
from tests.hitl.playing import Play, seen

pytestmark = pytest.mark.usefixtures("ray_session")

DIAL = EnvironmentConfig(id="tests.cluster.stages.dial:Dial", allow_variable_horizon=True)
MODEL = {"members": 2, "hidden": (8,), "heldout_share": 0.0}
QUESTIONS = {"budget": 0, "initial": 0, "initial_env_steps": 64}
THREE_ACTIONS = ActionSpace(choices=(3,), single=True)


def open_run(service: LiveService, name: str) -> FeedbackLink:
    token = service.token("cluster", "driver")
    return FeedbackService(address=service.address, token=token, name=name).open_run(DIAL, name)


@contextmanager
def trainer_of(
    service: LiveService,
    link: FeedbackLink,
    *,
    environment: EnvironmentConfig = DIAL,
    reads_from: Sequence[str] = (),
    **changes: Any,
) -> Iterator[Callable[[], TeachingState]]:
    """A reward trainer with experience; returns how to ask it where it stands."""
    envs = make_vector(environment, 4)
    policy = acting_policy(envs.observation_space, envs.action_space, seed=0, hidden=(8,))
    policy.load(acting_weights(ActorCritic(envs.observation_space, envs.action_space, hidden=(8,))))
    rollout = Collector(envs, policy, source="1.0", seed=0, share_reward=False).collect(32, policy_version=1)
    with service.cluster() as client:
        settings: dict[str, Any] = {
            "address": link.address,
            "token": link.token,
            "run": client.get_run(link.run_id),
            "observation_space": envs.observation_space,
            "action_space": envs.action_space,
            "reward": RewardConfig.model_validate({"model": MODEL, "questions": QUESTIONS} | changes),
            "board": None,
            "publisher": None,
            "reads_from": reads_from,
            "life": "1",
            "seed": 0,
            "lockstep": False,
        }
        trainer = ray.remote(RewardTrainer).options(num_cpus=0).remote(**settings)
    trainer.observe.remote({"rollout": [ray.put(rollout.rollout)]}, env_steps=128, base=None)
    try:
        yield lambda: ray.get(trainer.state.remote())
    finally:
        ray.kill(trainer)


def counts(state: TeachingState) -> dict[str, int]:
    return {name: kind.count for name, kind in state.report.kinds.items()} if state.report else {}


def version(state: TeachingState) -> int:
    return state.newest.version if state.newest else 0


def test_corrections_and_takeovers_are_learnt_as_they_come(service: LiveService) -> None:
    link = open_run(service, "corrections")
    with service.cluster() as client, service.teacher("ann") as ann:
        run = LiveRun(client.get_run(link.run_id), client)
        play = Play.open(run, action_space=THREE_ACTIONS)
        play.choices = 3
        with trainer_of(service, link) as state:
            play.step(4)
            seen(service, run, play.newest)
            with ann.watch(link.run_id, "stage") as watch:
                frame = watch.next(20)
                assert frame is not None
                receipt = frame.correct(2)
            eventually(lambda: counts(state()) == {"corrections": 1}, seconds=60.0)
            eventually(lambda: version(state()) == 1)
            told = state()
            # A quick fit, as after a signal: a whole one would have judged what it was trained on.
            assert told.report is not None
            assert told.report.kinds["corrections"].train_log_loss is None
            play.teacher_id = "ann"
            play.step(5)
            play.teacher_id = ""
            play.step(1)
            play.reset()
            eventually(lambda: counts(state()) == {"corrections": 6}, seconds=60.0)
            ann.retract(link.run_id, receipt.event_id)
            eventually(lambda: counts(state()) == {"corrections": 5}, seconds=60.0)
        with trainer_of(service, link) as again:
            eventually(lambda: counts(again()) == {"corrections": 5}, seconds=60.0)
        play.player.close()


def test_corrections_that_are_switched_off_teach_no_reward(service: LiveService) -> None:
    link = open_run(service, "off")
    with service.cluster() as client, service.teacher("ann") as ann:
        run = LiveRun(client.get_run(link.run_id), client)
        play = Play.open(run, action_space=THREE_ACTIONS)
        play.choices = 3
        play.step(30)
        seen(service, run, play.newest)
        with ann.watch(link.run_id, "stage") as watch:
            frame = watch.next(20)
            assert frame is not None
            frame.correct(2)
            frame.signal(1.0)
        with trainer_of(service, link, model=MODEL | {"kinds": {"corrections": 0}}) as state:
            eventually(lambda: counts(state()) == {"signals": 1}, seconds=60.0)
            eventually(lambda: version(state()) == 1)
            assert counts(state()) == {"signals": 1}
        play.player.close()


def test_the_delays_of_each_teacher_are_fitted_and_found_again(service: LiveService) -> None:
    link = open_run(service, "delays")
    fitted = {"delay": {"fitted": True}}
    found = []
    with service.cluster() as client, service.teacher("ann") as ann, service.teacher("bob") as bob:
        run = LiveRun(client.get_run(link.run_id), client)
        play = Play.open(run, action_space=THREE_ACTIONS)
        play.choices = 3
        # Enough to be placed from the first one on.
        play.step(20)
        for number in range(12):
            play.step(5)
            seen(service, run, play.newest)
            for teacher in (ann, bob) if number % 2 else (ann,):
                with teacher.watch(link.run_id, "stage") as watch:
                    frame = watch.next(20)
                    assert frame is not None
                    frame.signal(1.0 if frame.shown.frame % 3 else -1.0, offset=timedelta(seconds=0.1))
        for _ in range(2):
            with trainer_of(service, link, signals=fitted) as state:
                eventually(lambda: counts(state()) == {"signals": 18}, seconds=60.0)
                found.append(dict(state().delays))
        play.player.close()
    assert found[0] == found[1]
    assert found[0].keys() == {"ann", "bob"}
    assert found[0]["ann"] != found[0]["bob"]
    assert 0.2 < found[0]["ann"] < 2.8


def test_a_reward_that_is_linear_in_a_tasks_own_features_is_learnt_and_acted_by(service: LiveService) -> None:
    link, features = open_run(service, "features"), "tests.cluster.stages.dial:after_each"
    model = MODEL | {"hidden": (), "features": features, "learning_rate": 0.05}
    with service.cluster() as client, service.teacher("ann") as ann:
        run = LiveRun(client.get_run(link.run_id), client)
        play = Play.open(run, action_space=THREE_ACTIONS)
        play.choices = 3
        play.step(4)
        seen(service, run, play.newest)
        with trainer_of(service, link, model=model) as state:
            for number in range(1, 6):
                with ann.watch(link.run_id, "stage") as watch:
                    frame = watch.next(20)
                    assert frame is not None
                    frame.correct(0)
                eventually(lambda number=number: counts(state()) == {"corrections": number}, seconds=60.0)  # type: ignore[misc]
            eventually(lambda: version(state()) > 0)
            newest = state().newest
            assert newest is not None
            arrays = ray.get(newest.boxed[0])
        play.player.close()
    assert arrays["weights.0"].shape == (2, 2, 1)
    acting = make_acting(
        ActingSettings(kind="reward", temperature=0.0),
        Dial.observation_space,
        Dial.action_space,
        seed=0,
        model_config={},
        inputs=RewardModelConfig.model_validate(model).inputs,
    )
    acting.show_reward(1, model_arrays(arrays))
    action, _ = acting.acts.act(np.array([[-3.0], [5.0]], np.float32))
    # Whoever goes left is right: a place farther left is better, wherever the hand is.
    assert action.tolist() == [0, 0]


def test_what_two_teachers_say_of_the_same_is_compared_while_the_run_goes_on(service: LiveService) -> None:
    link = open_run(service, "shared")
    with (
        service.cluster() as client,
        service.teacher("ann") as ann,
        service.teacher("bob") as bob,
        trainer_of(service, link, reliability={"look_seconds": 0.0}) as state,
    ):
        run = LiveRun(client.get_run(link.run_id), client)
        client.publish_segments(
            run.run, [(run.segment(name, steps=3, width=1), None) for name in ("low", "high")]
        )
        client.ask(run.run, [run.question("q", answers=2)])
        for teacher, choice in ((ann, Choice.FIRST), (bob, Choice.SECOND)):
            teacher.compare(link.run_id, "q", choice)
        eventually(lambda: len(state().teachers) == 2, seconds=60.0)
        told = state()
        assert told.answered == 2
        assert [(r.teacher_id, r.shared, r.agreement) for r in told.teachers] == [
            ("ann", 1, 0.0),
            ("bob", 1, 0.0),
        ]
