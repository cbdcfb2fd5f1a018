"""Which rankings, ratings and goals people are asked for, and how many."""

from collections import Counter
from typing import Any

import pytest

from cluster.feedback.questions.asking import Asking
from cluster.feedback.questions.judgement_questions import JudgementQuestions, kinds_in_turn
from cluster.feedback.questions.pair_questions import PairQuestions
from cluster.feedback.service import FeedbackLink
from cluster.runs.loading import load_run
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.questions import QuestionsConfig
from hitl.errors import ConfigError
from hitl.events import GoalQuestion, RankingQuestion, RatingQuestion
from hitl.reward.questions.schedule import QuestionSchedule
from policies.splits import is_heldout
from tests.policies.rollouts import made_up_rollout

ROLLOUTS = [("name", made_up_rollout())]
MIXED: dict[str, float] = {"comparison": 2.0, "ranking": 1.0, "rating": 1.0}


def asking_of() -> tuple[Asking, Any]:
    schedule = QuestionSchedule(
        budget=1, initial=1, initial_env_steps=1, per_round=1, round_env_steps=1, max_open=1
    )
    run = FeedbackLink(address="", token="", run_id="run", task_id="task", epoch=1).run
    asking = Asking(schedule, run, prefix="q1-", publisher=None, expire_seconds=60.0, waits=True)
    return asking, run


def choosing(*, heldout_share: float = 0.0, seed: int = 0, **options: Any) -> JudgementQuestions:
    asking, run = asking_of()
    questions = QuestionsConfig(**{"segment_steps": 2, "ranking_size": 3} | options)
    return JudgementQuestions(questions, run, asking, heldout_share=heldout_share, seed=seed)


class TestKinds:
    def test_keep_to_their_shares_at_any_number(self) -> None:
        kinds = kinds_in_turn({"comparison": 5.0, "ranking": 3.0, "goal": 2.0}, 200)
        for number in range(1, 201):
            counts = Counter(kinds[:number])
            for kind, share in (("comparison", 0.5), ("ranking", 0.3), ("goal", 0.2)):
                assert abs(counts[kind] - share * number) < 1.01  # type: ignore[index]
        assert kinds_in_turn({"comparison": 5.0, "ranking": 3.0, "goal": 2.0}, 50) == kinds[:50]

    def test_of_one_kind_are_all(self) -> None:
        assert kinds_in_turn({"comparison": 0.1}, 3) == ["comparison"] * 3
        assert kinds_in_turn({"rating": 1.0}, 2) == ["rating"] * 2

    def test_go_on_where_the_newest_question_left_off(self) -> None:
        choice = choosing(kinds=MIXED)
        whole = Counter(kinds_in_turn(MIXED, 7))  # type: ignore[arg-type]
        first = choice.split(5)
        for _ in range(5):
            choice._asking.new_id()
        # Not the kinds of the first two.
        assert choice.split(2) == {"ranking": 1, "rating": 1}
        assert first + choice.split(2) == whole


