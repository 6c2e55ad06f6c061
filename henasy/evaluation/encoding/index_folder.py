"""A small index made in this process, one video after the other.

For what benchmarks need of a few videos; `henasy-index` is for everything else.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from henasy.checkpoint.encoder import Encoder
from henasy.errors import VideoError
from henasy.index import ClipRows, IndexSettings, IndexWriter, StagedUnit, VideoRecord
from henasy.index.layout import MAX_UNIT_CLIPS
from henasy.index.rows import join_rows
from henasy.video import ClipBatch, ClipPlan, RefusedClips, fingerprint, probe, read_clips, short_name
from henasy.video.find import FoundVideo


def index_settings(encoder: Encoder, model: str, plan: ClipPlan) -> IndexSettings:
    """The settings of an index that an encoder makes; the plan has the encoder's number of frames."""
    return IndexSettings(
        kind=encoder.kind,
        space_id=encoder.space_id,
        model=model,
        plan=plan,
        width=encoder.width,
        num_entities=encoder.num_entities,
        grid=encoder.grid,
    )


def write_index(
    folder: Path,
    videos: Sequence[FoundVideo],
    encoder: Encoder,
    settings: IndexSettings,
    *,
    on_video: Callable[[], None] = lambda: None,
) -> None:
    """An index of these videos; what an earlier call left staged is not made again.

    Raises:
        VideoError: if any clip of any video cannot be read.
    """
    with IndexWriter(folder, settings) as writer:
        records = []
        for video in videos:
            record = _record(video, settings.plan)
            spans = settings.plan.spans(record.duration_s)
            for unit, first in enumerate(range(0, len(spans), MAX_UNIT_CLIPS)):
                if (record.video_id, unit) not in writer.staged():
                    rows = _rows(record.file, spans, first, encoder, settings)
                    writer.stage(StagedUnit(video_id=record.video_id, unit=unit, rows=rows))
            records.append(record)
            on_video()
        writer.publish(records, [])


def _record(video: FoundVideo, plan: ClipPlan) -> VideoRecord:
    info, content, status = probe(video.path), fingerprint(video.path), video.path.stat()
    return VideoRecord(
        video_id=short_name(content),
        fingerprint=content,
        root=str(video.root),
        path=str(video.relative),
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        duration_s=info.duration_s,
        fps=info.fps,
        num_frames=info.num_frames,
        width_px=info.width_px,
        height_px=info.height_px,
        rotation_deg=info.rotation_deg,
        codec=info.codec,
        num_clips=len(plan.spans(info.duration_s)),
    )


def _rows(file: Path, spans: np.ndarray, first: int, encoder: Encoder, settings: IndexSettings) -> ClipRows:
    """The clips of one unit, in the order of time."""
    pieces = []
    for batch in read_clips(file, spans[first : first + MAX_UNIT_CLIPS], settings.num_frames):
        if isinstance(batch, RefusedClips):
            raise VideoError(f"{file}: {len(batch.rows)} clips cannot be read: {batch.reason}")
        pieces.append(_encoded(batch, first, encoder, settings))
    rows = join_rows(pieces, settings)
    return rows.take(np.argsort(rows.clip_rows, kind="stable"))


def _encoded(batch: ClipBatch, first: int, encoder: Encoder, settings: IndexSettings) -> ClipRows:
    encoding = encoder.encode_clips(batch.frames, batch.frame_rows)
    has_entities = settings.num_entities > 0
    return ClipRows(
        clip_rows=batch.clip_rows + first,
        spans=batch.spans,
        clip=encoding.clip.astype(np.float16),
        entities=encoding.entities.astype(np.float16),
        is_valid=encoding.is_valid,
        patch_share=encoding.patch_share.astype(np.float32),
        assignment=encoding.assignment if has_entities else np.zeros((len(batch.clip_rows), 0, 0), np.uint8),
    )
