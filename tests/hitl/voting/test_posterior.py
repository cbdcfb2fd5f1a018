"""What answers tell of winners."""

import numpy as np
import pytest
from scipy.stats import beta

from hitl.voting.posterior import (
    chance_to_beat,
    condorcet_chances,
    copeland_chances,
    draw_preferences,
    standings,
)
from tests.hitl.voting import oracles

FEW = np.array([[0.0, 4.0, 1.0], [2.0, 0.0, 7.0], [0.0, 3.0, 0.0]])
MANY = np.array([[0, 3, 5, 2], [1, 0, 0, 4], [2, 0, 0, 9], [2, 1, 7, 0]], np.float64)


def test_the_chance_to_beat_another_is_that_of_the_beta_distribution() -> None:
    chance_IJ = chance_to_beat(FEW)
    for i, j in ((0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)):
        assert chance_IJ[i, j] == pytest.approx(oracles.chance_above_half(int(FEW[i, j]), int(FEW[j, i])))
    assert np.diag(chance_IJ).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("wins_IJ", [FEW, MANY, np.zeros((3, 3))], ids=["few", "many", "none"])
def test_chances_of_winners_are_those_of_all_outcomes(wins_IJ: np.ndarray) -> None:
    condorcet, copeland = oracles.winner_chances(wins_IJ)
    known = standings(wins_IJ, draws=40_000)
    np.testing.assert_allclose(condorcet_chances(wins_IJ), condorcet)
    np.testing.assert_allclose(known.condorcet_chance_I, condorcet)
    np.testing.assert_allclose(known.copeland.chance_I, copeland, atol=0.01)
    rng = np.random.default_rng(1)
    np.testing.assert_allclose(copeland_chances(wins_IJ, rng, draws=40_000), copeland, atol=0.01)


def test_of_two_policies_all_winners_are_one() -> None:
    wins_IJ = np.array([[0.0, 7.5], [2.5, 0.0]])
    known = standings(wins_IJ, draws=40_000)
    chance = float(beta(8.5, 3.5).sf(0.5))
    for chance_I in (known.condorcet_chance_I, known.copeland.chance_I, known.borda.chance_I):
        np.testing.assert_allclose(chance_I, [chance, 1 - chance], atol=0.01)
    assert known.borda.score_I == pytest.approx([8.5 / 12, 3.5 / 12])
    for number, posterior in enumerate((beta(8.5, 3.5), beta(3.5, 8.5))):
        low, high = known.borda.low_I[number], known.borda.high_I[number]
        assert (low, high) == pytest.approx(posterior.ppf([0.025, 0.975]), abs=0.01)


def test_borda_is_the_mean_over_the_others() -> None:
    rng = np.random.default_rng(0)
    drawn_DIJ = draw_preferences(MANY, rng, draws=40_000)
    scores = [oracles.borda(preference_IJ) for preference_IJ in drawn_DIJ[:4000]]
    known = standings(MANY, draws=40_000, interval=0.9)
    np.testing.assert_allclose(known.borda.low_I, np.quantile(scores, 0.05, axis=0), atol=0.02)
    np.testing.assert_allclose(known.borda.high_I, np.quantile(scores, 0.95, axis=0), atol=0.02)
    np.testing.assert_allclose(known.borda.score_I, np.mean(scores, axis=0), atol=0.01)
    first = np.bincount(np.argmax(scores, axis=1), minlength=4) / len(scores)
    np.testing.assert_allclose(known.borda.chance_I, first, atol=0.03)


def test_copeland_scores_are_by_the_majority_of_answers() -> None:
    known = standings(np.array([[0, 3, 1], [1, 0, 2], [1, 2, 0]], np.float64))
    assert known.copeland.score_I.tolist() == [0.75, 0.25, 0.5]
    assert (known.copeland.low_I <= known.copeland.score_I).all()
    assert (known.copeland.high_I >= known.copeland.score_I).all()


def test_draws_are_preferences() -> None:
    wins_IJ = np.array([[0.0, 60.0, 0.0], [20.0, 0.0, 0.0], [0.0, 40.0, 0.0]])
    drawn_DIJ = draw_preferences(wins_IJ, np.random.default_rng(0), draws=5000)
    np.testing.assert_allclose(drawn_DIJ + drawn_DIJ.transpose(0, 2, 1), 1.0)
    assert drawn_DIJ.mean(0)[0, 1] == pytest.approx(61 / 82, abs=0.01)
    assert drawn_DIJ.mean(0)[2, 1] == pytest.approx(41 / 42, abs=0.01)
    assert drawn_DIJ.std(0)[0, 2] == pytest.approx(12**-0.5, abs=0.01)
    assert draw_preferences(wins_IJ, np.random.default_rng(0)).shape == (3, 3)