class TestChoice:
    def test_asks_for_each_kind(self) -> None:
        choice = choosing(kinds={"ranking": 1, "rating": 1, "goal": 1}, rating_points=5)
        counts = Counter({"ranking": 2, "rating": 2, "goal": 1, "comparison": 9})
        questions, cuttings = choice.choose(counts, ROLLOUTS, reward_version=4)  # type: ignore[arg-type]
        assert [type(q) for q in questions] == [*[RankingQuestion] * 2, *[RatingQuestion] * 2, GoalQuestion]
        assert [q.question_id for q in questions] == [f"q1-{number:05d}" for number in range(1, 6)]
        assert {(q.policy_version, q.reward_version, q.run_id) for q in questions} == {(7, 4, "run")}
        named = [segment_id for q in questions for segment_id in q.segment_ids]
        assert named == [cutting.segment.segment_id for cutting in cuttings]
        assert len(set(named)) == len(named) == 2 * 3 + 2 + 1, "each segment is in one question at most"
        assert {q.points for q in questions if isinstance(q, RatingQuestion)} == {5}
        assert all(q.expire_time is not None for q in questions)

    def test_any_segment_and_any_step_comes_up(self) -> None:
        segments: Counter[str] = Counter()
        steps: Counter[int] = Counter()
        for seed in range(200):
            choice = choosing(kinds={"goal": 1.0}, seed=seed)
            (question,), _ = choice.choose(Counter({"goal": 1}), ROLLOUTS, reward_version=0)
            assert isinstance(question, GoalQuestion)
            segments[question.segment_id] += 1
            steps[question.step] += 1
        assert set(steps) == {0, 1}
        assert min(steps.values()) > 60
        assert len(segments) > 15

    def test_says_where_segments_led_to_if_that_is_read(self) -> None:
        for outcomes in (False, True):
            _, cuttings = choosing(kinds=MIXED).choose(
                Counter({"rating": 3}), ROLLOUTS, reward_version=0, outcomes=outcomes
            )
            assert {cutting.segment.outcome is not None for cutting in cuttings} == {outcomes}

    def test_never_mixes_what_judges_with_what_trains(self) -> None:
        kinds_of_rankings = set()
        for seed in range(60):
            choice = choosing(kinds={"ranking": 1.0}, ranking_size=2, heldout_share=0.4, seed=seed)
            questions, _ = choice.choose(Counter({"ranking": 9}), ROLLOUTS, reward_version=0)
            for question in questions:
                judges = {is_heldout(segment_id, 0.4) for segment_id in question.segment_ids}
                assert len(judges) == 1
                kinds_of_rankings |= judges
        assert kinds_of_rankings == {True, False}

    def test_asks_less_where_there_are_few_segments(self) -> None:
        choice = choosing(kinds={"ranking": 1, "rating": 1}, ranking_size=5)
        questions, cuttings = choice.choose(
            Counter({"ranking": 100, "rating": 100}), ROLLOUTS, reward_version=0
        )
        assert len(cuttings) == len({cutting.segment.segment_id for cutting in cuttings})
        assert {len(q.segment_ids) for q in questions if isinstance(q, RankingQuestion)} == {5}
        assert len([q for q in questions if isinstance(q, RatingQuestion)]) < 5
        assert choosing(kinds={"rating": 1}).choose(Counter({"rating": 3}), [], reward_version=0) == ([], [])

    def test_follows_from_the_seed(self) -> None:
        def ids(choice: JudgementQuestions) -> list[str]:
            questions, _ = choice.choose(Counter({"ranking": 2}), ROLLOUTS, reward_version=0)
            return [segment_id for q in questions for segment_id in q.segment_ids]

        one, other = choosing(kinds=MIXED, seed=3), choosing(kinds=MIXED, seed=4)
        first = ids(one)
        assert first != ids(other)
        other.begin_anew(3)
        assert ids(other) == first

    def test_chance_is_not_drawn_from_the_pairs(self) -> None:
        """Comparisons are chosen as if nothing else were asked for."""
        asking, run = asking_of()
        questions, model = QuestionsConfig(segment_steps=2, kinds=MIXED), RewardModelConfig(heldout_share=0.0)
        pairs = PairQuestions(questions, model, run, asking, timed=False, seed=5)
        before = pairs._rng.bit_generator.state
        assert pairs._others._rng.bit_generator.state != before
        pairs._others.choose(Counter({"ranking": 2, "goal": 1}), ROLLOUTS, reward_version=0)
        assert pairs._rng.bit_generator.state == before


def run_file(tmp_path: Any, **questions: Any) -> Any:
    path = tmp_path / "run.yaml"
    path.write_text("environment: {id: CartPole-v1, fixed_horizon: 500}\n")
    return path


class TestRunFile:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--reward.questions.kinds", "{}"], "reward.questions.kinds"),
            (
                ["--reward.questions.kinds", "{judging: 1}"],
                "must be 'comparison', 'ranking', 'rating' or 'goal'",
            ),
            (["--reward.questions.kinds", "{ranking: 0}"], "must be greater than 0"),
            (["--reward.questions.ranking_size", "1"], "must be at least 2"),
            (["--reward.questions.rating_points", "10"], "must be at most 9"),
            (["--reward.questions.kinds", "{goal: 1}", "--teachers.count", "1"], r"set teachers\.goal"),
            (
                ["--reward.questions.kinds", "{rating: 1}", "--teachers.count", "1", "--mode", "lockstep"],
                r"teachers\.rating_range: without it",
            ),
            (["--teachers.rating_range", "2", "1"], "write the lower end first"),
            (["--teachers.demonstrations", "2", "--teachers.count", "1"], r"name one with teachers\.expert"),
            (["--teachers.demonstrations", "2", "--teachers.expert", "a:B"], r"set teachers\.count to 1"),
        ],
    )
    def test_what_cannot_be_asked_is_refused(self, tmp_path: Any, options: list[str], words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            load_run(run_file(tmp_path), options)

    @pytest.mark.parametrize(
        "options",
        [
            ["--reward.questions.kinds", "{goal: 1}", "--teachers.count", "1", "--teachers.goal_reward", "1"],
            ["--reward.questions.kinds", "{goal: 1}", "--teachers.count", "1", "--teachers.goal", "a:b"],
            ["--reward.questions.kinds", "{goal: 1, rating: 1}"],
            ["--reward.questions.kinds.rating", "1", "--teachers.count", "2"],
            [
                *("--reward.questions.kinds", "{comparison: 0.5, rating: 0.5}", "--teachers.count", "1"),
                *("--mode", "lockstep", "--teachers.rating_range", "0", "25"),
            ],
            ["--teachers.demonstrations", "2", "--teachers.count", "1", "--teachers.expert", "a:B"],
        ],
    )
    def test_the_rest_is_taken(self, tmp_path: Any, options: list[str]) -> None:
        load_run(run_file(tmp_path), options)

    def test_comparisons_alone_are_the_default(self, tmp_path: Any) -> None:
        assert load_run(run_file(tmp_path)).reward.questions.kinds == {"comparison": 1.0}
