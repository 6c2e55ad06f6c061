"""How well an encoder's entities cover what hand-made masks show in real videos.

A picture is looked at as the clip around it: T frames at the project's own spacing, the annotated one in their middle.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.errors import InputError, VideoError
from henasy.evaluation.annotations.mask_annotations import MaskAnnotation
from henasy.evaluation.encoding.encoded_entities import EncodedEntities
from henasy.evaluation.encoding.frame_rules import FramePlace, FrameSelector, Span
from henasy.evaluation.metrics.entity_overlap import OverlapMeasure
from henasy.evaluation.metrics.grounding import GroundedThing, grounded
from henasy.evaluation.pages.grounding_views import GroundedView
from henasy.video.plan import ClipPlan
from henasy.video.probe import VideoInfo, probe
from henasy.video.video_files import VideoFiles

_SAME_SHAPE = 0.02
"""By how much the aspect ratios of mask and picture may differ, as a share."""


class AnnotatedOverlaps(NamedTuple):
    """What could be measured, and what not."""

    things: dict[str, list[GroundedThing]]
    """By kind, `noun` and `phrase`."""
    views: dict[str, list[GroundedView]]
    """The same things as a report shows them."""
    num_unseen: int
    """Masks of which the model's crop shows nothing."""
    num_refused: int
    """Masks of pictures that cannot be read."""


def annotated_overlaps(
    encoder: Encoder, masks: Sequence[MaskAnnotation], spans: Sequence[Span], encoded: EncodedEntities
) -> AnnotatedOverlaps:
    """The overlaps with every mask whose picture was encoded.

    Args:
        encoder: what encoded.
        masks: hand-made.
        spans: the clip around each distinct picture, in the order in which they were encoded.
        encoded: their entities, and the texts of all masks.
    """
    clip_of = dict(zip(spans, encoded.clips, strict=True))
    measure_of = cache(lambda size: OverlapMeasure(encoder.spec, encoder.grid, size))
    middle = np.array([encoder.num_frames // 2])
    things: dict[str, list[GroundedThing]] = {kind: [] for kind in dict.fromkeys(mask.kind for mask in masks)}
    views: dict[str, list[GroundedView]] = {kind: [] for kind in things}
    num_unseen = num_refused = 0
    for mask, text in zip(masks, encoded.texts, strict=True):
        entities = clip_of[clip_around(mask)]
        if entities is None:
            num_refused += 1
            continue
        ious = measure_of(mask.size).ious(entities, mask.mask()[None], middle)
        if ious is None:
            num_unseen += 1
            continue
        chosen = entities.chosen_by(text)
        things[mask.kind].append(grounded(mask.text, mask.video_id, ious, chosen, entities.is_valid))
        pixels = partial(_one_mask, mask)
        views[mask.kind].append(GroundedView(clip_around(mask), mask.text, entities, chosen, ious, pixels, middle))
    return AnnotatedOverlaps(things, views, num_unseen, num_refused)


def _one_mask(mask: MaskAnnotation) -> NDArray[np.bool_]:
    return mask.mask()[None]


def clip_around(mask: MaskAnnotation) -> Span:
    """The span of the project's own clip length with the picture at its middle; it may reach beyond the video."""
    half_s = ClipPlan().clip_s / 2
    return Span(mask.video_id, mask.time_s - half_s, mask.time_s + half_s)


def require_fit(masks: Sequence[MaskAnnotation], found: Mapping[str, VideoFiles]) -> None:
    """Passes when every mask has a time within its video and the shape of its pictures, at whatever scale.

    Videos that are missing or cannot be opened are passed over: whoever reads them tells of them.

    Raises:
        InputError: a mask does not fit; it is named.
    """
    picture_of = cache(_picture)
    for mask in masks:
        picture = picture_of(found[mask.video_id]) if mask.video_id in found else None
        if picture is None:
            continue
        name = f"of {mask.text!r} in video {mask.video_id}"
        if mask.time_s >= picture.end_s:
            raise InputError("time_s", f"{name} is {mask.time_s:g}; the video ends at {picture.end_s:g} s")
        if abs(mask.size[0] * picture.width_px / (mask.size[1] * picture.height_px) - 1) > _SAME_SHAPE:
            raise InputError(
                "segmentation",
                f"{name} at {mask.time_s:g} s is {mask.size[0]} x {mask.size[1]}; its pictures are "
                f"{picture.height_px} x {picture.width_px} (height x width), and a mask has that shape at any scale",
            )


class _Picture(NamedTuple):
    """Size of a video's displayed pictures, and where it ends."""

    height_px: int
    width_px: int
    end_s: float


def _picture(files: VideoFiles) -> _Picture | None:
    try:
        first, last = probe(files.paths[0]), probe(files.paths[-1])
    except VideoError:
        return None
    return _Picture(first.height_px, first.width_px, (files.chunk_starts_s or (0,))[-1] + last.duration_s)


def _around(span: Span, files: VideoFiles, infos: list[VideoInfo], num_frames: int) -> tuple[FramePlace, ...]:
    """T frames of a span at equal distances, one on its middle; those outside the video become its first or last."""
    starts_s = np.array(files.chunk_starts_s or (0,), np.float64)
    middle_s, step_s = (span.start_s + span.end_s) / 2, (span.end_s - span.start_s) / num_frames
    times_s = middle_s + (np.arange(num_frames) - num_frames // 2) * step_s
    return tuple(_place(time_s, starts_s, infos) for time_s in times_s.tolist())


PICTURE_FRAMES = FrameSelector("around-picture-1", _around)


def _place(time_s: float, starts_s: NDArray[np.float64], infos: list[VideoInfo]) -> FramePlace:
    """The frame on screen; a video that lacks its first chunks starts with the first that there is."""
    file = max(int(np.searchsorted(starts_s, time_s, side="right")) - 1, 0)
    frame_id = int((time_s - starts_s[file]) * infos[file].fps + 1e-6)
    return FramePlace(file, min(max(frame_id, 0), infos[file].num_frames - 1))
