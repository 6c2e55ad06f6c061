"""Rows of an index as arrays: what encoding makes, staging keeps and parts hold.

N clips, D width, E entities, T frames, K patches per frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.index.settings import IndexSettings


@dataclass(frozen=True, kw_only=True)
class ClipRows:
    """Encoded clips of one video, in the order of time."""

    clip_rows: NDArray[np.int64]
    """(N,) row of each clip in its video's plan."""
    spans: NDArray[np.float64]
    """(N, 2) seconds, half-open."""
    clip: NDArray[np.float16]
    """(N, D) L2-normalised embeddings."""
    entities: NDArray[np.float16]
    """(N, E, D) L2-normalised embeddings."""
    is_valid: NDArray[np.bool_]
    """(N, E) False for entities without patches."""
    patch_share: NDArray[np.float32]
    """(N, E) share of the clip's patches."""
    assignment: NDArray[np.uint8]
    """(N, T, K) entity of each patch; (N, 0, 0) when there are no entities."""

    def __len__(self) -> int:
        return len(self.clip_rows)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The columns by name."""
        return {name: getattr(self, name) for name in COLUMN_NAMES}

    def take(self, rows: slice | NDArray[np.int64]) -> "ClipRows":
        """Some of the rows."""
        return ClipRows(**{name: array[rows] for name, array in self.arrays().items()})

    def require_fit(self, settings: IndexSettings) -> None:
        """Passes when the arrays have the sizes and types of an index.

        Raises:
            InputError: an array has another shape or type, is not finite, or rows are out of order.
        """
        for name, (shape, dtype) in _columns(len(self), settings).items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != dtype:
                raise InputError(name, f"is {array.dtype}{array.shape}, the index needs {dtype}{shape}")
        if np.any(np.diff(self.clip_rows) <= 0):
            raise InputError("clip_rows", "must increase")
        for name in ("spans", "clip", "entities", "patch_share"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(name, "holds values that are not finite")


COLUMN_NAMES = ("clip_rows", "spans", "clip", "entities", "is_valid", "patch_share", "assignment")


def _columns(num_rows: int, settings: IndexSettings) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    entities, width = settings.num_entities, settings.width
    patches = (settings.num_frames, settings.num_patches) if entities else (0, 0)
    return {
        "clip_rows": ((num_rows,), np.dtype(np.int64)),
        "spans": ((num_rows, 2), np.dtype(np.float64)),
        "clip": ((num_rows, width), np.dtype(np.float16)),
        "entities": ((num_rows, entities, width), np.dtype(np.float16)),
        "is_valid": ((num_rows, entities), np.dtype(np.bool_)),
        "patch_share": ((num_rows, entities), np.dtype(np.float32)),
        "assignment": ((num_rows, *patches), np.dtype(np.uint8)),
    }


def empty_rows(settings: IndexSettings) -> ClipRows:
    """No clips, with the shapes of an index."""
    return ClipRows(**{name: np.zeros(*column) for name, column in _columns(0, settings).items()})


def join_rows(pieces: Sequence[ClipRows], settings: IndexSettings) -> ClipRows:
    """The pieces' rows one after another."""
    together = [empty_rows(settings), *pieces]
    joined = {name: np.concatenate([getattr(piece, name) for piece in together]) for name in COLUMN_NAMES}
    return ClipRows(**joined)
