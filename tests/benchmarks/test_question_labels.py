"""Labels to a score, and how many fewer."""

import numpy as np
import pytest

from benchmarks.intervals import interquartile_mean
from benchmarks.questions.labels import fewer_labels, figures, labels_of, labels_to, mean_score

EARLY = [(4, 0.1), (8, 0.8), (12, 0.6), (20, 0.9)]
LATE = [(4, 0.1), (8, 0.2), (12, 0.75), (20, 0.9)]
NEVER = [(4, 0.1), (8, 0.2), (20, 0.5)]


def test_labels_are_counted_until_the_score_is_there_for_the_first_time() -> None:
    assert labels_to(EARLY, 0.7) == (8, True)
    assert labels_to(LATE, 0.7) == (12, True)
    assert labels_to(LATE, 0.75) == (12, True)


def test_a_run_that_never_gets_there_counts_with_all_its_labels() -> None:
    assert labels_to(NEVER, 0.7) == (20, False)


def test_the_mean_score_is_over_labels_and_not_over_rows() -> None:
    area = (0.1 + 0.2) / 2 * 4 + (0.2 + 0.5) / 2 * 12
    assert mean_score(NEVER) == pytest.approx(area / 16)


def test_figures_stand_beside_those_of_random_questions() -> None:
    curves = {"information_gain": [EARLY] * 4, "random": [LATE, LATE, LATE, NEVER]}
    found = figures(curves, 0.7)
    ours, theirs = found["information_gain"], found["random"]
    assert (ours["labels"][0], ours["reached"], ours["labels_of_each"]) == (8.0, 4, [8] * 4)
    assert (theirs["labels"][0], theirs["reached"]) == (interquartile_mean([np.array([12, 12, 12, 20])]), 3)
    assert ours["beside_random"]["labels"][0] == 8.0 - 12.0
    assert ours["beside_random"]["labels"][1] <= -4.0
    assert ours["beside_random"]["mean_score"][0] > 0
    assert ours["beside_random"]["probability_of_fewer_labels"] == [1.0, 1.0, 1.0]
    assert "beside_random" not in theirs
    assert found["information_gain"]["score_at_the_end"] == [0.9] * 4


def test_fewer_labels_are_better() -> None:
    few, many = [np.array([5.0, 6.0])], [np.array([9.0, 10.0])]
    assert fewer_labels(few, many)[0] == 1.0
    assert fewer_labels(many, few)[0] == 0.0
    assert labels_of({"random": [EARLY, NEVER]}, "random", 0.7).tolist() == [8.0, 20.0]
