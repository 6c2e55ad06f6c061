"""What further training did to a model: word swaps, questions and retrieval of a rendered archive, before and after.

Both models answer the same items, so every difference is paired; items of one video are drawn together. Every clip is
encoded once, with EgoMCQ's frames, for all three.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError, SpaceMismatchError
from henasy.evaluation.annotations.egohoi import EgoHoi, load_egohoi
from henasy.evaluation.annotations.egohoi import annotation_file as swap_file
from henasy.evaluation.annotations.egomcq import EgoMcq, load_egomcq
from henasy.evaluation.annotations.epic100 import EpicRetrieval, load_epic_retrieval
from henasy.evaluation.encoding.encoded import encode_annotated
from henasy.evaluation.encoding.frame_rules import EGO4D_FRAMES, Span
from henasy.evaluation.encoding.source import AnnotatedVideos, VideoSource
from henasy.evaluation.metrics.intervals import Difference, paired_difference
from henasy.evaluation.metrics.mir import query_scores
from henasy.evaluation.metrics.multiple_choice import INTER, right_answers
from henasy.evaluation.metrics.relevancy import relevancy_matrix
from henasy.evaluation.metrics.word_swaps import right_words
from henasy.evaluation.rendered.layouts import RenderedLayout
from henasy.evaluation.tasks.egohoi_run import caption_similarity
from henasy.evaluation.tasks.egomcq_run import choice_similarity
from henasy.evaluation.tasks.report import file_digest

_EPIC_STEP_S = 0.011


class Measured(NamedTuple):
    """One measure of every item."""

    values: NDArray[np.float64]
    """(Q,) of each item, in [0, 1]."""
    videos: Sequence[str] | None
    """(Q,) the video of each item; None for sentences, which are of no video."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One measure of both models."""

    measure: str
    before: float
    after: float
    difference: Difference
    """After minus before, with its 95 % interval over videos (over sentences for T-V)."""
    num_items: int


@dataclass(frozen=True, kw_only=True)
class RenderedFiles:
    """A rendered archive in the layouts of the benchmarks."""

    swaps: AnnotatedVideos
    layout: RenderedLayout


def measure_model(model: str, files: RenderedFiles, *, device: str = "cpu") -> tuple[dict[str, Measured], str]:
    """Every measure of a model, and the name of its space."""
    swaps, questions = load_egohoi(files.swaps.annotations), load_egomcq(files.layout.egomcq)
    retrieval = load_epic_retrieval(files.layout.epic_annotations)
    _require_same_clips(swaps, retrieval)
    wanted = [*swaps.distinct_spans()[0], *questions.distinct_spans()[0]]
    spans = list({_named(span): span for span in reversed(wanted)}.values())[::-1]
    texts = list(dict.fromkeys([*swaps.distinct_texts()[0], *questions.texts, *retrieval.texts]))
    digest = file_digest(swap_file(files.swaps.annotations))
    encoded = encode_annotated(spans, texts, EGO4D_FRAMES, _source(model, device, files), digest)
    vectors = _Vectors(
        {_named(span): row for row, span in enumerate(spans)},
        {text: row for row, text in enumerate(texts)},
        encoded.clip,
        encoded.texts,
    )
    narrated = [item.span for item in swaps.items]
    measured = _swap_answers(swaps, vectors) | _question_answers(questions, vectors)
    measured |= _retrieval(retrieval, narrated, vectors)
    return measured, str(encoded.facts["space"])


def compare_models(
    before: str, after: str, files: RenderedFiles, *, device: str = "cpu"
) -> tuple[list[Change], dict[str, str]]:
    """Every measure before and after, and the two spaces.

    Raises:
        SpaceMismatchError: both names mean the same weights.
    """
    first, first_space = measure_model(before, files, device=device)
    second, second_space = measure_model(after, files, device=device)
    if first_space == second_space:
        raise SpaceMismatchError(f"{before} and {after} are the same model (space {first_space}); nothing changed")
    changes = [_change(name, first[name], second[name]) for name in first]
    return changes, {"space before": first_space, "space after": second_space}


