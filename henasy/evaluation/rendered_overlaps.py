"""How well an encoder's entities cover what the narrations of a rendered archive are about.

E entities, T frames of a clip.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from henasy.checkpoint.encoder import Encoder
from henasy.errors import UnsupportedError, VideoError
from henasy.evaluation.embed import embed_texts, flat_frames
from henasy.evaluation.entity_overlap import ClipEntities, OverlapMeasure, ThingIous
from henasy.evaluation.rendered import RenderedClip
from henasy.evaluation.rendered_things import Thing, thing_masks, truth_rule, truth_times
from henasy.evaluation.span_frames import RefusedSpans, read_spans
from henasy.evaluation.video_files import videos_by_id
from henasy.scenes.archive import read_config
from henasy.scenes.truth import Truth

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
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[list[ThingOverlaps]]:
    """For each way of naming a thing its overlaps in every clip, clips in the order in which videos are read.

    Raises:
        UnsupportedError: if the encoder has no entities.
        VideoError: if a video of the archive cannot be read.
    """
    things = [[name(clip) for clip in clips] for name in naming]
    texts = [embed_texts(encoder, [thing.text for thing in of_kind]) for of_kind in things]
    config = read_config(archive)
    measure = OverlapMeasure(encoder.spec, encoder.grid, (config.height_px, config.width_px))
    frames = np.arange(encoder.num_frames)
    found: list[list[ThingOverlaps]] = [[] for _ in naming]
    truth: Truth | None = None
    for row, entities in clip_entities(encoder, archive, clips, on_progress=on_progress):
        clip = clips[row]
        if truth is None or truth.video_uid != clip.span.video_id:
            truth = Truth.open(archive, clip.span.video_id)
        times_s = truth_times(clip.span, encoder.num_frames, config)
        for kind, of_kind in enumerate(things):
            masks = thing_masks(truth, clip, of_kind[row], times_s)
            chosen = entities.chosen_by(texts[kind][row])
            ious = measure.ious(entities, masks, frames)
            found[kind].append(ThingOverlaps(of_kind[row], clip, entities, chosen, ious))
    return found


def clip_entities(
    encoder: Encoder, archive: Path, clips: Sequence[RenderedClip], *, on_progress: Callable[[int], None]
) -> Iterator[tuple[int, ClipEntities]]:
    """The entities of every clip with its row, from the frames whose truth is known.

    Raises:
        UnsupportedError, VideoError: as `rendered_overlaps`.
    """
    if encoder.num_entities == 0:
        raise UnsupportedError(f"an encoder of kind {encoder.kind} has no entities, hence no masks")
    rule, spans = truth_rule(read_config(archive)), [clip.span for clip in clips]
    for batch in read_spans(spans, videos_by_id(archive / "videos"), rule, encoder.num_frames):
        if isinstance(batch, RefusedSpans):
            raise VideoError(f"{archive}: {batch.reason}")
        encoding = encoder.encode_clips(*flat_frames(batch.frames))
        for position, row in enumerate(batch.rows.tolist()):
            columns = (encoding.entities, encoding.is_valid, encoding.assignment)
            yield row, ClipEntities(*(column[position] for column in columns))
        on_progress(len(batch.rows))
