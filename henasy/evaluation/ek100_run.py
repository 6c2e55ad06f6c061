"""EK100 multi-instance retrieval from annotations and embeddings to a result."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.evaluation.epic100 import EpicRetrieval, annotation_files, load_epic_retrieval
from henasy.evaluation.features import check_same_width, compared, load_features
from henasy.evaluation.mir import mir_scores
from henasy.evaluation.published import EK100_MIR_ROWS
from henasy.evaluation.relevancy import PUBLISHED_DIGEST, matrix_digest, relevancy_matrix
from henasy.evaluation.report import RENDERED_HEADING, file_digest
from henasy.evaluation.result import BenchmarkResult
from henasy.evaluation.source import FeatureSource, SourceOptions, VideoSource, choose_source

TITLE = "EK100 multi-instance retrieval, zero-shot, percent"


def run(options: SourceOptions) -> BenchmarkResult:
    """The result for whatever the command line asks to be scored."""
    source = choose_source(options)
    if isinstance(source, FeatureSource):
        return score_features(source)
    if isinstance(source, VideoSource):
        return score_videos(source)
    # Loads the rendering library, which real footage needs not.
    from henasy.evaluation.rendered import rendered_layout

    layout = rendered_layout(source.archive)
    return score_videos(source.as_videos(layout.epic_annotations, layout.videos))


def score_videos(source: VideoSource) -> BenchmarkResult:
    """The result for the annotated clips of videos, encoded with a model."""
    # Loads torch, which scoring somebody else's features needs not.
    from henasy.evaluation.encoded import encode_annotated
    from henasy.evaluation.frame_rules import Span, ek100_rule

    annotations = load_epic_retrieval(source.annotations)
    encoded = encode_annotated(
        [Span(clip.video_id, clip.start_s, clip.stop_s) for clip in annotations.clips],
        annotations.texts,
        ek100_rule,
        source,
    )
    return score_similarity(
        source.annotations,
        annotations,
        encoded.clip.astype(np.float64) @ encoded.texts.astype(np.float64).T,
        encoded.facts,
        kept_clips=encoded.is_encoded,
        is_rendered=source.is_rendered,
    )


def score_features(source: FeatureSource) -> BenchmarkResult:
    """The result for embeddings made elsewhere: one row per clip of the test file, one per sentence."""
    annotations = load_epic_retrieval(source.annotations)
    num_clips, num_sentences = len(annotations.clips), len(annotations.sentence_rows)
    videos = load_features(source.video_features, (num_clips,), rows="a row per clip of the test file")
    texts = load_features(source.text_features, (num_sentences,), rows="a row per sentence of the sentence file")
    check_same_width(videos, texts)
    facts: dict[str, object] = {"features": f"{source.video_features}, {source.text_features}"}
    facts["similarity"] = source.similarity
    similarity = compared(videos, source.similarity) @ compared(texts, source.similarity).T
    return score_similarity(source.annotations, annotations, similarity, facts)


def score_similarity(
    folder: Path,
    annotations: EpicRetrieval,
    similarity: NDArray[np.float64],
    facts: dict[str, object],
    *,
    kept_clips: NDArray[np.bool_] | None = None,
    is_rendered: bool = False,
) -> BenchmarkResult:
    """The result for a similarity matrix.

    Args:
        folder: where the annotations were read.
        annotations: V clips and S sentences.
        similarity: (V, S); rows outside `kept_clips` are not looked at.
        facts: what fixes the embeddings.
        kept_clips: (V,) clips that have an embedding; sentences that no kept clip matches are left out too.
        is_rendered: whether the annotations describe rendered scenes.
    """
    relevancy = relevancy_matrix(annotations)
    digest = matrix_digest(relevancy)
    is_published = digest == PUBLISHED_DIGEST
    facts = {
        **facts,
        "annotations sha256": file_digest(*annotation_files(folder)),
        "relevancy sha256": digest + (" (the published test set)" if is_published else ""),
        "clips x sentences": f"{similarity.shape[0]} x {similarity.shape[1]}",
    }
    if kept_clips is not None and not kept_clips.all():
        similarity, relevancy = _kept(similarity, relevancy, kept_clips)
        facts["partial"] = f"scored {relevancy.shape[0]} clips x {relevancy.shape[1]} sentences: not the whole test set"
        is_published = False
    return BenchmarkResult(
        heading=RENDERED_HEADING if is_rendered else TITLE if is_published else f"{TITLE}; not the published test set",
        scores=mir_scores(similarity, relevancy).as_fractions(),
        facts=facts,
        published=() if is_rendered else EK100_MIR_ROWS,
    )


def _kept(
    similarity: NDArray[np.float64], relevancy: NDArray[np.float64], kept_clips: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    has_match = (relevancy[kept_clips] == 1).any(axis=0)
    if not has_match.any():
        raise InputError("videos", "not one annotated clip could be read")
    return similarity[kept_clips][:, has_match], relevancy[kept_clips][:, has_match]