def _change(measure: str, before: Measured, after: Measured) -> Change:
    groups = None if before.videos is None else np.unique(np.array(before.videos), return_inverse=True)[1]
    return Change(
        measure=measure,
        before=float(before.values.mean()),
        after=float(after.values.mean()),
        difference=paired_difference(after.values, before.values, groups=groups),
        num_items=len(before.values),
    )


class _Vectors(NamedTuple):
    """Embeddings of all clips and texts that are asked about."""

    clip_rows: dict[tuple[str, int, int], int]
    text_rows: dict[str, int]
    clip_vectors: NDArray[np.float32]
    text_vectors: NDArray[np.float32]

    def clips(self, spans: Sequence[Span]) -> NDArray[np.float32]:
        """(n, D)"""
        return self.clip_vectors[[self.clip_rows[_named(span)] for span in spans]]

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, D)"""
        return self.text_vectors[[self.text_rows[text] for text in texts]]


def _named(span: Span) -> tuple[str, int, int]:
    """A span to the millisecond: annotation files write one time in different ways."""
    return span.video_id, round(1000 * span.start_s), round(1000 * span.end_s)


def _source(model: str, device: str, files: RenderedFiles) -> VideoSource:
    return VideoSource(
        annotations=files.swaps.annotations,
        videos=files.swaps.videos,
        model=model,
        device=device,
        num_frames=None,
        is_allowing_missing=False,
        is_rendered=True,
    )


def _swap_answers(annotations: EgoHoi, vectors: _Vectors) -> dict[str, Measured]:
    clips = vectors.clips([item.span for item in annotations.items])
    captions = np.stack([vectors.texts(item.captions) for item in annotations.items])
    right = right_words(caption_similarity(clips, captions))
    videos = [item.span.video_id for item in annotations.items]
    answers = {"verb": right.verb, "noun": right.noun, "action": right.action}
    return {f"swaps: {name}": Measured(values.astype(np.float64), videos) for name, values in answers.items()}


def _question_answers(annotations: EgoMcq, vectors: _Vectors) -> dict[str, Measured]:
    choices = np.stack([vectors.clips(question.choices) for question in annotations.questions])
    right = right_answers(choice_similarity(choices, vectors.texts(annotations.texts)), annotations.answers)
    videos = np.array([question.choices[question.answer].video_id for question in annotations.questions])
    is_inter = annotations.types == INTER
    kinds = {"inter": is_inter, "intra": ~is_inter}
    return {
        f"EgoMCQ form: {name}": Measured(right[chosen].astype(np.float64), videos[chosen].tolist())
        for name, chosen in kinds.items()
        if chosen.any()
    }


def _require_same_clips(swaps: EgoHoi, retrieval: EpicRetrieval) -> None:
    """Passes when both have the archive's narrations in their order: EK100's files write times to 10 ms."""
    pairs = list(zip((item.span for item in swaps.items), (clip.span for clip in retrieval.clips), strict=True))
    if any(a.video_id != b.video_id or abs(a.start_s - b.start_s) > _EPIC_STEP_S for a, b in pairs):
        raise AnnotationError("the word swaps and the retrieval set are not those of one archive")


def _retrieval(annotations: EpicRetrieval, spans: Sequence[Span], vectors: _Vectors) -> dict[str, Measured]:
    similarity = vectors.clips(spans).astype(np.float64) @ vectors.texts(annotations.texts).astype(np.float64).T
    relevancy = relevancy_matrix(annotations)
    to_text, to_video = query_scores(similarity, relevancy), query_scores(similarity.T, relevancy.T)
    videos = [span.video_id for span in spans]
    return {
        "EK100 form: mAP V-T": Measured(to_text.average_precision, videos),
        "EK100 form: mAP T-V": Measured(to_video.average_precision, None),
        "EK100 form: nDCG V-T": Measured(to_text.ndcg, videos),
        "EK100 form: nDCG T-V": Measured(to_video.ndcg, None),
    }
