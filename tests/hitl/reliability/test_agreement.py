"""Agreement against the papers in plain loops, and against examples that were published with their result."""

import itertools
import math

import numpy as np
import pytest

from hitl.reliability.agreement import MISSING, cohen_kappa, fleiss_kappa, krippendorff_alpha

NONE = MISSING
KRIPPENDORFF_2011 = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
        [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
    ]
)
"""Section C of "Computing Krippendorff's alpha-reliability": four observers, twelve units."""
FLEISS_1971 = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)
"""Ten subjects, fourteen raters, five categories: the usual worked example of the coefficient; kappa 0.210."""


def cohen_by_the_paper(first: list[int], second: list[int]) -> float:
    """Proportions of a table, then (p_o - p_c) / (1 - p_c)."""
    number = len(first)
    observed = sum(1 for a, b in zip(first, second, strict=True) if a == b) / number
    chance = 0.0
    for category in {*first, *second}:
        chance += (first.count(category) / number) * (second.count(category) / number)
    return (observed - chance) / (1 - chance)


def fleiss_by_the_paper(ratings: list[list[int]], categories: int) -> float:
    """Pairs of raters that agree, item by item; `ratings` has the categories that an item was given."""
    raters = len(ratings[0])
    agreed = 0.0
    for item in ratings:
        pairs = [a == b for a, b in itertools.permutations(item, 2)]
        agreed += sum(pairs) / (raters * (raters - 1))
    observed = agreed / len(ratings)
    given = [category for item in ratings for category in item]
    chance = sum((given.count(category) / len(given)) ** 2 for category in range(categories))
    return (observed - chance) / (1 - chance)


def alpha_by_the_paper(values: np.ndarray, level: str) -> float:
    """1 - D_o / D_e by all pairs of values: within units, weighed by 1 / (m_u - 1), and of any units."""
    units = [[v for v in column if not math.isnan(v)] for column in values.T]
    units = [unit for unit in units if len(unit) > 1]
    everything = [v for unit in units for v in unit]

    def distance(a: float, b: float) -> float:
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return (a - b) ** 2
        low, high = min(a, b), max(a, b)
        between = sum(1 for v in everything if low <= v <= high)
        return (between - (everything.count(a) + everything.count(b)) / 2) ** 2 if a != b else 0.0

    observed = sum(
        sum(distance(a, b) for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units
    ) / len(everything)
    expected = sum(distance(a, b) for a, b in itertools.permutations(everything, 2)) / (
        len(everything) * (len(everything) - 1)
    )
    return 1 - observed / expected


def test_cohen_of_a_published_table() -> None:
    """25, 30, 10, 20, 15 in a table of 2 by 2 is a usual worked example: 20 yes/yes, 5, 10, 15 no/no; kappa 0.4."""
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    assert cohen_kappa(first, second) == pytest.approx(0.4)


@pytest.mark.parametrize("seed", range(5))
def test_cohen_as_in_the_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.choice([3, 5, 9], 40, p=[0.5, 0.3, 0.2])
    second = np.where(rng.random(40) < 0.6, first, rng.choice([3, 5, 9, 11], 40))
    expected = cohen_by_the_paper(first.tolist(), second.tolist())
    assert cohen_kappa(first, second) == pytest.approx(expected, abs=1e-12)


def test_cohen_at_its_ends() -> None:
    one, other = np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0])
    assert cohen_kappa(one, one) == 1.0
    assert cohen_kappa(one, other) == -1.0
    assert cohen_kappa(one[:0], other[:0]) is None
    assert cohen_kappa(np.zeros(3), np.zeros(3)) is None


def test_fleiss_of_a_published_table() -> None:
    assert fleiss_kappa(FLEISS_1971) == pytest.approx(0.210, abs=5e-4)


@pytest.mark.parametrize("seed", range(5))
def test_fleiss_as_in_the_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = rng.integers(3, size=(30, 1))
    ratings = np.where(rng.random((30, 4)) < 0.6, right, rng.integers(3, size=(30, 4)))
    counts = np.stack([(ratings == category).sum(1) for category in range(3)], 1)
    assert fleiss_kappa(counts) == pytest.approx(fleiss_by_the_paper(ratings.tolist(), 3), abs=1e-12)


def test_fleiss_needs_equal_numbers() -> None:
    with pytest.raises(ValueError, match="krippendorff_alpha"):
        fleiss_kappa(np.array([[2, 0], [2, 1]]))
    assert fleiss_kappa(np.array([[1, 0], [0, 1]])) is None
    assert fleiss_kappa(np.zeros((0, 2), int)) is None
    assert fleiss_kappa(np.array([[2, 0], [2, 0]])) is None


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_a_published_table(level: str, alpha: float) -> None:
    assert krippendorff_alpha(KRIPPENDORFF_2011, level=level) == pytest.approx(alpha, abs=6e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
@pytest.mark.parametrize("seed", range(4))
def test_alpha_as_in_the_paper(level: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = (
        np.where(rng.random((3, 25)) < 0.5, rng.integers(4, size=25), rng.integers(4, size=(3, 25))) * 1.5
    )
    values = np.where(rng.random(values.shape) < 0.3, MISSING, values)
    expected = alpha_by_the_paper(values, level)
    assert krippendorff_alpha(values, level=level) == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]


def test_alpha_where_there_is_nothing_to_tell() -> None:
    assert krippendorff_alpha(np.array([[1.0, NONE], [NONE, 2.0]])) is None
    assert krippendorff_alpha(np.ones((2, 3))) is None
    assert krippendorff_alpha(np.zeros((0, 0))) is None
    assert krippendorff_alpha(np.array([[0.0, 1.0], [0.0, 1.0]])) == 1.0
