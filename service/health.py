"""grpc.health.v1: Check and Watch, where a watcher holds no thread and can never hold up the server.

grpc_health's own servicer sends under the lock that a leaving watcher needs; a watcher that leaves while the status
changes then stops the whole server for good (grpcio-health-checking 1.85.1).
"""

import threading
from collections.abc import Callable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

Send = Callable[[health_pb2.HealthCheckResponse | None], None]


class _Watcher:
    """One stream; it always ends up with the newest status, whichever thread sends."""

    def __init__(self, send: Send, status: Callable[[], int]) -> None:
        self._send, self._status = send, status
        self._lock = threading.Lock()
        self._sent: int | None = None

    def push(self) -> None:
        with self._lock:
            status = self._status()
            if status != self._sent:
                self._send(health_pb2.HealthCheckResponse(status=status))
                self._sent = status

    def end(self) -> None:
        self._send(None)


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # generated code has no types
    """Says whether services are ready: NOT_SERVING until `set_serving`, and again from `end` on."""

    def __init__(self, services: tuple[str, ...]) -> None:
        """Knows these services, and "" for the server as a whole."""
        self._services = ("", *services)
        self._status: int = health_pb2.HealthCheckResponse.NOT_SERVING
        # Held only to read and change the two fields, never while anything is sent.
        self._lock = threading.Lock()
        self._watchers: set[_Watcher] = set()

    def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """The status of one service."""
        if request.service not in self._services:
            context.abort(grpc.StatusCode.NOT_FOUND, f"service: {request.service!r} is not served")
        return health_pb2.HealthCheckResponse(status=self._status)

    def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext, send_response_callback: Send
    ) -> None:
        """The status of one service now and whenever it changes."""
        is_known = request.service in self._services
        unknown = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watcher = _Watcher(send_response_callback, lambda: self._status if is_known else unknown)
        with self._lock:
            self._watchers.add(watcher)
        if not context.add_callback(lambda: self._forget(watcher)):
            self._forget(watcher)
        watcher.push()

    # grpc then calls `send_response_callback` instead of iterating over a result in a thread of its own.
    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]

    def set_serving(self) -> None:
        """Tells everybody that the services are ready."""
        self._change(health_pb2.HealthCheckResponse.SERVING)

    def end(self) -> None:
        """Tells everybody that the services end, and closes the streams, for which the server would wait."""
        for watcher in self._change(health_pb2.HealthCheckResponse.NOT_SERVING):
            watcher.end()

    def _change(self, status: int) -> list[_Watcher]:
        with self._lock:
            self._status = status
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher.push()
        return watchers

    def _forget(self, watcher: _Watcher) -> None:
        with self._lock:
            self._watchers.discard(watcher)
