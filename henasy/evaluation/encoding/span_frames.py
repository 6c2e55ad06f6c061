"""The frames of annotated spans, read from their videos in one pass each.

N spans of a batch, T frames.
"""

import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import HenasyError
from henasy.evaluation.encoding.ahead import NUM_HELD, read_ahead
from henasy.evaluation.encoding.frame_rules import BLACK, FramePlace, FrameSelector, Span
from henasy.video.decode import find_decoder
from henasy.video.probe import VideoInfo, probe
from henasy.video.video_files import VideoFiles

Image = NDArray[np.uint8]
_MOST_THREADS = 8
_MOST_FRAMES = 2048
"""That all threads hold, about 0.9 GB at 288 px."""


class SpanBatch(NamedTuple):
    """Spans of one video with their frames."""

    rows: NDArray[np.int64]
    """(N,) positions in the list of spans that was asked for."""
    frames: Image
    """(N, T, H, W, 3) RGB, displayed orientation."""
    is_cut: NDArray[np.bool_]
    """(N,) whether a span was cut at the end of its video."""


class RefusedSpans(NamedTuple):
    """Spans whose frames cannot be had, and why."""

    rows: NDArray[np.int64]
    reason: str


def read_spans(
    spans: Sequence[Span],
    found: dict[str, VideoFiles],
    selector: FrameSelector,
    num_frames: int,
    *,
    batch_spans: int = 16,
    decoder: str = "pyav",
    num_threads: int | None = None,
) -> Iterator[SpanBatch | RefusedSpans]:
    """Every span exactly once, video by video, in a batch or refused.

    Args:
        spans: what to read; the rows of the answers count in this list.
        found: the files of each video; spans of other videos are refused.
        selector: which frames stand for a span.
        num_frames: T.
        batch_spans: spans of a batch, at most.
        decoder: name of the decoder.
        num_threads: videos that are read at a time, ahead of the one whose batches are taken; None for one per
            processor, at most 8 and no more than memory should hold. The answers and their order do not depend on it.
    """
    rows_of: dict[str, list[int]] = {}
    for row, span in enumerate(spans):
        rows_of.setdefault(span.video_id, []).append(row)

    def read(video_id: str) -> Iterator[SpanBatch | RefusedSpans]:
        rows = rows_of[video_id]
        if video_id not in found:
            yield RefusedSpans(np.array(rows), f"no file of video {video_id}")
            return
        try:
            files = found[video_id]
            infos = [probe(path) for path in files.paths]
        except HenasyError as error:
            yield RefusedSpans(np.array(rows), str(error))
            return
        chosen = _choose({row: spans[row] for row in rows}, files, infos, selector, num_frames)
        for reason, refused_rows in chosen.refused.items():
            yield RefusedSpans(np.array(refused_rows), reason)
        yield from _read_video(files, infos, chosen, batch_spans, decoder)

    if num_threads is None:
        frames_each = (NUM_HELD + 1) * batch_spans * num_frames
        num_threads = max(1, min(_MOST_THREADS, os.cpu_count() or 1, _MOST_FRAMES // frames_each))
    return read_ahead(read, list(rows_of), num_threads)


class _Chosen(NamedTuple):
    """Which frames of a video to read, by row."""

    places: dict[int, tuple[FramePlace, ...]]
    cut: set[int]
    """Rows that were cut at the end of the video."""
    refused: dict[str, list[int]]
    """Rows without frames, by why."""


def _choose(
    spans: dict[int, Span], files: VideoFiles, infos: list[VideoInfo], selector: FrameSelector, num_frames: int
) -> _Chosen:
    chosen = _Chosen({}, set(), {})
    for row, span in spans.items():
        try:
            chosen.places[row] = selector.choose(span, files, infos, num_frames)
        except HenasyError as error:
            chosen.refused.setdefault(str(error), []).append(row)
            continue
        if selector.is_cut(span, files, infos):
            chosen.cut.add(row)
    return chosen


def _read_video(
    files: VideoFiles, infos: list[VideoInfo], chosen: _Chosen, batch_spans: int, decoder: str
) -> Iterator[SpanBatch | RefusedSpans]:
    ready: list[tuple[int, Image]] = []
    done: set[int] = set()
    try:
        for row, frames in _assembled(files, infos, chosen.places, decoder):
            done.add(row)
            if isinstance(frames, str):
                yield RefusedSpans(np.array([row]), frames)
                continue
            ready.append((row, frames))
            if len(ready) == batch_spans:
                yield _batch(ready, chosen.cut)
                ready = []
    except HenasyError as error:
        yield RefusedSpans(np.array([row for row in chosen.places if row not in done]), str(error))
    if ready:
        yield _batch(ready, chosen.cut)


def _batch(ready: list[tuple[int, Image]], cut: set[int]) -> SpanBatch:
    rows = [row for row, _ in ready]
    return SpanBatch(np.array(rows), np.stack([frames for _, frames in ready]), np.array([row in cut for row in rows]))


def _assembled(
    files: VideoFiles, infos: list[VideoInfo], places: dict[int, tuple[FramePlace, ...]], decoder: str
) -> Iterator[tuple[int, Image | str]]:
    """Each span's row with its frames (T, H, W, 3), or with why there are none, as soon as its last frame is read."""
    waiting = deque(sorted(places, key=lambda row: max(places[row])))
    uses = Counter(place for row in places for place in places[row] if place != BLACK)
    held: dict[FramePlace, Image | str] = {}
    for place, image in _read_places(files, infos, sorted(uses), decoder):
        held[place] = image
        while waiting and max(places[waiting[0]]) <= place:
            row = waiting.popleft()
            yield row, _stacked([held.get(needed) for needed in places[row]])
            for needed in places[row]:
                if needed == BLACK:
                    continue
                uses[needed] -= 1
                if uses[needed] == 0:
                    held.pop(needed, None)


def _stacked(images: list[Image | str | None]) -> Image | str:
    """The frames (T, H, W, 3), black for None; or what is wrong with one."""
    faults = [image for image in images if isinstance(image, str)]
    if faults:
        return faults[0]
    seen = [image for image in images if isinstance(image, np.ndarray)]
    return np.stack([image if isinstance(image, np.ndarray) else np.zeros_like(seen[0]) for image in images])


def _read_places(
    files: VideoFiles, infos: list[VideoInfo], places: list[FramePlace], decoder: str
) -> Iterator[tuple[FramePlace, Image | str]]:
    """The frames at ascending places, each an image or why it cannot be had.

    A frame's number is turned into the middle of its time on the screen, which finds the same frame in a video of
    constant rate, and the one displayed at that time in any other.
    """
    for file, path in enumerate(files.paths):
        wanted = [place for place in places if place.file == file]
        times_s = (np.array([place.frame_id for place in wanted], np.float64) + 0.5) / infos[file].fps
        if not wanted:
            continue
        for run in find_decoder(decoder)(path, times_s, _ignore_progress):
            for place in wanted[run.first : run.last]:
                yield place, run.fault if run.image is None else run.image


def _ignore_progress() -> None:
    return None
