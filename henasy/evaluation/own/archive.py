"""Own queries and judgements held against what an archive answers: scores, and whether one archive fell behind another.

Q queries that have something relevant.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.evaluation.metrics.paired_test import PairedTest, paired_test
from henasy.evaluation.metrics.ranking_measures import DEFAULT_MEASURES, check_measures, cutoff_of, measure_queries
from henasy.evaluation.own.doc_ids import format_doc_id
from henasy.evaluation.own.found_spans import FoundSpan, matched_ranking
from henasy.evaluation.own.qrels import Judgement, load_qrels, load_queries
from henasy.evaluation.own.searched_archive import ArchiveVideo, SearchedArchive
from henasy.evaluation.tasks.report import file_digest

_LISTED = 20
# Hand-made times are rounded; a piece that ends later than this belongs to another video.
_PAST_END_S = 1.0


@dataclass(frozen=True, kw_only=True)
class OwnArchive:
    """What was judged."""

    queries: dict[str, str]
    """Text by query id."""
    judgements: tuple[Judgement, ...]
    qrels: Path
    digests: dict[str, object]
    """Of both files."""

    @property
    def judged_videos(self) -> list[str]:
        """What the judgements call the videos they are of."""
        return list(dict.fromkeys(judgement.doc.video for judgement in self.judgements))


@dataclass(frozen=True, kw_only=True)
class ScoreRules:
    """How an answer is scored."""

    measures: tuple[str, ...] = DEFAULT_MEASURES
    top_k: int = 100
    """Hits that are asked for; measures without a cut-off see no more."""
    min_iou: float = 0.0
    """Least intersection over union at which a hit finds a judged piece; 0 for any overlap."""
    is_allowing_missing: bool = False
    """Whether to leave judgements of videos out that an archive does not hold."""

    def __post_init__(self) -> None:
        check_measures(self.measures)
        for name in self.measures:
            if (cutoff_of(name) or 0) > self.top_k:
                raise InputError("--measure", f"{name} looks at more hits than --top-k {self.top_k} asks for")
        if not 0 <= self.min_iou <= 1:
            raise InputError("--min-iou", f"{self.min_iou} is not from 0 to 1")


def default_measures(top_k: int) -> tuple[str, ...]:
    """The usual measures that look at no more than `top_k` hits."""
    return tuple(name for name in DEFAULT_MEASURES if (cutoff_of(name) or 0) <= top_k)


class Usable(NamedTuple):
    """The judgements that can be met, by query; only queries with something relevant."""

    judged: dict[str, list[Judgement]]
    facts: dict[str, object]


class Scored(NamedTuple):
    """What one archive's answers are worth."""

    query_ids: list[str]
    values: dict[str, NDArray[np.float64]]
    """(Q,) per measure"""
    found: dict[str, list[FoundSpan]]
    facts: dict[str, object]

    @property
    def means(self) -> dict[str, float]:
        """The mean of each measure over queries."""
        return {name: float(values.mean()) for name, values in self.values.items()}


def load_own_archive(queries: Path, qrels: Path) -> OwnArchive:
    """Both files.

    Raises:
        NotFoundError, AnnotationError: as `load_queries` and `load_qrels`.
    """
    texts = load_queries(queries)
    return OwnArchive(
        queries=texts,
        judgements=tuple(load_qrels(qrels, texts)),
        qrels=qrels,
        digests={"queries sha256": file_digest(queries), "qrels sha256": file_digest(qrels)},
    )


