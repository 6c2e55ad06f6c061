"""Messages that ask, and the checked requests in them."""

from typing import NamedTuple

from henasy_api.v1 import search_pb2

from henasy.index.select import Filters
from henasy.index.videos import MetadataValue
from henasy.search.request import DEFAULT_HITS_PER_VIDEO, DEFAULT_TOP_K, SearchRequest
from henasy.text.wording import Wording
from service.validation import (
    TARGETS,
    WORDINGS,
    check_condition,
    check_filter_sizes,
    check_time_range,
    queries_of,
    target_of,
    wording_of,
)
from service.wire.hits import value_from_proto, value_to_proto


class ExplainArguments(NamedTuple):
    """What `Engine.explain` is called with."""

    query: str
    video_id: str
    start_s: float
    slot: int | None
    wording: Wording | None


def request_from_proto(message: search_pb2.SearchRequest) -> SearchRequest:
    """A request with every value checked.

    Raises:
        InputError: a value is not allowed; names the contract's field.
    """
    per_video = None
    if message.HasField("group_by_video"):
        group = message.group_by_video
        per_video = group.max_hits_per_video if group.HasField("max_hits_per_video") else DEFAULT_HITS_PER_VIDEO
    return SearchRequest(
        queries=queries_of(message.query, message.queries),
        target=target_of(message.target),
        top_k=message.top_k if message.HasField("top_k") else DEFAULT_TOP_K,
        min_score=message.min_score if message.HasField("min_score") else None,
        filters=_filters_from_proto(message.filter),
        max_hits_per_video=per_video,
        is_explained=message.is_explained,
        has_overlapping=message.has_overlapping,
        wording=wording_of(message.wording),
    )


def request_to_proto(request: SearchRequest) -> search_pb2.SearchRequest:
    """The message that asks for a request."""
    message = search_pb2.SearchRequest(
        target=len(TARGETS) - 1 - TARGETS[::-1].index(request.target),
        top_k=request.top_k,
        min_score=request.min_score,
        filter=_filters_to_proto(request.filters),
        is_explained=request.is_explained,
        has_overlapping=request.has_overlapping,
        wording=WORDINGS.index(request.wording),
    )
    if len(request.queries) == 1:
        message.query = request.queries[0]
    else:
        message.queries.extend(request.queries)
    if request.max_hits_per_video is not None:
        message.group_by_video.max_hits_per_video = request.max_hits_per_video
    return message


def _filters_from_proto(message: search_pb2.Filter) -> Filters:
    check_filter_sizes(
        len(message.video_ids), len(message.path_globs), [condition.column for condition in message.metadata]
    )
    start_s, end_s = _bounds(message.time, "start_s", "end_s")
    check_time_range(start_s, end_s)
    equals: dict[str, tuple[MetadataValue, ...]] = {}
    ranges: dict[str, tuple[float | None, float | None]] = {}
    for row, condition in enumerate(message.metadata):
        bounds = _bounds(condition.range, "min", "max") if condition.HasField("range") else None
        check_condition(row, len(condition.equals_any), bounds)
        if bounds is None:
            equals[condition.column] = tuple(value_from_proto(value) for value in condition.equals_any)
        else:
            ranges[condition.column] = bounds
    return Filters(
        video_ids=tuple(message.video_ids),
        path_globs=tuple(message.path_globs),
        start_s=start_s,
        end_s=end_s,
        equals=equals,
        ranges=ranges,
    )


def _bounds(
    message: search_pb2.TimeRange | search_pb2.NumberRange, low: str, high: str
) -> tuple[float | None, float | None]:
    lowest, highest = (getattr(message, name) if message.HasField(name) else None for name in (low, high))
    return lowest, highest


def _filters_to_proto(filters: Filters) -> search_pb2.Filter:
    conditions = [
        search_pb2.MetadataCondition(column=column, equals_any=[value_to_proto(value) for value in values])
        for column, values in filters.equals.items()
    ]
    conditions += [
        search_pb2.MetadataCondition(column=column, range=search_pb2.NumberRange(min=low, max=high))
        for column, (low, high) in filters.ranges.items()
    ]
    return search_pb2.Filter(
        video_ids=filters.video_ids,
        path_globs=filters.path_globs,
        time=search_pb2.TimeRange(start_s=filters.start_s, end_s=filters.end_s),
        metadata=conditions,
    )


def explain_from_proto(message: search_pb2.ExplainRequest) -> ExplainArguments:
    """The arguments of an explanation; the engine checks them."""
    slot = message.slot if message.HasField("slot") else None
    return ExplainArguments(message.query, message.video_id, message.start_s, slot, wording_of(message.wording))


def explain_to_proto(arguments: ExplainArguments) -> search_pb2.ExplainRequest:
    """The message that asks for an explanation."""
    return search_pb2.ExplainRequest(
        query=arguments.query,
        video_id=arguments.video_id,
        start_s=arguments.start_s,
        slot=arguments.slot,
        wording=WORDINGS.index(arguments.wording),
    )
