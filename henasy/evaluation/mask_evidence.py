"""Whether the entity that a word meets is the one whose mask covers the thing, on a rendered archive.

N spans, T frames, K patches, E entities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import ClipEncoding, Encoder
from henasy.errors import UnsupportedError, VideoError
from henasy.evaluation.embed import embed_texts, flat_frames
from henasy.evaluation.frame_rules import FramePlace, FrameRule, Span
from henasy.evaluation.masks import covered_pixels, entity_ious, grid_ceiling, patch_of_pixel, patch_pixels
from henasy.evaluation.rendered import RenderedClip
from henasy.evaluation.span_frames import RefusedSpans, read_spans
from henasy.evaluation.video_files import VideoFiles, videos_by_id
from henasy.scenes.archive import ArchiveConfig, read_config
from henasy.scenes.truth import Truth
from henasy.video.plan import frame_times
from henasy.video.probe import VideoInfo


class ThingOverlap(NamedTuple):
    """Overlaps of one thing of one clip, pooled over the clip's frames."""

    text_chosen: float
    """IoU of the valid entity whose embedding is closest to the thing's word."""
    best: float
    """The largest IoU of any entity."""
    random: float
    """Mean IoU of the valid entities: what choosing by lot gives."""
    ceiling: float
    """The largest IoU that any choice of patches could have."""
    is_best_chosen: bool
    """Whether the word meets the best entity."""


@dataclass(frozen=True, kw_only=True)
class MaskEvidence:
    """Overlaps over the clips in which the thing is visible inside the model's crop."""

    noun: list[ThingOverlap]
    """Of the handled object, met by its noun."""
    hand: list[ThingOverlap]
    """Of the acting hand, met by "left hand" or "right hand"."""
    num_unseen: int
    """Things that no frame shows inside the crop."""


def mean_overlap(things: Sequence[ThingOverlap]) -> dict[str, float]:
    """The mean of each column; empty without things."""
    return {name: float(np.mean([getattr(thing, name) for thing in things])) for name in ThingOverlap._fields if things}


def mask_evidence(
    encoder: Encoder,
    archive: Path,
    clips: Sequence[RenderedClip],
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> MaskEvidence:
    """How well words meet the masks of what they name.

    Frames are taken at the truth times nearest to the usual ones, so that picture and mask show the same instant.

    Raises:
        UnsupportedError: if the encoder has no entities.
        VideoError: if a video of the archive cannot be read.
    """
    if encoder.num_entities == 0:
        raise UnsupportedError(f"an encoder of kind {encoder.kind} has no entities, hence no masks")
    config = read_config(archive)
    words = ([clip.noun for clip in clips], [f"{clip.hand} hand" for clip in clips])
    texts = np.stack([embed_texts(encoder, of_things) for of_things in words], axis=1)
    truths = _Truths(archive)
    overlaps: list[list[ThingOverlap | None]] = []
    found = videos_by_id(archive / "videos")
    for batch in read_spans([clip.span for clip in clips], found, truth_rule(config), encoder.num_frames):
        if isinstance(batch, RefusedSpans):
            raise VideoError(f"{archive}: {batch.reason}")
        encoding = encoder.encode_clips(*flat_frames(batch.frames))
        measure = _Measure(encoder, batch.frames.shape[2:4])
        for position, row in enumerate(batch.rows.tolist()):
            times_s = truth_times(clips[row].span, encoder.num_frames, config)
            masks = _masks(truths.of(clips[row].span.video_id), clips[row], times_s)
            overlaps.append(
                [measure.overlap(encoding, position, *pair) for pair in zip(texts[row], masks, strict=True)]
            )
        on_progress(len(batch.rows))
    noun, hand = ([overlap for overlap in of_thing if overlap] for of_thing in zip(*overlaps, strict=True))
    return MaskEvidence(noun=noun, hand=hand, num_unseen=2 * len(overlaps) - len(noun) - len(hand))


def truth_times(span: Span, num_frames: int, config: ArchiveConfig) -> NDArray[np.float64]:
    """(T,) the truth times nearest to the midpoints of T equal parts of a span."""
    middles = frame_times([[span.start_s, span.end_s]], num_frames)[0]
    last = int(config.num_frames * config.truth_fps / config.fps) - 1
    times_s: NDArray[np.float64] = np.minimum(np.rint(middles * config.truth_fps), last) / config.truth_fps
    return times_s


def truth_rule(config: ArchiveConfig) -> FrameRule:
    """The frames on screen at `truth_times`."""

    def rule(span: Span, files: VideoFiles, infos: list[VideoInfo], num_frames: int) -> tuple[FramePlace, ...]:
        times_s = truth_times(span, num_frames, config)
        return tuple(FramePlace(0, int(time_s * config.fps + 1e-9)) for time_s in times_s)

    return rule


def _masks(truth: Truth, clip: RenderedClip, times_s: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
    """The masks (T, H, W) of the handled object and of the acting hand."""
    instances = (clip.instance, truth.hands()[f"{clip.hand} hand"])
    return [np.stack([truth.masks_at(time_s, instance) for time_s in times_s]) for instance in instances]


class _Truths:
    """The truth of the video at hand; spans come video by video."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._current: Truth | None = None

    def of(self, video_uid: str) -> Truth:
        if self._current is None or self._current.video_uid != video_uid:
            self._current = Truth.open(self._archive, video_uid)
        return self._current


class _Measure:
    """Overlaps for one encoder and one size of frame."""

    def __init__(self, encoder: Encoder, size: tuple[int, ...]) -> None:
        self._num_patches = encoder.grid[0] * encoder.grid[1]
        self._cells = patch_of_pixel(encoder.spec.crop_to_frame(size[0], size[1]), encoder.grid)
        self._pixels = patch_pixels(self._cells, self._num_patches)

    def overlap(
        self, encoding: ClipEncoding, position: int, text: NDArray[np.float32], masks: NDArray[np.bool_]
    ) -> ThingOverlap | None:
        """The overlaps of one thing, given its masks (T, H, W); None if the crop shows nothing of it."""
        covered = covered_pixels(masks, self._cells, self._num_patches)
        if covered.sum() == 0:
            return None
        is_valid = encoding.is_valid[position]
        ious = entity_ious(encoding.assignment[position], covered, self._pixels, len(is_valid))
        closeness = np.where(is_valid, encoding.entities[position] @ text, -np.inf)
        chosen = int(closeness.argmax())
        return ThingOverlap(
            text_chosen=float(ious[chosen]),
            best=float(ious.max()),
            random=float(ious[is_valid].mean()),
            ceiling=grid_ceiling(covered, self._pixels),
            is_best_chosen=bool(ious[chosen] == ious.max()),
        )
