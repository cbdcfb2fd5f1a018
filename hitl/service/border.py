"""Where gRPC ends: credentials, errors to status codes, and the count of calls, for every method alike."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from grpc import aio

from hitl.errors import (
    SERVICE_MARK,
    Forbidden,
    HandrailError,
    RequestError,
    Unauthenticated,
    Unavailable,
)
from hitl.metrics import Metrics
from hitl.service.call import Call
from hitl.tokens import Principal, Role, verify

_log = logging.getLogger(__name__)

_ROLES: Final[dict[str, frozenset[Role]]] = {
    "hitl.v1.TeachingService": frozenset({"teacher", "oracle"}),
    "hitl.v1.TrainingService": frozenset({"cluster"}),
}
"""Who may call which service; the standard services that are not named here are open to all."""

_MAX_REMEMBERED_TOKENS = 1024
_SCHEME = "Bearer "


def status_of(error: HandrailError) -> grpc.StatusCode:
    """Return the status code that tells of this error; a broken store may be whole again on a retry."""
    name = error.status if isinstance(error, RequestError) else Unavailable.status
    return grpc.StatusCode[name]


class Border(aio.ServerInterceptor):
    """Stands around every handler of ours, which gets a `Call` and raises errors of our tree."""

    def __init__(self, secret: bytes, metrics: Metrics) -> None:
        self._secret = secret
        self._principals: dict[str, Principal] = {}
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._requests = metrics.counter("hitl_feedback_requests_total")
        self._durations = metrics.histogram("hitl_feedback_request_duration_seconds")

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call."""
        handler = await continuation(details)
        service, method = details.method.strip("/").split("/")
        roles = _ROLES.get(service)
        if handler is None or roles is None:
            return handler
        codec = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming:
            both = self._stream(handler.stream_stream, roles)
            return grpc.stream_stream_rpc_method_handler(both, *codec)
        if handler.response_streaming:
            stream = self._stream(handler.unary_stream, roles)
            return grpc.unary_stream_rpc_method_handler(stream, *codec)
        unary = self._unary(handler.unary_unary, roles, method)
        return grpc.unary_unary_rpc_method_handler(unary, *codec)

    def _unary(
        self, behaviour: Callable[[Any, Call], Awaitable[Any]], roles: frozenset[Role], method: str
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        duration = self._durations.labels(method)

        async def served(request: Any, context: Any) -> Any:
            start = time.perf_counter()
            try:
                async with self._counted(context):
                    return await behaviour(request, self._call(context, roles))
            finally:
                duration.observe(time.perf_counter() - start)

        return served

    def _stream(
        self, behaviour: Callable[[Any, Call], AsyncIterator[Any]], roles: frozenset[Role]
    ) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def served(request: Any, context: Any) -> AsyncIterator[Any]:
            async with self._counted(context):
                responses = behaviour(request, self._call(context, roles))
                # Tells the caller that it is connected, also where there is nothing to send yet.
                await context.send_initial_metadata(())
                async for response in responses:
                    yield response

        return served

    @asynccontextmanager
    async def _counted(self, context: Any) -> AsyncIterator[None]:
        """Count the call, by its outcome too, and turn the error that it ends with into a status."""
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
            self._requests.labels(grpc.StatusCode.OK.name).inc()
        except BaseException as error:
            await self._fail(context, error)
            raise
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def idle(self) -> None:
        """Wait until no call of ours is in flight."""
        await self._idle.wait()

    def _call(self, context: Any, roles: frozenset[Role]) -> Call:
        principal = self._principal(context)
        if principal.role not in roles:
            raise Forbidden(
                f"a token of the role {principal.role} does not give this right; "
                f"it takes one of the role {' or '.join(sorted(roles))}"
            )
        remaining = context.time_remaining()
        return Call(principal, None if remaining is None else time.monotonic() + remaining)

    def _principal(self, context: Any) -> Principal:
        header = next((value for key, value in context.invocation_metadata() if key == "authorization"), "")
        if not isinstance(header, str) or not header.startswith(_SCHEME):
            raise Unauthenticated("no token; send the metadata `authorization: Bearer <token>`")
        principal = self._principals.get(header)
        if principal is None or principal.expire_seconds <= time.time():
            principal = verify(self._secret, header.removeprefix(_SCHEME))
            # Checking a signature costs as much as the rest of a small call; nothing can revoke a token.
            if len(self._principals) >= _MAX_REMEMBERED_TOKENS:
                self._principals.clear()
            self._principals[header] = principal
        return principal

    async def _fail(self, context: Any, error: BaseException) -> None:
        """Count the failure, and end the call with the status that tells of it."""
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            self._requests.labels(grpc.StatusCode.CANCELLED.name).inc()
            return
        if isinstance(error, HandrailError):
            code, message = status_of(error), str(error)
        else:
            _log.error("a call failed in a way that was not foreseen", exc_info=error)
            code, message = grpc.StatusCode.INTERNAL, "the service failed; its log says why"
        self._requests.labels(code.name).inc()
        await context.abort(code, message, (SERVICE_MARK,))
