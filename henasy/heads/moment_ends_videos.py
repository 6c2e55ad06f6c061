"""Videos with narrated actions as a head for the ends of moments learns from them: their clips' patch assignments.

N clips of a video, T frames, K patches per frame.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.errors import AnnotationError, NotFoundError, VideoError
from henasy.heads.moment_ends_training import NarratedVideo
from henasy.scenes.archive import video_path
from henasy.video.clips import ClipBatch, read_clips
from henasy.video.plan import ClipPlan
from henasy.video.probe import probe

_FILE = "narrations.csv"
_COLUMNS = ("video_uid", "clip_start", "clip_end")
_TOLERANCE_S = 0.5
"""So much later than its video a span may end: times are rounded, and containers tell lengths of their own."""


class _Narrated(NamedTuple):
    start_s: float
    end_s: float
    line: int
    """Of the file"""


def narrated_videos(
    encoder: Encoder,
    archive: Path,
    plan: ClipPlan,
    *,
    most: int | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[NarratedVideo]:
    """The videos of an archive, or the first of them, with what the encoder sees in each clip.

    Args:
        encoder: one with entities.
        archive: folder with `narrations.csv` and `videos/<video_uid>.mp4`.
        plan: how videos are cut.
        most: at most so many videos, in the order in which they are narrated.
        report: told of every video that is done.

    Raises:
        NotFoundError: there are no narrations.
        AnnotationError: a column is missing, a time is no number, or a span ends before it starts or after its video.
        VideoError: a video, or a clip of it, cannot be read.
    """
    require_narrations(archive, most)
    videos = []
    for uid, rows in list(_narrated(archive).items())[:most]:
        path = video_path(archive, uid)
        starts_s, assignment = _clips(encoder, path, plan)
        videos.append(NarratedVideo(starts_s, assignment, _spans(rows)))
        report(f"{path}: {len(starts_s)} clips, {len(rows)} actions")
    return videos


def require_narrations(archive: Path, most: int | None = None) -> None:
    """Passes when the actions of an archive lie in its videos; they are not decoded for that.

    Args:
        archive: folder with `narrations.csv` and `videos/<video_uid>.mp4`.
        most: looks at no more videos, in the order in which they are narrated.

    Raises:
        NotFoundError, AnnotationError, VideoError: as for `narrated_videos`.
    """
    for uid, rows in list(_narrated(archive).items())[:most]:
        video = video_path(archive, uid)
        duration_s = probe(video).duration_s
        for row in rows:
            if row.end_s > duration_s + _TOLERANCE_S:
                raise AnnotationError(
                    f"{archive / _FILE}, line {row.line}: spans {row.start_s:g} to {row.end_s:g} s; "
                    f"{video} ends at {duration_s:g} s"
                )


def narrated_spans(archive: Path) -> dict[str, NDArray[np.float64]]:
    """By video, in the order of the file, (M, 2) start and end in seconds of every narrated action.

    Raises:
        NotFoundError, AnnotationError: as for `narrated_videos`.
    """
    return {uid: _spans(rows) for uid, rows in _narrated(archive).items()}


def _narrated(archive: Path) -> dict[str, list[_Narrated]]:
    path = archive / _FILE
    if not path.is_file():
        raise NotFoundError(f"{path}: no narrations here; an archive has them beside its videos/")
    found: dict[str, list[_Narrated]] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream, delimiter="\t")
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise AnnotationError(
                f"{path}: lacks {', '.join(missing)}; needed are {', '.join(_COLUMNS)}, tab-separated"
            )
        for row in reader:
            span = _span(row, f"{path}, line {reader.line_num}")
            found.setdefault(row["video_uid"], []).append(_Narrated(*span, reader.line_num))
    return found


def _spans(rows: list[_Narrated]) -> NDArray[np.float64]:
    """(M, 2)"""
    return np.array([(row.start_s, row.end_s) for row in rows], np.float64)


def _span(row: dict[str, str], place: str) -> tuple[float, float]:
    try:
        start_s, end_s = float(row["clip_start"]), float(row["clip_end"])
    except (TypeError, ValueError):
        raise AnnotationError(f"{place}: clip_start {row['clip_start']!r}, clip_end {row['clip_end']!r}") from None
    if not 0 <= start_s < end_s < float("inf"):
        raise AnnotationError(f"{place}: spans {start_s:g} to {end_s:g} s; needs 0 <= start < end")
    return start_s, end_s


def _clips(encoder: Encoder, path: Path, plan: ClipPlan) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """(N,) starts of the clips on the raster, and their assignments (N, T, K)."""
    spans = plan.spans(probe(path).duration_s)
    # The last clip may be off the raster or shorter, and would teach something else.
    spans = spans[_is_regular(spans, plan)]
    if not len(spans):
        raise VideoError(f"{path}: is shorter than a clip of {plan.clip_s:g} s")
    patches = encoder.grid[0] * encoder.grid[1]
    assignment = np.zeros((len(spans), encoder.num_frames, patches), np.uint8)
    for batch in read_clips(path, spans, plan.num_frames):
        if not isinstance(batch, ClipBatch):
            raise VideoError(f"{path}: {len(batch.rows)} of {len(spans)} clips cannot be read: {batch.reason}")
        assignment[batch.clip_rows] = encoder.encode_clips(batch.frames, batch.frame_rows).assignment
    return spans[:, 0], assignment


def _is_regular(spans: NDArray[np.float64], plan: ClipPlan) -> NDArray[np.bool_]:
    raster = np.arange(len(spans)) * plan.stride_s
    is_regular: NDArray[np.bool_] = np.isclose(spans[:, 0], raster) & np.isclose(spans[:, 1], raster + plan.clip_s)
    return is_regular
