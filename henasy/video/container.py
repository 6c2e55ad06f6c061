"""Opens a video file and settles its clock, for everything that reads one with PyAV."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from henasy.errors import VideoError
from henasy.video.geometry import Size

_MAX_PIXELS = 2**27
"""Larger pictures are refused: a damaged header must not make a decoder ask for all memory."""
_CONTAINER_OPTIONS = {"protocol_whitelist": "file"}
"""A playlist in disguise must not make a decoder open other files' addresses."""


class VideoSource(NamedTuple):
    """An open file, its video stream, and where its clock has zero."""

    path: Path
    container: InputContainer
    stream: VideoStream
    origin_s: float
    """The container's first presented instant, on the stream's own clock."""
    frame_s: float
    """Nominal time that one frame is shown."""

    def time_s(self, ticks: int) -> float:
        """A timestamp of the stream on the container's clock."""
        return float(ticks * _time_base_s(self.stream)) - self.origin_s

    def ticks(self, time_s: float) -> int:
        """The timestamp of the stream for a time on the container's clock, rounded down."""
        return int((time_s + self.origin_s) / _time_base_s(self.stream) // 1)


class Orientation(NamedTuple):
    """How a decoded picture is turned for display: mirrored left to right first, then turned."""

    is_mirrored: bool
    clockwise_deg: int
    """0, 90, 180 or 270."""

    def displayed(self, size: Size) -> Size:
        """The size after turning."""
        return Size(size.width_px, size.height_px) if self.clockwise_deg % 180 else size


@contextmanager
def open_video(path: Path | str) -> Iterator[VideoSource]:
    """The file with its main video stream, ready to be demuxed from the start.

    Raises:
        VideoError: the path is no readable regular file, or holds no video stream that can be decoded.
    """
    path = Path(path)
    check_readable(path)
    try:
        container = av.open(f"file:{path.absolute()}", container_options=_CONTAINER_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise VideoError(f"{path}: {_why_not_opened(path, error)}") from error
    with container:
        stream = _main_stream(path, container)
        stream.thread_type = "NONE"
        stream.codec_context.options = {"max_pixels": str(_MAX_PIXELS)}
        rate = stream.average_rate or stream.guessed_rate
        frame_s = float(1 / rate) if rate else 1 / 30
        yield VideoSource(path, container, stream, _origin_s(container, stream), frame_s)


def check_readable(path: Path) -> int:
    """The size in bytes of a regular, non-empty file that this process may read.

    Raises:
        VideoError: anything else; a pipe or device is never opened, since reading one may block for ever.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise VideoError(f"{path}: {_os_reason(error)}") from error
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{path}: is {_file_kind(status.st_mode)}, not a regular file")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{path}: no permission to read it")
    if status.st_size == 0:
        raise VideoError(f"{path}: is empty (0 bytes)")
    return status.st_size


def orientation(frame: VideoFrame) -> Orientation:
    """How this decoded frame is turned for display, to the nearest quarter turn."""
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(side_data, SideData):
        return Orientation(False, 0)
    matrix = np.frombuffer(bytes(side_data), dtype=np.int32, count=9).astype(np.float64)
    right_x, right_y, down_x, down_y = matrix[0], matrix[1], matrix[3], matrix[4]
    is_mirrored = bool(right_x * down_y - right_y * down_x < 0)
    if is_mirrored:
        right_x, right_y = -right_x, -right_y
    clockwise = np.degrees(np.arctan2(right_y, right_x))
    return Orientation(is_mirrored, round(clockwise / 90) % 4 * 90)


def shown_size(frame: VideoFrame, stream: VideoStream) -> Size:
    """The size of this frame with square pixels, before it is turned."""
    aspect = stream.sample_aspect_ratio
    width_px = round(frame.width * aspect) if aspect else frame.width
    return Size(frame.height, max(1, width_px))


def _time_base_s(stream: VideoStream) -> float:
    assert stream.time_base is not None
    return float(stream.time_base)


def _origin_s(container: InputContainer, stream: VideoStream) -> float:
    """Zero of the clock a player shows: the first presented instant of any stream.

    Audio that starts before zero is priming that players cut off, so it does not move the clock.
    """
    video_s = float(stream.start_time * _time_base_s(stream)) if stream.start_time is not None else 0.0
    if container.start_time is None:
        return video_s  # type: ignore[unreachable]  # PyAV's annotations leave the unknown start out
    first_s = container.start_time / 1e6
    return 0.0 if first_s < 0 <= video_s else min(first_s, video_s)


def _main_stream(path: Path, container: InputContainer) -> VideoStream:
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = {"a cover picture" if each.type == "video" else each.type for each in container.streams}
        others = ", ".join(sorted(kinds)) or "nothing"
        raise VideoError(f"{path}: {_index_fault(path) or 'has no video stream, only ' + others}")
    stream = max(streams, key=lambda each: bool(each.disposition & Disposition.default))
    if stream.codec_context is None:  # PyAV does not know the codec
        raise VideoError(f"{path}: its video codec is not supported")
    if stream.width * stream.height > _MAX_PIXELS:
        raise VideoError(f"{path}: pictures of {stream.width}x{stream.height} exceed {_MAX_PIXELS} pixels")
    return stream


def _why_not_opened(path: Path, error: Exception) -> str:
    index_fault = _index_fault(path)
    if index_fault:
        return index_fault
    if isinstance(error, av.error.InvalidDataError):
        return "is not a video in a known format, or its header or index is damaged"
    return f"cannot be opened: {getattr(error, 'strerror', None) or error}"


def _index_fault(path: Path) -> str:
    """What part of the index (moov box) of an MP4-like file is missing; empty if none is, and for other files."""
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        position = 0
        is_mp4 = False
        while position + 8 <= length:
            file.seek(position)
            header = file.read(16)
            name, size = header[4:8], int.from_bytes(header[:4], "big")
            if size == 1:
                size = int.from_bytes(header[8:16], "big")
            is_mp4 |= name == b"ftyp"
            if name == b"moov":
                return "its index (moov box) is cut off" if position + size > length else ""
            if size < 8:
                break
            position += size
    return "has no index (moov box): the recording or the copy was cut off" if is_mp4 else ""


def _os_reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    return error.strerror or str(error)


def _file_kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
