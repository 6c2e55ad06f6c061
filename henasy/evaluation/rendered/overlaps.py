"""How well an encoder's entities cover what the narrations of a rendered archive are about."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.errors import VideoError
from henasy.evaluation.encoding.encoded_entities import encoded_entities
from henasy.evaluation.encoding.source import Similarity
from henasy.evaluation.metrics.entity_overlap import ClipEntities, OverlapMeasure, ThingIous
from henasy.evaluation.pages.grounding_views import GroundedView
from henasy.evaluation.rendered.layouts import RenderedClip
from henasy.evaluation.rendered.things import Thing, thing_masks, truth_selector, truth_times
from henasy.scenes.archive import ArchiveConfig, read_config
from henasy.scenes.truth import Truth
from henasy.video.video_files import videos_by_id

NameThing = Callable[[RenderedClip], Thing]


class ThingOverlaps(NamedTuple):
    """One thing of one clip, and how the clip's entities cover it."""

    thing: Thing
    clip: RenderedClip
    entities: ClipEntities
    chosen: int
    """The entity that the thing's text meets"""
    ious: ThingIous | None
    """None where the model's crop shows nothing of the thing"""


def rendered_overlaps(
    encoder: Encoder,
    archive: Path,
    clips: Sequence[RenderedClip],
    naming: Sequence[NameThing],
    *,
    similarity: Similarity = "cosine",
    is_cached: bool = False,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[list[ThingOverlaps]]:
    """For each way of naming a thing its overlaps in every clip, in the order of the clips.

    Raises:
        UnsupportedError: if the encoder has no entities.
        VideoError: if a video of the archive cannot be read.
    """
    things = [[name(clip) for clip in clips] for name in naming]
    config = read_config(archive)
    encoded = encoded_entities(
        encoder,
        [clip.span for clip in clips],
        [thing.text for of_kind in things for thing in of_kind],
        truth_selector(config),
        videos_by_id(archive / "videos"),
        similarity=similarity,
        is_cached=is_cached,
        on_progress=on_progress,
    )
    if encoded.refused:
        raise VideoError(f"{archive}: {encoded.refused[0].reason}")
    texts = encoded.texts.reshape(len(naming), len(clips), -1)
    measure = OverlapMeasure(encoder.spec, encoder.grid, (config.height_px, config.width_px))
    frames = np.arange(encoder.num_frames)
    found: list[list[ThingOverlaps]] = [[] for _ in naming]
    truth: Truth | None = None
    for row, (clip, entities) in enumerate(zip(clips, encoded.clips, strict=True)):
        assert entities is not None
        if truth is None or truth.video_uid != clip.span.video_id:
            truth = Truth.open(archive, clip.span.video_id)
        times_s = truth_times(clip.span, encoder.num_frames, config)
        for kind, of_kind in enumerate(things):
            ious = measure.ious(entities, thing_masks(truth, clip, of_kind[row], times_s), frames)
            chosen = entities.chosen_by(texts[kind, row])
            found[kind].append(ThingOverlaps(of_kind[row], clip, entities, chosen, ious))
    return found


def rendered_view(archive: Path, one: ThingOverlaps, config: ArchiveConfig) -> GroundedView | None:
    """A thing as a report shows it; None where the model's crop shows nothing of it."""
    if one.ious is None:
        return None
    num_frames = len(one.entities.assignment)
    masks = partial(_true_masks, archive, one, truth_times(one.clip.span, num_frames, config))
    return GroundedView(one.clip.span, one.thing.text, one.entities, one.chosen, one.ious, masks, np.arange(num_frames))


def _true_masks(archive: Path, one: ThingOverlaps, times_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    return thing_masks(Truth.open(archive, one.clip.span.video_id), one.clip, one.thing, times_s)
