"""A run whose questions have clips: what stages play, the reward trainer, and a teacher who looks."""

import io
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from cluster.feedback.service import FeedbackService
from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from cluster.runs.live_config import StagesConfig
from cluster.runs.reward.config import RewardSourcesConfig
from cluster.runs.reward.questions import QuestionsConfig
from hitl.errors import ConfigError
from hitl.events import Choice
from tests.hitl.live import LiveService

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(600)]


def config_for(service: LiveService, name: str, *, stages: int = 1) -> HITLConfig:
    return (
        HITLConfig()
        .environment("tests.cluster.stages.dial:Drift")
        .horizon(fixed=40)
        .env_runners(num_envs_per_env_runner=4, rollout_fragment_length=32, least_update_s=0.1)
        .rl_module(model_config={"hidden": (16,)})
        .debugging(seed=0)
        .people(
            sources=RewardSourcesConfig(),
            questions=QuestionsConfig(
                clips=True,
                segment_steps=10,
                initial=4,
                initial_env_steps=256,
                per_round=2,
                round_env_steps=512,
            ),
            stages=StagesConfig(count=stages, unwatched_steps=400),
            feedback=FeedbackService(
                address=service.address, token=service.token("cluster", "driver"), name=name
            ),
        )
    )


@pytest.fixture
def algorithm(service: LiveService) -> Iterator[HITL]:
    built = config_for(service, "clips").build_algo()
    yield built
    built.stop()


def test_people_are_asked_about_what_stages_play_and_the_reward_is_learnt(
    algorithm: HITL, service: LiveService
) -> None:
    run_id = algorithm.config.feedback_link.run_id
    sources, seen, stop = set(), [], threading.Event()

    def teach() -> None:
        with service.teacher("ann") as ann:
            while not stop.is_set():
                for question in ann.lease(run_id, wait_seconds=0.5):
                    sources.update(segment.address.source for segment in question.segments)
                    seen.append(question.clips())
                    first, second = (float(np.mean(s.observations["obs"])) for s in question.segments)
                    question.answer(Choice.FIRST if first > second else Choice.SECOND)

    teacher = threading.Thread(target=teach)
    teacher.start()
    try:
        end = time.monotonic() + 300
        assert algorithm.teaching is not None
        while algorithm.teaching.state.answered < 10 or not algorithm.updates:
            assert time.monotonic() < end, algorithm.teaching.state
            algorithm.train()
    finally:
        stop.set()
        teacher.join()
    assert all(".stage-0-" in source for source in sources)
    # On a slow machine some episodes are forgotten before they can be rendered.
    rendered = [clip for clips in seen for clip in clips if clip is not None]
    assert rendered
    assert all(Image.open(io.BytesIO(clip.data)).format == "WEBP" for clip in rendered)
    assert algorithm.teaching.version > 0


def test_without_stages_there_are_no_clips(service: LiveService) -> None:
    with pytest.raises(ConfigError, match="questions with clips"):
        config_for(service, "none", stages=0).build_algo()
