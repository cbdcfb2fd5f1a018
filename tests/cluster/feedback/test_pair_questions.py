"""What a run asks: its settings, and when nothing is worth it."""

import dataclasses
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cluster.feedback.questions.asking import Asking
from cluster.feedback.questions.pair_questions import PairQuestions
from cluster.feedback.service import FeedbackLink
from cluster.runs.loading import load_run, save_run
from cluster.runs.reward.model import RewardModelConfig
from cluster.runs.reward.questions import QuestionsConfig
from hitl.errors import ConfigError
from hitl.events import Choice, Comparison, PairQuestion
from hitl.reward.network.inputs import InputSpace
from hitl.reward.online import OnlineRewardModel
from hitl.reward.settings import FitSettings
from tests.hitl.reward.comparisons import comparisons, segment
from tests.policies.rollouts import ACTION_SPACE, OBSERVATION_SPACE, made_up_rollout

RUN = FeedbackLink(address="", token="", run_id="run", task_id="task", epoch=1).run
ROLLOUTS = [
    (name, made_up_rollout(source=name, policy_version=version))
    for version, name in enumerate(("one", "two", "three"))
]


class Noted(Asking):
    """Asks nobody, and remembers what it would have."""

    def __init__(self, questions: QuestionsConfig) -> None:
        super().__init__(questions.rounds, RUN, prefix="q1-", publisher=None, expire_seconds=60.0, waits=True)
        self.rounds: list[tuple[int, list[PairQuestion]]] = []

    def ask(self, questions: Any, cuttings: Any, *, env_steps: int) -> None:
        assert [i for q in questions for i in q.segment_ids] == [c.segment.segment_id for c in cuttings]
        self.rounds.append((env_steps, list(questions)))
        for question in questions:
            self.take_answer(question.question_id)
        self.leave_round(env_steps)


def _model() -> OnlineRewardModel:
    model = OnlineRewardModel(
        InputSpace.of(OBSERVATION_SPACE, ACTION_SPACE),
        members=3,
        hidden=(4,),
        settings=FitSettings(learning_rate=0.1, weight_decay=0.0, gradient_steps=1),
        evidence=[comparisons()],
        heldout_share=0.0,
        seed=0,
    )
    with torch.no_grad():
        model.ensemble.weights[-1].mul_(10.0)
    return model


def _questions(**changes: Any) -> QuestionsConfig:
    settings = {
        "initial": 2,
        "initial_env_steps": 10,
        "per_round": 3,
        "round_env_steps": 10,
        "segment_steps": 2,
    }
    return QuestionsConfig(**(settings | changes))


def _asking(settings: QuestionsConfig, *, timed: bool = False) -> tuple[PairQuestions, Noted]:
    asking = Noted(settings)
    model = RewardModelConfig(lapse=0.1, heldout_share=0.0)
    return PairQuestions(settings, model, RUN, asking, timed=timed, seed=0), asking


def _lives(pairs: PairQuestions, *, until: int = 60, first_version: int = 20) -> None:
    for env_steps in range(0, until, 5):
        version = int(env_steps >= first_version)
        pairs.ask_if_due(ROLLOUTS, _model(), env_steps=env_steps, reward_version=version)


def test_rounds_are_asked_when_they_are_due() -> None:
    pairs, asking = _asking(_questions())
    _lives(pairs)
    assert [(at, len(asked)) for at, asked in asking.rounds] == [
        (10, 2),
        *((at, 3) for at in range(20, 60, 10)),
    ]
    assert pairs.not_worth == 0


