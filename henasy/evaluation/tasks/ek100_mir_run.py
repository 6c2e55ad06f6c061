"""EK100 multi-instance retrieval from annotations and embeddings to a result."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.evaluation.annotations.epic100 import EpicRetrieval, annotation_files, load_epic_retrieval
from henasy.evaluation.encoding.features import compared_features
from henasy.evaluation.encoding.frame_rules import EK100_FRAMES, Span
from henasy.evaluation.encoding.source import AnnotatedVideos, FeatureSource, VideoSource
from henasy.evaluation.metrics.mir import mir_scores
from henasy.evaluation.metrics.relevancy import PUBLISHED_DIGEST, matrix_digest, relevancy_matrix
from henasy.evaluation.pages.mir_details import mir_details
from henasy.evaluation.tasks.benchmark import Benchmark, Scored
from henasy.evaluation.tasks.published import EK100_MIR_ROWS
from henasy.evaluation.tasks.report import file_digest


def annotated_spans(annotations: Path) -> Sequence[Span]:
    """What the annotations cut from their videos."""
    return [clip.span for clip in load_epic_retrieval(annotations).clips]


def score_videos(source: VideoSource) -> Scored:
    """The scores for the annotated clips of videos, encoded with a model."""
    # Loads torch, which scoring somebody else's features needs not.
    from henasy.evaluation.encoding.encoded import encode_annotated

    annotations = load_epic_retrieval(source.annotations)
    digest = file_digest(*annotation_files(source.annotations))
    spans = [clip.span for clip in annotations.clips]
    encoded = encode_annotated(spans, annotations.texts, EK100_FRAMES, source, digest)
    similarity = encoded.clip.astype(np.float64) @ encoded.texts.astype(np.float64).T
    return score_similarity(annotations, similarity, encoded.facts, kept_clips=encoded.is_encoded)


def score_features(source: FeatureSource) -> Scored:
    """The scores for embeddings made elsewhere: one row per clip of the test file, one per sentence."""
    annotations = load_epic_retrieval(source.annotations)
    found = compared_features(
        source,
        (len(annotations.clips),),
        (len(annotations.sentence_rows),),
        rows=("a row per clip of the test file", "a row per sentence of the sentence file"),
        annotations=annotation_files(source.annotations),
    )
    return score_similarity(annotations, found.videos @ found.texts.T, found.facts)


def score_similarity(
    annotations: EpicRetrieval,
    similarity: NDArray[np.float64],
    facts: dict[str, object],
    *,
    kept_clips: NDArray[np.bool_] | None = None,
) -> Scored:
    """The scores for a similarity matrix.

    Args:
        annotations: V clips and S sentences.
        similarity: (V, S); rows outside `kept_clips` are not looked at.
        facts: what fixes the embeddings.
        kept_clips: (V,) clips that have an embedding; sentences that no kept clip matches are left out too.
    """
    relevancy = relevancy_matrix(annotations)
    digest = matrix_digest(relevancy)
    num_clips, num_sentences = similarity.shape
    is_published = digest == PUBLISHED_DIGEST
    clips, sentences = np.arange(num_clips), np.arange(num_sentences)
    if kept_clips is not None and not kept_clips.all():
        clips, sentences = _kept(relevancy, kept_clips)
        similarity, relevancy = similarity[clips][:, sentences], relevancy[clips][:, sentences]
        is_published = False
    facts = {
        **facts,
        "relevancy sha256": digest + (" (the published test set)" if digest == PUBLISHED_DIGEST else ""),
        "scored": f"{len(relevancy)} of {num_clips} clips, {relevancy.shape[1]} of {num_sentences} sentences",
    }
    is_whole = relevancy.shape == (num_clips, num_sentences)
    remark = None if is_published else "not the published test set" if is_whole else "not the whole test set"
    return Scored(
        scores=mir_scores(similarity, relevancy).as_fractions(),
        facts=facts,
        remark=remark,
        details=partial(mir_details, annotations, similarity, relevancy, clips, sentences),
    )


def rendered_files(archive: Path | None) -> AnnotatedVideos:
    """The retrieval test set of a rendered archive."""
    # Loads the rendering library, which real footage needs not.
    from henasy.evaluation.rendered.layouts import rendered_layout

    layout = rendered_layout(archive)
    return AnnotatedVideos(layout.epic_annotations, layout.videos)


def _kept(relevancy: NDArray[np.float64], kept_clips: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the kept clips, and of the sentences that one of them matches."""
    has_match = (relevancy[kept_clips] == 1).any(axis=0)
    if not has_match.any():
        raise InputError("videos", "not one annotated clip could be read")
    return np.flatnonzero(kept_clips), np.flatnonzero(has_match)


EK100_MIR = Benchmark(
    title="EK100 multi-instance retrieval, zero-shot, percent",
    columns=("mAP V-T", "mAP T-V", "mAP avg", "nDCG V-T", "nDCG T-V", "nDCG avg"),
    scores=("mAP_v2t", "mAP_t2v", "mAP_avg", "nDCG_v2t", "nDCG_t2v", "nDCG_avg"),
    published=EK100_MIR_ROWS,
    spans=annotated_spans,
    score_videos=score_videos,
    score_features=score_features,
    selector=EK100_FRAMES,
    rendered=rendered_files,
)
