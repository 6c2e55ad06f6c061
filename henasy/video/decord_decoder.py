"""Decodes with decord, where it is installed and its results are wanted; PyAV is the default.

decord 0.6 is wrong where PyAV is right (found with videos that carry their frame numbers): in open groups of pictures
it loses frames, so that all later ones shift; in edit lists it counts hidden frames; in MPEG-TS it mistakes the start;
it turns but does not mirror. It neither reports damaged frames nor reads what remains of a damaged file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henasy.errors import VideoError, missing_extra
from henasy.video.container import open_video
from henasy.video.decode import TIME_TOLERANCE_S, FrameRun
from henasy.video.geometry import decoded_size
from henasy.video.probe import probe

try:
    import decord
except ImportError:
    decord = None


def frames_at(path: Path, times_s: NDArray[np.float64], on_progress: Callable[[], None]) -> Iterator[FrameRun]:
    """The frame displayed at each requested time; see `henasy.video.decode.FramesAt`."""
    if decord is None:
        raise missing_extra("decoder 'decord' needs the package decord", "decord")
    info = probe(path)
    with open_video(path) as source:
        first_s, frame_s = source.time_s(source.stream.start_time or 0), source.frame_s
    size = decoded_size(info.height_px, info.width_px)
    try:
        reader = decord.VideoReader(str(path), num_threads=1, width=size.width_px, height=size.height_px)
        starts_s = np.sort(reader.get_frame_timestamp(np.arange(len(reader)))[:, 0].astype(np.float64))
        starts_s += first_s - starts_s[0]  # decord counts from the first frame
    except decord.DECORDError as error:
        raise VideoError(f"{path}: decord cannot open it: {_first_line(error)}") from error
    yield from _runs(reader, starts_s, times_s, frame_s, on_progress)


def _runs(
    reader: Any,
    starts_s: NDArray[np.float64],
    times_s: NDArray[np.float64],
    frame_s: float,
    on_progress: Callable[[], None],
) -> Iterator[FrameRun]:
    """One run for each frame that is displayed at some requested time."""
    shown = np.searchsorted(starts_s, times_s + TIME_TOLERANCE_S, side="right") - 1
    first = 0
    while first < len(times_s):
        row = max(0, int(shown[first]))
        last = int(np.searchsorted(shown, row, side="right"))
        fault = _outside(float(times_s[first]), float(times_s[last - 1]), starts_s, frame_s)
        image = None
        if not fault:
            try:
                image = reader[row].asnumpy()
            except decord.DECORDError as error:
                fault = f"decord cannot decode it: {_first_line(error)}"
        on_progress()
        yield FrameRun(first, last, float(starts_s[row]), image, fault)
        first = last


def _outside(first_s: float, last_s: float, starts_s: NDArray[np.float64], frame_s: float) -> str:
    if first_s < starts_s[0] - 1.5 * frame_s:
        return f"no frame before {starts_s[0]:.3f} s"
    if last_s > starts_s[-1] + 1.5 * frame_s:
        return f"no frame after {starts_s[-1]:.3f} s"
    return ""


def _first_line(error: Exception) -> str:
    """decord appends a stack trace of several lines to its messages."""
    return str(error).strip().splitlines()[0]
