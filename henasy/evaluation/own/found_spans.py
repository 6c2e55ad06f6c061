"""Which judged piece of video each hit of a ranking has found.

A hit finds a judged piece when their times overlap, never only because they start together: clips of another stride,
and moments, start elsewhere. One hit finds one piece, and a piece is found once; a hit that could only find pieces
that better hits have found repeats an answer and is left out of the ranking, so that an index is not held to be worse
because its clips overlap. What no judgement touches stays where it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

from henasy.errors import InputError
from henasy.evaluation.own.doc_ids import DocSpan, format_doc_id
from henasy.evaluation.own.qrels import Judgement


class FoundSpan(NamedTuple):
    """One hit: a piece of a video under both of the video's names."""

    video_id: str
    path: str
    start_s: float
    end_s: float
    score: float

    @property
    def doc_id(self) -> str:
        """Its name in a TREC file, by the video's id."""
        return format_doc_id(DocSpan(self.video_id, (self.start_s, self.end_s)))


def matched_ranking(found: Sequence[FoundSpan], judged: Sequence[Judgement], min_iou: float = 0.0) -> list[str]:
    """The documents of a ranking, best first: the judged ones that hits have found, and the other hits' own names.

    Args:
        found: the hits of one query, best first.
        judged: the judgements of that query. Of several that a hit could find it takes the most relevant, then the
            one of most overlap, then the first.
        min_iou: a hit finds a piece only if their intersection over union is at least this, and above 0.

    Raises:
        InputError: if `min_iou` is not from 0 to 1.
    """
    if not 0 <= min_iou <= 1:
        raise InputError("min_iou", f"{min_iou} is not from 0 to 1")
    by_video: dict[str, list[Judgement]] = {}
    for judgement in judged:
        by_video.setdefault(judgement.doc.video, []).append(judgement)
    taken: set[DocSpan] = set()
    seen: set[str] = set()
    ranking = []
    for hit in found:
        met = _met(hit, by_video, min_iou)
        free = [judgement for judgement in met if judgement.doc not in taken]
        if met and not free:
            continue
        if free:
            taken.add(free[0].doc)
        name = format_doc_id(free[0].doc) if free else hit.doc_id
        if name not in seen:
            seen.add(name)
            ranking.append(name)
    return ranking


def _met(hit: FoundSpan, by_video: dict[str, list[Judgement]], min_iou: float) -> list[Judgement]:
    """The judgements that a hit could find, the one it takes first."""
    near = [*by_video.get(hit.video_id, ()), *(by_video.get(hit.path, ()) if hit.path != hit.video_id else ())]
    overlaps = [(judgement, judgement.doc.overlap(hit.start_s, hit.end_s)) for judgement in near]
    met = [(judgement, overlap) for judgement, overlap in overlaps if overlap > 0 and overlap >= min_iou]
    met.sort(key=lambda one: (-one[0].relevance, -one[1]))
    return [judgement for judgement, _ in met]
