"""EgoHOIBench from annotations and embeddings to a result."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.egohoi import NUM_CAPTIONS, EgoHoi, annotation_file, load_egohoi
from henasy.evaluation.encoding.features import compared_features
from henasy.evaluation.encoding.frame_rules import EGO4D_FRAMES, Span
from henasy.evaluation.encoding.source import AnnotatedVideos, FeatureSource, VideoSource
from henasy.evaluation.metrics.word_swaps import word_swap_scores
from henasy.evaluation.pages.choice_details import swap_details
from henasy.evaluation.tasks.benchmark import Benchmark, Scored, kept_rows
from henasy.evaluation.tasks.published import EGOHOI_ROWS
from henasy.evaluation.tasks.report import file_digest

_ITEMS_AT_ONCE = 512
PUBLISHED_ITEMS = 29_651
"""Of the published set: the one number that fits the fractions in the training log of EgoNCE++ (PROTOCOLS section 3.6).

Its README says about 29 thousand.
"""


def annotated_spans(annotations: Path) -> Sequence[Span]:
    """What the annotations cut from their videos."""
    return load_egohoi(annotations).distinct_spans()[0]


def score_videos(source: VideoSource) -> Scored:
    """The scores for every item's clip and captions, encoded with a model."""
    # Loads torch, which scoring somebody else's features needs not.
    from henasy.evaluation.encoding.encoded import encode_annotated

    annotations = load_egohoi(source.annotations)
    spans, span_rows = annotations.distinct_spans()
    texts, text_rows = annotations.distinct_texts()
    digest = file_digest(annotation_file(source.annotations))
    encoded = encode_annotated(spans, texts, EGO4D_FRAMES, source, digest)
    similarity = np.empty(text_rows.shape)
    for first in range(0, len(text_rows), _ITEMS_AT_ONCE):
        part = slice(first, first + _ITEMS_AT_ONCE)
        similarity[part] = caption_similarity(encoded.clip[span_rows[part]], encoded.texts[text_rows[part]])
    return score_similarity(annotations, similarity, encoded.facts, kept=encoded.is_encoded[span_rows])


def score_features(source: FeatureSource) -> Scored:
    """The scores for embeddings made elsewhere: (items, d) of the clips and (items, 21, d) of the captions."""
    annotations = load_egohoi(source.annotations)
    num_items = len(annotations.items)
    found = compared_features(
        source,
        (num_items,),
        (num_items, NUM_CAPTIONS),
        rows=("a row per item", "a row per item, one per caption: the true one, 10 verb swaps, 10 noun swaps"),
        annotations=[annotation_file(source.annotations)],
    )
    return score_similarity(annotations, caption_similarity(found.videos, found.texts), found.facts)


def caption_similarity(clips: NDArray[np.floating], captions: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, C) dot products of each clip (N, D) with its own captions (N, C, D)."""
    similarity: NDArray[np.float64] = np.einsum("nd,ncd->nc", clips.astype(np.float64), captions.astype(np.float64))
    return similarity


def score_similarity(
    annotations: EgoHoi,
    similarity: NDArray[np.float64],
    facts: dict[str, object],
    *,
    kept: NDArray[np.bool_] | None = None,
) -> Scored:
    """The scores for the similarity (N, 21) of each clip to its captions.

    Args:
        annotations: N items.
        similarity: rows outside `kept` are not looked at.
        facts: what fixes the embeddings.
        kept: (N,) items whose clip has an embedding.
    """
    kept = kept_rows(kept, len(similarity), "not one item has its clip")
    scores = word_swap_scores(similarity[kept])
    facts = {**facts, "scored": f"{int(kept.sum())} of {len(annotations.items)} items"}
    if annotations.num_repeated:
        facts["repeated"] = f"{annotations.num_repeated} items have the clip and the caption of an earlier one: counted"
    if scores.num_tied:
        facts["ties"] = (
            f"{scores.num_tied} items have a swap exactly as close as the true caption, which counts as right"
        )
    return Scored(
        scores={"verb": scores.verb, "noun": scores.noun, "action": scores.action},
        facts=facts,
        remark=_remark(len(kept), is_whole=bool(kept.all())),
        details=partial(swap_details, annotations, similarity, kept),
    )


def _remark(num_items: int, *, is_whole: bool) -> str | None:
    if num_items != PUBLISHED_ITEMS:
        return f"not the whole published set, which has {PUBLISHED_ITEMS:,} items"
    return None if is_whole else "not the whole test set"


def rendered_files(archive: Path | None) -> AnnotatedVideos:
    """The word swaps of a rendered archive."""
    # Loads the rendering library, which real footage needs not.
    from henasy.evaluation.rendered.swaps import swap_layout

    return swap_layout(archive)


EGOHOI = Benchmark(
    title="EgoHOIBench, zero-shot, percent",
    columns=("verb", "noun", "action"),
    scores=("verb", "noun", "action"),
    published=EGOHOI_ROWS,
    spans=annotated_spans,
    score_videos=score_videos,
    score_features=score_features,
    selector=EGO4D_FRAMES,
    rendered=rendered_files,
)
