import pytest

from policies.imitation.schedules import BetaSchedule, ExponentialBeta, IndicatorBeta, LinearBeta


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (LinearBeta(4), [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]),
        (LinearBeta(1), [1.0, 0.0, 0.0]),
        (ExponentialBeta(0.5), [1.0, 0.5, 0.25, 0.125]),
        (ExponentialBeta(0.0), [1.0, 0.0, 0.0]),
        (IndicatorBeta(), [1.0, 0.0, 0.0]),
    ],
)
def test_beta_by_hand(schedule: BetaSchedule, expected: list[float]) -> None:
    assert [schedule(i) for i in range(1, len(expected) + 1)] == expected
    with pytest.raises(ValueError, match="rounds count from 1"):
        schedule(0)


def test_what_never_falls_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        LinearBeta(0)
    for base in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"\[0, 1\)"):
            ExponentialBeta(base)
