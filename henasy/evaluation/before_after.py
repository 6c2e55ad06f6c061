"""What further training did to a model: word swaps, questions and retrieval of a rendered archive, before and after.

Both models answer the same items, so every difference is paired; items of one video are drawn together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import SpaceMismatchError
from henasy.evaluation.egohoi import annotation_file as swap_file
from henasy.evaluation.egohoi import load_egohoi
from henasy.evaluation.egohoi_run import caption_similarity
from henasy.evaluation.egomcq import annotation_file as question_file
from henasy.evaluation.egomcq import load_egomcq
from henasy.evaluation.egomcq_run import choice_similarity
from henasy.evaluation.encoded import encode_annotated
from henasy.evaluation.epic100 import annotation_files, load_epic_retrieval
from henasy.evaluation.frame_rules import EGO4D_FRAMES, EK100_FRAMES
from henasy.evaluation.intervals import Difference, paired_difference
from henasy.evaluation.mir import query_scores
from henasy.evaluation.multiple_choice import INTER, right_answers
from henasy.evaluation.relevancy import relevancy_matrix
from henasy.evaluation.rendered import RenderedLayout
from henasy.evaluation.report import file_digest
from henasy.evaluation.source import AnnotatedVideos, VideoSource
from henasy.evaluation.word_swaps import right_words


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
    swaps, space = _swap_answers(_source(model, device, files.swaps.annotations, files.swaps.videos))
    videos = files.layout.videos
    questions = _question_answers(_source(model, device, files.layout.egomcq, videos))
    retrieval = _retrieval(_source(model, device, files.layout.epic_annotations, videos))
    return swaps | questions | retrieval, space


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


def _source(model: str, device: str, annotations: Path, videos: Path) -> VideoSource:
    return VideoSource(
        annotations=annotations,
        videos=videos,
        model=model,
        device=device,
        num_frames=None,
        is_allowing_missing=False,
        is_rendered=True,
    )


def _swap_answers(source: VideoSource) -> tuple[dict[str, Measured], str]:
    annotations = load_egohoi(source.annotations)
    spans, rows = annotations.distinct_spans()
    texts, text_rows = annotations.distinct_texts()
    encoded = encode_annotated(spans, texts, EGO4D_FRAMES, source, file_digest(swap_file(source.annotations)))
    right = right_words(caption_similarity(encoded.clip[rows], encoded.texts[text_rows]))
    videos = [item.span.video_id for item in annotations.items]
    answers = {"verb": right.verb, "noun": right.noun, "action": right.action}
    measured = {f"swaps: {name}": Measured(values.astype(np.float64), videos) for name, values in answers.items()}
    return measured, str(encoded.facts["space"])


def _question_answers(source: VideoSource) -> dict[str, Measured]:
    annotations = load_egomcq(source.annotations)
    spans, rows = annotations.distinct_spans()
    digest = file_digest(question_file(source.annotations))
    encoded = encode_annotated(spans, annotations.texts, EGO4D_FRAMES, source, digest)
    right = right_answers(choice_similarity(encoded.clip[rows], encoded.texts), annotations.answers)
    videos = np.array([question.choices[question.answer].video_id for question in annotations.questions])
    is_inter = annotations.types == INTER
    kinds = {"inter": is_inter, "intra": ~is_inter}
    return {
        f"EgoMCQ form: {name}": Measured(right[chosen].astype(np.float64), videos[chosen].tolist())
        for name, chosen in kinds.items()
        if chosen.any()
    }


def _retrieval(source: VideoSource) -> dict[str, Measured]:
    annotations = load_epic_retrieval(source.annotations)
    digest = file_digest(*annotation_files(source.annotations))
    spans = [clip.span for clip in annotations.clips]
    encoded = encode_annotated(spans, annotations.texts, EK100_FRAMES, source, digest)
    similarity = encoded.clip.astype(np.float64) @ encoded.texts.astype(np.float64).T
    relevancy = relevancy_matrix(annotations)
    to_text, to_video = query_scores(similarity, relevancy), query_scores(similarity.T, relevancy.T)
    videos = [span.video_id for span in spans]
    return {
        "EK100 form: mAP V-T": Measured(to_text.average_precision, videos),
        "EK100 form: mAP T-V": Measured(to_video.average_precision, None),
        "EK100 form: nDCG V-T": Measured(to_text.ndcg, videos),
        "EK100 form: nDCG T-V": Measured(to_video.ndcg, None),
    }
