"""Runs that ask what should be done in the states that their policy visits, and imitate the answers."""

import io
import time
from typing import Any

import pytest
from PIL import Image

from cluster.loop.algorithm import HITL
from cluster.loop.algorithm_config import HITLConfig
from hitl.errors import ConfigError
from tests.cluster.dial_people import QUESTIONS, Telling, agreement, opened, run_config, state_of, train
from tests.hitl.live import LiveService


@pytest.mark.usefixtures("ray_session")
class TestRuns:
    def test_a_policy_learns_what_people_answer(self, service: LiveService) -> None:
        algorithm = HITL(HITLConfig.from_run(run_config(), opened(service, "learns")))
        assert agreement(algorithm) < 0.8
        with Telling(service, "learns") as teacher:
            train(algorithm, 7)
            assert agreement(algorithm) > 0.85
            state = state_of(algorithm)
            assert (state.relabels, state.open_relabels, state.skipped) == (60, 0, 0)
            assert len(teacher.asked) == 60, "the budget is spent, and no more is asked"
        # They are asked about what the newest policy visits, not only how episodes begin.
        assert len(set(teacher.asked.values())) > 3
        assert [q.question.policy_version for q in teacher.seen][-12:] == [5] * 12
        assert all(len(question.segment) == 5 for question in teacher.seen)
        algorithm.stop()

    def test_a_learned_reward_stands_on_the_answers_too(self, service: LiveService) -> None:
        config = run_config(
            imitation={"alone": False, "weight": 1.0, "questions": QUESTIONS | {"budget": 30}},
            reward={
                "sources": {"environment": 0.0, "learned": 1.0},
                "model": {"hidden": (16,), "gradient_steps": 20, "heldout_share": 0.0},
                "questions": {
                    "initial": 4, "initial_env_steps": 100, "per_round": 2, "round_env_steps": 100, "segment_steps": 5,
                    "budget": 20,
                },
            },
        )  # fmt: skip
        algorithm = HITL(HITLConfig.from_run(config, opened(service, "both")))
        with Telling(service, "both") as teacher:
            train(algorithm, 6)
        assert algorithm.teaching is not None
        report = algorithm.teaching.state.report
        assert report is not None
        assert state_of(algorithm).relabels == len(teacher.asked) == 30
        # What came after the last round of comparisons is not learnt yet.
        assert 12 <= report.kinds["corrections"].count <= 30
        assert algorithm.teaching.state.answered == teacher.compared > 4
        assert "imitation_loss" in algorithm.statistics.losses
        algorithm.stop()

    def test_people_see_clips_of_what_stages_play(self, service: LiveService) -> None:
        config = run_config(
            mode="overlapped",
            environment={"id": "tests.cluster.stages.dial:Drift", "fixed_horizon": 40},
            rollouts={"env_runners": 1, "envs_per_runner": 4, "steps": 25, "least_update_seconds": 0.1},
            stages={"count": 1, "unwatched_steps": 400},
            imitation={"questions": QUESTIONS | {"clips": True}},
        )
        algorithm = HITL(HITLConfig.from_run(config, opened(service, "clips")))
        with Telling(service, "clips") as teacher:
            end = time.monotonic() + 120
            while state_of(algorithm).relabels < 15:
                assert time.monotonic() < end, state_of(algorithm)
                algorithm.train()
        assert all(".stage-0-" in question.segment.address.source for question in teacher.seen)
        rendered = [clip for clips in teacher.clips for clip in clips if clip is not None]
        assert rendered
        assert all(Image.open(io.BytesIO(clip.data)).format == "WEBP" for clip in rendered)
        algorithm.stop()

    def test_without_stages_there_are_no_clips(self, service: LiveService) -> None:
        config = HITLConfig.from_run(run_config(mode="overlapped"), opened(service, "no clips"))
        questions = config.imitation.questions.model_copy(update={"clips": True})
        config.experts(config.imitation.model_copy(update={"questions": questions}))
        with pytest.raises(ConfigError, match="they need some"):
            HITL(config)


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (r"imitation\.questions\.budget: nobody learns", {"imitation": {"alone": False}}),
        (r"imitation\.questions\.segment_steps is 5", {"rollouts": {"steps": 4}}),
        (r"teachers\.expert", {"teachers": {"count": 1}}),
        (r"imitation\.questions\.clips", {"imitation": {"questions": QUESTIONS | {"clips": True}}}),
        (
            r"imitation\.questions\.strategy",
            {"imitation": {"alone": False, "weight": 1.0, "questions": QUESTIONS | {"strategy": "doubt"}}},
        ),
        (r"there is nobody to imitate", {"imitation": {"questions": QUESTIONS | {"budget": 0}}}),
    ],
)
def test_what_cannot_work_is_refused(words: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=words):
        run_config(**changes)


def test_a_run_that_asks_needs_a_service() -> None:
    assert run_config().learns_from_people
    with pytest.raises(ValueError, match="people teach through a feedback service"):
        HITLConfig.from_run(run_config()).validate()
