from henasy_api.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Target(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TARGET_UNSPECIFIED: _ClassVar[Target]
    TARGET_CLIPS: _ClassVar[Target]
    TARGET_VIDEOS: _ClassVar[Target]
    TARGET_MOMENTS: _ClassVar[Target]
    TARGET_ENTITIES: _ClassVar[Target]

class Wording(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORDING_UNSPECIFIED: _ClassVar[Wording]
    WORDING_BARE: _ClassVar[Wording]
    WORDING_NARRATION: _ClassVar[Wording]
    WORDING_BOTH: _ClassVar[Wording]
TARGET_UNSPECIFIED: Target
TARGET_CLIPS: Target
TARGET_VIDEOS: Target
TARGET_MOMENTS: Target
TARGET_ENTITIES: Target
WORDING_UNSPECIFIED: Wording
WORDING_BARE: Wording
WORDING_NARRATION: Wording
WORDING_BOTH: Wording

class SearchRequest(_message.Message):
    __slots__ = ("query", "queries", "target", "top_k", "min_score", "filter", "group_by_video", "is_explained", "has_overlapping", "wording")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_VIDEO_FIELD_NUMBER: _ClassVar[int]
    IS_EXPLAINED_FIELD_NUMBER: _ClassVar[int]
    HAS_OVERLAPPING_FIELD_NUMBER: _ClassVar[int]
    WORDING_FIELD_NUMBER: _ClassVar[int]
    query: str
    queries: _containers.RepeatedScalarFieldContainer[str]
    target: Target
    top_k: int
    min_score: float
    filter: Filter
    group_by_video: GroupByVideo
    is_explained: bool
    has_overlapping: bool
    wording: Wording
    def __init__(self, query: _Optional[str] = ..., queries: _Optional[_Iterable[str]] = ..., target: _Optional[_Union[Target, str]] = ..., top_k: _Optional[int] = ..., min_score: _Optional[float] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., group_by_video: _Optional[_Union[GroupByVideo, _Mapping]] = ..., is_explained: bool = ..., has_overlapping: bool = ..., wording: _Optional[_Union[Wording, str]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("video_ids", "path_globs", "time", "metadata")
    VIDEO_IDS_FIELD_NUMBER: _ClassVar[int]
    PATH_GLOBS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    video_ids: _containers.RepeatedScalarFieldContainer[str]
    path_globs: _containers.RepeatedScalarFieldContainer[str]
    time: TimeRange
    metadata: _containers.RepeatedCompositeFieldContainer[MetadataCondition]
    def __init__(self, video_ids: _Optional[_Iterable[str]] = ..., path_globs: _Optional[_Iterable[str]] = ..., time: _Optional[_Union[TimeRange, _Mapping]] = ..., metadata: _Optional[_Iterable[_Union[MetadataCondition, _Mapping]]] = ...) -> None: ...

class TimeRange(_message.Message):
    __slots__ = ("start_s", "end_s")
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    start_s: float
    end_s: float
    def __init__(self, start_s: _Optional[float] = ..., end_s: _Optional[float] = ...) -> None: ...

class MetadataCondition(_message.Message):
    __slots__ = ("column", "equals_any", "range")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    EQUALS_ANY_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    column: str
    equals_any: _containers.RepeatedCompositeFieldContainer[_types_pb2.MetadataValue]
    range: NumberRange
    def __init__(self, column: _Optional[str] = ..., equals_any: _Optional[_Iterable[_Union[_types_pb2.MetadataValue, _Mapping]]] = ..., range: _Optional[_Union[NumberRange, _Mapping]] = ...) -> None: ...

class NumberRange(_message.Message):
    __slots__ = ("min", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: float
    max: float
    def __init__(self, min: _Optional[float] = ..., max: _Optional[float] = ...) -> None: ...

class GroupByVideo(_message.Message):
    __slots__ = ("max_hits_per_video",)
    MAX_HITS_PER_VIDEO_FIELD_NUMBER: _ClassVar[int]
    max_hits_per_video: int
    def __init__(self, max_hits_per_video: _Optional[int] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("results", "generation", "timing")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[QueryResult]
    generation: int
    timing: Timing
    def __init__(self, results: _Optional[_Iterable[_Union[QueryResult, _Mapping]]] = ..., generation: _Optional[int] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ...) -> None: ...

class QueryResult(_message.Message):
    __slots__ = ("query", "hits")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    query: str
    hits: _containers.RepeatedCompositeFieldContainer[_types_pb2.Hit]
    def __init__(self, query: _Optional[str] = ..., hits: _Optional[_Iterable[_Union[_types_pb2.Hit, _Mapping]]] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("encode_ms", "nearest_ms", "total_ms")
    ENCODE_MS_FIELD_NUMBER: _ClassVar[int]
    NEAREST_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    encode_ms: float
    nearest_ms: float
    total_ms: float
    def __init__(self, encode_ms: _Optional[float] = ..., nearest_ms: _Optional[float] = ..., total_ms: _Optional[float] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("query", "video_id", "start_s", "slot", "wording")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    VIDEO_ID_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    WORDING_FIELD_NUMBER: _ClassVar[int]
    query: str
    video_id: str
    start_s: float
    slot: int
    wording: Wording
    def __init__(self, query: _Optional[str] = ..., video_id: _Optional[str] = ..., start_s: _Optional[float] = ..., slot: _Optional[int] = ..., wording: _Optional[_Union[Wording, str]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("video", "span", "explanation", "saliency", "is_soft", "unavailable_reason", "generation")
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    SALIENCY_FIELD_NUMBER: _ClassVar[int]
    IS_SOFT_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_REASON_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    video: _types_pb2.Video
    span: _types_pb2.Span
    explanation: _types_pb2.Explanation
    saliency: _containers.RepeatedCompositeFieldContainer[_types_pb2.Saliency]
    is_soft: bool
    unavailable_reason: str
    generation: int
    def __init__(self, video: _Optional[_Union[_types_pb2.Video, _Mapping]] = ..., span: _Optional[_Union[_types_pb2.Span, _Mapping]] = ..., explanation: _Optional[_Union[_types_pb2.Explanation, _Mapping]] = ..., saliency: _Optional[_Iterable[_Union[_types_pb2.Saliency, _Mapping]]] = ..., is_soft: bool = ..., unavailable_reason: _Optional[str] = ..., generation: _Optional[int] = ...) -> None: ...

class GetIndexRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetIndexResponse(_message.Message):
    __slots__ = ("generation", "kind", "model", "space_id", "plan", "num_videos", "num_offline", "num_clips", "num_entities", "hours", "num_refused", "width", "metadata_columns", "version")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    NUM_VIDEOS_FIELD_NUMBER: _ClassVar[int]
    NUM_OFFLINE_FIELD_NUMBER: _ClassVar[int]
    NUM_CLIPS_FIELD_NUMBER: _ClassVar[int]
    NUM_ENTITIES_FIELD_NUMBER: _ClassVar[int]
    HOURS_FIELD_NUMBER: _ClassVar[int]
    NUM_REFUSED_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    METADATA_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    generation: int
    kind: str
    model: str
    space_id: str
    plan: ClipPlan
    num_videos: int
    num_offline: int
    num_clips: int
    num_entities: int
    hours: float
    num_refused: int
    width: int
    metadata_columns: _containers.RepeatedScalarFieldContainer[str]
    version: str
    def __init__(self, generation: _Optional[int] = ..., kind: _Optional[str] = ..., model: _Optional[str] = ..., space_id: _Optional[str] = ..., plan: _Optional[_Union[ClipPlan, _Mapping]] = ..., num_videos: _Optional[int] = ..., num_offline: _Optional[int] = ..., num_clips: _Optional[int] = ..., num_entities: _Optional[int] = ..., hours: _Optional[float] = ..., num_refused: _Optional[int] = ..., width: _Optional[int] = ..., metadata_columns: _Optional[_Iterable[str]] = ..., version: _Optional[str] = ...) -> None: ...

class ClipPlan(_message.Message):
    __slots__ = ("plan_id", "clip_s", "stride_s", "num_frames")
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    CLIP_S_FIELD_NUMBER: _ClassVar[int]
    STRIDE_S_FIELD_NUMBER: _ClassVar[int]
    NUM_FRAMES_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    clip_s: float
    stride_s: float
    num_frames: int
    def __init__(self, plan_id: _Optional[str] = ..., clip_s: _Optional[float] = ..., stride_s: _Optional[float] = ..., num_frames: _Optional[int] = ...) -> None: ...
