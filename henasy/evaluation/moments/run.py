"""The benchmark of moments from options to a result: which finder answers best on long rendered videos.

N clips of a video, D width of the joint space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.errors import InputError, SpaceMismatchError, VideoError
from henasy.evaluation.encoding.dense import PlanRule, Window, dense_features
from henasy.evaluation.encoding.encoded import encoder_facts
from henasy.evaluation.encoding.frame_rules import EGO4D_FRAMES
from henasy.evaluation.encoding.indexed_clips import indexed_clips
from henasy.evaluation.metrics.intervals import Difference, paired_difference
from henasy.evaluation.metrics.nlq import NlqScores, nlq_scores
from henasy.evaluation.moments.baselines import (
    DenseClips,
    Finder,
    RankedSpans,
    best_clips,
    clip_runs,
    level_crossings,
)
from henasy.evaluation.moments.queries import MomentQuery, narrated_queries
from henasy.evaluation.moments.scores import (
    Measures,
    MomentSet,
    Score,
    found_in_own_video,
    length_buckets,
    measure_all_videos,
    measure_own,
    true_labels,
    tuned_level,
)
from henasy.evaluation.pages.details import ItemPicture, Wanted
from henasy.evaluation.pages.item_pictures import item_pictures
from henasy.evaluation.pages.moments_details import moments_details
from henasy.evaluation.rendered.archives import MOMENTS_TEST_ARCHIVE, cached_archive, long_archive
from henasy.evaluation.rendered.spans import read_actions
from henasy.evaluation.tasks.report import file_digest
from henasy.evaluation.tasks.result import Illustrated
from henasy.heads.moment_ends import EndsHead
from henasy.heads.moment_ends_file import read_ends_head
from henasy.index.reader import Index
from henasy.scenes.archive import video_path
from henasy.search.moment_ends import refine_ends
from henasy.search.moments import MomentRule, find_moments
from henasy.video.plan import ClipPlan
from henasy.video.video_files import VideoFiles

OURS = "find_moments"
CEILING = "ceiling: find_moments on true labels"


@dataclass(frozen=True, kw_only=True)
class MomentsOptions:
    """What the command line asks for."""

    model: str
    device: str = "cpu"
    num_frames: int | None = None
    archive: Path | None = None
    """Rendered archive to search; None for the long test archive of the cache."""
    train_archive: Path | None = None
    """Where the baselines' thresholds are tuned; None for the long training archive of the cache."""
    index: Path | None = None
    """An index of the archive, whose vectors are used; None to encode."""
    is_cached: bool = True


class FinderResult(NamedTuple):
    """One row of the tables."""

    name: str
    own: Measures
    """In the query's own video"""
    everywhere: Measures | None
    """Among all videos; None for the ceiling, whose labels make no ranking of videos"""
    nlq: NlqScores
    """EgoNLQ's metric on the answers in the own video: only the narrated action itself is right"""
    own_gain: Difference | None
    """Of `find_moments` over this finder in mean IoU, in the own video; None for `find_moments` and the ceiling"""
    everywhere_gain: Difference | None
    """The same among all videos"""
    found: list[RankedSpans]
    """(Q,) the answers in the own video"""


class MomentsResult(NamedTuple):
    """All rows, and what fixes them."""

    rows: list[FinderResult]
    buckets: dict[str, NDArray[np.bool_]]
    """(Q,) masks of the queries by the length of the narrated action"""
    facts: dict[str, object]
    illustrated: Illustrated
    """What a report shows beside them"""


