import math

import numpy as np
import pytest
from scipy.integrate import quad

from hitl.reliability.shares import share_evidence


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (0, 3), (3, 3), (5, 9), (20, 25), (1, 30)])
@pytest.mark.parametrize("most", [0.2, 0.6])
def test_as_the_integral_says(successes: int, trials: int, most: float) -> None:
    """All shares above the limit equally likely, against the limit itself."""
    failures = trials - successes
    weighed, _ = quad(lambda share: share**successes * (1 - share) ** failures / (1 - most), most, 1)
    limit = most**successes * (1 - most) ** failures
    assert share_evidence(successes, trials, most=most) == pytest.approx(math.log(weighed / limit), abs=1e-6)


def test_evidence_that_is_too_small_for_a_number() -> None:
    assert share_evidence(0, 100_000, most=0.6) < -1000


def ever_flagged(share: float, *, most: float, alpha: float, trials: int, teachers: int) -> float:
    rng = np.random.default_rng(0)
    flagged = 0
    for _ in range(teachers):
        successes = np.cumsum(rng.random(trials) < share)
        evidence = (share_evidence(int(s), n + 1, most=most) for n, s in enumerate(successes))
        flagged += any(found >= -math.log(alpha) for found in evidence)
    return flagged / teachers


def test_whoever_keeps_to_the_limit_is_rarely_flagged_though_looked_at_after_every_answer() -> None:
    assert ever_flagged(0.6, most=0.6, alpha=0.1, trials=200, teachers=400) <= 0.1
    assert ever_flagged(0.3, most=0.6, alpha=0.1, trials=200, teachers=50) == 0.0


def test_whoever_is_far_beyond_it_is_flagged_soon() -> None:
    assert share_evidence(18, 18, most=0.6) > math.log(400)
    assert ever_flagged(0.95, most=0.6, alpha=0.0025, trials=60, teachers=100) > 0.95
