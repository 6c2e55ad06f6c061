"""EK100 zero-shot action recognition from annotations and embeddings to a result.

A clip is classified by the action whose text is closest. A verb's score is that of its closest action, and a noun's
likewise: no temperature has to be chosen, as a sum of probabilities would need, and the verb of the best action is
always the best verb.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.epic100_actions import (
    PUBLISHED_DIGEST,
    TRAIN_FILE,
    EpicActions,
    action_files,
    label_digest,
    load_epic_actions,
)
from henasy.evaluation.encoding.features import compared_features
from henasy.evaluation.encoding.frame_rules import EK100_FRAMES, Span
from henasy.evaluation.encoding.source import AnnotatedVideos, FeatureSource, VideoSource
from henasy.evaluation.metrics.classification import best_of_groups, target_ranks, top_k_accuracy
from henasy.evaluation.pages.choice_details import class_details
from henasy.evaluation.tasks.benchmark import Benchmark, Scored, kept_rows
from henasy.evaluation.tasks.class_texts import class_texts, class_vectors
from henasy.evaluation.tasks.published import EK100_CLS_ROWS
from henasy.evaluation.tasks.report import file_digest


def annotated_spans(annotations: Path) -> Sequence[Span]:
    """What the annotations cut from their videos."""
    return [clip.span for clip in load_epic_actions(annotations).clips]


def score_videos(source: VideoSource) -> Scored:
    """The scores for the annotated clips of videos, encoded with a model."""
    # Loads torch, which scoring somebody else's features needs not.
    from henasy.evaluation.encoding.encoded import encode_annotated

    actions = load_epic_actions(source.annotations)
    texts = class_texts(actions.texts_of)
    files = action_files(source.annotations)
    spans = [clip.span for clip in actions.clips]
    encoded = encode_annotated(spans, texts.texts, EK100_FRAMES, source, file_digest(*files))
    classes = class_vectors(encoded.texts, texts.owners, source.similarity)
    similarity = encoded.clip.astype(np.float64) @ classes.T
    num_texts = len(texts.texts)
    facts = encoded.facts | {"class texts": f"{num_texts} wordings from {files.train.name} and {files.test.name}"}
    scored = score_similarity(actions, similarity, facts, kept=encoded.is_encoded)
    is_reference = scored.remark is not None or files.train.name == TRAIN_FILE
    return scored if is_reference else replace(scored, remark=f"class texts without {TRAIN_FILE}")


def score_features(source: FeatureSource) -> Scored:
    """The scores for embeddings made elsewhere: one row per clip of the test file, one per class in their order."""
    actions = load_epic_actions(source.annotations)
    found = compared_features(
        source,
        (len(actions.clips),),
        (len(actions.classes),),
        rows=("a row per clip of the test file", "a row per class, sorted by 'verb:noun' as a string"),
        annotations=action_files(source.annotations),
    )
    return score_similarity(actions, found.videos @ found.texts.T, found.facts)


def score_similarity(
    actions: EpicActions,
    similarity: NDArray[np.float64],
    facts: dict[str, object],
    *,
    kept: NDArray[np.bool_] | None = None,
) -> Scored:
    """The scores for a similarity matrix.

    Args:
        actions: N clips and C classes.
        similarity: (N, C); rows outside `kept` are not looked at.
        facts: what fixes the embeddings.
        kept: (N,) clips that have an embedding.
    """
    kept = kept_rows(kept, len(similarity), "not one annotated clip could be read")
    similarity, targets = similarity[kept], actions.targets[kept]
    scores: dict[str, float] = {}
    for name, groups in (
        ("action", np.arange(len(actions.classes))),
        ("verb", actions.verb_groups),
        ("noun", actions.noun_groups),
    ):
        ranks = target_ranks(best_of_groups(similarity, groups), groups[targets])
        scores |= {f"{name}_top1": top_k_accuracy(ranks, 1), f"{name}_top5": top_k_accuracy(ranks, 5)}
    clips = [clip for clip, is_kept in zip(actions.clips, kept.tolist(), strict=True) if is_kept]
    return Scored(
        scores=scores,
        facts={**facts, **_facts(actions, kept)},
        remark=_remark(actions, kept),
        details=partial(
            class_details,
            [clip.narration for clip in clips],
            [texts[0] for texts in actions.texts_of],
            similarity,
            targets,
            [clip.span for clip in clips],
        ),
    )


def _facts(actions: EpicActions, kept: NDArray[np.bool_]) -> dict[str, object]:
    verbs, nouns = int(actions.verb_groups.max()) + 1, int(actions.noun_groups.max()) + 1
    return {
        "classes": f"{len(actions.classes)} actions of {verbs} verbs and {nouns} nouns",
        "verbs and nouns": "scored by their closest action",
        "scored": f"{int(kept.sum())} of {len(kept)} clips",
    }


def _remark(actions: EpicActions, kept: NDArray[np.bool_]) -> str | None:
    if label_digest(actions) != PUBLISHED_DIGEST:
        return "not the published test set"
    return None if kept.all() else "not the whole test set"


def rendered_files(archive: Path | None) -> AnnotatedVideos:
    """The action recognition test set of a rendered archive."""
    # Loads the rendering library, which real footage needs not.
    from henasy.evaluation.rendered.layouts import rendered_layout

    layout = rendered_layout(archive)
    return AnnotatedVideos(layout.epic_annotations, layout.videos)


EK100_CLS = Benchmark(
    title="EK100 action recognition, zero-shot, percent",
    columns=("action top-1", "action top-5", "verb top-1", "verb top-5", "noun top-1", "noun top-5"),
    scores=("action_top1", "action_top5", "verb_top1", "verb_top5", "noun_top1", "noun_top5"),
    published=EK100_CLS_ROWS,
    spans=annotated_spans,
    score_videos=score_videos,
    score_features=score_features,
    selector=EK100_FRAMES,
    rendered=rendered_files,
)
