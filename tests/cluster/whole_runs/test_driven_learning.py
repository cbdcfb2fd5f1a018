"""TAMER with a robot: a program outside of the cluster drives a stage, and follows what its teacher says."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cluster.feedback.service import FeedbackService
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.live_config import ActingConfig, StagesConfig
from cluster.runs.reward.config import RewardSourcesConfig
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.questions import QuestionsConfig
from cluster.runs.reward.signals import DelayConfig, SignalsConfig
from hitl.teachers.live import LiveSettings
from hitl.teachers.live_program import InterventionSettings, run_live_teacher
from tests.cluster.stages.dial import LEFT, Dial
from tests.hitl.live import LiveService, eventually

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(900)]

STEP_SECONDS = 0.1
SHORTEST, SCALE = 0.2, 0.05
"""Of the teacher's delays, in seconds."""


class Leftist:
    """Wants the hand to go left. The environment pays for going right."""

    def act(self, observation: Any, /) -> int:
        return LEFT


class Robot:
    """Drives a stage in a thread, at the pace of a person who watches."""

    def __init__(self, service: LiveService, run_id: str) -> None:
        self.latest: deque[tuple[int, float | None, int, int]] = deque(maxlen=20)
        """Action, what people are expected to say of it, reward version and end of the journal, of each step."""
        self.error: Exception | None = None
        self._service, self._run_id = service, run_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._service.cluster() as client:
                self._drive(client)
        except Exception as error:
            self.error = error

    def _drive(self, client: Any) -> None:
        env, run = Dial(), client.get_run(self._run_id)
        spaces = (env.observation_space, env.action_space)
        with client.drive_stage(run, "robot", *spaces) as stage:
            stage.wait_for_policy(300)
            while not self._stop.is_set():
                stage.begin(env.reset()[0])
                over = False
                while not over and not self._stop.wait(STEP_SECONDS):
                    chosen = stage.act()
                    seen, reward, over, _, _ = env.step(chosen.action)
                    stage.step(seen, terminated=over, true_reward=reward)
                    self.latest.append(
                        (
                            int(chosen.action),
                            chosen.predicted_reward,
                            chosen.reward_version,
                            chosen.journal_end,
                        )
                    )

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def goes_on_until(algorithm: HITL, robot: Robot, condition: Callable[[], bool]) -> None:
    def is_there() -> bool:
        assert robot.error is None
        algorithm.train()
        return condition()

    eventually(is_there, seconds=400)


def test_a_robot_does_what_its_teacher_praises(service: LiveService) -> None:
    config = (
        HITLConfig()
        .environment("tests.cluster.stages.dial:Dial")
        .horizon(fixed=40)
        .env_runners(num_envs_per_env_runner=4, rollout_fragment_length=32, least_update_s=0.1)
        .rl_module(model_config={"hidden": (16,)})
        .debugging(seed=0)
        .people(
            stages=StagesConfig(driven=True),
            feedback=FeedbackService(
                address=service.address, token=service.token("cluster", "driver"), name="robots"
            ),
            sources=RewardSourcesConfig(environment=0.0, learned=1.0),
            model=RewardModelConfig(
                members=2, hidden=(), learning_rate=0.03, features="tests.cluster.stages.dial:after_each"
            ),
            questions=QuestionsConfig(budget=0, initial=0),
            signals=SignalsConfig(delay=DelayConfig(shortest_seconds=SHORTEST, scale_seconds=SCALE)),
            acting=ActingConfig(kind="reward"),
        )
    )
    algorithm = config.build_algo()
    run_id = algorithm.config.feedback_link.run_id
    robot, stop = Robot(service, run_id), threading.Event()
    teacher: threading.Thread | None = None
    try:
        with service.teacher("bob") as bob:
            goes_on_until(algorithm, robot, lambda: bool(bob.stages(run_id)))
        assert {step[2] for step in robot.latest} <= {0}
        settings = LiveSettings(
            reaction_shortest_seconds=SHORTEST, reaction_scale_seconds=SCALE, signals_per_second=8.0
        )
        token, does = service.token("teacher", "ann"), InterventionSettings(mode="signals")
        arguments = (service.address, token, run_id, "robot", settings, Leftist(), does)
        teacher = threading.Thread(target=run_live_teacher, args=arguments, kwargs={"stop": stop})
        teacher.start()
        goes_on_until(
            algorithm,
            robot,
            lambda: len(robot.latest) == 20 and np.mean([step[0] == LEFT for step in robot.latest]) > 0.8,
        )
        # It is by the reward model that it goes left, which says so and knows from which signals.
        _, predicted, version, journal_end = next(step for step in reversed(robot.latest) if step[0] == LEFT)
        assert predicted is not None
        assert predicted > 0.0
        assert version > 0
        assert journal_end > 0
    finally:
        stop.set()
        if teacher is not None:
            teacher.join()
        robot.end()
        algorithm.stop()
