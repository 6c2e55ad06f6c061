"""A part as one generation sees it: without the rows that were dropped since it was written.

Rows are dense within the part: 0 .. num_clips - 1 over the rows that are left.
"""

import functools
import threading

import numpy as np
from numpy.typing import NDArray

from henasy.index import layout
from henasy.index.nearest import Nearest, NearestVectors
from henasy.index.part import Part


class LivePart:
    """Searches and locates the rows of a part that are left."""

    def __init__(self, part: Part, dropped: NDArray[np.bool_] | None) -> None:
        """Joins an opened part and what a generation has left of it.

        Args:
            part: may be shared with other generations.
            dropped: (N,) stored rows that the generation no longer holds; None when it holds all.
        """
        self.part = part
        self._kept = None if dropped is None else np.flatnonzero(~dropped)
        self._lock = threading.Lock()

    def has_dropped(self, dropped: NDArray[np.bool_] | None) -> bool:
        """Whether exactly these rows are left out, so that this object serves the other generation as well."""
        if self._kept is None or dropped is None:
            return self._kept is None and dropped is None
        return np.array_equal(self._kept, np.flatnonzero(~dropped))

    @property
    def num_clips(self) -> int:
        """Rows that are left."""
        return self.part.num_clips if self._kept is None else len(self._kept)

    @functools.cached_property
    def num_valid_entities(self) -> int:
        """Valid entities of the rows that are left."""
        is_valid = self.part.is_valid if self._kept is None else self.part.is_valid[self._kept]
        return int(np.count_nonzero(is_valid))

    def stored(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the part's files for dense rows."""
        return rows if self._kept is None else self._kept[rows]

    def video_codes(self) -> NDArray[np.int32]:
        """For each dense row the code of its video in `part.video_ids`."""
        return self.part.video_code if self._kept is None else self.part.video_code[self._kept]

    def warm(self) -> None:
        """Loads or makes the FAISS indexes now."""
        _ = self._clips
        if self.part.entities.shape[1]:
            _ = self._entities

    def search(
        self, query: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None, *, is_entities: bool
    ) -> Nearest:
        """The nearest dense clip rows, or dense entity rows, to one query (D,).

        Args:
            allowed: (num_clips,) clips whose rows may be found; None allows all that are left.
        """
        nearest = self._entities if is_entities else self._clips
        stride = self.part.entities.shape[1] if is_entities else 1
        mask = self._stored_mask(allowed)
        if mask is not None and is_entities:
            mask = np.repeat(mask, stride)
        found = nearest.search(query, k, mask)
        if self._kept is None:
            return found
        clip, slot = np.divmod(found.rows, stride)
        return Nearest(found.scores, np.searchsorted(self._kept, clip) * stride + slot)

    def _stored_mask(self, allowed: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        if self._kept is None:
            return allowed
        mask = np.zeros(self.part.num_clips, np.bool_)
        mask[self._kept] = True if allowed is None else allowed
        return mask

    @property
    def _clips(self) -> NearestVectors:
        with self._lock:
            return self._nearest_clips

    @property
    def _entities(self) -> NearestVectors:
        with self._lock:
            return self._nearest_entities

    @functools.cached_property
    def _nearest_clips(self) -> NearestVectors:
        return NearestVectors(*clip_targets(self.part), self.part.folder / layout.CLIP_CACHE)

    @functools.cached_property
    def _nearest_entities(self) -> NearestVectors:
        return NearestVectors(*entity_targets(self.part), self.part.folder / layout.ENTITY_CACHE)


def clip_targets(part: Part) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """The vectors of a clip search and which of them can be found."""
    return part.clips, np.arange(part.num_clips)


def entity_targets(part: Part) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """The vectors of an entity search and which of them can be found: those with patches."""
    vectors = part.entities.reshape(-1, part.entities.shape[2])
    return vectors, np.flatnonzero(part.is_valid.reshape(-1))
