"""Messages that answer."""

from henasy_api.v1 import search_pb2, types_pb2

from henasy.search.hits import Evidence, QueryResult, SearchAnswer, Span, Timing
from henasy.search.info import IndexInfo
from henasy.video.plan import ClipPlan
from service.wire.hits import (
    explanation_from_proto,
    explanation_to_proto,
    hit_from_proto,
    hit_to_proto,
    saliency_from_proto,
    saliency_to_proto,
    video_from_proto,
    video_to_proto,
)


def answer_to_proto(answer: SearchAnswer) -> search_pb2.SearchResponse:
    """The message of an answer."""
    timing = answer.timing
    return search_pb2.SearchResponse(
        results=[
            search_pb2.QueryResult(query=result.query, hits=[hit_to_proto(hit) for hit in result.hits])
            for result in answer.results
        ],
        generation=answer.generation,
        timing=search_pb2.Timing(encode_ms=timing.encode_ms, nearest_ms=timing.nearest_ms, total_ms=timing.total_ms),
    )


def answer_from_proto(message: search_pb2.SearchResponse) -> SearchAnswer:
    """The answer in a message."""
    timing = message.timing
    return SearchAnswer(
        results=tuple(
            QueryResult(query=result.query, hits=tuple(hit_from_proto(hit) for hit in result.hits))
            for result in message.results
        ),
        generation=message.generation,
        timing=Timing(encode_ms=timing.encode_ms, nearest_ms=timing.nearest_ms, total_ms=timing.total_ms),
    )


def evidence_to_proto(evidence: Evidence) -> search_pb2.ExplainResponse:
    """The message of an explanation."""
    return search_pb2.ExplainResponse(
        video=video_to_proto(evidence.video),
        span=types_pb2.Span(**evidence.span._asdict()),
        explanation=explanation_to_proto(evidence.explanation),
        saliency=[saliency_to_proto(saliency) for saliency in evidence.saliency],
        is_soft=evidence.is_soft,
        unavailable_reason=evidence.unavailable_reason,
        generation=evidence.generation,
    )


def evidence_from_proto(message: search_pb2.ExplainResponse) -> Evidence:
    """The explanation in a message."""
    return Evidence(
        video=video_from_proto(message.video),
        span=Span(message.span.start_s, message.span.end_s),
        explanation=explanation_from_proto(message.explanation),
        saliency=tuple(saliency_from_proto(saliency) for saliency in message.saliency),
        is_soft=message.is_soft,
        unavailable_reason=message.unavailable_reason,
        generation=message.generation,
    )


def info_to_proto(info: IndexInfo, version: str) -> search_pb2.GetIndexResponse:
    """The message that describes an index; `version` is the server's."""
    plan = search_pb2.ClipPlan(
        plan_id=info.plan.plan_id,
        clip_s=info.plan.clip_s,
        stride_s=info.plan.stride_s,
        num_frames=info.plan.num_frames,
    )
    return search_pb2.GetIndexResponse(
        generation=info.generation,
        kind=info.kind,
        model=info.model,
        space_id=info.space_id,
        plan=plan,
        num_videos=info.num_videos,
        num_offline=info.num_offline,
        num_clips=info.num_clips,
        num_entities=info.num_entities,
        hours=info.hours,
        num_refused=info.num_refused,
        width=info.width,
        metadata_columns=info.metadata_columns,
        version=version,
    )


def info_from_proto(message: search_pb2.GetIndexResponse) -> IndexInfo:
    """The description of an index in a message."""
    plan = message.plan
    return IndexInfo(
        generation=message.generation,
        kind=message.kind,
        model=message.model,
        space_id=message.space_id,
        plan=ClipPlan(clip_s=plan.clip_s, stride_s=plan.stride_s, num_frames=plan.num_frames),
        num_videos=message.num_videos,
        num_offline=message.num_offline,
        num_clips=message.num_clips,
        num_entities=message.num_entities,
        hours=message.hours,
        num_refused=message.num_refused,
        width=message.width,
        metadata_columns=tuple(message.metadata_columns),
    )
