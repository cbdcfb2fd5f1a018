"""The life of the service's process: open, listen, serve, drain, end."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final, cast

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from hitl.errors import ConfigError, HandrailError
from hitl.metrics import Metrics, build, export
from hitl.service.bells import Bells
from hitl.service.border import Border
from hitl.service.metrics import TABLE
from hitl.service.options import ServiceOptions
from hitl.service.stages import Stages
from hitl.service.teaching import TeachingHandlers
from hitl.service.training import TrainingHandlers
from hitl.storage.questions import count_open
from hitl.storage.storage import Storage
from hitl.tokens import load_or_create_secret
from hitl.v1 import teaching_pb2, teaching_pb2_grpc, training_pb2, training_pb2_grpc

_log = logging.getLogger(__name__)

_SERVICES: Final = (
    teaching_pb2.DESCRIPTOR.services_by_name["TeachingService"].full_name,
    training_pb2.DESCRIPTOR.services_by_name["TrainingService"].full_name,
)

_MAX_CONCURRENT_CALLS: Final = 4096
_LAST_WORDS_SECONDS: Final = 0.25
_SWITCH_SECONDS: Final = 0.0005
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    # With the default, a second service would share the port of the first and take half of its calls.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Those who tail a journal or watch a stage hear nothing for long, and ping meanwhile.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
]


def serve(options: ServiceOptions) -> int:
    """Serve until SIGTERM or SIGINT, then finish the calls in flight.

    Returns:
        The exit code: 0 after a drain, 2 where a port, folder, database or secret cannot be used (the
        reason is on standard error).
    """
    try:
        asyncio.run(_serve(options))
    except HandrailError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(options: ServiceOptions) -> None:
    # The writer gives the interpreter away with each statement, and would wait this long to get it back.
    sys.setswitchinterval(_SWITCH_SECONDS)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    secret = load_or_create_secret(options.secret_path)
    metrics = build(TABLE)
    commits = metrics.histogram("hitl_feedback_commit_duration_seconds")
    storage = Storage(options.folder, database=options.database, on_commit=commits.observe)
    try:
        open_questions = metrics.gauge("hitl_feedback_open_questions")
        open_questions.set_function(lambda: storage.read(count_open).result())
        await _serve_storage(options, storage, secret, metrics, stop)
    finally:
        storage.close()


async def _serve_storage(
    options: ServiceOptions, storage: Storage, secret: bytes, metrics: Metrics, stop: asyncio.Event
) -> None:
    bells, stages, border = Bells(), Stages(), Border(secret, metrics)
    server = aio.server(
        interceptors=[border],
        options=_OPTIONS,
        maximum_concurrent_rpcs=_MAX_CONCURRENT_CALLS,
    )
    # The border gives our handlers a Call where the generated signatures say ServicerContext.
    teaching_pb2_grpc.add_TeachingServiceServicer_to_server(
        cast(Any, TeachingHandlers(storage, bells, stages, metrics)), server
    )
    training_pb2_grpc.add_TrainingServiceServicer_to_server(
        cast(Any, TrainingHandlers(storage, bells, stages)), server
    )
    healthy = await _add_standard_services(server)
    port = _bind(server, options.host, options.port)
    metrics_address = export(metrics, host=options.metrics_host, port=options.metrics_port)
    await server.start()
    address = f"{options.host}:{port}"
    _log.info("feedback service on %s, metrics on http://%s/metrics", address, metrics_address)
    if options.ready_file is not None:
        _write_ready_file(options.ready_file, address, metrics_address)
    await stop.wait()
    _log.info("feedback service is draining")
    await healthy.enter_graceful_shutdown()
    bells.close()
    stages.shut_down()
    stopping = asyncio.create_task(server.stop(options.drain_seconds))
    await border.idle()
    # What is left are those who watch the health service; they would never leave by themselves.
    await server.stop(_LAST_WORDS_SECONDS)
    await stopping


async def _add_standard_services(server: aio.Server) -> Any:
    healthy = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    for name in ("", *_SERVICES):
        await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection(
        (*_SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME),
        server,
    )
    return healthy


def _bind(server: aio.Server, host: str, port: int) -> int:
    """Take the port and return its number.

    Raises:
        ConfigError: it is in use, or the host is not one of this machine.
    """
    try:
        # gRPC's own message does not tell the reasons apart.
        with socket.create_server((host, port)):
            pass
        return int(server.add_insecure_port(f"{host}:{port}"))
    except OSError as error:
        if isinstance(error, socket.gaierror) or not port:
            raise ConfigError(
                f"cannot listen on {host} ({error.strerror}); choose another with --host"
            ) from None
        raise ConfigError(
            f"port {port} is in use on {host} or not allowed ({error.strerror}); "
            "choose another with --port or 0 for any"
        ) from None
    except RuntimeError:
        raise ConfigError(
            f"port {port} is in use on {host}; choose another with --port or 0 for any"
        ) from None


def _write_ready_file(path: Path, address: str, metrics_address: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    ready = {"address": address, "metrics_address": metrics_address, "pid": os.getpid()}
    draft.write_text(json.dumps(ready))
    draft.replace(path)
