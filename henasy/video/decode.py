"""The interface every decoder implements: the frames that are displayed at given times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from henasy.errors import ConfigError

TIME_TOLERANCE_S = 5e-4
"""Containers round times, Matroska to whole milliseconds: a frame this little after a time is shown at it."""

DECODERS = ("pyav", "decord")


class FrameRun(NamedTuple):
    """The answer to consecutive requested times `[first, last)`: one frame, or why there is none."""

    first: int
    last: int
    time_s: float
    """When the frame starts to be displayed, on the container's clock."""
    image: NDArray[np.uint8] | None
    """(H, W, 3) RGB, displayed orientation; None if the frame cannot be had."""
    fault: str
    """Why `image` is None; empty otherwise."""


class FramesAt(Protocol):
    """What a decoder is: a function from a file and times to frames."""

    def __call__(self, path: Path, times_s: NDArray[np.float64], on_progress: Callable[[], None]) -> Iterator[FrameRun]:
        """The frame displayed at each requested time, as runs that cover all of them in order.

        Args:
            path: the video.
            times_s: (M,) seconds on the container's clock, ascending.
            on_progress: called often while decoding advances, whether or not a frame comes of it.

        Raises:
            VideoError: the file as a whole cannot be read. Damage inside it gives runs with a fault instead.
        """
        ...


def find_decoder(name: str) -> FramesAt:
    """The decoder of this name.

    Raises:
        ConfigError: no such decoder, or its package is not installed.
    """
    if name == "pyav":
        from henasy.video.pyav_decoder import frames_at

        return frames_at
    if name == "decord":
        from henasy.video.decord_decoder import frames_at as decord_frames_at

        return decord_frames_at
    raise ConfigError(f"decoder must be one of {', '.join(DECODERS)}, got {name!r}")
