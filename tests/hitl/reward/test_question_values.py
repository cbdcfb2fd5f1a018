"""What a question is worth, against the papers in plain loops."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from hitl.reward.questions.strategies import (
    STRATEGIES,
    answer_log_probabilities,
    at_random,
    disagreement,
    information_gain,
    volume_removal,
)

RNG = np.random.default_rng(0)
MARGIN_KC = 3 * torch.randn(4, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LIKELIHOODS = [(0.0, 0.0), (0.0, 0.1), (-1.5, 0.05), (2.0, 0.0), (-math.inf, 0.0), (-math.inf, 0.3)]


def _answers(margin: float, log_tie: float, lapse: float) -> list[float]:
    """First, second, tie: in proportion to exp(m / 2), exp(-m / 2), exp(log_tie), but for lapses."""
    shares = [math.exp(margin / 2), math.exp(-margin / 2), math.exp(log_tie)]
    return [(1 - lapse) * share / sum(shares) + lapse / 3 for share in shares]


def _entropy(probabilities: list[float]) -> float:
    return -sum(p * math.log(p) for p in probabilities if p > 0)


def _members(column: int, log_tie: float, lapse: float) -> list[list[float]]:
    return [_answers(float(margin), log_tie, lapse) for margin in MARGIN_KC[:, column]]


def _together(members: list[list[float]]) -> list[float]:
    return [sum(member[a] for member in members) / len(members) for a in range(3)]


def _log_answers(log_tie: float, lapse: float, margin_KC: Tensor = MARGIN_KC) -> Tensor:
    return answer_log_probabilities(margin_KC, log_tie=log_tie, lapse=lapse)


@pytest.mark.parametrize(("log_tie", "lapse"), LIKELIHOODS)
def test_members_expect_answers_by_the_likelihood(log_tie: float, lapse: float) -> None:
    probability_KCA = _log_answers(log_tie, lapse).exp()
    for column in range(MARGIN_KC.shape[1]):
        for member, expected in enumerate(_members(column, log_tie, lapse)):
            assert probability_KCA[member, column].tolist() == pytest.approx(expected)


def test_disagreement_is_the_variance_of_the_members_predictions() -> None:
    value_C = disagreement(MARGIN_KC, _log_answers(0.0, 0.0), RNG)
    for column, value in enumerate(value_C.tolist()):
        wins = [1 / (1 + math.exp(-float(margin))) for margin in MARGIN_KC[:, column]]
        mean = sum(wins) / len(wins)
        assert value == pytest.approx(sum((p - mean) ** 2 for p in wins) / len(wins))


@pytest.mark.parametrize(("log_tie", "lapse"), LIKELIHOODS)
def test_information_gain_is_that_between_answer_and_member(log_tie: float, lapse: float) -> None:
    """As the sum over members and answers of p(member) p(answer | member) log(p(answer | member) / p(answer))."""
    value_C = information_gain(MARGIN_KC, _log_answers(log_tie, lapse), RNG)
    for column, value in enumerate(value_C.tolist()):
        members = _members(column, log_tie, lapse)
        together = _together(members)
        told = sum(
            p / len(members) * math.log(p / q)
            for member in members
            for p, q in zip(member, together, strict=True)
            if p > 0
        )
        assert value == pytest.approx(told, abs=1e-12)
        assert value == pytest.approx(
            _entropy(together) - sum(_entropy(member) for member in members) / len(members), abs=1e-12
        )


@pytest.mark.parametrize(("log_tie", "lapse"), LIKELIHOODS)
def test_volume_removal_is_the_least_over_the_answers(log_tie: float, lapse: float) -> None:
    value_C = volume_removal(MARGIN_KC, _log_answers(log_tie, lapse), RNG)
    for column, value in enumerate(value_C.tolist()):
        members = _members(column, log_tie, lapse)
        removed = [sum(1 - member[a] for member in members) / len(members) for a in range(3)]
        assert value == pytest.approx(min(removed))


def test_a_pair_of_equals_tells_nothing_though_it_removes_the_most() -> None:
    equal_KC, split_KC = torch.zeros(2, 1), torch.tensor([[4.0], [-3.9]])
    for log_tie in (-math.inf, 0.0):
        equal, split = _log_answers(log_tie, 0.0, equal_KC), _log_answers(log_tie, 0.0, split_KC)
        assert information_gain(equal_KC, equal, RNG)[0] == pytest.approx(0.0, abs=1e-7)
        assert information_gain(split_KC, split, RNG)[0] > 0.4
        assert volume_removal(equal_KC, equal, RNG)[0] >= volume_removal(split_KC, split, RNG)[0]


def test_no_question_tells_more_than_which_member_is_right() -> None:
    certain_KC = torch.tensor([[80.0, 80.0], [-80.0, -80.0]], dtype=torch.float64)
    told = information_gain(certain_KC, _log_answers(-math.inf, 0.0, certain_KC), RNG)
    assert told.tolist() == pytest.approx([math.log(2)] * 2)
    agreed_KC = certain_KC.abs()
    assert information_gain(agreed_KC, _log_answers(-math.inf, 0.0, agreed_KC), RNG).tolist() == [0.0, 0.0]


def test_chance_values_pairs_by_its_generator_alone() -> None:
    log_answer_KCA = _log_answers(0.0, 0.0)
    one = at_random(MARGIN_KC, log_answer_KCA, np.random.default_rng(3))
    assert one.tolist() == at_random(-MARGIN_KC, log_answer_KCA, np.random.default_rng(3)).tolist()
    assert one.tolist() != at_random(MARGIN_KC, log_answer_KCA, np.random.default_rng(4)).tolist()


def test_chance_asks_as_often_as_pairs_are_worth_it() -> None:
    """Weights 3, 1, 1 and 5: the first asked is a draw by these shares, the second one of what is left."""
    weight_C, draws = np.array([3.0, 1.0, 1.0, 5.0]), 20_000
    rng = np.random.default_rng(0)
    weighed = [STRATEGIES["random"].weighed(rng.random(4), weight_C) for _ in range(draws)]
    order = np.argsort(-np.stack(weighed), 1)
    assert np.bincount(order[:, 0]) / draws == pytest.approx([0.3, 0.1, 0.1, 0.5], abs=0.015)
    after_the_last = order[order[:, 0] == 3][:, 1]
    assert np.bincount(after_the_last) / len(after_the_last) == pytest.approx([0.6, 0.2, 0.2], abs=0.02)
    assert STRATEGIES["near_on_policy"].by_chance


def test_what_is_no_chance_is_worth_its_value_times_its_weight() -> None:
    value_C, weight_C = np.array([0.2, 0.4]), np.array([0.5, 0.1])
    for name in ("disagreement", "information_gain", "volume_removal", "diverse"):
        assert STRATEGIES[name].weighed(value_C, weight_C).tolist() == pytest.approx([0.1, 0.04])
