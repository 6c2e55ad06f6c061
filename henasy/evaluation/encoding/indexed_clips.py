"""Clips and vectors of named videos as an index holds them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError, NotFoundError
from henasy.evaluation.moments.baselines import DenseClips
from henasy.heads.moment_ends import EndsHead
from henasy.index.reader import Index

_LISTED = 10


def indexed_clips(index: Index, uids: Sequence[str], ends: EndsHead | None = None) -> dict[str, DenseClips]:
    """By uid, the clips of the video whose file has that name, whatever its folder and suffix.

    Args:
        index: what holds them.
        uids: names of video files.
        ends: tells where anything starts or ends; None for clips without that.

    Raises:
        NotFoundError: a video is not in the index, or none of its clips could be read.
        InputError: two videos of the index have the same name.
    """
    ids: dict[str, str] = {}
    for record in index.videos:
        name = Path(record.path).stem
        if name in ids and name in uids:
            raise InputError("index", f"{index.root}: two videos are named {name!r}")
        ids[name] = record.video_id
    missing = [uid for uid in uids if uid not in ids or not len(index.rows_of_video(ids[uid]))]
    if missing:
        raise NotFoundError(
            f"{index.root}: {len(missing)} of {len(uids)} videos have no clip in it: {missing[:_LISTED]}"
        )
    clips = {}
    for uid in uids:
        rows = index.rows_of_video(ids[uid])
        numbers = np.arange(rows.start, rows.stop)
        columns = index.clips(numbers)
        vectors = index.clip_vectors(numbers).astype(np.float32)
        clips[uid] = DenseClips(columns.start_s, columns.end_s, vectors, *_entities(index, numbers))
        if ends is not None and index.num_entities:
            end_scores = ends.scores(columns.start_s, columns.end_s, index.assignment(numbers))
            clips[uid] = clips[uid]._replace(ends=end_scores)
    return clips


def _entities(index: Index, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32] | None, NDArray[np.bool_] | None]:
    """Vectors and validity of the clips' entities; None for an index that holds none."""
    if not index.num_entities:
        return None, None
    return index.entity_vectors(rows).astype(np.float32), index.entity_shares(rows)[1]
