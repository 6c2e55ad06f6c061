"""The gRPC server: threads, health, reflection, limits, and an end that finishes what has begun.

A thread pool was measured faster than grpc.aio for this load; encoding and FAISS leave the interpreter lock.
"""

import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import FrameType

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from henasy_api.v1 import search_pb2, search_pb2_grpc

from henasy.errors import ConfigError
from service.health import HealthServicer
from service.live import LiveEngine
from service.servicer import SearchServicer

_LOG = logging.getLogger(__name__)
SERVICE = search_pb2.DESCRIPTOR.services_by_name["HenasySearch"].full_name
_HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

MAX_REQUEST_BYTES = 4 * 1024**2
MAX_RESPONSE_BYTES = 128 * 1024**2
"""A thousand entities with masks in four 4K frames each take some 20 MiB."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Where and how to serve."""

    host: str = "127.0.0.1"
    port: int = 50051
    """0 takes a free one."""
    num_threads: int = 8
    """Calls answered at a time."""
    max_calls: int = 256
    """Calls held at a time; more are refused with RESOURCE_EXHAUSTED."""
    reload_s: float = 1.0
    """How often a newer generation is looked for."""
    grace_s: float = 30.0
    """What calls that have begun are given to finish at the end."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"port: {self.port} is not in 0..65535")
        for name in ("num_threads", "max_calls"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not at least 1")
        for name in ("reload_s", "grace_s"):
            if not 0 < getattr(self, name) <= 3600:
                raise ConfigError(f"{name}: {getattr(self, name)} is not in 0..3600 seconds, above 0")


class SearchServer:
    """A running server. Use it as a context or call `stop`."""

    def __init__(self, live: LiveEngine, config: ServerConfig) -> None:
        """Starts to serve; `address` tells where.

        Raises:
            ConfigError: the address cannot be had.
        """
        self._live, self._config = live, config
        self._server = grpc.server(
            ThreadPoolExecutor(config.num_threads, thread_name_prefix="call"),
            maximum_concurrent_rpcs=config.max_calls,
            options=[
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
                ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
                ("grpc.so_reuseport", 0),
            ],
        )
        self._health = HealthServicer((SERVICE,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        search_pb2_grpc.add_HenasySearchServicer_to_server(SearchServicer(live), self._server)
        reflection.enable_server_reflection((SERVICE, _HEALTH_SERVICE, reflection.SERVICE_NAME), self._server)
        self.address = self._bind()
        self._server.start()
        live.watch(config.reload_s)
        self._health.set_serving()

    def _bind(self) -> str:
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        wanted = f"{host}:{self._config.port}"
        try:
            port = self._server.add_insecure_port(wanted)
        except RuntimeError as error:
            raise ConfigError(f"{wanted}: cannot be served at; is another server there?") from error
        return f"{host}:{port}"

    def __enter__(self) -> "SearchServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuses new calls, says so through health, and returns when those that have begun are finished."""
        self._health.end()
        self._server.stop(self._config.grace_s).wait()
        self._live.close()


def wait_for_signal() -> str:
    """The name of the signal, SIGTERM or SIGINT, that ends the program; call it from the main thread."""
    arrived = threading.Event()
    names: list[str] = []

    def note(number: int, _: FrameType | None) -> None:
        names.append(signal.Signals(number).name)
        arrived.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    arrived.wait()
    return names[0]
