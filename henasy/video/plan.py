"""How a video is cut into clips, and at which times a clip is looked at."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henasy.errors import ConfigError, InputError

_LIMITS = {"clip_s": (0.1, 600.0), "stride_s": (0.05, 3600.0)}
_MAX_FRAMES = 256
_TAIL_S = 1e-3
"""A rest shorter than this is rounding of the container's clock, not footage."""


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """The rule that cuts every video of an index into clips."""

    clip_s: float = 2.0
    """Length of a clip."""
    stride_s: float = 1.0
    """From the start of one clip to the start of the next."""
    num_frames: int = 4
    """Frames the encoder sees of each clip."""

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (is_number and math.isfinite(value) and low <= value <= high):
                raise ConfigError(f"{name} must be in {low}..{high} seconds, got {value!r}")
        if not (isinstance(self.num_frames, int) and 1 <= self.num_frames <= _MAX_FRAMES):
            raise ConfigError(f"num_frames must be an integer in 1..{_MAX_FRAMES}, got {self.num_frames!r}")

    @property
    def plan_id(self) -> str:
        """16 hexadecimal digits that differ whenever a setting does."""
        settings = {name: float(value) for name, value in asdict(self).items()}
        return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()

    def spans(self, duration_s: float) -> NDArray[np.float64]:
        """The clips (N, 2) of a video of this length, in order of time, each `[start_s, end_s)`.

        Clips start at multiples of the stride and lie inside the video. What they leave uncovered at the end gets
        one more: at the next multiple and cut off at the end of the video if at least half a clip is left there,
        else the last `clip_s` seconds. A video shorter than a clip is one clip.
        """
        if not (math.isfinite(duration_s) and duration_s > 0):
            raise InputError("duration_s", f"must be above 0 seconds, got {duration_s}")
        if duration_s <= self.clip_s:
            return np.array([[0.0, duration_s]])
        count = int((duration_s - self.clip_s + _TAIL_S) / self.stride_s) + 1
        starts = np.arange(count) * float(self.stride_s)
        spans = np.stack([starts, np.minimum(starts + self.clip_s, duration_s)], axis=1)
        planned_gap_s = max(0.0, self.stride_s - self.clip_s)
        if duration_s - spans[-1, 1] <= planned_gap_s + _TAIL_S:
            return spans
        next_start = count * float(self.stride_s)
        is_half_left = duration_s - next_start >= self.clip_s / 2
        tail_start = next_start if is_half_left else duration_s - self.clip_s
        return np.concatenate([spans, [[tail_start, duration_s]]])


def frame_times(spans: ArrayLike, num_frames: int) -> NDArray[np.float64]:
    """The times (N, T) at which clips are looked at: the midpoints of T equal parts of each span.

    Args:
        spans: (N, 2) start and end in seconds.
        num_frames: T.
    """
    edges = np.asarray(spans, dtype=np.float64).reshape(-1, 2)
    if num_frames < 1:
        raise InputError("num_frames", f"must be at least 1, got {num_frames}")
    fractions = (np.arange(num_frames) + 0.5) / num_frames
    return edges[:, :1] + fractions * (edges[:, 1:] - edges[:, :1])
