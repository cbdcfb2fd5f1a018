"""Answers, counted."""

import numpy as np
import pytest

from hitl.events import Choice
from hitl.voting.tally import Duel, tally


def test_every_answer_is_counted_where_it_belongs() -> None:
    duels = [
        Duel(0, 1, Choice.FIRST),
        Duel(1, 0, Choice.FIRST),
        Duel(0, 1, Choice.SECOND),
        Duel(2, 0, Choice.TIE),
        Duel(1, 2, Choice.SKIP),
        Duel(1, 2, Choice.SKIP),
        Duel(2, 1, Choice.CANNOT_TELL),
    ]
    counted = tally(duels, policies=3)
    assert counted.wins_IJ.tolist() == [[0, 1, 0.5], [2, 0, 0], [0.5, 0, 0]]
    assert counted.ties_IJ.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert counted.answers_IJ.tolist() == [[0, 3, 1], [3, 0, 0], [1, 0, 0]]
    assert (counted.first_preferred, counted.second_preferred, counted.ties) == (2, 1, 1)
    assert (counted.skipped, counted.cannot_tell, counted.said) == (2, 1, 7)


def test_nothing_said_is_nothing() -> None:
    counted = tally([], policies=2)
    assert counted.said == 0
    assert not np.any(counted.wins_IJ)


@pytest.mark.parametrize("pair", [(0, 0), (0, 2), (-1, 1)])
def test_what_is_no_pair_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no pair of 2 policies"):
        tally([Duel(*pair, Choice.TIE)], policies=2)
