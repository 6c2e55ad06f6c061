"""What can be asked queries of one's own: an index in this process, or the ranking that a file keeps.

A server is asked by `benchmarks/served_archive.py`, since this package knows no gRPC.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.evaluation.details import ItemPicture, Wanted
from henasy.evaluation.doc_ids import DocSpan, format_doc_id, parse_doc_id
from henasy.evaluation.found_spans import FoundSpan
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
        from henasy.index.reader import Index
        from henasy.search.engine import Engine

        index = Index.open(folder, is_checked=False)
        settings = index.settings
        name = model or settings.model
        encoder = load_encoder(name, device=device, num_frames=settings.num_frames, micro_batch=1)
        self._engine, self._target = Engine(index, encoder), target
        self._facts: dict[str, object] = {
            "index": f"{folder}, generation {index.generation}, {index.num_clips} clips of {len(index.videos)} videos",
            "model": f"{name} ({index.kind})",
            "space": index.space_id,
            "plan": f"{settings.plan.clip_s:g} s every {settings.plan.stride_s:g} s, {settings.num_frames} frames",
            "target": str(target),
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
        from henasy.evaluation.frame_rules import EK100_FRAMES
        from henasy.evaluation.item_pictures import item_pictures

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


class KeptRanking:
    """A TREC run file: `query_id Q0 document rank score tag` per line, documents with times."""

    def __init__(self, path: Path, queries: Mapping[str, str]) -> None:
        """Reads it.

        Raises:
            NotFoundError: if the file is missing.
            AnnotationError: if a line is not of that form, names an unknown query, repeats a document, or has a score
                that is not finite.
        """
        self._path = path
        if not path.is_file():
            raise NotFoundError(f"{path}: no such index, server or run file")
        self._found: dict[str, list[FoundSpan]] = {query_id: [] for query_id in queries}
        seen: set[tuple[str, str]] = set()
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise AnnotationError(f"{path}: is not UTF-8: {error}") from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._add(line.split(), f"{path}, line {number}", seen)
        if not seen:
            raise AnnotationError(f"{path}: holds no hit")
        for found in self._found.values():
            found.sort(key=lambda one: -one.score)

    @property
    def facts(self) -> dict[str, object]:
        """What fixes its answers."""
        return {"run": str(self._path)}

    def videos(self, names: Sequence[str]) -> dict[str, ArchiveVideo]:
        """All of them: a ranking does not say what it could not find."""
        return {name: ArchiveVideo(name, name, math.inf) for name in names}

    def search(self, queries: Mapping[str, str], top_k: int) -> dict[str, list[FoundSpan]]:
        """What it holds for each query."""
        return {query_id: self._found[query_id][:top_k] for query_id in queries}

    def _add(self, fields: list[str], place: str, seen: set[tuple[str, str]]) -> None:
        if len(fields) != 6:
            raise AnnotationError(f"{place}: {len(fields)} fields, must be 6: query_id Q0 document rank score tag")
        query_id, _, name, _, score, _ = fields
        if query_id not in self._found:
            raise AnnotationError(f"{place}: query {query_id!r} is not in the queries file")
        if (query_id, name) in seen:
            raise AnnotationError(f"{place}: {name} was there before for query {query_id!r}")
        seen.add((query_id, name))
        try:
            doc, value = parse_doc_id(name), float(score)
        except (InputError, ValueError) as error:
            raise AnnotationError(f"{place}: {error}") from error
        if not math.isfinite(value):
            raise AnnotationError(f"{place}: score is {score}, must be a finite number")
        if doc.span is None:
            raise AnnotationError(f"{place}: {name!r} has no times, a hit is VIDEO@START-END")
        self._found[query_id].append(FoundSpan(doc.video, doc.video, *doc.span, value))


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


def format_run(found: Mapping[str, Sequence[FoundSpan]], names: Mapping[str, str], tag: str) -> str:
    """The content of a TREC run file.

    Args:
        found: the hits of each query.
        names: what to call a video instead of by its id.
        tag: one word for the system.
    """
    lines = []
    for query_id, hits in found.items():
        seen: set[str] = set()
        for hit in hits:
            span = (hit.start_s, hit.end_s)
            name = format_doc_id(DocSpan(names.get(hit.video_id, hit.video_id), span))
            if name not in seen:
                seen.add(name)
                lines.append(f"{query_id} Q0 {name} {len(seen)} {hit.score:.9g} {tag}\n")
    return "".join(lines)
