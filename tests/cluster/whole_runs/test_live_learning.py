"""Live teaching as a whole: a stage, a program in front of it, the reward trainer, and whoever acts by its model."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
import ray
import torch

from cluster.feedback.service import FeedbackService
from cluster.feedback.teaching_state import TeachingState
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.imitation_config import ImitationConfig
from cluster.runs.live_config import ActingConfig, StagesConfig
from cluster.runs.reward.config import RewardSourcesConfig
from cluster.runs.reward.questions import QuestionsConfig
from cluster.runs.reward.signals import DelayConfig, PolicySignalsConfig, SignalsConfig
from hitl.client.watching import StageWatch
from hitl.teachers.live import LiveSettings
from hitl.teachers.live_program import InterventionSettings, Mode, run_live_teacher
from policies.networks import ActorCritic
from tests.cluster.stages.dial import Dial, Usher
from tests.hitl.live import LiveService, eventually

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(1500)]

RATE = 10.0
"""Of the stage, in steps a second: a step lasts longer than frames are late on a busy machine."""
SHORTEST, SCALE = 0.2, 0.05
"""Of the delays, in seconds: people are slower, and would take longer to teach."""


@dataclass(slots=True)
class Lesson:
    algorithm: HITL
    watch: StageWatch
    agreed: deque[bool] = field(default_factory=lambda: deque(maxlen=40))

    def goes_on_until(self, condition: Callable[[], bool], what: str, *, seconds: float = 400.0) -> None:
        end, before = time.monotonic() + seconds, None
        while not condition():
            assert time.monotonic() < end, f"{what}: {self.algorithm.teaching and self.state}"
            self.algorithm.train()
            while (frame := self.watch.next(0.01)) is not None:
                step = frame.shown.step
                follows = before is not None and frame.shown.frame == before.shown.frame + 1
                if before is not None and follows and step is not None and not step.teacher_id:
                    wanted = Usher().act(before.shown.observations["obs"])
                    self.agreed.append(int(step.action) == wanted)
                before = frame

    @property
    def learnt(self) -> bool:
        """Whether the stage does what its teacher wants, lately."""
        return len(self.agreed) == self.agreed.maxlen and np.mean(self.agreed) > 0.8

    @property
    def knows(self) -> bool:
        """Whether what the policy would do most probably is what its teacher wants, on its way and where it stays."""
        network = ActorCritic(Dial.observation_space, Dial.action_space, hidden=(16,))
        state = {name: torch.as_tensor(value) for name, value in self.algorithm.network_state.items()}
        network.load_state_dict(state)
        places = np.arange(0, 6, dtype=np.float32)[:, None]
        action = network.act_greedily(torch.from_numpy(places)).numpy()
        return bool((action == [Usher().act(place) for place in places]).all())

    @property
    def state(self) -> TeachingState:
        assert self.algorithm.teaching is not None
        return self.algorithm.teaching.state

    @property
    def signals(self) -> int:
        return self.state.report.kinds["signals"].count if self.state.report else 0


def config_for(service: LiveService, name: str, **people: Any) -> HITLConfig:
    return (
        HITLConfig()
        .environment("tests.cluster.stages.dial:Dial")
        .horizon(fixed=40)
        .env_runners(num_envs_per_env_runner=4, rollout_fragment_length=32, least_update_s=0.1)
        .rl_module(model_config={"hidden": (16,)})
        .debugging(seed=0)
        .people(
            stages=StagesConfig(count=1, rate=RATE),
            feedback=FeedbackService(
                address=service.address, token=service.token("cluster", "driver"), name=name
            ),
            **people,
        )
    )


@contextmanager
def lesson_on(service: LiveService, config: HITLConfig, mode: Mode) -> Iterator[Lesson]:
    """A run, and a program in front of its stage that teaches in this way."""
    algorithm = config.build_algo()
    run_id = algorithm.config.feedback_link.run_id
    stop = threading.Event()
    settings = LiveSettings(
        reaction_shortest_seconds=SHORTEST, reaction_scale_seconds=SCALE, signals_per_second=8.0, mistake=0.05
    )
    does = InterventionSettings(mode=mode, takeover_patience_steps=3, takeover_steps=15)
    arguments = (service.address, service.token("teacher", "ann"), run_id, "stage-0", settings, Usher(), does)
    teacher = threading.Thread(target=run_live_teacher, args=arguments, kwargs={"stop": stop})
    teacher.start()
    try:
        with service.teacher("bob") as bob:
            # The stage is a process, which may start long after the run has.
            eventually(lambda: bool(bob.stages(run_id)), seconds=120)
            with bob.watch(run_id, "stage-0", images=False, steps=True) as watch:
                yield Lesson(algorithm, watch)
    finally:
        stop.set()
        teacher.join()
        algorithm.stop()


def test_an_agent_without_a_policy_learns_from_signals_alone(service: LiveService) -> None:
    config = config_for(
        service,
        "signals",
        sources=RewardSourcesConfig(environment=0.0, learned=1.0),
        questions=QuestionsConfig(budget=0, initial=0),
        signals=SignalsConfig(delay=DelayConfig(shortest_seconds=SHORTEST, scale_seconds=SCALE)),
        acting=ActingConfig(kind="reward"),
    )
    with lesson_on(service, config, "signals") as lesson:
        learn_from_signals(lesson)


@pytest.mark.parametrize("reading", ["return", "regret"])
def test_a_policy_learns_from_signals_about_it(
    service: LiveService, reading: Literal["return", "regret"]
) -> None:
    """COACH and its relatives: there is no reward at all."""
    config = config_for(
        service,
        reading,
        sources=RewardSourcesConfig(environment=0.0, learned=0.0),
        signals=SignalsConfig(
            reading=reading,
            delay=DelayConfig(shortest_seconds=SHORTEST, scale_seconds=SCALE),
            policy=PolicySignalsConfig(learning_rate=0.01, most_versions=50),
        ),
    )
    with lesson_on(service, config, "signals") as lesson:
        lesson.goes_on_until(lambda: lesson.knows, "the policy does not want what its teacher wants")
        heeding = lesson.algorithm.heeding
        assert heeding is not None
        assert heeding.state.count > 10
        assert lesson.algorithm.policy_version > 10
        # What is about the best policy never expires.
        assert reading != "regret" or not heeding.state.expired


@pytest.mark.parametrize("mode", ["corrections", "takeover"])
def test_a_policy_learns_from_what_is_done_instead(service: LiveService, mode: Mode) -> None:
    """HG-DAgger: nobody but the person in front of the stage says when and what."""
    sources = RewardSourcesConfig(environment=0.0, learned=0.0)
    imitation = ImitationConfig(alone=True, learning_rate=0.01, minibatch_size=16, heldout_share=0.0)
    config = config_for(service, mode, sources=sources).experts(imitation)
    with lesson_on(service, config, mode) as lesson:
        lesson.goes_on_until(lambda: lesson.learnt, "the stage does not do what its teacher wants")
        assert lesson.algorithm.imitating is not None
        assert lesson.algorithm.imitating.state.corrected > 3
        assert lesson.algorithm.imitating.state.labels == 0


def learn_from_signals(lesson: Lesson) -> None:
    lesson.goes_on_until(lambda: lesson.learnt, "the stage does not do what its teacher wants")
    assert lesson.signals > 10
    # The env runners act by the same model: their hands stay at four, and the environment would pay for more.
    assert lesson.algorithm.teaching is not None
    lesson.goes_on_until(
        lambda: abs((lesson.algorithm.statistics.true_return or 0.0) - 44.0) < 6.0,
        "the env runners do not do what the teacher wants",
    )
    known = lesson.signals
    ray.kill(lesson.algorithm.teaching.trainer, no_restart=False)
    # It comes back from the journal, with every signal, and goes on.
    lesson.goes_on_until(lambda: lesson.signals > known, "the trainer does not come back")
    lesson.agreed.clear()
    lesson.goes_on_until(lambda: lesson.learnt, "what was learnt is lost")
