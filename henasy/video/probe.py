"""What a video file says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av.error
from av.video.frame import VideoFrame

from henasy.errors import VideoError
from henasy.video.container import VideoSource, check_readable, open_video, orientation, shown_size

_DOUBTFUL_S = 48 * 3600.0
"""A header that states more is not believed: one flipped byte can make it state a million years."""
_MAX_DURATION_S = 31 * 86_400.0
"""No file is longer; planning the clips of one that claims to be would take all memory."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What is known of a video before its clips are decoded."""

    path: Path
    size_bytes: int
    duration_s: float
    """From the container's first presented instant to the end of the last frame, as the container states it."""
    fps: float
    """Frames per second on average."""
    num_frames: int
    """As the container states it, else duration times rate."""
    width_px: int
    """Of a frame as displayed: turned upright, square pixels."""
    height_px: int
    rotation_deg: int
    """Clockwise turn from the stored to the displayed picture: 0, 90, 180 or 270."""
    codec: str


def probe(path: Path | str) -> VideoInfo:
    """Duration, rate, displayed size and codec of a video; its first frame has been decoded.

    Raises:
        VideoError: it is no readable video, or no frame of it can be decoded; the message says why.
    """
    path = Path(path)
    size_bytes = check_readable(path)
    with open_video(path) as source:
        duration_s = _stated_duration_s(source)
        frame = _first_frame(source)
        codec = source.stream.codec_context.codec.canonical_name
        turn = orientation(frame)
        size = turn.displayed(shown_size(frame, source.stream))
    if duration_s is None or duration_s > _DOUBTFUL_S:
        duration_s = _measured_duration_s(path)
    if duration_s > _MAX_DURATION_S:
        raise VideoError(f"{path}: its timestamps reach {duration_s:.0f} s, at most {_MAX_DURATION_S:.0f} are allowed")
    fps = 1 / source.frame_s
    return VideoInfo(
        path=path,
        size_bytes=size_bytes,
        duration_s=duration_s,
        fps=fps,
        num_frames=source.stream.frames or max(1, round(duration_s * fps)),
        width_px=size.width_px,
        height_px=size.height_px,
        rotation_deg=turn.clockwise_deg,
        codec=codec,
    )


def _first_frame(source: VideoSource) -> VideoFrame:
    """The first frame that decodes, wherever in the file it is."""
    reason = "no frame in it"
    packets = source.container.demux(source.stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                raise VideoError(f"{source.path}: no frame can be decoded: {reason}")
            for frame in packet.decode():
                return frame
        except av.error.FFmpegError as error:
            reason = error.strerror or str(error)
            if isinstance(error, av.error.EOFError):
                raise VideoError(f"{source.path}: no frame can be decoded: {reason}") from error
            packets = source.container.demux(source.stream)


def _stated_duration_s(source: VideoSource) -> float | None:
    """The end of the video stream on the container's clock, from its header; None if the header does not say."""
    stream = source.stream
    if stream.duration is not None and stream.start_time is not None:
        end_s = source.time_s(stream.start_time + stream.duration)
        return max(end_s, source.frame_s)
    if source.container.duration is not None:
        return max(source.container.duration / 1e6, source.frame_s)
    return None


def _measured_duration_s(path: Path) -> float:
    """The end of the last packet; reads the file through without decoding."""
    end_s = 0.0
    with open_video(path) as source:
        try:
            for packet in source.container.demux(source.stream):
                ticks = packet.pts if packet.pts is not None else packet.dts
                if ticks is not None:
                    end_s = max(end_s, source.time_s(ticks + (packet.duration or 0)))
        except av.error.FFmpegError:
            pass  # what can be read before the damage is the length
        return max(end_s, source.frame_s)
