"""Checking an index against itself and against the videos it was made from."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.errors import NotFoundError, SpaceMismatchError, VideoError
from henasy.index import Index, VideoRecord, logical_digest
from henasy.video import ClipBatch, has_content, read_clips

_SAME_COSINE = 0.999
"""Below this the stored vector is another clip's or another model's; devices and batch shapes stay above."""


class Verification(NamedTuple):
    """What checking an index found."""

    generation: int
    num_files_checked: int
    num_clips: int
    num_compared: int
    num_different: int
    """Clips whose stored vector is not that of their video."""
    smallest_cosine: float
    """Of stored and fresh vectors; 1 when nothing was compared."""
    num_unavailable: int
    """Sampled videos whose file is gone, changed or unreadable."""
    digest: str
    """The index's logical digest: equal for equal videos, model and plan, however it was built."""


def verify_index(index: Path, *, sample: int, model: str | None = None, seed: int = 0) -> Verification:
    """Checks every checksum, then encodes some clips again from their videos.

    Args:
        sample: clips to compare, spread over the index; 0 for none.
        model: checkpoint; None takes the one that the index names.

    Raises:
        IndexFormatError: a file is missing or damaged.
        SpaceMismatchError: the checkpoint is not the one that made the index.
    """
    opened = Index.open(index)
    num_files = len(list((index / "parts").glob("*/*")))
    sample = min(sample, opened.num_clips)
    cosines: list[float] = []
    unavailable = 0
    if sample:
        encoder = _encoder(opened, model)
        rows = np.sort(np.random.default_rng(seed).choice(opened.num_clips, sample, replace=False))
        columns = opened.clips(rows)
        for video_row in np.unique(columns.video_row):
            own = rows[columns.video_row == video_row]
            try:
                cosines += _compare(opened, encoder, opened.videos[int(video_row)], own.tolist())
            except (VideoError, NotFoundError):
                unavailable += 1
    return Verification(
        opened.generation,
        num_files,
        opened.num_clips,
        len(cosines),
        sum(cosine < _SAME_COSINE for cosine in cosines),
        min(cosines, default=1.0),
        unavailable,
        logical_digest(opened),
    )


def _encoder(index: Index, model: str | None) -> Encoder:
    name = index.settings.model if model is None else model
    encoder = load_encoder(name, num_frames=index.plan.num_frames)
    if encoder.space_id != index.space_id:
        raise SpaceMismatchError(
            f"{index.root} holds space {index.space_id}, checkpoint {name} makes space {encoder.space_id}"
        )
    return encoder


def _compare(index: Index, encoder: Encoder, record: VideoRecord, rows: Sequence[int]) -> list[float]:
    """Cosines of stored and fresh vectors of some clips of one video."""
    file = next((file for file in record.files if file.is_file()), None)
    if file is None or not has_content(file, record.fingerprint):
        raise NotFoundError(f"{record.file}: gone or changed")
    at = np.array(rows)
    columns = index.clips(at)
    stored = index.clip_vectors(at)
    cosines = []
    spans = np.stack([columns.start_s, columns.end_s], axis=1)
    for batch in read_clips(file, spans, index.plan.num_frames, decoder=index.settings.decoder):
        if not isinstance(batch, ClipBatch):
            raise VideoError(f"{file}: clips that were read before cannot be read now: {batch.reason}")
        fresh = encoder.encode_clips(batch.frames, batch.frame_rows).clip
        old = stored[batch.clip_rows]
        cosines += (np.sum(fresh * old, axis=1) / np.linalg.norm(old, axis=1)).tolist()
    return cosines
