"""What can be asked queries of one's own: an index in this process.

A server is asked by `benchmarks/served_archive.py`, since this package knows no gRPC; a ranking that was kept by
`kept_ranking.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from henasy.errors import InputError
from henasy.evaluation.own.found_spans import FoundSpan
from henasy.evaluation.pages.details import ItemPicture, Wanted
from henasy.search.hits import Hit
from henasy.search.request import MAX_HITS, MAX_QUERIES, SearchRequest, Target
from henasy.video.video_files import VideoFiles


class ArchiveVideo(NamedTuple):
    """One video that can be found."""

    video_id: str
    path: str
    duration_s: float


class SearchedArchive(Protocol):
    """What answers queries."""

    @property
    def facts(self) -> dict[str, object]:
        """What fixes its answers."""

    def videos(self, names: Sequence[str]) -> dict[str, ArchiveVideo]:
        """The videos that there are of these, each an id or a path as hits show it."""

    def search(self, queries: Mapping[str, str], top_k: int) -> dict[str, list[FoundSpan]]:
        """The best hits of each query by its id, best first."""


class IndexArchive:
    """An index, searched in this process."""

    def __init__(self, folder: Path, *, model: str | None, device: str, target: Target) -> None:
        """Opens it and loads the model.

        Args:
            folder: of the index.
            model: a checkpoint; None takes the one that the index was built with.
            device: where texts are encoded.
            target: what is searched for.

        Raises:
            NotFoundError, IndexFormatError, CheckpointError, SpaceMismatchError: as the index, the checkpoint and
                both together do.
        """
        # Loads torch, which a kept ranking needs not.
        from henasy.checkpoint.encoder import load_encoder
        from henasy.heads.moment_ends_file import read_ends_head
        from henasy.index.reader import Index
        from henasy.search.engine import Engine

        index = Index.open(folder, is_checked=False)
        settings = index.settings
        name = model or settings.model
        encoder = load_encoder(name, device=device, num_frames=settings.num_frames, micro_batch=1)
        ends = read_ends_head(name, encoder, index.plan)
        self._engine, self._target = Engine(index, encoder, ends=ends), target
        self._facts: dict[str, object] = {
            "index": f"{folder}, generation {index.generation}, {index.num_clips} clips of {len(index.videos)} videos",
            "model": f"{name} ({index.kind})",
            "space": index.space_id,
            "plan": f"{settings.plan.clip_s:g} s every {settings.plan.stride_s:g} s, {settings.num_frames} frames",
            "target": str(target),
            "ends head": "none" if ends is None else f"sha256 {ends.digest}",
        }

    @property
    def facts(self) -> dict[str, object]:
        """What fixes its answers."""
        return dict(self._facts)

    def videos(self, names: Sequence[str]) -> dict[str, ArchiveVideo]:
        """The videos that there are of these.

        Raises:
            InputError: if a name means several videos.
        """
        known: dict[str, list[ArchiveVideo]] = {}
        for record in self._engine.index.videos:
            video = ArchiveVideo(record.video_id, record.path, record.duration_s)
            for name in {record.video_id, record.path}:
                known.setdefault(name, []).append(video)
        for name in names:
            if len(known.get(name, ())) > 1:
                ids = ", ".join(video.video_id for video in known[name])
                raise InputError("video", f"{name!r} is the path of several videos, name one by its id: {ids}")
        return {name: known[name][0] for name in names if name in known}

    def search(self, queries: Mapping[str, str], top_k: int) -> dict[str, list[FoundSpan]]:
        """The best hits of each query."""
        return in_batches(queries, top_k, self._answer)

    def draw(self, wanted: Sequence[Wanted]) -> Sequence[ItemPicture]:
        """Pictures of clips by their video's id, with the entities that the model finds in them."""
        from henasy.evaluation.encoding.frame_rules import EK100_FRAMES
        from henasy.evaluation.pages.item_pictures import item_pictures

        index = self._engine.index
        records = {one.span.video_id: index.videos.get(one.span.video_id) for one in wanted}
        files = {
            video_id: VideoFiles(video_id=video_id, paths=(record.file,), chunk_starts_s=None)
            for video_id, record in records.items()
        }
        return item_pictures(wanted, self._engine.encoder, EK100_FRAMES, files)

    def _answer(self, texts: tuple[str, ...], top_k: int) -> list[list[FoundSpan]]:
        answer = self._engine.search(SearchRequest(queries=texts, target=self._target, top_k=top_k))
        return [[found_span(hit) for hit in result.hits] for result in answer.results]


def found_span(hit: Hit) -> FoundSpan:
    """Where a hit of the engine is."""
    return FoundSpan(hit.video.video_id, hit.video.path, hit.span.start_s, hit.span.end_s, hit.score)


def in_batches(
    queries: Mapping[str, str],
    top_k: int,
    answer: Callable[[tuple[str, ...], int], list[list[FoundSpan]]],
) -> dict[str, list[FoundSpan]]:
    """The hits of each query, asked for in calls of as many texts as one call may have."""
    size = max(1, min(MAX_QUERIES, MAX_HITS // top_k))
    ids = list(queries)
    found: dict[str, list[FoundSpan]] = {}
    for first in range(0, len(ids), size):
        part = ids[first : first + size]
        found.update(zip(part, answer(tuple(queries[query_id] for query_id in part), top_k), strict=True))
    return found