def run(options: MomentsOptions) -> MomentsResult:
    """Every finder on the archive's narrations.

    Raises:
        InputError: options exclude each other, or the archive and the index hold different videos.
        SpaceMismatchError: the index was made by another model.
        VideoError: a video cannot be read as a whole.
    """
    plan = PlanRule()
    index = None if options.index is None else Index.open(options.index)
    if index is not None:
        _check_plan(index, options)
        plan = PlanRule(window_s=index.plan.clip_s, stride_s=index.plan.stride_s)
    num_frames = options.num_frames if index is None else index.plan.num_frames
    encoder = load_encoder(options.model, device=options.device, num_frames=num_frames)
    if index is not None and index.space_id != encoder.space_id:
        raise SpaceMismatchError(
            f"{options.index}: holds space {index.space_id}, model {options.model} makes space {encoder.space_id}"
        )
    for given in (options.archive, options.train_archive):
        if given is not None:
            read_actions(given)  # a folder that is no archive is refused before the other one is rendered
    archive = options.archive or cached_archive(MOMENTS_TEST_ARCHIVE)
    train_archive = options.train_archive or long_archive("train")
    cut = ClipPlan(clip_s=plan.window_s, stride_s=plan.stride_s, num_frames=encoder.num_frames)
    ends = read_ends_head(options.model, encoder, cut)
    test = load_moments(archive, encoder, plan, index=index, ends=ends, is_cached=options.is_cached)
    train = load_moments(train_archive, encoder, plan, is_cached=options.is_cached)
    rows, facts = score_finders(test, train)
    facts = {
        **encoder_facts(options.model, encoder, is_rendered=True),
        "clips": f"{plan.window_s:g} s every {plan.stride_s:g} s" + (f", from {options.index}" if index else ""),
        "archive": f"{archive.name}, narrations sha256 {file_digest(archive / 'narrations.csv')}",
        "tuned on": f"{train_archive.name}, narrations sha256 {file_digest(train_archive / 'narrations.csv')}",
        **facts,
        "ends head": "none" if ends is None else f"sha256 {ends.digest}",
    }
    details = partial(moments_details, test.queries, {row.name: row.found for row in rows}, OURS)
    draw = partial(_draw, encoder, archive)
    return MomentsResult(rows, length_buckets(test.queries), facts, Illustrated(details, draw))


def load_moments(
    archive: Path,
    encoder: Encoder,
    plan: PlanRule,
    *,
    index: Index | None = None,
    ends: EndsHead | None = None,
    is_cached: bool = True,
) -> MomentSet:
    """The narrations of an archive as queries, and the clips of its videos.

    Args:
        archive: whose narrations are asked for.
        encoder: of texts, and of clips unless there is an index.
        plan: how videos are cut.
        index: holds the clips already.
        ends: tells where anything starts or ends; None for clips without that.
        is_cached: whether features are kept and read.

    Raises:
        NotFoundError, AnnotationError: the narrations are missing or wrong, or the index lacks a video.
        VideoError: a video cannot be read as a whole.
    """
    queries = narrated_queries(read_actions(archive))
    uids = sorted({query.video_uid for query in queries})
    if index is not None:
        clips = indexed_clips(index, uids, ends)
    else:
        windows = [Window(uid, video_path(archive, uid)) for uid in uids]
        found = dense_features(encoder, windows, plan, has_entities=True, is_caching=is_cached)
        if found.listed():
            raise VideoError(f"{archive}: " + "; ".join(found.listed()))
        clips = {
            uid: DenseClips(
                one.starts_s,
                one.ends_s,
                np.asarray(one.clip),
                one.entities,
                one.is_valid,
                None if ends is None else ends.scores(one.starts_s, one.ends_s, np.asarray(one.assignment)),
            )
            for uid, one in found.features.items()
        }
    texts = list(dict.fromkeys(query.text for query in queries))
    row_of = {text: row for row, text in enumerate(texts)}
    vectors = encoder.encode_texts(texts)
    return MomentSet(clips, queries, vectors[[row_of[query.text] for query in queries]])


