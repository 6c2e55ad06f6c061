"""EgoNLQ annotations: questions about a clip of some minutes, each answered by one span of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError
from henasy.evaluation.annotations.json_record import JsonRecord, read_json_record
from henasy.evaluation.encoding.frame_rules import Span

_PAST_END_S = 2.0
"""In the published files answers end up to 0.6 s, and clip and video times differ by up to 1.9 s, past their clip."""
_BEFORE_START_S = 0.1
"""Some published clips start up to 0.013 s before their video, which is taken for its start."""


class QueryKey(NamedTuple):
    """What names a question in files of predictions."""

    clip_uid: str
    annotation_uid: str
    query_idx: int


class NlqQuery(NamedTuple):
    """One question."""

    key: QueryKey
    text: str | None
    """None where the file has none, as one question of the validation set: nobody is asked it."""
    start_s: float
    """On the clip's clock, as is the end."""
    end_s: float
    """Equal to the start for 341 questions of the validation set: counted, though no span can answer them."""


@dataclass(frozen=True, kw_only=True)
class NlqClip:
    """A part of a video and what is asked about it."""

    clip_uid: str
    video_uid: str
    start_s: float
    """Where the clip starts in the video."""
    end_s: float
    queries: tuple[NlqQuery, ...]

    def part_of_video(self) -> Span:
        """Where it lies in its video."""
        return Span(self.video_uid, self.start_s, self.end_s)


@dataclass(frozen=True, kw_only=True)
class EgoNlq:
    """The clips of one file, in its order."""

    path: Path
    clips: tuple[NlqClip, ...]

    @property
    def queries(self) -> list[NlqQuery]:
        """Those that have a text, clip by clip: what the reference asks."""
        return [query for clip in self.clips for query in clip.queries if query.text is not None]

    @property
    def num_untexted(self) -> int:
        """Questions without a text."""
        return sum(query.text is None for clip in self.clips for query in clip.queries)


def answers_of(queries: list[NlqQuery]) -> NDArray[np.float64]:
    """(Q, 2) the annotated spans in seconds of their clips."""
    return np.array([(query.start_s, query.end_s) for query in queries], np.float64).reshape(-1, 2)


def load_egonlq(path: Path, split: str = "val") -> EgoNlq:
    """The questions of an `nlq_val.json` or `nlq_train.json`.

    An answer that starts where it ends is kept, as the reference keeps it.

    Args:
        path: the file, or a folder that holds `nlq_<split>.json`.
        split: val or train.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: it is not of that layout, a clip or an annotation occurs twice, an answer ends before it starts
            or more than 2 s past its clip, or there is not one question; the place, the value and what is allowed are
            named.

    Source: EGO4D/episodic-memory NLQ/VSLNet/utils/prepare_ego4d_dataset.py (PROTOCOLS section 3.5).
    """
    file = annotation_file(path, split)
    videos = read_json_record(file).records("videos")
    clips = tuple(_clip(video.text("video_uid"), clip) for video in videos for clip in video.records("clips"))
    _refuse_repeated(file, "clip", [clip.clip_uid for clip in clips])
    loaded = EgoNlq(path=file, clips=clips)
    if not loaded.queries:
        raise AnnotationError(f"{file}: has {len(clips)} clips and not one question with a text")
    return loaded


def annotation_file(path: Path, split: str = "val") -> Path:
    """The file itself: `path`, or the one of a split in that folder."""
    return path / f"nlq_{split}.json" if path.is_dir() else path


def _clip(video_uid: str, record: JsonRecord) -> NlqClip:
    start_s, end_s = record.number("video_start_sec"), record.number("video_end_sec")
    if start_s < -_BEFORE_START_S:
        raise record.error("video_start_sec", "at least 0")
    if end_s <= start_s:
        raise record.error("video_end_sec", f"after video_start_sec {start_s:g}")
    clip_uid = record.text("clip_uid")
    annotations = record.records("annotations")
    uids = [annotation.text("annotation_uid") for annotation in annotations]
    _refuse_repeated(f"{record.place}, clip {clip_uid}", "annotation", uids)
    queries = tuple(
        _query(QueryKey(clip_uid, uid, index), query, end_s - start_s)
        for uid, annotation in zip(uids, annotations, strict=True)
        for index, query in enumerate(annotation.records("language_queries"))
    )
    return NlqClip(clip_uid=clip_uid, video_uid=video_uid, start_s=max(start_s, 0.0), end_s=end_s, queries=queries)


def _query(key: QueryKey, record: JsonRecord, clip_s: float) -> NlqQuery:
    start_s, end_s = record.number("clip_start_sec"), record.number("clip_end_sec")
    if start_s < 0:
        raise record.error("clip_start_sec", "at least 0")
    if end_s < start_s:
        raise record.error("clip_end_sec", f"at least clip_start_sec {start_s:g}")
    if end_s > clip_s + _PAST_END_S:
        raise record.error("clip_end_sec", f"at most {clip_s:g}, the length of the clip (and {_PAST_END_S:g} s)")
    is_asked = bool(record.values.get("query"))
    return NlqQuery(key, record.text("query").strip() if is_asked else None, start_s, end_s)


def _refuse_repeated(place: Path | str, kind: str, uids: list[str]) -> None:
    repeated = sorted({uid for uid in uids if uids.count(uid) > 1}) if len(set(uids)) < len(uids) else []
    if repeated:
        raise AnnotationError(f"{place}: the {kind} {repeated[0]!r} occurs more than once")
