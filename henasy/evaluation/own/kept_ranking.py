"""A ranking that was kept to be scored again: a TREC run file, and beside it what TREC's form has no place for.

`x.run.json` beside `x.run` says what was asked, how deep, of which index, and which judged videos it held, so that the
ranking is judged as its index would be: without it a missing video, or a query that was never asked, looks like one
that was not found. A run file from elsewhere has none; then the result says what is not known.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.evaluation.annotations.json_record import JsonRecord, read_json_record
from henasy.evaluation.own.doc_ids import DocSpan, format_doc_id, parse_doc_id
from henasy.evaluation.own.found_spans import FoundSpan
from henasy.evaluation.own.searched_archive import ArchiveVideo, SearchedArchive
from henasy.evaluation.tasks.report import file_digest, write_text

_FIELDS = 6
_TAG = "henasy"
_LISTED = 5


class _Note(NamedTuple):
    """What is known of a ranking."""

    facts: dict[str, object]
    """What fixed the answers."""
    queries: dict[str, str]
    top_k: int
    videos: tuple[ArchiveVideo, ...]
    missing: frozenset[str]
    """Names of judged videos that the index did not hold."""


class KeptRanking:
    """A TREC run file: `query_id Q0 document rank score tag` per line, documents with times."""

    def __init__(self, path: Path, queries: Mapping[str, str]) -> None:
        """Reads it, and what lies beside it.

        Raises:
            NotFoundError: if the file is missing.
            AnnotationError: if a line is not of that form, names an unknown query, repeats a document, or has a score
                that is not finite; if the file beside it is of another ranking, or its queries are others.
        """
        if not path.is_file():
            raise NotFoundError(f"{path}: no such index, server or run file")
        self._path = path
        self._note = _read_note(path)
        if self._note is not None:
            _require_same_queries(path, self._note, queries)
        known = self._note.videos if self._note else ()
        self._videos = {name: one for one in known for name in (one.path, one.video_id)}
        self._found = _read_run(path, queries, self._videos)

    @property
    def facts(self) -> dict[str, object]:
        """What fixes its answers."""
        facts: dict[str, object] = {"run": str(self._path), "run sha256": file_digest(self._path)}
        if self._note is not None:
            return facts | self._note.facts
        facts["unknown"] = "what was searched, how deep, and which videos it held: the run comes without its .json"
        unanswered = [query_id for query_id, found in self._found.items() if not found]
        if unanswered:
            which = f"{len(unanswered)} of {len(self._found)} queries: {_first(unanswered)}"
            facts["without a hit"] = f"{which}; not asked, or none found"
        return facts

    def videos(self, names: Sequence[str]) -> dict[str, ArchiveVideo]:
        """The videos that there were of these; those of which nothing is known count as there, of unknown length."""
        missing = self._note.missing if self._note else frozenset()
        unknown = {name: ArchiveVideo(name, name, math.inf) for name in names if name not in missing}
        return {name: self._videos.get(name, video) for name, video in unknown.items()}

    def search(self, queries: Mapping[str, str], top_k: int) -> dict[str, list[FoundSpan]]:
        """What it holds for each query.

        Raises:
            InputError: fewer hits were asked for when it was kept.
        """
        if self._note is not None and top_k > self._note.top_k:
            raise InputError("--top-k", f"{top_k} hits are asked for, {self._path} was kept with {self._note.top_k}")
        return {query_id: self._found[query_id][:top_k] for query_id in queries}


def keep_ranking(
    path: Path,
    found: Mapping[str, Sequence[FoundSpan]],
    archive: SearchedArchive,
    queries: Mapping[str, str],
    *,
    names: Sequence[str],
    top_k: int,
) -> None:
    """Writes a ranking, and beside it what is needed to judge it.

    Args:
        path: of the run file.
        found: the hits of each query.
        archive: what was searched.
        queries: all that was asked, by id.
        names: of the judged videos, which the ranking calls them by.
        top_k: hits that were asked for.
    """
    held = archive.videos(names)
    called = {video.video_id: name for name, video in held.items()}
    paths = {hit.video_id: hit.path for hits in found.values() for hit in hits}
    paths |= {one.video_id: one.path for one in held.values()}
    lengths = {one.video_id: one.duration_s for one in held.values() if math.isfinite(one.duration_s)}
    write_text(path, format_run(found, called, _TAG))
    note = {
        "run_sha256": file_digest(path),
        "top_k": top_k,
        "facts": archive.facts,
        "queries": dict(queries),
        "videos": [[video_id, shown, lengths.get(video_id)] for video_id, shown in paths.items()],
        "missing": [name for name in names if name not in held],
    }
    write_text(note_path(path), json.dumps(note, indent=1, default=str) + "\n")


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


def note_path(path: Path) -> Path:
    """The file beside a run file that says what fixes it."""
    return path.with_name(path.name + ".json")


def _read_note(path: Path) -> _Note | None:
    beside = note_path(path)
    if not beside.is_file():
        return None
    record = read_json_record(beside)
    if record.text("run_sha256") != file_digest(path):
        raise AnnotationError(f"{beside}: is of another ranking than {path.name}; keep that again, or remove this file")
    return _Note(
        facts=record.record("facts").values,
        queries={str(query_id): str(text) for query_id, text in record.record("queries").values.items()},
        top_k=int(record.number("top_k")),
        videos=tuple(_video(record, fields) for fields in record.items("videos")),
        missing=frozenset(str(name) for name in record.items("missing")),
    )


def _video(record: JsonRecord, fields: object) -> ArchiveVideo:
    if not (isinstance(fields, list) and len(fields) == 3 and all(isinstance(name, str) for name in fields[:2])):
        raise record.error("videos", "a list of [id, path, seconds or null]")
    return ArchiveVideo(fields[0], fields[1], math.inf if fields[2] is None else float(fields[2]))


def _require_same_queries(path: Path, note: _Note, queries: Mapping[str, str]) -> None:
    for query_id, text in queries.items():
        if note.queries.get(query_id, text) != text:
            raise AnnotationError(
                f"{path}: query {query_id!r} was {note.queries[query_id]!r} when the run was kept, now it is {text!r}"
            )
    unasked = [query_id for query_id in queries if query_id not in note.queries]
    if unasked:
        raise AnnotationError(
            f"{path}: {len(unasked)} queries were not asked when the run was kept: {_first(unasked)}; keep it again"
        )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


def _read_run(path: Path, queries: Mapping[str, str], videos: Mapping[str, ArchiveVideo]) -> dict[str, list[FoundSpan]]:
    found: dict[str, list[FoundSpan]] = {query_id: [] for query_id in queries}
    seen: set[tuple[str, str]] = set()
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path}: is not UTF-8: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place, fields = f"{path}, line {number}", line.split()
        query_id, hit = _hit(fields, place, videos)
        if query_id not in found:
            raise AnnotationError(f"{place}: query {query_id!r} is not in the queries file")
        if (query_id, fields[2]) in seen:
            raise AnnotationError(f"{place}: {fields[2]} was there before for query {query_id!r}")
        seen.add((query_id, fields[2]))
        found[query_id].append(hit)
    if not seen:
        raise AnnotationError(f"{path}: holds no hit")
    for hits in found.values():
        hits.sort(key=lambda one: -one.score)
    return found


def _hit(fields: Sequence[str], place: str, videos: Mapping[str, ArchiveVideo]) -> tuple[str, FoundSpan]:
    if len(fields) != _FIELDS:
        raise AnnotationError(f"{place}: {len(fields)} fields, must be {_FIELDS}: query_id Q0 document rank score tag")
    query_id, _, name, _, score, _ = fields
    try:
        doc, value = parse_doc_id(name), float(score)
    except (InputError, ValueError) as error:
        raise AnnotationError(f"{place}: {error}") from error
    if not math.isfinite(value):
        raise AnnotationError(f"{place}: score is {score}, must be a finite number")
    if doc.span is None:
        raise AnnotationError(f"{place}: {name!r} has no times, a hit is VIDEO@START-END")
    video = videos.get(doc.video, ArchiveVideo(doc.video, doc.video, math.inf))
    return query_id, FoundSpan(video.video_id, video.path, *doc.span, value)
