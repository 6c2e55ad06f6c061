"""Answers over real gRPC on a free port, against the engine that the service stands on."""

from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from henasy_api.v1 import search_pb2, search_pb2_grpc

from henasy.index.select import Filters
from henasy.search.engine import Engine
from henasy.search.info import describe
from henasy.search.request import SearchRequest, Target
from henasy.text.wording import Wording
from service.client import HenasyClient
from service.server import SERVICE, SearchServer

Stub = search_pb2_grpc.HenasySearchStub


REQUESTS = (
    SearchRequest(queries=("open drawer",)),
    SearchRequest(queries=("mug", "a knife 🔪"), target=Target.ENTITIES, top_k=3, is_explained=True),
    SearchRequest(queries=("hand",), target=Target.VIDEOS, min_score=-0.5),
    SearchRequest(queries=("hand",), max_hits_per_video=2, top_k=7),
    SearchRequest(queries=("open drawer", "mug"), target=Target.MOMENTS, top_k=5, is_explained=True),
    SearchRequest(
        queries=("hand",), target=Target.MOMENTS, max_hits_per_video=2, filters=Filters(video_ids=("video1", "video2"))
    ),
    SearchRequest(queries=("pan",), target=Target.ENTITIES, has_overlapping=True, top_k=50),
    SearchRequest(queries=("open the drawer", "mug"), wording=Wording.BARE),
    SearchRequest(queries=("open the drawer", "mug"), wording=Wording.BOTH),
    SearchRequest(queries=("open the drawer",), target=Target.ENTITIES, wording=Wording.NARRATION),
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


def test_a_clip_of_a_moment_can_be_explained(client: HenasyClient) -> None:
    for hit in client.search("open drawer", target="moments", top_k=3):
        assert hit.clips
        for clip in hit.clips:
            evidence = client.explain("open drawer", hit.video.video_id, clip.span.start_s)
            assert evidence.span == clip.span
            assert evidence.explanation.clip_score == pytest.approx(clip.score, abs=1e-6)


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


def test_eight_callers_get_what_one_gets(client: HenasyClient) -> None:
    expected = [client.answer(request).results for request in REQUESTS]

    def all_answers(_: int) -> bool:
        return all(client.answer(request).results == answer for request, answer in zip(REQUESTS, expected, strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(all_answers, range(24)))
