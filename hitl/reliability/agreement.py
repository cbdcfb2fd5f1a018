"""How well teachers agree beyond chance.

Axis suffixes: I item, R rater (a teacher), C category.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Level = Literal["nominal", "ordinal", "interval"]
"""What the values mean: names, ranks, or numbers."""
MISSING = np.nan
"""Where a rater has not answered."""


def cohen_kappa(first_I: NDArray[np.generic], second_I: NDArray[np.generic]) -> float | None:
    """Return Cohen's kappa of two raters who have both answered every item.

    Source: Cohen 1960, "A coefficient of agreement for nominal scales", equation 1: each rater has marginals of their
    own.

    Args:
        first_I: category of each item by one rater, as whole numbers.
        second_I: the same by the other.

    Returns:
        1 for perfect agreement, 0 for what chance gives; None without items, or where both always say the same one
        thing, so that chance alone agrees perfectly.
    """
    if not len(first_I):
        return None
    categories, codes = np.unique(np.stack([first_I, second_I]), return_inverse=True)
    first, second = codes.reshape(2, -1)
    share_C, other_C = (
        np.bincount(codes, minlength=len(categories)) / len(codes) for codes in (first, second)
    )
    return _beyond_chance(float((first == second).mean()), float(share_C @ other_C))


def fleiss_kappa(count_IC: NDArray[np.integer]) -> float | None:
    """Return Fleiss' kappa of items that were rated equally often, each by any raters.

    Source: Fleiss 1971, "Measuring nominal scale agreement among many raters", equations 1 to 7.

    Args:
        count_IC: how many raters put each item into each category.

    Returns:
        As `cohen_kappa`; None also with fewer than two raters an item.

    Raises:
        ValueError: items differ in their number of ratings; use `krippendorff_alpha` for those.
    """
    count_IC = np.asarray(count_IC, np.float64)
    raters_I = count_IC.sum(1)
    if not len(raters_I) or raters_I[0] < 2:
        return None
    if (raters_I != raters_I[0]).any():
        raise ValueError("items differ in their number of ratings; krippendorff_alpha takes such")
    raters = raters_I[0]
    observed_I = (count_IC * (count_IC - 1)).sum(1) / (raters * (raters - 1))
    share_C = count_IC.sum(0) / count_IC.sum()
    return _beyond_chance(float(observed_I.mean()), float(share_C @ share_C))


def krippendorff_alpha(value_RI: NDArray[np.floating], *, level: Level = "nominal") -> float | None:
    """Return Krippendorff's alpha of any raters and items, with answers missing.

    Source: Krippendorff 1980, "Content Analysis", chapter 12; by coincidences, as in Krippendorff 2011, "Computing
    Krippendorff's alpha-reliability".

    Args:
        value_RI: what each rater said of each item, as numbers; `MISSING` where nothing.
        level: what they mean.

    Returns:
        1 for perfect agreement, 0 for what chance gives; None where no item has two answers, or all answers are one.
    """
    value_RI = np.asarray(value_RI, np.float64)
    value_RI = value_RI[:, (~np.isnan(value_RI)).sum(0) > 1]
    values = np.unique(value_RI[~np.isnan(value_RI)])
    if len(values) < 2:
        return None
    count_IC = np.stack([(value_RI == value).sum(0) for value in values], 1).astype(np.float64)
    weight_I = 1 / (count_IC.sum(1) - 1)
    coincidence_CC = (count_IC * weight_I[:, None]).T @ count_IC
    coincidence_CC -= np.diag(weight_I @ count_IC)
    total_C = coincidence_CC.sum(1)
    chance_CC = np.outer(total_C, total_C) - np.diag(total_C)
    distance_CC = _squared_distances(values, total_C, level)
    expected = float((chance_CC * distance_CC).sum()) / (total_C.sum() - 1)
    alpha: float = 1 - float((coincidence_CC * distance_CC).sum()) / expected
    return alpha


def _squared_distances(
    values: NDArray[np.float64], total_C: NDArray[np.float64], level: Level
) -> NDArray[np.float64]:
    if level == "nominal":
        return 1 - np.eye(len(values))
    # Between the middles of two ranks lie all answers between them, and half of those in each.
    place_C = values if level == "interval" else np.cumsum(total_C) - total_C / 2
    squared_CC: NDArray[np.float64] = np.subtract.outer(place_C, place_C) ** 2
    return squared_CC


def _beyond_chance(observed: float, expected: float) -> float | None:
    return None if expected >= 1.0 else (observed - expected) / (1 - expected)