def usable_judgements(own: OwnArchive, archives: Sequence[SearchedArchive], *, is_allowing_missing: bool) -> Usable:
    """The judgements of videos that all of the archives hold.

    Raises:
        NotFoundError: if videos are missing (listed) and that is not allowed, or nothing relevant is left.
        AnnotationError: if a judged piece lies past the end of its video.
    """
    names = own.judged_videos
    held = [archive.videos(names) for archive in archives]
    for videos in held:
        _require_inside(own, videos)
    missing = [name for name in names if not all(name in videos for videos in held)]
    if missing and not is_allowing_missing:
        shown = ", ".join(missing[:_LISTED]) + (", ..." if len(missing) > _LISTED else "")
        raise NotFoundError(
            f"{own.qrels}: {len(missing)} judged videos are in no index that was asked: {shown}; "
            "--allow-missing scores the rest"
        )
    kept: dict[str, list[Judgement]] = {query_id: [] for query_id in own.queries}
    for judgement in own.judgements:
        if judgement.doc.video not in missing:
            kept[judgement.query_id].append(judgement)
    judged = {query_id: found for query_id, found in kept.items() if any(one.relevance for one in found)}
    if not judged:
        raise NotFoundError(f"{own.qrels}: no relevant judgement is of a video that the archive holds")
    unmeasured = [
        name for name in names if any(math.isinf(videos[name].duration_s) for videos in held if name in videos)
    ]
    return Usable(judged, _coverage(own, judged, missing) | _unchecked(unmeasured))


def score_archive(archive: SearchedArchive, own: OwnArchive, usable: Usable, rules: ScoreRules) -> Scored:
    """Every measure for every usable query; all queries are asked, so that what is found can be kept whole."""
    found = archive.search(own.queries, rules.top_k)
    rankings = {
        query_id: matched_ranking(found[query_id], judged, rules.min_iou) for query_id, judged in usable.judged.items()
    }
    relevance = {
        query_id: {format_doc_id(judgement.doc): judgement.relevance for judgement in judged}
        for query_id, judged in usable.judged.items()
    }
    facts = {**archive.facts, "hits per query": rules.top_k, "found": _matching(rules.min_iou)}
    if not any(
        _is_of_judged_video(hit, judged) for query_id, judged in usable.judged.items() for hit in found[query_id]
    ):
        facts["warning"] = "no hit is of a video that was judged for its query; are videos named as hits name them?"
    return Scored(list(usable.judged), measure_queries(rules.measures, relevance, rankings), found, facts)


def compare_scored(candidate: Scored, baseline: Scored) -> dict[str, PairedTest]:
    """The paired test of each measure."""
    return {name: paired_test(values, baseline.values[name]) for name, values in candidate.values.items()}


def _require_inside(own: OwnArchive, videos: Mapping[str, ArchiveVideo]) -> None:
    for judgement in own.judgements:
        video, span = videos.get(judgement.doc.video), judgement.doc.span
        if video is not None and span is not None and span[1] > video.duration_s + _PAST_END_S:
            raise AnnotationError(
                f"{own.qrels}, line {judgement.line}: {format_doc_id(judgement.doc)} ends at {span[1]:g} s, "
                f"must be within the video's {video.duration_s:g} s"
            )


def _coverage(own: OwnArchive, judged: Mapping[str, list[Judgement]], missing: Sequence[str]) -> dict[str, object]:
    used = [judgement for found in judged.values() for judgement in found]
    num_relevant = sum(judgement.relevance > 0 for judgement in used)
    facts: dict[str, object] = {
        **own.digests,
        "judgements": f"{num_relevant} relevant, {len(used) - num_relevant} not, of {len(judged)} queries",
    }
    left_out = [query_id for query_id in own.queries if query_id not in judged]
    if left_out:
        shown = ", ".join(left_out[:_LISTED]) + (", ..." if len(left_out) > _LISTED else "")
        facts["left out"] = f"{len(left_out)} of {len(own.queries)} queries have nothing relevant: {shown}"
    if missing:
        facts["partial"] = (
            f"{len(missing)} judged videos are missing, {len(used)} of {len(own.judgements)} judgements used: "
            + ", ".join(missing[:_LISTED])
        )
    return facts


def _unchecked(names: Sequence[str]) -> dict[str, object]:
    if not names:
        return {}
    shown = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return {"unchecked": f"of {len(names)} judged videos no length is known, judgements past their end pass: {shown}"}


def _is_of_judged_video(hit: FoundSpan, judged: Sequence[Judgement]) -> bool:
    return any(judgement.doc.video in (hit.video_id, hit.path) for judgement in judged)


def _matching(min_iou: float) -> str:
    rule = "half-open overlap" if min_iou == 0 else f"intersection over union of at least {min_iou:g}"
    return f"by {rule}; repeats of a found piece are left out"
