"""Bad requests over real gRPC: which status, which field, and which error in Python."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from henasy_api.v1 import search_pb2, search_pb2_grpc, types_pb2
from world import serving

from henasy.errors import InputError, NotFoundError, UnsupportedError
from henasy.index.select import Filters
from service.client import HenasyClient
from service.status import ServiceError

Stub = search_pb2_grpc.HenasySearchStub


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
    (ask(wording=4), "wording", "4 is not in 0..3"),
    (ask(target=2, group_by_video=search_pb2.GroupByVideo()), "group_by_video", "video already"),
    (ask(group_by_video=search_pb2.GroupByVideo(max_hits_per_video=0)), "max_hits_per_video", "0 is not in 1..1000"),
    (ask(has_overlapping=True), "has_overlapping", "is for target entities, not for clips"),
    (ask(target=3, has_overlapping=True), "has_overlapping", "moments never overlap"),
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
    with pytest.raises(InputError, match="'cats' is none of clips"):
        client.search("mug", target="cats")
    with pytest.raises(InputError, match="wording: 'loud' is none of bare, narration, both"):
        client.search("mug", wording="loud")
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.search(b"pan"), "query: bytes given, must be a text"),
        (lambda client: client.search("pan", top_k=True), "top_k: True is not a whole number"),
        (lambda client: client.search("pan", top_k="5"), "top_k: '5' is not a whole number"),
        (lambda client: client.search("pan", target="frames"), "target: 'frames' is none of"),
        (lambda client: client.search("pan", wording="loud"), "wording: 'loud' is none of"),
        (lambda client: client.search("pan", timeout_s="3"), "timeout_s: '3' is not a number of seconds"),
        (lambda client: client.search("pan", timeout_s=float("nan")), "timeout_s: nan is not a number"),
        (lambda client: client.explain(b"pan", "video0", 0.0), "query: bytes given"),
        (lambda client: client.explain("pan", 3, 0.0), "video_id: 3 is not a text"),
        (lambda client: client.explain("pan", "video0", "0"), "start_s: '0' is not a number of seconds"),
        (lambda client: client.explain("pan", "video0", 0.0, slot="1"), "slot: '1' is not a whole number"),
        (lambda client: client.explain("pan", "video0", 0.0, slot=-1), "slot: -1 is not at least 0"),
    ],
)
def test_the_client_names_what_it_cannot_send(client: HenasyClient, call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(client)


def test_the_client_sends_numpys_whole_numbers(client: HenasyClient) -> None:
    assert client.search("pan", top_k=np.int64(3)) == client.search("pan", top_k=3)  # type: ignore[arg-type]
