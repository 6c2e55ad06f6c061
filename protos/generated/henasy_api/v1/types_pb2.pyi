from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PhraseKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHRASE_KIND_UNSPECIFIED: _ClassVar[PhraseKind]
    PHRASE_KIND_NOUN: _ClassVar[PhraseKind]
    PHRASE_KIND_VERB: _ClassVar[PhraseKind]
PHRASE_KIND_UNSPECIFIED: PhraseKind
PHRASE_KIND_NOUN: PhraseKind
PHRASE_KIND_VERB: PhraseKind

class Span(_message.Message):
    __slots__ = ("start_s", "end_s")
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    start_s: float
    end_s: float
    def __init__(self, start_s: _Optional[float] = ..., end_s: _Optional[float] = ...) -> None: ...

class MetadataValue(_message.Message):
    __slots__ = ("text", "number", "integer", "boolean")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    BOOLEAN_FIELD_NUMBER: _ClassVar[int]
    text: str
    number: float
    integer: int
    boolean: bool
    def __init__(self, text: _Optional[str] = ..., number: _Optional[float] = ..., integer: _Optional[int] = ..., boolean: bool = ...) -> None: ...

class Video(_message.Message):
    __slots__ = ("video_id", "path", "duration_s", "width_px", "height_px", "is_online", "metadata", "file")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[MetadataValue, _Mapping]] = ...) -> None: ...
    VIDEO_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    IS_ONLINE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    video_id: str
    path: str
    duration_s: float
    width_px: int
    height_px: int
    is_online: bool
    metadata: _containers.MessageMap[str, MetadataValue]
    file: str
    def __init__(self, video_id: _Optional[str] = ..., path: _Optional[str] = ..., duration_s: _Optional[float] = ..., width_px: _Optional[int] = ..., height_px: _Optional[int] = ..., is_online: bool = ..., metadata: _Optional[_Mapping[str, MetadataValue]] = ..., file: _Optional[str] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("left_px", "top_px", "right_px", "bottom_px")
    LEFT_PX_FIELD_NUMBER: _ClassVar[int]
    TOP_PX_FIELD_NUMBER: _ClassVar[int]
    RIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_PX_FIELD_NUMBER: _ClassVar[int]
    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    def __init__(self, left_px: _Optional[float] = ..., top_px: _Optional[float] = ..., right_px: _Optional[float] = ..., bottom_px: _Optional[float] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("height_px", "width_px", "counts")
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    height_px: int
    width_px: int
    counts: str
    def __init__(self, height_px: _Optional[int] = ..., width_px: _Optional[int] = ..., counts: _Optional[str] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("time_s", "box", "mask")
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    time_s: float
    box: Box
    mask: Mask
    def __init__(self, time_s: _Optional[float] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., mask: _Optional[_Union[Mask, _Mapping]] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("slot", "score", "patch_share", "regions")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PATCH_SHARE_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    slot: int
    score: float
    patch_share: float
    regions: _containers.RepeatedCompositeFieldContainer[Region]
    def __init__(self, slot: _Optional[int] = ..., score: _Optional[float] = ..., patch_share: _Optional[float] = ..., regions: _Optional[_Iterable[_Union[Region, _Mapping]]] = ...) -> None: ...

class PhraseMatch(_message.Message):
    __slots__ = ("phrase", "kind", "start_char", "end_char", "slot", "score")
    PHRASE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    START_CHAR_FIELD_NUMBER: _ClassVar[int]
    END_CHAR_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    phrase: str
    kind: PhraseKind
    start_char: int
    end_char: int
    slot: int
    score: float
    def __init__(self, phrase: _Optional[str] = ..., kind: _Optional[_Union[PhraseKind, str]] = ..., start_char: _Optional[int] = ..., end_char: _Optional[int] = ..., slot: _Optional[int] = ..., score: _Optional[float] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("clip_score", "phrases", "entities")
    CLIP_SCORE_FIELD_NUMBER: _ClassVar[int]
    PHRASES_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    clip_score: float
    phrases: _containers.RepeatedCompositeFieldContainer[PhraseMatch]
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    def __init__(self, clip_score: _Optional[float] = ..., phrases: _Optional[_Iterable[_Union[PhraseMatch, _Mapping]]] = ..., entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ...) -> None: ...

class Saliency(_message.Message):
    __slots__ = ("slot", "grid_rows", "grid_columns", "crop", "frames")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    GRID_ROWS_FIELD_NUMBER: _ClassVar[int]
    GRID_COLUMNS_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    slot: int
    grid_rows: int
    grid_columns: int
    crop: Box
    frames: _containers.RepeatedCompositeFieldContainer[SaliencyFrame]
    def __init__(self, slot: _Optional[int] = ..., grid_rows: _Optional[int] = ..., grid_columns: _Optional[int] = ..., crop: _Optional[_Union[Box, _Mapping]] = ..., frames: _Optional[_Iterable[_Union[SaliencyFrame, _Mapping]]] = ...) -> None: ...

class SaliencyFrame(_message.Message):
    __slots__ = ("time_s", "values")
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    time_s: float
    values: bytes
    def __init__(self, time_s: _Optional[float] = ..., values: _Optional[bytes] = ...) -> None: ...

class ClipScore(_message.Message):
    __slots__ = ("span", "score")
    SPAN_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    span: Span
    score: float
    def __init__(self, span: _Optional[_Union[Span, _Mapping]] = ..., score: _Optional[float] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("rank", "score", "video", "span", "entity", "explanation", "clips")
    RANK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    CLIPS_FIELD_NUMBER: _ClassVar[int]
    rank: int
    score: float
    video: Video
    span: Span
    entity: Entity
    explanation: Explanation
    clips: _containers.RepeatedCompositeFieldContainer[ClipScore]
    def __init__(self, rank: _Optional[int] = ..., score: _Optional[float] = ..., video: _Optional[_Union[Video, _Mapping]] = ..., span: _Optional[_Union[Span, _Mapping]] = ..., entity: _Optional[_Union[Entity, _Mapping]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ..., clips: _Optional[_Iterable[_Union[ClipScore, _Mapping]]] = ...) -> None: ...
