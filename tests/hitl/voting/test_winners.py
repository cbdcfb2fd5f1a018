"""Winners by known preferences."""

import numpy as np
import pytest

from hitl.voting.winners import best, borda_scores, condorcet_winner, copeland_scores, shares_of_best
from tests.hitl.voting import oracles


def _preferences(policies: int, seed: int) -> np.ndarray:
    """Random ones, some of which are exactly a half; the diagonal is not read."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice([0.5, 0.5, *rng.random(6)], size=(policies, policies))
    upper = np.triu(drawn, 1)
    preference_IJ: np.ndarray = upper + np.tril(1.0 - upper.T, -1)
    np.fill_diagonal(preference_IJ, rng.random(policies))
    return preference_IJ


@pytest.mark.parametrize("policies", [2, 3, 5])
def test_scores_are_those_of_the_definitions(policies: int) -> None:
    for seed in range(50):
        preference_IJ = _preferences(policies, seed)
        np.testing.assert_allclose(copeland_scores(preference_IJ), oracles.copeland(preference_IJ))
        np.testing.assert_allclose(borda_scores(preference_IJ), oracles.borda(preference_IJ))
        assert condorcet_winner(preference_IJ) == oracles.condorcet(preference_IJ)


def test_draws_are_scored_one_by_one() -> None:
    preference_DIJ = np.stack([_preferences(4, seed) for seed in range(6)]).reshape(2, 3, 4, 4)
    for scores in (copeland_scores, borda_scores):
        assert scores(preference_DIJ).shape == (2, 3, 4)
        np.testing.assert_array_equal(scores(preference_DIJ)[1, 2], scores(preference_DIJ[1, 2]))


def test_a_circle_has_no_condorcet_winner_and_three_of_copeland() -> None:
    circle_IJ = np.array([[0.5, 0.9, 0.1], [0.1, 0.5, 0.6], [0.9, 0.4, 0.5]])
    assert condorcet_winner(circle_IJ) is None
    assert best(copeland_scores(circle_IJ)).tolist() == [0, 1, 2]
    assert best(borda_scores(circle_IJ)).tolist() == [2]


def test_borda_may_prefer_another_than_condorcet() -> None:
    # 0 beats both a little; 1 beats 2 by far.
    preference_IJ = np.array([[0.5, 0.51, 0.6], [0.49, 0.5, 0.95], [0.4, 0.05, 0.5]])
    assert condorcet_winner(preference_IJ) == 0
    assert best(borda_scores(preference_IJ)).tolist() == [1]


def test_a_shared_first_place_is_shared() -> None:
    score_DI = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.2, 0.1, 0.1], [0.5, 0.5, 0.5]])
    np.testing.assert_allclose(
        shares_of_best(score_DI), [(0.5 + 1 + 1 / 3) / 4, (0.5 + 1 / 3) / 4, (1 + 1 / 3) / 4]
    )
