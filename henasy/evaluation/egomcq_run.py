"""EgoMCQ from annotations and embeddings to a result."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError
from henasy.evaluation.egomcq import NUM_CHOICES, EgoMcq, annotation_file, load_egomcq
from henasy.evaluation.features import check_same_width, compared, load_features
from henasy.evaluation.multiple_choice import multiple_choice_scores
from henasy.evaluation.published import EGOMCQ_ROWS
from henasy.evaluation.report import RENDERED_HEADING, file_digest
from henasy.evaluation.result import BenchmarkResult
from henasy.evaluation.source import FeatureSource, SourceOptions, VideoSource, choose_source

TITLE = "EgoMCQ, zero-shot, percent"


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
    return score_videos(source.as_videos(layout.egomcq, layout.videos))


def score_videos(source: VideoSource) -> BenchmarkResult:
    """The result for the choices of every question, encoded with a model."""
    # Loads torch, which scoring somebody else's features needs not.
    from henasy.evaluation.encoded import encode_annotated
    from henasy.evaluation.frame_rules import ego4d_rule

    annotations = load_egomcq(source.annotations)
    spans, choice_rows = annotations.distinct_spans()
    encoded = encode_annotated(
        spans,
        annotations.texts,
        ego4d_rule,
        source,
    )
    return score_similarity(
        source.annotations,
        annotations,
        choice_similarity(encoded.clip[choice_rows], encoded.texts),
        encoded.facts,
        kept=np.all(encoded.is_encoded[choice_rows], axis=1),
        is_rendered=source.is_rendered,
    )


def score_features(source: FeatureSource) -> BenchmarkResult:
    """The result for embeddings made elsewhere: (questions, 5, d) of the choices and (questions, d) of the texts."""
    annotations = load_egomcq(source.annotations)
    num_questions = len(annotations.questions)
    leading = (num_questions, NUM_CHOICES)
    choices = load_features(source.video_features, leading, rows="a row per question, one per choice")
    texts = load_features(source.text_features, (num_questions,), rows="a row per question")
    check_same_width(choices, texts)
    facts: dict[str, object] = {"features": f"{source.video_features}, {source.text_features}"}
    facts["similarity"] = source.similarity
    similarity = choice_similarity(compared(choices, source.similarity), compared(texts, source.similarity))
    return score_similarity(source.annotations, annotations, similarity, facts)


def choice_similarity(choices: NDArray[np.floating], texts: NDArray[np.floating]) -> NDArray[np.float64]:
    """(Q, C) dot products of each question's text (Q, D) with its own choices (Q, C, D)."""
    similarity: NDArray[np.float64] = np.einsum("qcd,qd->qc", choices.astype(np.float64), texts.astype(np.float64))
    return similarity


def score_similarity(
    path: Path,
    annotations: EgoMcq,
    similarity: NDArray[np.float64],
    facts: dict[str, object],
    *,
    kept: NDArray[np.bool_] | None = None,
    is_rendered: bool = False,
) -> BenchmarkResult:
    """The result for the similarity (Q, 5) of each question's text to its choices.

    Args:
        path: where the annotations were read.
        annotations: Q questions.
        similarity: rows outside `kept` are not looked at.
        facts: what fixes the embeddings.
        kept: (Q,) questions whose choices all have an embedding.
        is_rendered: whether the annotations describe rendered scenes.
    """
    kept = np.ones(len(similarity), bool) if kept is None else kept
    if not kept.any():
        raise InputError("videos", "not one question has all its choices")
    scores = multiple_choice_scores(similarity[kept], annotations.answers[kept], annotations.types[kept])
    facts = {
        **facts,
        "annotations sha256": file_digest(annotation_file(path)),
        "questions": f"{scores.num_inter} inter, {scores.num_intra} intra",
    }
    if scores.num_tied:
        facts["ties"] = f"{scores.num_tied} questions have equal best choices; the first was taken"
    if not kept.all():
        facts["partial"] = f"scored {int(kept.sum())} of {len(kept)} questions: not the whole test set"
    return BenchmarkResult(
        heading=RENDERED_HEADING if is_rendered else TITLE if kept.all() else f"{TITLE}; not the whole test set",
        scores={"inter": scores.inter, "intra": scores.intra},
        facts=facts,
        published=() if is_rendered else EGOMCQ_ROWS,
    )
