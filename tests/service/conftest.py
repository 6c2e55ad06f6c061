"""A server over the small index with its engine, client and stub, one for each module of tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from henasy_api.v1 import search_pb2_grpc
from small_world import WordEncoder, open_index
from world import serving, stub_of

from henasy.search.engine import Engine
from service.client import HenasyClient
from service.server import SearchServer

Stub = search_pb2_grpc.HenasySearchStub


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[SearchServer]:
    with serving(root) as running:
        yield running


@pytest.fixture(scope="module")
def engine(server: SearchServer, root: Path) -> Engine:
    return Engine(open_index(root), WordEncoder())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def client(server: SearchServer) -> Iterator[HenasyClient]:
    with HenasyClient(server.address) as connected:
        yield connected


@pytest.fixture(scope="module")
def stub(server: SearchServer) -> Iterator[Stub]:
    with stub_of(server.address) as generated:
        yield generated
