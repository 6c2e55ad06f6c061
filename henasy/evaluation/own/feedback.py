"""Judgements from what people said of hits: one by one, or as a file of hits that they marked."""

import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from henasy.errors import AnnotationError, NotFoundError
from henasy.evaluation.own.doc_ids import DocSpan, format_doc_id
from henasy.evaluation.own.qrels import Judgement, format_judgements
from henasy.evaluation.tasks.report import write_text


class MarkedHits(NamedTuple):
    """What a file of marked hits says."""

    new_queries: dict[str, str]
    """Queries that were not in the queries file, by the ids that they get."""
    judgements: list[Judgement]
    num_unmarked: int
    """Hits without a mark."""


class Merged(NamedTuple):
    """What feedback adds to judgements."""

    added: list[Judgement]
    num_known: int
    """Judgements that say what was known."""


def read_marked_hits(path: Path, queries: Mapping[str, str], names: Container[str] = ()) -> MarkedHits:
    """The judgements in what `henasy-search --json` printed, after somebody gave hits a key `relevance`.

    A result may name its query by a key `query_id`; otherwise its text does, and a text that is not in the queries
    file becomes a new query. Hits without the key, or with null there, are not judged.

    Args:
        path: of the JSON file.
        queries: those that there are, by id.
        names: what earlier judgements call videos; a video is called by its path if that is among them, else by its id.

    Raises:
        NotFoundError: if the file is missing.
        AnnotationError: if it is no such JSON, a relevance is no whole number from 0, or a text means several queries.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{path}: not JSON: {error}") from error
    known, num_unmarked = dict(queries), 0
    judgements: list[Judgement] = []
    for number, result in enumerate(_field(str(path), content, "results", list)):
        place = f"{path}, result {number}"
        query_id = _query_id(place, result, known)
        for row, hit in enumerate(_field(place, result, "hits", list)):
            judgement = _judgement(f"{place}, hit {row}", query_id, hit, names)
            num_unmarked += judgement is None
            judgements += [] if judgement is None else [judgement]
    new = {query_id: text for query_id, text in known.items() if query_id not in queries}
    return MarkedHits(new, judgements, num_unmarked)


def merge_feedback(known: Sequence[Judgement], marked: Sequence[Judgement]) -> Merged:
    """What marked hits add to judgements.

    Overlapping clips that got the same mark show the same thing, so that together they are one piece; a mark that a
    known judgement of equal relevance overlaps adds nothing.

    Raises:
        AnnotationError: if the same piece is marked with another relevance than it has.
    """
    relevance = {(one.query_id, one.doc): one.relevance for one in known}
    for one in marked:
        before = relevance.setdefault((one.query_id, one.doc), one.relevance)
        if before != one.relevance:
            raise AnnotationError(
                f"{format_doc_id(one.doc)} has relevance {before} for query {one.query_id!r} and is marked "
                f"{one.relevance}; change the qrels file by hand, or the mark"
            )
    fresh = [one for one in marked if not any(_says_the_same(one, other) for other in known)]
    return Merged(_joined(fresh), len(marked) - len(fresh))


def append_judgements(path: Path, added: Sequence[Judgement]) -> None:
    """Adds lines to a qrels file, made if it is not there; the file is whole at every moment."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    separator = "\n" if before and not before.endswith("\n") else ""
    write_text(path, before + separator + format_judgements(added))


def next_query_id(queries: Mapping[str, str]) -> str:
    """An id that no query has."""
    number = len(queries) + 1
    while f"q{number:03d}" in queries:
        number += 1
    return f"q{number:03d}"


def _says_the_same(one: Judgement, other: Judgement) -> bool:
    if (one.query_id, one.doc.video, one.relevance) != (other.query_id, other.doc.video, other.relevance):
        return False
    if one.doc.span is None or other.doc.span is None:
        return one.doc == other.doc
    return other.doc.overlap(*one.doc.span) > 0


def _joined(judgements: Sequence[Judgement]) -> list[Judgement]:
    """Overlapping pieces of one query, video and relevance as one."""
    joined: list[Judgement] = []
    for one in sorted(judgements, key=lambda one: (one.query_id, one.doc.video, one.relevance, one.doc.span or (0, 0))):
        last = joined[-1] if joined else None
        if last is None or not _says_the_same(one, last):
            joined.append(one)
        elif one.doc.span is not None and last.doc.span is not None:
            span = (last.doc.span[0], max(last.doc.span[1], one.doc.span[1]))
            joined[-1] = last._replace(doc=DocSpan(last.doc.video, span))
    return joined


def _query_id(place: str, result: Any, known: dict[str, str]) -> str:
    """The id of a result's query; a new text is added to `known`."""
    text = _field(place, result, "query", str).strip()
    if "query_id" in result:
        query_id: str = _field(place, result, "query_id", str)
        if known.get(query_id) != text:
            raise AnnotationError(f"{place}: query_id {query_id!r} has the text {known.get(query_id)!r}, not {text!r}")
        return query_id
    ids = [query_id for query_id, other in known.items() if other == text]
    if len(ids) > 1:
        raise AnnotationError(f"{place}: {text!r} is the text of {', '.join(ids)}; a key query_id must say which")
    if not text or len(text.splitlines()) > 1 or "\t" in text:
        raise AnnotationError(f"{place}: query is {text!r}, must be one line of text without tabs")
    query_id = ids[0] if ids else next_query_id(known)
    known[query_id] = text
    return query_id


def _judgement(place: str, query_id: str, hit: Any, names: Container[str]) -> Judgement | None:
    if not isinstance(hit, dict):
        raise AnnotationError(f"{place}: must be an object")
    relevance = hit.get("relevance")
    if relevance is None:
        return None
    relevance = int(relevance) if isinstance(relevance, bool) else relevance
    if not isinstance(relevance, int) or not 0 <= relevance <= 100:
        raise AnnotationError(
            f"{place}: relevance is {relevance!r}, must be a whole number from 0 to 100, or true, false"
        )
    video, span = _field(place, hit, "video", dict), _field(place, hit, "span", dict)
    start_s, end_s = (float(_field(place, span, name, (int, float))) for name in ("start_s", "end_s"))
    if not 0 <= start_s < end_s < float("inf"):
        raise AnnotationError(f"{place}: span {start_s} to {end_s}, must be 0 <= start_s < end_s")
    name: str = _field(place, video, "video_id", str)
    if not name:
        raise AnnotationError(f"{place}: video_id is blank")
    video_path = video.get("path")
    return Judgement(query_id, DocSpan(video_path if video_path in names else name, (start_s, end_s)), relevance)


def _field(place: str, item: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(item, dict) or name not in item:
        raise AnnotationError(f"{place}: lacks {name!r}")
    if not isinstance(item[name], kind) or isinstance(item[name], bool):
        raise AnnotationError(f"{place}: {name} is {item[name]!r}, of the wrong type")
    return item[name]