def test_when_nothing_is_worth_asking_nobody_is_asked_and_the_run_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The first round is asked all the same: members that have learnt nothing agree, and that says nothing."""
    pairs, asking = _asking(_questions(least_information=1.5))
    with caplog.at_level(logging.WARNING):
        _lives(pairs)
    assert [(at, len(asked)) for at, asked in asking.rounds] == [(10, 2)]
    # Three in each of the rounds at 20, 30, 40 and 50.
    assert pairs.not_worth == 12
    (said,) = caplog.messages
    assert said.startswith("3 questions are due and not asked: no answer would tell 1.5 nats")


def test_what_is_worth_asking_is_asked_beside_what_is_not() -> None:
    everything, of_all = _asking(_questions(per_round=8, round_env_steps=20))
    _lives(everything)
    pairs, asking = _asking(_questions(per_round=8, round_env_steps=20, least_information=0.1))
    _lives(pairs)
    assert 0 < pairs.not_worth < sum(len(asked) for _, asked in of_all.rounds)
    assert [at for at, _ in asking.rounds] == [at for at, _ in of_all.rounds]


def test_a_first_round_is_asked_in_full_though_there_is_a_version() -> None:
    pairs, asking = _asking(_questions(least_information=1.5))
    _lives(pairs, first_version=0)
    assert [(at, len(asked)) for at, asked in asking.rounds] == [(10, 2)]


def test_as_long_as_there_is_no_version_everything_is_asked() -> None:
    pairs, asking = _asking(_questions(least_information=1.5))
    _lives(pairs, first_version=40)
    assert [(at, len(asked)) for at, asked in asking.rounds] == [(10, 2), (20, 3), (30, 3)]


def test_segments_of_several_lengths_are_asked_about() -> None:
    pairs, asking = _asking(_questions(segment_steps=3, shorter_segment_steps=(1,), per_round=6))
    _lives(pairs, until=200)
    lengths = set()
    for question in (question for _, asked in asking.rounds for question in asked):
        begin_end = [name.rpartition("/")[2].split("-") for name in question.segment_ids]
        first, second = (int(end) - int(begin) for begin, end in begin_end)
        assert first == second
        lengths.add(first)
    assert lengths == {1, 3}


def test_what_answers_take_counts_where_a_clock_may() -> None:
    """One step is answered at once and three take for ever; in lockstep nothing follows from the time of day."""

    def lengths(*, timed: bool) -> list[str]:
        settings = _questions(strategy="random", segment_steps=3, shorter_segment_steps=(1,), initial=0)
        pairs, asking = _asking(settings, timed=timed)
        for steps, seconds in ((1, 0.001), (3, 1e6)):
            for _ in range(1000):
                told = Comparison(
                    run_id="run",
                    question_id="q",
                    choice=Choice.FIRST,
                    thinking_time=timedelta(seconds=seconds),
                )
                pairs.take_answer(told, [segment("a", steps=steps), segment("b", steps=steps)])
        _lives(pairs, until=100)
        names = [name for _, asked in asking.rounds for question in asked for name in question.segment_ids]
        places = [name.rpartition("/")[2].split("-") for name in names]
        return [str(int(end) - int(begin)) for begin, end in places]

    assert set(lengths(timed=True)) == {"1"}
    assert set(lengths(timed=False)) == {"1", "3"}


def test_begun_anew_questions_follow_from_the_seed_alone() -> None:
    def ids(pairs: PairQuestions, asking: Noted) -> list[tuple[str, ...]]:
        pairs.begin_anew(5)
        asking.rounds.clear()
        pairs.ask_if_due(ROLLOUTS, _model(), env_steps=1000, reward_version=1)
        return [question.segment_ids for _, asked in asking.rounds for question in asked]

    settings = _questions(strategy={"diverse": 1.0, "random": 1.0}, initial=0)
    fresh, used = _asking(settings), _asking(settings)
    _lives(used[0])
    assert ids(*fresh) == ids(*used)
    assert len(ids(*_asking(settings))) == 3


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text("environment: {fixed_horizon: 500}\nreward: {questions: {strategy: information_gain}}\n")
    return path


@pytest.mark.parametrize(
    ("overrides", "shares"),
    [
        ([], {"information_gain": 1.0}),
        (["--reward.questions.strategy", "diverse"], {"diverse": 1.0}),
        (
            ["--reward.questions.strategy", "{information_gain: 0.7, random: 0.3}"],
            {"information_gain": 0.7, "random": 0.3},
        ),
        (
            ["--reward.questions.strategy.diverse", "2", "--reward.questions.strategy.near_on_policy", "1"],
            {"diverse": 2.0, "near_on_policy": 1.0},
        ),
    ],
)
def test_strategies_are_named_alone_or_with_their_shares(
    run_file: Path, overrides: list[str], shares: dict[str, float]
) -> None:
    config = load_run(run_file, overrides)
    assert config.reward.questions.choice.shares == shares
    saved = run_file.parent / "saved.yaml"
    save_run(config, saved)
    assert load_run(saved) == config


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "strategy: guessing",
            "'guessing' is none; choose from disagreement, information_gain, volume_removal",
        ),
        (
            "strategy: {random: 0.5, guessing: 0.5}",
            "reward.questions.strategy: 'guessing' is none; choose from",
        ),
        ("strategy: {random: 0}", "the share of random is 0, but must be a number greater than 0"),
        ("strategy: {random: much}", "the share of random is 'much', but must be a number"),
        ("strategy: {}", "nothing chooses the questions; name some of disagreement"),
        ("schedule: fast", "reward.questions.schedule is 'fast', but must be 'constant', 'hyperbolic'"),
        ("shorter_segment_steps: [12, 25]", "25 is not shorter than segment_steps, 25"),
        ("shorter_segment_steps: [12, 12]", "has a length twice"),
        ("least_distance: 1", "must be less than 1"),
        ("newest_share: 0", "must be greater than 0"),
        ("half_life_versions: 0", "must be greater than 0"),
    ],
)
def test_what_cannot_be_asked_is_said(run_file: Path, setting: str, message: str) -> None:
    run_file.write_text(f"environment: {{fixed_horizon: 500}}\nreward: {{questions: {{{setting}}}}}\n")
    with pytest.raises(ConfigError) as caught:
        load_run(run_file)
    (line,) = str(caught.value).splitlines()
    assert message in line
    assert "reward.questions." in line


def test_a_run_that_says_nothing_asks_as_it_always_has() -> None:
    settings = QuestionsConfig()
    assert settings.choice.shares == {"disagreement": 1.0}
    assert settings.rounds.schedule == "constant"
    assert settings.choice.least_information == 0.0
    assert settings.choice.half_life_versions is None
    assert settings.shorter_segment_steps == ()
    assert dataclasses.asdict(settings.choice)["candidates"] == 500
    assert np.isclose(settings.choice.least_distance, 0.05)
