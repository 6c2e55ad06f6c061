"""Messages of hits and of the evidence in them."""

from collections.abc import Mapping

import numpy as np
from henasy_api.v1 import types_pb2

from henasy.index.videos import MetadataValue
from henasy.search.hits import (
    Box,
    ClipScore,
    Entity,
    Explanation,
    Hit,
    Mask,
    PhraseKind,
    PhraseMatch,
    Region,
    Saliency,
    Span,
    VideoRef,
)

_KIND_NUMBERS = {
    PhraseKind.NOUN: types_pb2.PHRASE_KIND_NOUN,
    PhraseKind.VERB: types_pb2.PHRASE_KIND_VERB,
}
_KINDS = {number: kind for kind, number in _KIND_NUMBERS.items()}


def hit_to_proto(hit: Hit) -> types_pb2.Hit:
    """The message of a hit."""
    return types_pb2.Hit(
        rank=hit.rank,
        score=hit.score,
        video=video_to_proto(hit.video),
        span=types_pb2.Span(**hit.span._asdict()),
        entity=None if hit.entity is None else entity_to_proto(hit.entity),
        explanation=None if hit.explanation is None else explanation_to_proto(hit.explanation),
        clips=[types_pb2.ClipScore(span=types_pb2.Span(**clip.span._asdict()), score=clip.score) for clip in hit.clips],
    )


def hit_from_proto(message: types_pb2.Hit) -> Hit:
    """The hit in a message."""
    return Hit(
        rank=message.rank,
        score=message.score,
        video=video_from_proto(message.video),
        span=Span(message.span.start_s, message.span.end_s),
        entity=entity_from_proto(message.entity) if message.HasField("entity") else None,
        explanation=explanation_from_proto(message.explanation) if message.HasField("explanation") else None,
        clips=tuple(
            ClipScore(span=Span(clip.span.start_s, clip.span.end_s), score=clip.score) for clip in message.clips
        ),
    )


def video_to_proto(video: VideoRef) -> types_pb2.Video:
    """The message of a video."""
    return types_pb2.Video(
        video_id=video.video_id,
        path=video.path,
        file=video.file,
        duration_s=video.duration_s,
        width_px=video.width_px,
        height_px=video.height_px,
        is_online=video.is_online,
        metadata={column: value_to_proto(value) for column, value in video.metadata.items()},
    )


def video_from_proto(message: types_pb2.Video) -> VideoRef:
    """The video in a message."""
    metadata: Mapping[str, MetadataValue] = {
        column: value_from_proto(value) for column, value in message.metadata.items()
    }
    return VideoRef(
        video_id=message.video_id,
        path=message.path,
        file=message.file,
        duration_s=message.duration_s,
        width_px=message.width_px,
        height_px=message.height_px,
        is_online=message.is_online,
        metadata=metadata,
    )


def value_to_proto(value: MetadataValue) -> types_pb2.MetadataValue:
    """The message of a metadata value; unset for None."""
    # bool first: it is an int for Python.
    if isinstance(value, bool):
        return types_pb2.MetadataValue(boolean=value)
    if isinstance(value, int):
        return types_pb2.MetadataValue(integer=value)
    if isinstance(value, float):
        return types_pb2.MetadataValue(number=value)
    return types_pb2.MetadataValue(text=value)


def value_from_proto(message: types_pb2.MetadataValue) -> MetadataValue:
    """The metadata value in a message; None when it is unset."""
    kind = message.WhichOneof("value")
    if kind is None:
        return None
    value: MetadataValue = getattr(message, kind)
    return value


def entity_to_proto(entity: Entity) -> types_pb2.Entity:
    """The message of an entity."""
    return types_pb2.Entity(
        slot=entity.slot,
        score=entity.score,
        patch_share=entity.patch_share,
        regions=[
            types_pb2.Region(
                time_s=region.time_s,
                box=None if region.box is None else types_pb2.Box(**region.box._asdict()),
                mask=None if region.mask is None else types_pb2.Mask(**region.mask._asdict()),
            )
            for region in entity.regions
        ],
    )


def entity_from_proto(message: types_pb2.Entity) -> Entity:
    """The entity in a message."""
    return Entity(
        slot=message.slot,
        score=message.score,
        patch_share=message.patch_share,
        regions=tuple(_region_from_proto(region) for region in message.regions),
    )


def _region_from_proto(message: types_pb2.Region) -> Region:
    mask = message.mask
    return Region(
        time_s=message.time_s,
        box=_box_from_proto(message.box) if message.HasField("box") else None,
        mask=Mask(mask.height_px, mask.width_px, mask.counts) if message.HasField("mask") else None,
    )


def _box_from_proto(message: types_pb2.Box) -> Box:
    return Box(message.left_px, message.top_px, message.right_px, message.bottom_px)


def explanation_to_proto(explanation: Explanation) -> types_pb2.Explanation:
    """The message of an explanation."""
    return types_pb2.Explanation(
        clip_score=explanation.clip_score,
        phrases=[
            types_pb2.PhraseMatch(
                phrase=match.phrase,
                kind=_KIND_NUMBERS[match.kind],
                start_char=match.start_char,
                end_char=match.end_char,
                slot=match.slot,
                score=match.score,
            )
            for match in explanation.phrases
        ],
        entities=[entity_to_proto(entity) for entity in explanation.entities],
    )


def explanation_from_proto(message: types_pb2.Explanation) -> Explanation:
    """The explanation in a message."""
    phrases = (
        PhraseMatch(
            phrase=match.phrase,
            kind=_KINDS[match.kind],
            start_char=match.start_char,
            end_char=match.end_char,
            slot=match.slot,
            score=match.score,
        )
        for match in message.phrases
    )
    return Explanation(
        clip_score=message.clip_score,
        phrases=tuple(phrases),
        entities=tuple(entity_from_proto(entity) for entity in message.entities),
    )


def saliency_to_proto(saliency: Saliency) -> types_pb2.Saliency:
    """The message of a saliency map."""
    _, rows, columns = saliency.values.shape
    return types_pb2.Saliency(
        slot=saliency.slot,
        grid_rows=rows,
        grid_columns=columns,
        crop=types_pb2.Box(**saliency.crop._asdict()),
        frames=[
            types_pb2.SaliencyFrame(time_s=time_s, values=values.tobytes())
            for time_s, values in zip(saliency.times_s, saliency.values, strict=True)
        ],
    )


def saliency_from_proto(message: types_pb2.Saliency) -> Saliency:
    """The saliency map in a message."""
    values = np.frombuffer(b"".join(frame.values for frame in message.frames), np.uint8)
    return Saliency(
        slot=message.slot,
        crop=_box_from_proto(message.crop),
        times_s=tuple(frame.time_s for frame in message.frames),
        values=values.reshape(len(message.frames), message.grid_rows, message.grid_columns),
    )
