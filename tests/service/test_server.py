"""The service over real gRPC on a free port, against the engine that it stands on."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from henasy_api.v1 import search_pb2, search_pb2_grpc, types_pb2
from small_world import WordEncoder, open_index, unit_vector, write_index
from world import serving, stub_of

from henasy.errors import InputError, NotFoundError, UnsupportedError
from henasy.index.select import Filters
from henasy.search.engine import Engine
from henasy.search.info import describe
from henasy.search.request import SearchRequest, Target
from service.client import HenasyClient
from service.server import SERVICE, SearchServer
from service.status import DeadlinePassedError, ServiceError

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


REQUESTS = (
    SearchRequest(queries=("open drawer",)),
    SearchRequest(queries=("mug", "a knife 🔪"), target=Target.ENTITIES, top_k=3, is_explained=True),
    SearchRequest(queries=("hand",), target=Target.VIDEOS, min_score=-0.5),
    SearchRequest(queries=("hand",), max_hits_per_video=2, top_k=7),
    SearchRequest(queries=("pan",), target=Target.ENTITIES, has_overlapping=True, top_k=50),
    SearchRequest(
        queries=("wash the pan",),
        filters=Filters(
            video_ids=("video1", "video2", "video3"),
            path_globs=("kitchen*",),
            start_s=1.0,
            end_s=9.0,
            equals={"room": ("kitchen", "hall"), "tidy": (True, False)},
            ranges={"take": (1, None)},
        ),
    ),
)


@pytest.mark.parametrize("request_", REQUESTS)
def test_answers_equal_the_engines(client: HenasyClient, engine: Engine, request_: SearchRequest) -> None:
    answer = client.answer(request_)
    assert answer.results == engine.search(request_).results
    assert any(result.hits for result in answer.results)
    assert answer.generation == 1
    assert answer.timing.total_ms > 0


def test_search_takes_a_text_and_returns_hits(client: HenasyClient, engine: Engine) -> None:
    expected = engine.search(SearchRequest(queries=("open drawer",), target=Target.ENTITIES, top_k=4))
    assert client.search("open drawer", target="entities", top_k=4) == expected.results[0].hits


def test_only_the_text_is_required(stub: Stub, engine: Engine) -> None:
    response = stub.Search(search_pb2.SearchRequest(query="mug"))
    expected = engine.search(SearchRequest(queries=("mug",))).results[0].hits
    assert [hit.video.video_id for hit in response.results[0].hits] == [hit.video.video_id for hit in expected]
    assert len(response.results[0].hits) == 10


def test_grouping_defaults_to_three_per_video(stub: Stub) -> None:
    message = search_pb2.SearchRequest(query="mug", top_k=100, group_by_video=search_pb2.GroupByVideo())
    videos = [hit.video.video_id for hit in stub.Search(message).results[0].hits]
    assert sorted(videos) == sorted(f"video{number}" for number in range(4) for _ in range(3))


@pytest.mark.parametrize(("video_id", "slot", "is_soft"), [("video0", 1, True), ("video1", None, False)])
def test_explain_equals_the_engines(
    client: HenasyClient, engine: Engine, video_id: str, slot: int | None, is_soft: bool
) -> None:
    found = client.explain("open the drawer", video_id, 2.0, slot=slot)
    expected = engine.explain("open the drawer", video_id, 2.0, slot)
    assert found.is_soft is is_soft
    assert found.unavailable_reason == expected.unavailable_reason
    assert (found.video, found.span, found.explanation) == (expected.video, expected.span, expected.explanation)
    for ours, theirs in zip(found.saliency, expected.saliency, strict=True):
        assert (ours.slot, ours.crop, ours.times_s) == (theirs.slot, theirs.crop, theirs.times_s)
        np.testing.assert_array_equal(ours.values, theirs.values)


def test_get_index_describes_what_is_served(client: HenasyClient, engine: Engine) -> None:
    info = client.index()
    assert info == describe(engine.index)
    assert (info.num_videos, info.num_offline, info.num_clips, info.num_refused) == (4, 3, 75, 1)
    assert info.metadata_columns == ("room", "take", "tidy")
    assert info.hours == pytest.approx(79 / 3600)


def refusal(stub: Stub, message: search_pb2.SearchRequest) -> tuple[grpc.StatusCode, str, str]:
    """Status, message and the field that google.rpc.BadRequest names."""
    with pytest.raises(grpc.RpcError) as caught:
        stub.Search(message)
    error = caught.value
    metadata = {item.key: item.value for item in error.trailing_metadata()}
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    bad = error_details_pb2.BadRequest()
    field = bad.field_violations[0].field if any(detail.Unpack(bad) for detail in status.details) else ""
    assert "Traceback" not in error.details()
    assert metadata["x-request-id"]
    return error.code(), error.details(), field


def ask(**values: object) -> search_pb2.SearchRequest:
    return search_pb2.SearchRequest(**{"query": "mug", **values})


def condition(**values: object) -> search_pb2.Filter:
    return search_pb2.Filter(metadata=[search_pb2.MetadataCondition(**values)])


TEXT = types_pb2.MetadataValue(text="x")
BAD_ARGUMENTS = [
    (ask(query=""), "query", "'' has no visible character; 1 to 1000"),
    (ask(query=" \t\n"), "query", "no visible character"),
    (ask(query="\x00\u202e"), "query", "no visible character"),
    (ask(query="mug " * 25_000), "query", "has 100000 characters, at most 1000"),
    (ask(query="mug " * 90), "query", "has 92 tokens with start and end, at most 77"),
    (ask(query="", queries=["pan", "mug " * 90]), "queries[1]", "has 92 tokens"),
    (ask(queries=["pan"]), "queries", "give one of query and queries"),
    (ask(query="", queries=["pan", " "]), "queries[1]", "no visible character"),
    (ask(query="", queries=["pan"] * 65), "queries", "65 given, 1 to 64"),
    (ask(top_k=0), "top_k", "0 is not in 1..1000"),
    (ask(top_k=-1), "top_k", "-1 is not in 1..1000"),
    (ask(top_k=10**9), "top_k", "1000000000 is not in 1..1000"),
    (ask(query="", queries=["pan"] * 20, top_k=1000), "top_k", "above 10000 hits"),
    (ask(min_score=float("nan")), "min_score", "nan is not a number from -1 to 1"),
    (ask(min_score=float("inf")), "min_score", "inf"),
    (ask(min_score=-1.01), "min_score", "-1.01"),
    (ask(target=9), "target", "9 is not in 0..4"),
    (ask(target=-1), "target", "-1 is not in 0..4"),
    (ask(target=2, group_by_video=search_pb2.GroupByVideo()), "group_by_video", "video already"),
    (ask(group_by_video=search_pb2.GroupByVideo(max_hits_per_video=0)), "max_hits_per_video", "0 is not in 1..1000"),
    (ask(is_explained=True, top_k=101), "top_k", "above 100 explained hits"),
    (ask(filter=search_pb2.Filter(time=search_pb2.TimeRange(start_s=float("nan")))), "filter.time.start_s", "nan"),
    (ask(filter=search_pb2.Filter(time=search_pb2.TimeRange(end_s=-1))), "filter.time.end_s", "-1.0"),
    (ask(filter=search_pb2.Filter(time=search_pb2.TimeRange(start_s=5, end_s=5))), "filter.time.end_s", "not above"),
    (ask(filter=search_pb2.Filter(video_ids=["v"] * 10_001)), "filter.video_ids", "10001 given, at most 10000"),
    (ask(filter=condition(column="room")), "filter.metadata[0]", "exactly one of equals_any and range"),
    (ask(filter=condition(equals_any=[TEXT])), "filter.metadata[0].column", "must name a column"),
    (ask(filter=condition(column="take", range=search_pb2.NumberRange())), "filter.metadata[0].range", "finite"),
    (ask(filter=condition(column="take", range=search_pb2.NumberRange(min=2, max=1))), "filter.metadata[0].range", "2"),
    (ask(filter=condition(column="lens", equals_any=[TEXT])), "metadata.lens", "there are: room, take, tidy"),
]


@pytest.mark.parametrize(("message", "field", "text"), BAD_ARGUMENTS)
def test_bad_arguments_name_field_value_and_range(
    stub: Stub, message: search_pb2.SearchRequest, field: str, text: str
) -> None:
    code, details, named = refusal(stub, message)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert named == field
    assert details.startswith(f"{field}: ")
    assert text in details


def test_a_request_beyond_the_size_limit_is_refused(stub: Stub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Search(search_pb2.SearchRequest(query="mug " * 2_000_000))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_unknown_video_is_not_found(stub: Stub) -> None:
    code, details, _ = refusal(stub, ask(filter=search_pb2.Filter(video_ids=["video1", "video77"])))
    assert code is grpc.StatusCode.NOT_FOUND
    assert "'video77'" in details


def test_moments_are_unimplemented(stub: Stub) -> None:
    code, details, _ = refusal(stub, ask(target=search_pb2.TARGET_MOMENTS))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "moments are not supported by this version" in details


@pytest.mark.parametrize("query", ["mug \x00 pan", "🔪 onion", "סכין בצל", "a" * 1000])
def test_unusual_text_is_answered(stub: Stub, query: str) -> None:
    result = stub.Search(search_pb2.SearchRequest(query=query)).results[0]
    assert result.query == query
    assert len(result.hits) == 10


def test_unknown_fields_are_ignored(server: SearchServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(f"/{SERVICE}/Search")
        known = search_pb2.SearchRequest(query="mug").SerializeToString()
        field_number_900 = b"\xa2\x38\x03new"
        response = search_pb2.SearchResponse.FromString(call(known + field_number_900))
        assert len(response.results[0].hits) == 10
        with pytest.raises(grpc.RpcError):
            call(b"\xff\xff\xff")


def test_a_deadline_already_past_is_exceeded(client: HenasyClient) -> None:
    for timeout_s in (0.0, -1.0):
        with pytest.raises(DeadlinePassedError):
            client.search("mug", timeout_s=timeout_s)


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


def test_eight_callers_get_what_one_gets(client: HenasyClient) -> None:
    expected = [client.answer(request).results for request in REQUESTS]

    def all_answers(_: int) -> bool:
        return all(client.answer(request).results == answer for request, answer in zip(REQUESTS, expected, strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(all_answers, range(24)))


def test_client_maps_errors_back(client: HenasyClient) -> None:
    with pytest.raises(InputError, match=r"^metadata\.lens: no such column") as caught:
        client.search("mug", filters=Filters(equals={"lens": ("x",)}))
    assert caught.value.field == "metadata.lens"
    with pytest.raises(NotFoundError, match="video77"):
        client.explain("mug", "video77", 0.0)
    with pytest.raises(NotFoundError, match="the nearest starts at"):
        client.explain("mug", "video1", 0.5)
    with pytest.raises(InputError, match="slot: 9 is not in"):
        client.explain("mug", "video1", 0.0, slot=9)
    with pytest.raises(UnsupportedError, match="moments"):
        client.search("mug", target="moments")
    with pytest.raises(InputError, match="'cats' is none of clips"):
        client.search("mug", target="cats")
    with HenasyClient("127.0.0.1:1") as nowhere, pytest.raises(ServiceError) as away:
        nowhere.search("mug", timeout_s=2)
    assert away.value.code == "UNAVAILABLE"


def test_dual_index_refuses_entities(tmp_path: Path) -> None:
    with serving(tmp_path, kind="dual") as dual, HenasyClient(dual.address) as client:
        assert len(client.search("mug")) == 10
        assert client.index().kind == "dual"
        with pytest.raises(UnsupportedError, match="kind 'dual' and holds clips only"):
            client.search("mug", target="entities")
        with pytest.raises(UnsupportedError, match="Explain"):
            client.explain("mug", "video1", 0.0)


def test_health_checks_and_watches(tmp_path: Path) -> None:
    serving_, ending = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    with serving(tmp_path) as server, grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == serving_
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="other"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        # More watchers than threads: they must not keep calls from being answered.
        watches = [health.Watch(health_pb2.HealthCheckRequest(service=SERVICE)) for _ in range(12)]
        assert [next(watch).status for watch in watches] == [serving_] * 12
        with HenasyClient(server.address) as client:
            assert client.search("mug")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        watches.pop().cancel()
        for watch in watches:
            assert [response.status for response in watch] == [ending]
        stopping.join(4)
        assert not stopping.is_alive()


def test_watchers_that_leave_while_the_status_changes_hold_up_nothing(tmp_path: Path) -> None:
    for _ in range(5):
        with serving(tmp_path) as server, grpc.insecure_channel(server.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watches = [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(20)]
            assert all(next(watch) for watch in watches)
            stopping = threading.Thread(target=server.stop, daemon=True)
            stopping.start()
            for watch in watches:
                watch.cancel()
            stopping.join(10)
            assert not stopping.is_alive()


def test_watch_of_an_unknown_service_says_so(server: SearchServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="other"))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


def test_reflection_lists_and_describes_the_service(server: SearchServer) -> None:
    ask_list = reflection_pb2.ServerReflectionRequest(list_services="")
    ask_symbol = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    with grpc.insecure_channel(server.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        listed, described = stub.ServerReflectionInfo(iter([ask_list, ask_symbol]))
    assert SERVICE in {service.name for service in listed.list_services_response.service}
    assert search_pb2.DESCRIPTOR.serialized_pb in described.file_descriptor_response.file_descriptor_proto


def test_a_new_generation_is_taken_up(tmp_path: Path) -> None:
    write_index(tmp_path, num_videos=2)
    live_root = tmp_path
    with _serving_as_it_is(live_root) as server, HenasyClient(server.address) as client:
        assert client.index().num_videos == 2
        write_index(tmp_path, num_videos=4)
        deadline = time.monotonic() + 10
        while client.index().generation == 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert client.index().num_videos == 4
        assert client.answer(SearchRequest(queries=("mug",))).generation == 2


def test_a_damaged_generation_is_not_taken_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_index(tmp_path, num_videos=2)
    with _serving_as_it_is(tmp_path) as server, HenasyClient(server.address) as client:
        (path / "CURRENT").write_text("7\n")
        time.sleep(0.5)
        assert client.search("mug")
        assert client.index().generation == 1
    assert caplog.text.count("goes on answering") == 1


def _serving_as_it_is(root: Path) -> SearchServer:
    from henasy.index.reader import Index
    from service.live import LiveEngine
    from service.server import ServerConfig

    live = LiveEngine(Index.open(root / "index"), WordEncoder())  # type: ignore[arg-type]
    return SearchServer(live, ServerConfig(port=0, reload_s=0.05, grace_s=5.0))
