"""EgoMCQ from annotations and embeddings to a result."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.evaluation.annotations.egomcq import NUM_CHOICES, EgoMcq, annotation_file, load_egomcq
from henasy.evaluation.encoding.features import compared_features
from henasy.evaluation.encoding.frame_rules import EGO4D_FRAMES, Span
from henasy.evaluation.encoding.source import AnnotatedVideos, FeatureSource, VideoSource
from henasy.evaluation.metrics.multiple_choice import multiple_choice_scores
from henasy.evaluation.pages.mcq_details import mcq_details
from henasy.evaluation.tasks.benchmark import Benchmark, Scored, kept_rows
from henasy.evaluation.tasks.published import EGOMCQ_ROWS
from henasy.evaluation.tasks.report import file_digest

FEWEST_PUBLISHED = 38_000
"""Fewer questions are not the published set, of which EgoVLP's paper says 39K: 24K inter and 15K intra.

Its exact size stands in no repository (PROTOCOLS section 3.1).
"""


def annotated_spans(annotations: Path) -> Sequence[Span]:
    """What the annotations cut from their videos."""
    return load_egomcq(annotations).distinct_spans()[0]


def score_videos(source: VideoSource) -> Scored:
    """The scores for the choices of every question, encoded with a model."""
    # Loads torch, which scoring somebody else's features needs not.
    from henasy.evaluation.encoding.encoded import encode_annotated

    annotations = load_egomcq(source.annotations)
    spans, choice_rows = annotations.distinct_spans()
    digest = file_digest(annotation_file(source.annotations))
    encoded = encode_annotated(spans, annotations.texts, EGO4D_FRAMES, source, digest)
    return score_similarity(
        annotations,
        choice_similarity(encoded.clip[choice_rows], encoded.texts),
        encoded.facts,
        kept=np.all(encoded.is_encoded[choice_rows], axis=1),
    )


def score_features(source: FeatureSource) -> Scored:
    """The scores for embeddings made elsewhere: (questions, 5, d) of the choices and (questions, d) of the texts."""
    annotations = load_egomcq(source.annotations)
    num_questions = len(annotations.questions)
    found = compared_features(
        source,
        (num_questions, NUM_CHOICES),
        (num_questions,),
        rows=("a row per question, one per choice", "a row per question"),
        annotations=[annotation_file(source.annotations)],
    )
    return score_similarity(annotations, choice_similarity(found.videos, found.texts), found.facts)


def choice_similarity(choices: NDArray[np.floating], texts: NDArray[np.floating]) -> NDArray[np.float64]:
    """(Q, C) dot products of each question's text (Q, D) with its own choices (Q, C, D)."""
    similarity: NDArray[np.float64] = np.einsum("qcd,qd->qc", choices.astype(np.float64), texts.astype(np.float64))
    return similarity


def score_similarity(
    annotations: EgoMcq,
    similarity: NDArray[np.float64],
    facts: dict[str, object],
    *,
    kept: NDArray[np.bool_] | None = None,
) -> Scored:
    """The scores for the similarity (Q, 5) of each question's text to its choices.

    Args:
        annotations: Q questions.
        similarity: rows outside `kept` are not looked at.
        facts: what fixes the embeddings.
        kept: (Q,) questions whose choices all have an embedding.
    """
    kept = kept_rows(kept, len(similarity), "not one question has all its choices")
    scores = multiple_choice_scores(similarity[kept], annotations.answers[kept], annotations.types[kept])
    facts = {
        **facts,
        "scored": f"{int(kept.sum())} of {len(kept)} questions",
        "questions": f"{scores.num_inter} inter, {scores.num_intra} intra",
    }
    if annotations.num_before_start:
        facts["starts"] = f"{annotations.num_before_start} clips start before their video; they were taken from 0 s"
    facts |= _repeats(annotations)
    if scores.num_tied:
        facts["ties"] = f"{scores.num_tied} questions have equal best choices; the first was taken"
    return Scored(
        scores={"inter": scores.inter, "intra": scores.intra},
        facts=facts,
        remark=_remark(len(kept), is_whole=bool(kept.all())),
        details=partial(mcq_details, annotations, similarity, kept),
    )


def _repeats(annotations: EgoMcq) -> dict[str, object]:
    """What must be said of questions, and of choices of one question, that occur more than once."""
    questions = annotations.questions
    num_repeated = len(questions) - len({(one.text, one.choices[one.answer]) for one in questions})
    num_ambiguous = sum(len(set(one.choices)) < len(one.choices) for one in questions)
    facts: dict[str, object] = {}
    if num_repeated:
        facts["repeated"] = f"{num_repeated} questions have the text and the right clip of an earlier one: counted"
    if num_ambiguous:
        facts["choices"] = f"{num_ambiguous} questions have the same clip twice among their choices: counted"
    return facts


def _remark(num_questions: int, *, is_whole: bool) -> str | None:
    if num_questions < FEWEST_PUBLISHED:
        return "not the whole published set, which has about 39,000 questions (24K inter, 15K intra)"
    return None if is_whole else "not the whole test set"


def rendered_files(archive: Path | None) -> AnnotatedVideos:
    """The questions about a rendered archive."""
    # Loads the rendering library, which real footage needs not.
    from henasy.evaluation.rendered.layouts import rendered_layout

    layout = rendered_layout(archive)
    return AnnotatedVideos(layout.egomcq, layout.videos)


EGOMCQ = Benchmark(
    title="EgoMCQ, zero-shot, percent",
    columns=("inter", "intra"),
    scores=("inter", "intra"),
    published=EGOMCQ_ROWS,
    spans=annotated_spans,
    score_videos=score_videos,
    score_features=score_features,
    selector=EGO4D_FRAMES,
    rendered=rendered_files,
)
