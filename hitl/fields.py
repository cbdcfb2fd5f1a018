"""Single fields of a message: ids, counts and times, checked on the way in."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from hitl.errors import InvalidRequest

_MAX_ID_LENGTH = 200
MAX_OFFSET = timedelta(hours=1)
"""For which anybody looks at one frame: a stage may be paused while they think."""


def check_id(value: str, what: str) -> str:
    """Return the id if it is printable and has 1 to 200 characters.

    Raises:
        InvalidRequest: it is not.
    """
    if not value or len(value) > _MAX_ID_LENGTH or not value.isprintable():
        raise InvalidRequest(
            f"{what}: {value[:40]!r} is not an id; use 1 to {_MAX_ID_LENGTH} printable characters"
        )
    return value


def check_count(value: int, what: str) -> int:
    """Return the number if it is not negative.

    Raises:
        InvalidRequest: it is.
    """
    if value < 0:
        raise InvalidRequest(f"{what}: {value} is negative")
    return value


def encode_time(time: datetime) -> Timestamp:
    """Put a point in time into a message."""
    message = Timestamp()
    message.FromDatetime(time)
    return message


def decode_time(message: Timestamp, what: str) -> datetime:
    """Read a point in time, in UTC."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{what}: not a point in time") from None


def encode_duration(duration: timedelta) -> Duration:
    """Put a length of time into a message."""
    message = Duration()
    message.FromTimedelta(duration)
    return message


def decode_duration(message: Duration, what: str) -> timedelta:
    """Read a length of time that is not negative."""
    try:
        duration = message.ToTimedelta()
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{what}: not a length of time") from None
    if duration < timedelta(0):
        raise InvalidRequest(f"{what}: {duration.total_seconds()} s is negative")
    return duration


def check_offset(offset: timedelta, what: str) -> timedelta:
    """Return the time for which a teacher had looked at a frame, if anybody may have looked for so long.

    Raises:
        InvalidRequest: it is above `MAX_OFFSET`.
    """
    if offset > MAX_OFFSET:
        raise InvalidRequest(
            f"{what}: {offset.total_seconds():.0f} s is above {MAX_OFFSET.total_seconds():.0f} s, so the clock that "
            "measured it is broken, or its unit is wrong; say how long the frame had been in front of the teacher"
        )
    return offset
