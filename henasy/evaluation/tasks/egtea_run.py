"""EGTEA action recognition, zero-shot, from annotations and embeddings to a result.

A clip is seen in 30 views, ten times and three crops each; its score for a class is that of its closest view.

N clips, V views, C classes, D width of the joint space.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.egtea import PUBLISHED_DIGEST, EgteaTest, annotation_files, load_egtea, split_digest
from henasy.evaluation.encoding.features import compared_features
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.encoding.source import AnnotatedVideos, FeatureSource, VideoSource
from henasy.evaluation.metrics.classification import (
    confusion_matrix,
    mean_class_accuracy,
    target_ranks,
    top_k_accuracy,
)
from henasy.evaluation.pages.choice_details import class_details
from henasy.evaluation.tasks.benchmark import Benchmark, Scored, kept_rows
from henasy.evaluation.tasks.published import EGTEA_ROWS
from henasy.evaluation.tasks.report import file_digest

NUM_FRAMES = 16
_PUBLISHED_SIZES = (2022, 106)
"""Clips and actions of test split 1."""


def annotated_spans(annotations: Path) -> Sequence[Span]:
    """What the annotations cut from their videos."""
    return load_egtea(annotations).spans


def score_videos(source: VideoSource) -> Scored:
    """The scores for the annotated clips of videos, encoded with a model.

    The protocol takes 16 frames; rendered scenes have 8 frames a second, so there a checkpoint's own number is taken.
    """
    # Loads torch, which scoring somebody else's features needs not.
    from henasy.evaluation.encoding.encoded import encode_many_views
    from henasy.evaluation.encoding.frame_rules import EGTEA_CLIPS, EGTEA_FRAMES

    annotations = load_egtea(source.annotations)
    digest = file_digest(*annotation_files(source.annotations))
    if source.num_frames is None and not source.is_rendered:
        source = replace(source, num_frames=NUM_FRAMES)
    encoded = encode_many_views(
        annotations.spans, annotations.names, EGTEA_FRAMES, source, digest, num_clips=EGTEA_CLIPS
    )
    similarity = best_view_similarity(encoded.views, encoded.texts)
    return score_similarity(annotations, similarity, encoded.facts, kept=encoded.is_encoded)


def score_features(source: FeatureSource) -> Scored:
    """The scores for embeddings made elsewhere: (clips, views, d) in the order of the split file, and one per class."""
    annotations = load_egtea(source.annotations)
    found = compared_features(
        source,
        (len(annotations.spans), None),
        (len(annotations.names),),
        rows=("a row per clip of the split file, one per view", "a row per class of the action file"),
        annotations=annotation_files(source.annotations),
    )
    facts = found.facts | {"views": found.videos.shape[1]}
    return score_similarity(annotations, best_view_similarity(found.videos, found.texts), facts)


def best_view_similarity(views: NDArray[np.floating], texts: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, C) the largest dot product of each class's text (C, D) with a clip's views (N, V, D)."""
    best: NDArray[np.float64] = (views.astype(np.float64) @ texts.astype(np.float64).T).max(axis=1)
    return best


def score_similarity(
    annotations: EgteaTest,
    similarity: NDArray[np.float64],
    facts: dict[str, object],
    *,
    kept: NDArray[np.bool_] | None = None,
) -> Scored:
    """The scores for a similarity matrix.

    Args:
        annotations: N clips and C classes.
        similarity: (N, C); rows outside `kept` are not looked at.
        facts: what fixes the embeddings.
        kept: (N,) clips that have an embedding.
    """
    kept = kept_rows(kept, len(similarity), "not one annotated clip could be read")
    similarity, targets = similarity[kept], annotations.targets[kept]
    num_classes = len(annotations.names)
    ranks = target_ranks(similarity, targets)
    confusion = confusion_matrix(similarity.argmax(axis=1), targets, num_classes)
    num_empty = int((confusion.sum(axis=1) == 0).sum())
    facts = {
        **facts,
        "classes": f"{num_classes}, of which {num_empty} have no clip and count as 0 in the mean",
        "scored": f"{int(kept.sum())} of {len(kept)} clips",
    }
    scores = {"top1": top_k_accuracy(ranks, 1), "mean_class": mean_class_accuracy(confusion)}
    spans = [span for span, is_kept in zip(annotations.spans, kept.tolist(), strict=True) if is_kept]
    labels = [f"{annotations.names[target]}, {span.video_id}" for span, target in zip(spans, targets, strict=True)]
    return Scored(
        scores=scores,
        facts=facts,
        remark=_remark(annotations, kept),
        details=partial(class_details, labels, annotations.names, similarity, targets, spans),
    )


def _remark(annotations: EgteaTest, kept: NDArray[np.bool_]) -> str | None:
    if (len(kept), len(annotations.names)) != _PUBLISHED_SIZES:
        return "not test split 1"
    if split_digest(annotations) != PUBLISHED_DIGEST:
        return "as many clips and actions as test split 1, but others"
    return None if kept.all() else "not the whole test set"


def rendered_files(archive: Path | None) -> AnnotatedVideos:
    """A rendered archive's clips in the layout of sessions."""
    # Loads the rendering library, which real footage needs not.
    from henasy.evaluation.rendered.egtea import rendered_egtea

    return rendered_egtea(archive)


EGTEA = Benchmark(
    title="EGTEA action recognition, zero-shot, percent",
    columns=("top-1", "mean class"),
    scores=("top1", "mean_class"),
    published=EGTEA_ROWS,
    spans=annotated_spans,
    score_videos=score_videos,
    score_features=score_features,
    rendered=rendered_files,
)
