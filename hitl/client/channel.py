"""A channel with a token, retries and deadlines; gRPC's errors become ours here and nowhere else."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

import grpc

from hitl.errors import REQUEST_ERRORS, SERVICE_MARK, Busy, InvalidRequest, RequestError, Unavailable

_CALL_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # gRPC's own pauses between connections grow to two minutes; a service that restarts is back in seconds.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]

Response = TypeVar("Response")


class Channel:
    """A connection to one service as one principal. Safe to share between threads."""

    def __init__(
        self, address: str, token: str, *, patience_seconds: float, stop: threading.Event | None = None
    ) -> None:
        """Prepare the connection; it is made with the first call.

        Args:
            address: host:port of the service.
            token: who we are.
            patience_seconds: how long to try again while the service does not answer or is too busy.
            stop: ends the patience at once when set.
        """
        self.grpc = grpc.insecure_channel(address, options=_OPTIONS)
        self._patience_seconds = patience_seconds
        self._stop = stop or threading.Event()
        self.closed = False
        self.metadata = (("authorization", f"Bearer {token}"),)
        self._address = address

    def call(
        self, method: Callable[..., Response], request: Any, *, timeout_seconds: float = _CALL_SECONDS
    ) -> Response:
        """Call a unary method, trying again while the service cannot be reached or is too busy.

        Every method of ours may be repeated: what it writes carries an id, or is idempotent.

        Raises:
            RequestError: the subclass that tells why, `Unavailable` or `Busy` once patience has run out.
        """
        patience = self.patience()
        while True:
            try:
                return method(request, timeout=timeout_seconds, metadata=self.metadata)
            except grpc.RpcError as error:
                patience.pause_or_raise(self.error(error))

    def patience(self) -> "Patience":
        """Return fresh patience for one call."""
        return Patience(self._patience_seconds, self._stop)

    def error(self, error: grpc.RpcError) -> RequestError:
        """Return our error that means the same."""
        if self.closed:
            return RequestError("this client is closed")
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
            return InvalidRequest(f"{details}; send less in one call")
        if code is grpc.StatusCode.UNAVAILABLE and not _is_of_service(error):
            return Unavailable(f"the feedback service at {self._address} cannot be reached: {details}")
        return REQUEST_ERRORS.get(code.name, RequestError)(details or code.name)

    def close(self) -> None:
        """End the connection and every call on it."""
        self.closed = True
        self.grpc.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_of_service(error: grpc.RpcError) -> bool:
    """Whether the service itself refused, and not gRPC on the way to it."""
    metadata: Any = error.trailing_metadata() or ()
    return SERVICE_MARK in metadata


class Patience:
    """Growing, jittered pauses between tries, until the time is up."""

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._end = time.monotonic() + seconds
        self._stop = stop
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def pause_or_raise(self, error: RequestError) -> None:
        """Sleep if another try may help and there is time left for it; else raise the error."""
        # The jitter keeps clients that lost the service together from coming back together.
        pause = self._pause_seconds * random.uniform(0.5, 1.5)
        if not isinstance(error, Unavailable | Busy) or time.monotonic() + pause > self._end:
            raise error from None
        if self._stop.wait(pause):
            raise error from None
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
