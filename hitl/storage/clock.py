"""Time as the tables keep it: microseconds since 1970, in UTC."""

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def now_us() -> int:
    """Return the time now."""
    return time.time_ns() // 1000


def to_us(moment: datetime) -> int:
    """Turn a point in time into microseconds, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """Turn microseconds into a point in time, exactly."""
    return _EPOCH + microseconds * _MICROSECOND
