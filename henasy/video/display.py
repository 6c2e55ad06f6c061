"""Turns decoded frames into what a player shows: RGB, upright, square pixels, at the archive's size."""

from __future__ import annotations

import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from henasy.video.container import orientation, shown_size
from henasy.video.geometry import Size, decoded_size


class Displayer:
    """Converts the frames of one stream, all to the same size."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._reformatter = VideoReformatter()
        self._size: Size | None = None

    def convert(self, frame: VideoFrame) -> tuple[NDArray[np.uint8] | None, str]:
        """The image (H, W, 3), or None and why."""
        turn = orientation(frame)
        stored = decoded_size(*shown_size(frame, self._stream))
        size = turn.displayed(stored)
        if self._size is not None and size != self._size:
            return None, f"the picture's size changes from {tuple(self._size)} to {tuple(size)}"
        self._size = size
        try:
            scaled = self._reformatter.reformat(
                frame,
                width=stored.width_px,
                height=stored.height_px,
                format="rgb24",
                interpolation=Interpolation.AREA,
                threads=1,
            )
        except av.error.FFmpegError as error:
            return None, f"converting failed: {error.strerror}"
        image = np.asarray(scaled.to_ndarray(), dtype=np.uint8)
        if turn.is_mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, -turn.clockwise_deg // 90)), ""
