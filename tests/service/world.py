"""Servers over the small index, for the tests of the service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from henasy_api.v1 import search_pb2_grpc
from small_world import WordEncoder, open_index

from service.live import LiveEngine
from service.server import SearchServer, ServerConfig


@contextmanager
def serving(
    root: Path, *, encoder: WordEncoder | None = None, kind: str = "henasy", max_calls: int = 64
) -> Iterator[SearchServer]:
    """A server on a free port over the small index under `root`."""
    encoder = encoder or (WordEncoder() if kind == "henasy" else WordEncoder(kind="dual", num_entities=0))
    live = LiveEngine(open_index(root, kind=kind), encoder)  # type: ignore[arg-type]
    config = ServerConfig(port=0, reload_s=0.05, grace_s=5.0, max_calls=max_calls)
    with SearchServer(live, config) as server:
        yield server


@contextmanager
def stub_of(address: str) -> Iterator[search_pb2_grpc.HenasySearchStub]:
    """The generated stub, for messages that the typed client would not send."""
    with grpc.insecure_channel(address) as channel:
        yield search_pb2_grpc.HenasySearchStub(channel)