def score_finders(test: MomentSet, train: MomentSet) -> tuple[list[FinderResult], dict[str, object]]:
    """The rows of all finders, and the facts about queries and tuned levels."""
    run_level, run_iou = tuned_level(train, clip_runs)
    crossing_level, crossing_iou = tuned_level(train, level_crossings)
    baselines: dict[str, Finder] = {
        "best single clip": best_clips,
        "thresholded run of clips": partial(clip_runs, level=run_level),
        "linear threshold crossing": partial(level_crossings, level=crossing_level),
    }
    groups = test.video_numbers()
    ours = _row(OURS, test, found_by_henasy, test.evidence)
    rows = []
    for name, find in baselines.items():
        row = _row(name, test, find, test.scores)
        rows.append(_with_gains(row, ours, groups))
    rows += [ours, ceiling(test)]
    num_several = sum(len(query.own_answers) > 1 for query in test.queries)
    facts: dict[str, object] = {
        "queries": f"{len(test.queries)} in {len(test.clips)} videos; {num_several} are true of several actions of "
        "their video, any of which counts",
        "run threshold": f"{run_level}, mean IoU {run_iou:.3f} where it was tuned",
        "crossing threshold": f"{crossing_level}, mean IoU {crossing_iou:.3f} where it was tuned",
        "ends": "refined by the checkpoint's head" if _has_ends(test) else "as scores say; the checkpoint has no head",
        "intervals": "95 %, paired bootstrap over whole videos",
        "end error": "median over both ends of the top moments that meet a true action at all, and of those with IoU "
        "above 0.5",
    }
    return rows, facts


def found_by_henasy(clips: DenseClips, scores: NDArray[np.float64]) -> RankedSpans:
    """What the project's own finder answers, with the rule of a search; its ends refined where there is a head."""
    found = find_moments(clips.starts_s, clips.ends_s, scores, vectors=clips.vectors, rule=MomentRule())
    spans = found.spans if clips.ends is None else refine_ends(found.spans, clips.middles_s[found.peaks], clips.ends)
    return RankedSpans(spans, found.scores)


def ceiling(test: MomentSet) -> FinderResult:
    """The same finder where each clip's score is the share of its time that true actions cover."""
    found = []
    for query in test.queries:
        clips = test.clips[query.video_uid]
        labels = true_labels(clips, query.own_answers)
        # Shares of time, unlike cosines, are half where an action ends.
        moments = find_moments(clips.starts_s, clips.ends_s, labels, rule=MomentRule(level=0.5))
        found.append(RankedSpans(moments.spans, moments.scores))
    return FinderResult(CEILING, measure_own(test.queries, found), None, _nlq(test.queries, found), None, None, found)


def _row(name: str, test: MomentSet, find: Finder, score: Score) -> FinderResult:
    found = found_in_own_video(test, find, score)
    own, everywhere = measure_own(test.queries, found), measure_all_videos(test, find, score)
    return FinderResult(name, own, everywhere, _nlq(test.queries, found), None, None, found)


def _with_gains(row: FinderResult, ours: FinderResult, groups: NDArray[np.int64]) -> FinderResult:
    assert ours.everywhere is not None
    assert row.everywhere is not None
    return row._replace(
        own_gain=paired_difference(ours.own.top_iou, row.own.top_iou, groups=groups),
        everywhere_gain=paired_difference(ours.everywhere.top_iou, row.everywhere.top_iou, groups=groups),
    )


def _nlq(queries: list[MomentQuery], found: list[RankedSpans]) -> NlqScores:
    return nlq_scores([one.spans for one in found], np.array([query.own_s for query in queries], np.float64))


def _draw(encoder: Encoder, archive: Path, wanted: Sequence[Wanted]) -> Sequence[ItemPicture]:
    uids = {one.span.video_id for one in wanted}
    paths = {uid: video_path(archive, uid) for uid in uids}
    files = {uid: VideoFiles(video_id=uid, paths=(path,), chunk_starts_s=None) for uid, path in paths.items()}
    return item_pictures(wanted, encoder, EGO4D_FRAMES, files)


def _has_ends(moments: MomentSet) -> bool:
    return any(clips.ends is not None for clips in moments.clips.values())


def _check_plan(index: Index, options: MomentsOptions) -> None:
    if options.num_frames is not None and options.num_frames != index.plan.num_frames:
        raise InputError("--frames", f"is {options.num_frames}, the index has {index.plan.num_frames} frames per clip")
