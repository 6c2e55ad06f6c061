"""The life of a call: deadlines, callers that leave, more calls than are held, the end of the server, request ids."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import grpc
import numpy as np
import pytest
from henasy_api.v1 import search_pb2, search_pb2_grpc
from small_world import WordEncoder, open_index, unit_vector
from world import serving, stub_of

from service.client import HenasyClient
from service.live import LiveEngine
from service.server import SearchServer
from service.servicer import SearchServicer
from service.status import DeadlinePassedError, ServiceError

Stub = search_pb2_grpc.HenasySearchStub


class SlowEncoder(WordEncoder):
    """Waits on the word "slow" until it is let go."""

    started = threading.Event()
    go_on = threading.Event()

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        if texts[0] == "slow":
            self.started.set()
            assert self.go_on.wait(20)
        if texts[0] == "crash":
            raise RuntimeError("secret of the server")
        return np.stack([unit_vector(text) for text in texts])


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[SearchServer]:
    SlowEncoder.started.clear()
    SlowEncoder.go_on.clear()
    with serving(tmp_path, encoder=SlowEncoder()) as running:
        yield running
        SlowEncoder.go_on.set()


def test_a_deadline_already_past_is_exceeded(client: HenasyClient) -> None:
    for timeout_s in (0.0, -1.0):
        with pytest.raises(DeadlinePassedError):
            client.search("mug", timeout_s=timeout_s)


class AbortedError(Exception):
    """What a call's context raises to end the call."""


class PassedContext:
    """The context of a call whose deadline passed while it waited for a thread."""

    code: grpc.StatusCode | None = None

    def time_remaining(self) -> float:
        return -0.5

    def is_active(self) -> bool:
        return True

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def set_trailing_metadata(self, metadata: object) -> None:
        assert metadata

    def abort(self, code: grpc.StatusCode, message: str) -> NoReturn:
        self.code = code
        raise AbortedError(message)


def test_the_server_encodes_nothing_after_the_deadline(tmp_path: Path) -> None:
    live = LiveEngine(open_index(tmp_path), SlowEncoder())  # type: ignore[arg-type]
    servicer = SearchServicer(live)
    calls = (
        (servicer.Search, search_pb2.SearchRequest(query="crash")),
        (servicer.Explain, search_pb2.ExplainRequest(query="crash", video_id="video0", start_s=0.0)),
    )
    for call, message in calls:
        context = PassedContext()
        with pytest.raises(AbortedError, match="the deadline passed before the answer was ready"):
            call(message, context)
        assert context.code is grpc.StatusCode.DEADLINE_EXCEEDED
    live.close()


def test_a_deadline_that_passes_while_encoding_ends_the_call(slow: SearchServer) -> None:
    with HenasyClient(slow.address) as client:
        with pytest.raises(DeadlinePassedError):
            client.search("slow", timeout_s=0.2)
        SlowEncoder.go_on.set()
        assert client.search("mug")


def test_a_cancelled_call_is_no_failure(slow: SearchServer, caplog: pytest.LogCaptureFixture) -> None:
    with stub_of(slow.address) as stub, HenasyClient(slow.address) as client:
        call = stub.Search.future(search_pb2.SearchRequest(query="slow"))
        assert SlowEncoder.started.wait(10)
        call.cancel()
        SlowEncoder.go_on.set()
        assert client.search("mug")
        assert call.cancelled()
    assert "failed" not in caplog.text


def test_more_calls_than_are_held_are_refused(tmp_path: Path) -> None:
    SlowEncoder.started.clear()
    SlowEncoder.go_on.clear()
    with serving(tmp_path, encoder=SlowEncoder(), max_calls=1) as server, stub_of(server.address) as stub:
        first = stub.Search.future(search_pb2.SearchRequest(query="slow"))
        assert SlowEncoder.started.wait(10)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Search(search_pb2.SearchRequest(query="mug"))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        SlowEncoder.go_on.set()
        assert len(first.result(10).results[0].hits) == 10


def test_stop_finishes_calls_that_have_begun(slow: SearchServer) -> None:
    with HenasyClient(slow.address) as client, ThreadPoolExecutor(2) as pool:
        call = pool.submit(client.search, "slow")
        assert SlowEncoder.started.wait(10)
        stopping = pool.submit(slow.stop)
        time.sleep(0.2)
        assert not stopping.done()
        SlowEncoder.go_on.set()
        assert len(call.result(10)) == 10
        stopping.result(10)
        with pytest.raises(ServiceError) as caught:
            client.search("mug", timeout_s=2)
        assert caught.value.code == "UNAVAILABLE"


def test_unknown_errors_keep_their_text_in_the_log(slow: SearchServer, caplog: pytest.LogCaptureFixture) -> None:
    with HenasyClient(slow.address) as client, pytest.raises(ServiceError, match="internal error") as caught:
        client.search("crash")
    assert caught.value.code == "INTERNAL"
    assert "secret" not in str(caught.value)
    assert caught.value.request_id in str(caught.value)
    assert caught.value.request_id in caplog.text
    assert "secret of the server" in caplog.text


def test_the_callers_request_id_is_used(stub: Stub) -> None:
    def sent(value: str) -> str:
        _, call = stub.Search.with_call(search_pb2.SearchRequest(query="mug"), metadata=[("x-request-id", value)])
        return dict(call.trailing_metadata())["x-request-id"]

    assert sent("job-7") == "job-7"
    assert sent("no spaces allowed") != "no spaces allowed"
