import pytest

from hitl.errors import Busy
from hitl.service.quota import Quota


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_so_many_at_once_and_so_many_a_second_after_that() -> None:
    clock = Clock()
    quota = Quota(2.0, 5, clock)
    for _ in range(5):
        quota.take("ann")
    with pytest.raises(Busy, match=r"from ann; try again in 0\.500 s"):
        quota.take("ann")
    clock.now = 0.49
    with pytest.raises(Busy):
        quota.take("ann")
    clock.now = 0.51
    quota.take("ann")
    clock.now = 100.0
    for _ in range(5):
        quota.take("ann")
    with pytest.raises(Busy):
        quota.take("ann")


def test_each_has_their_own() -> None:
    quota = Quota(1.0, 1, Clock())
    quota.take("ann")
    quota.take("bob")
    with pytest.raises(Busy):
        quota.take("ann")


def test_it_does_not_remember_everybody_for_ever() -> None:
    quota = Quota(1.0, 1, Clock())
    for number in range(5000):
        quota.take(f"teacher {number}")
    assert len(quota._left) <= 1024
