"""An index opened for searching: one generation, unchanged for as long as it is held.

Clip rows are dense: 0 .. num_clips - 1 over all parts, without dropped rows. The clips of one video are
neighbours, in the order of time. Entity row = clip row * E + slot. Rows mean something only within the
generation that gave them; what lasts is (video_id, start_s, end_s).

Q queries, D width, E entities, T frames, K patches per frame.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import IndexFormatError, InputError, NotFoundError, UnsupportedError
from henasy.index.generation import Generation, read_current, read_generation
from henasy.index.half import to_single
from henasy.index.live_part import LivePart
from henasy.index.manifest import FileEntry
from henasy.index.nearest import Nearest
from henasy.index.part import Part
from henasy.index.rows import ClipRows
from henasy.index.select import EVERYTHING, Filters, Selection, select_videos
from henasy.index.settings import IndexSettings
from henasy.index.videos import RefusedRecord, VideoTable
from henasy.video.plan import ClipPlan


class Rows(NamedTuple):
    """Search results, best first; where a query has fewer, the row is -1 and the score -inf."""

    scores: NDArray[np.float32]
    """(Q, k) cosine similarities."""
    rows: NDArray[np.int64]
    """(Q, k)"""


class ClipColumns(NamedTuple):
    """Where some clips lie, one value per clip."""

    video_id: NDArray[np.str_]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    video_row: NDArray[np.int64]
    """Row in `Index.videos`; for grouping."""


class EntityColumns(NamedTuple):
    """What some entities are, one value per entity."""

    clip_row: NDArray[np.int64]
    slot: NDArray[np.int64]
    patch_share: NDArray[np.float32]
    is_valid: NDArray[np.bool_]


class Index:
    """One generation of an index. Safe to use from several threads."""

    def __init__(self, root: Path, generation: Generation, parts: list[LivePart]) -> None:
        """Use `Index.open`."""
        self.root = root
        self.generation: int = generation.manifest.generation
        self.created: str = generation.manifest.created
        self.settings: IndexSettings = generation.manifest.settings
        self.videos: VideoTable = generation.videos
        self.refused: tuple[RefusedRecord, ...] = generation.refused
        self._parts = parts
        self._offsets = np.cumsum([0, *(part.num_clips for part in parts)])
        self._video_rows = [self._rows_in_table(part) for part in parts]

    @classmethod
    def open(cls, path: str | Path, *, is_checked: bool = True, opened: "Index | None" = None) -> "Index":
        """The live generation of an index.

        Args:
            path: folder of the index.
            is_checked: compare the checksum of every file, which reads all of them once; otherwise only
                sizes and the checksums of the small files.
            opened: an earlier generation of the same folder; parts that both have are shared with it and not checked
                again, and stay warm where no row of them was dropped in between.

        Raises:
            NotFoundError: no index is there, or nothing has been published yet.
            IndexFormatError: a file is missing or damaged; names the file and its checksum.
        """
        root = Path(path)
        number = read_current(root)
        while True:
            try:
                return cls._open_generation(root, number, is_checked, opened)
            except IndexFormatError:
                # A writer may have published and swept the generation between the two reads.
                newer = read_current(root)
                if newer == number:
                    raise
                number = newer

    @classmethod
    def _open_generation(cls, root: Path, number: int, is_checked: bool, opened: "Index | None") -> "Index":
        generation = read_generation(root, number)
        settings = generation.manifest.settings
        before = {} if opened is None or opened.settings != settings else opened._parts_by_files()
        parts = []
        for entry in generation.manifest.parts:
            dropped = generation.dropped.get(entry.part_id)
            live = before.get((entry.part_id, entry.files))
            if live is None:
                live = LivePart(Part(root, entry, settings, is_checked=is_checked), dropped)
            elif not live.has_dropped(dropped):
                live = LivePart(live.part, dropped)
            parts.append(live)
        return cls(root, generation, [part for part in parts if part.num_clips])

    def _parts_by_files(self) -> dict[tuple[str, tuple[FileEntry, ...]], LivePart]:
        return {(live.part.part_id, live.part.files): live for live in self._parts}

    @property
    def space_id(self) -> str:
        """The space that all embeddings belong to."""
        return self.settings.space_id

    @property
    def plan(self) -> ClipPlan:
        """How videos were cut into clips."""
        return self.settings.plan

    @property
    def kind(self) -> str:
        """`henasy` or `dual`."""
        return self.settings.kind

    @property
    def num_clips(self) -> int:
        """Clips that can be found; clip rows are below this."""
        return int(self._offsets[-1])

    @property
    def num_entities(self) -> int:
        """Entity slots per clip (E); entity rows are below num_clips * E."""
        return self.settings.num_entities

    @functools.cached_property
    def num_valid_entities(self) -> int:
        """Entities that can be found."""
        return sum(part.num_valid_entities for part in self._parts)

    def warm(self) -> None:
        """Loads or makes all FAISS indexes now instead of at the first search."""
        for part in self._parts:
            part.warm()

    def search_clips(self, queries: NDArray[np.float32], k: int, selection: Selection | None = None) -> Rows:
        """The nearest clips of each query.

        Args:
            queries: (Q, D), L2-normalised.
            k: results per query; more than there are clips gives as many as there are.

        Returns:
            (Q, min(k, num_clips)) results; equal scores in the order of rows.

        Raises:
            InputError: queries of another width or not finite, k below 1, a row that does not exist.
        """
        return self._search(queries, k, selection, is_entities=False)

    def search_entities(self, queries: NDArray[np.float32], k: int, selection: Selection | None = None) -> Rows:
        """The nearest valid entities of each query, as entity rows, among the clips of `selection`.

        Raises:
            UnsupportedError: the index holds no entities.
            InputError: as `search_clips`.
        """
        if not self.num_entities:
            raise UnsupportedError(
                f"{self.root}: holds clips only (kind dual); entities need an index made by a henasy model"
            )
        return self._search(queries, k, selection, is_entities=True)

    def clips(self, rows: NDArray[np.int64]) -> ClipColumns:
        """Where clips lie; `rows` (n,).

        Raises:
            InputError: a row does not exist.
        """
        video_row, start_s, end_s = self._places(self._checked(rows, self.num_clips))
        return ClipColumns(self._ids[video_row], start_s, end_s, video_row)

    def video_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) rows in `videos` of the clips at `rows` (n,), without making their ids.

        Raises:
            InputError: a row does not exist.
        """
        return self._places(self._checked(rows, self.num_clips))[0]

    def entities(self, rows: NDArray[np.int64]) -> EntityColumns:
        """What entities are; `rows` (n,) are entity rows.

        Raises:
            InputError: a row does not exist.
        """
        rows = self._checked(rows, self.num_clips * self.num_entities)
        clip_row, slot = np.divmod(rows, max(1, self.num_entities))
        share, is_valid = self.entity_shares(clip_row)
        at = np.arange(len(rows))
        return EntityColumns(clip_row, slot, share[at, slot], is_valid[at, slot])

    def entity_shares(self, clip_rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(n, E) share of patches and (n, E) validity of all entities of some clips."""
        rows = self._checked(clip_rows, self.num_clips)
        share = np.empty((len(rows), self.num_entities), np.float32)
        is_valid = np.empty((len(rows), self.num_entities), np.bool_)
        for number, at, local in self._locate(rows):
            part = self._parts[number].part
            share[at], is_valid[at] = part.patch_share[local], part.is_valid[local]
        return share, is_valid

    def clip_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, D) stored embeddings of clips."""
        rows = self._checked(rows, self.num_clips)
        vectors = np.empty((len(rows), self.settings.width), np.float32)
        for number, at, local in self._locate(rows):
            vectors[at] = to_single(self._parts[number].part.clips[local])
        return vectors

    def entity_vectors(self, clip_rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, E, D) stored embeddings of all entities of some clips, valid or not."""
        rows = self._checked(clip_rows, self.num_clips)
        vectors = np.empty((len(rows), self.num_entities, self.settings.width), np.float32)
        for number, at, local in self._locate(rows):
            vectors[at] = to_single(self._parts[number].part.entities[local])
        return vectors

    def assignment(self, clip_rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(n, T, K) the entity that each patch of some clips belongs to.

        Raises:
            UnsupportedError: the index holds no entities.
        """
        if not self.num_entities:
            raise UnsupportedError(f"{self.root}: holds clips only (kind dual), so no patch assignment")
        rows = self._checked(clip_rows, self.num_clips)
        found = np.empty((len(rows), self.settings.num_frames, self.settings.num_patches), np.uint8)
        for number, at, local in self._locate(rows):
            found[at] = self._parts[number].part.assignment(local)
        return found

    def stored_rows(self, video_id: str) -> ClipRows:
        """Everything stored about one video.

        Raises:
            NotFoundError: no such video.
        """
        span = self.rows_of_video(video_id)
        for number, _, local in self._locate(np.arange(span.start, span.stop)):
            return self._parts[number].part.rows(local)
        raise NotFoundError(f"video_id: {video_id!r} has no clips")

    def rows_of_video(self, video_id: str) -> range:
        """Clip rows of one video, in the order of time.

        Raises:
            NotFoundError: no such video.
        """
        return self._ranges[self.videos.row_of(video_id)]

    def find_clip(self, video_id: str, start_s: float) -> int:
        """The row of the clip of a video that starts at a time.

        Raises:
            NotFoundError: no such video, or no clip of it starts there.
        """
        rows = self.rows_of_video(video_id)
        starts = self.clips(np.arange(rows.start, rows.stop)).start_s
        at = int(np.searchsorted(starts, start_s - 1e-6))
        if at == len(rows) or abs(starts[at] - start_s) > 1e-6:
            raise NotFoundError(f"start_s: no clip of {video_id} starts at {start_s}")
        return rows[at]

    def select(self, filters: Filters) -> Selection:
        """The clips that meet all filters.

        Raises:
            NotFoundError: a video id is unknown.
            InputError: a metadata column is unknown.
        """
        videos = select_videos(filters, self.videos)
        if videos is None and filters.start_s is None and filters.end_s is None:
            return EVERYTHING
        video_row, start_s, end_s = self._places(np.arange(self.num_clips))
        mask = np.ones(self.num_clips, np.bool_) if videos is None else videos[video_row]
        if filters.start_s is not None:
            mask &= end_s > filters.start_s
        if filters.end_s is not None:
            mask &= start_s < filters.end_s
        return Selection(np.flatnonzero(mask))

    @functools.cached_property
    def _ids(self) -> NDArray[np.str_]:
        return np.array([record.video_id for record in self.videos], np.str_)

    @functools.cached_property
    def _ranges(self) -> list[range]:
        ranges = [range(0)] * len(self.videos)
        for offset, part, video_rows in zip(self._offsets, self._parts, self._video_rows, strict=False):
            codes = part.video_codes()
            starts = np.flatnonzero(np.diff(codes, prepend=-1))
            stops = np.append(starts[1:], len(codes))
            for start, stop in zip(starts, stops, strict=True):
                ranges[video_rows[codes[start]]] = range(int(offset + start), int(offset + stop))
        return ranges

    def _rows_in_table(self, part: LivePart) -> NDArray[np.int64]:
        """Row in `videos` of each of the part's video codes, -1 for videos that were dropped."""
        ids = part.part.video_ids
        return np.array([self.videos.row_of(one) if one in self.videos else -1 for one in ids], np.int64)

    def _places(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Row in `videos`, start and end of each clip."""
        video_row, start_s, end_s = np.empty(len(rows), np.int64), np.empty(len(rows)), np.empty(len(rows))
        for number, at, local in self._locate(rows):
            part = self._parts[number].part
            video_row[at] = self._video_rows[number][part.video_code[local]]
            start_s[at], end_s[at] = part.start_s[local], part.end_s[local]
        return video_row, start_s, end_s

    def _checked(self, rows: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
        rows = np.asarray(rows, np.int64)
        if rows.ndim != 1:
            raise InputError("rows", f"must be one-dimensional, has shape {rows.shape}")
        outside = (rows < 0) | (rows >= limit)
        if outside.any():
            raise InputError("rows", f"{rows[outside][0]} is not in 0..{limit - 1}")
        return rows

    def _locate(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        """For each part with some of the rows: its number, where they are in `rows`, its own rows."""
        owner = np.searchsorted(self._offsets, rows, side="right") - 1
        if len(rows) and owner.min() == owner.max():  # the rule: clips of one video, most often of one part
            number = int(owner[0])
            yield number, np.arange(len(rows)), self._parts[number].stored(rows - self._offsets[number])
            return
        for number in np.unique(owner):
            at = np.flatnonzero(owner == number)
            yield int(number), at, self._parts[number].stored(rows[at] - self._offsets[number])

    def _search(self, queries: NDArray[np.float32], k: int, selection: Selection | None, *, is_entities: bool) -> Rows:
        queries = np.asarray(queries, np.float32)
        if queries.ndim != 2 or queries.shape[1] != self.settings.width:
            raise InputError("queries", f"have shape {queries.shape}, needed is (Q, {self.settings.width})")
        if not np.isfinite(queries).all():
            raise InputError("queries", "hold values that are not finite")
        if k < 1:
            raise InputError("k", f"{k} is not at least 1")
        stride = self.num_entities if is_entities else 1
        k = min(k, self.num_clips * stride)
        allowed = self._allowed(selection)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        for at, query in enumerate(queries):
            found = [
                part.search(query, k, mask, is_entities=is_entities)
                for part, mask in zip(self._parts, allowed, strict=True)
            ]
            best = _merge(found, self._offsets[:-1] * stride, k)
            scores[at, : len(best.rows)], rows[at, : len(best.rows)] = best
        return Rows(scores, rows)

    def _allowed(self, selection: Selection | None) -> list[NDArray[np.bool_] | None]:
        """For each part which of its clips may be found; None where all may."""
        if selection is None or selection.rows is None:
            return [None] * len(self._parts)
        self._checked(selection.rows, self.num_clips)
        mask = np.zeros(self.num_clips, np.bool_)
        mask[selection.rows] = True
        return list(np.split(mask, self._offsets[1:-1])) if self._parts else []


def _merge(found: Sequence[Nearest], offsets: NDArray[np.int64], k: int) -> Nearest:
    scores = np.concatenate([np.zeros(0, np.float32), *(part.scores for part in found)])
    shifted = [part.rows + offset for part, offset in zip(found, offsets, strict=True)]
    rows = np.concatenate([np.zeros(0, np.int64), *shifted])
    order = np.lexsort((rows, -scores))[:k]
    return Nearest(scores[order], rows[order])
