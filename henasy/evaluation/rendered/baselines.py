"""HENASY against what sees less, on held-out rendered questions in EgoMCQ form.

N distinct choices, C choices of a question, Q questions, D width of the joint space.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from henasy.checkpoint.encoder import MICRO_BATCH_CPU, Encoder
from henasy.checkpoint.folder import Checkpoint, read_checkpoint
from henasy.checkpoint.locate import locate_checkpoint
from henasy.errors import UnsupportedError, VideoError
from henasy.evaluation.annotations.egomcq import NUM_CHOICES, EgoMcq
from henasy.evaluation.encoding.embed import (
    Describe,
    Described,
    Description,
    describe_spans,
    embed_texts,
    encode_frames,
    flat_frames,
    gather_spans,
)
from henasy.evaluation.encoding.frame_rules import EGO4D_FRAMES, Span
from henasy.evaluation.encoding.span_frames import RefusedSpans, read_spans
from henasy.evaluation.metrics.intervals import Difference, paired_difference
from henasy.evaluation.metrics.multiple_choice import INTER, INTRA, right_answers
from henasy.evaluation.rendered.blind_views import colour_histogram, one_frame, place_in_time, shuffled_frames
from henasy.evaluation.rendered.layouts import RenderedClip
from henasy.evaluation.rendered.ridge import fit_ridge
from henasy.evaluation.tasks.egomcq_run import choice_similarity
from henasy.model.henasy import Henasy
from henasy.video.video_files import videos_by_id

OURS = "HENASY"
CHANCE, TEXT_ALONE, HISTOGRAM = "chance", "text alone (no pixels)", "colour histogram"
ONE_FRAME, SHUFFLED, FIRST_STAGE = "one frame", "shuffled frames", "first stage (dual encoder)"
DECODER_ALONE = "decoder alone"
"""The clip's embedding without the share of the global encoder; a method where HENASY's has such a share."""

Similarities = dict[str, NDArray[np.float64]]
Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """A HENASY checkpoint, whole and reduced to its first stage, or to its decoder where that is not the whole."""

    henasy: Encoder
    first_stage: Encoder
    decoder_alone: Encoder | None


@dataclass(frozen=True, kw_only=True)
class RenderedArchive:
    """An archive with those of its narrations that are to be used."""

    folder: Path
    clips: Sequence[RenderedClip]


class MethodRow(NamedTuple):
    """One method's accuracies, as fractions, and by how much HENASY beats it on the same questions."""

    method: str
    inter: float
    intra: float
    inter_gain: Difference | None
    """None for HENASY itself."""
    intra_gain: Difference | None


def load_encoders(model: str, device: str) -> Encoders:
    """The checkpoint and its own frozen dual encoder.

    Raises:
        UnsupportedError: if the checkpoint is a dual encoder, which has no second stage.
    """
    checkpoint = read_checkpoint(locate_checkpoint(model))
    if not isinstance(checkpoint.model, Henasy):
        raise UnsupportedError(f"{model} is of kind {checkpoint.model.kind}: only a henasy checkpoint has two stages")
    dual = replace(checkpoint, model=checkpoint.model.dual)
    is_mean = checkpoint.model.config.global_share > 0
    alone = replace(checkpoint, model=checkpoint.model.with_global_share(0.0)) if is_mean else None
    return Encoders(
        henasy=_encoder(checkpoint, device),
        first_stage=_encoder(dual, device),
        decoder_alone=None if alone is None else _encoder(alone, device),
    )


class MethodVectors(NamedTuple):
    """What a method makes of clips and texts, to be compared by dot product."""

    clips: NDArray[np.floating]
    """(N, D) of every narrated clip of the held-out archive."""
    of_texts: Callable[[NDArray[np.floating]], NDArray[np.floating]]
    """From text embeddings (..., D) to what the clips are compared with."""


def describe_methods(
    encoders: Encoders,
    held_out: RenderedArchive,
    train: RenderedArchive,
    *,
    on_progress: Progress = lambda _: None,
) -> dict[str, MethodVectors]:
    """Every clip of an archive by every method but chance.

    Args:
        encoders: the model under test.
        held_out: the archive that is asked about.
        train: what the baselines may learn from.
        on_progress: called with the number of clips done since the last call.
    """
    num_frames = encoders.henasy.num_frames
    spans, train_spans = ([clip.span for clip in archive.clips] for archive in (held_out, train))
    seen = describe_all(held_out.folder, spans, _ways(encoders), num_frames, on_progress)
    colours = {HISTOGRAM: colour_histogram}
    train_seen = describe_all(train.folder, train_spans, colours, num_frames, on_progress)
    learnt: dict[str, tuple[NDArray[np.floating], NDArray[np.floating]]] = {
        TEXT_ALONE: (_places(train.clips), _places(held_out.clips)),
        HISTOGRAM: (train_seen[HISTOGRAM], seen[HISTOGRAM]),
    }
    train_texts = embed_texts(encoders.henasy, [clip.text for clip in train.clips])
    groups = np.unique([span.video_id for span in train_spans], return_inverse=True)[1]
    methods: dict[str, MethodVectors] = {}
    for name, (known, asked) in learnt.items():
        fitted = fit_ridge(known, train_texts, groups)
        methods[name] = MethodVectors(fitted.predict(asked), fitted.centred)
    for name in (ONE_FRAME, SHUFFLED, FIRST_STAGE, DECODER_ALONE, OURS):
        if name not in seen:
            continue
        methods[name] = MethodVectors(seen[name], lambda texts: texts)
    return methods


def describe_stages(
    encoders: Encoders, held_out: RenderedArchive, *, on_progress: Progress = lambda _: None
) -> dict[str, MethodVectors]:
    """Every clip by HENASY and by its first stage, both from one pass; arguments as for `describe_methods`."""
    spans, henasy = [clip.span for clip in held_out.clips], encoders.henasy

    def both(frames: NDArray[np.uint8]) -> Described:
        seen = henasy.encode_clips(*flat_frames(frames))
        return {FIRST_STAGE: seen.global_clip, OURS: seen.clip}

    batches = read_spans(spans, videos_by_id(held_out.folder / "videos"), EGO4D_FRAMES, henasy.num_frames)
    found = gather_spans(both, batches, len(spans), on_progress=on_progress)
    _require_whole(held_out.folder, found.refused)
    return {name: MethodVectors(values, lambda texts: texts) for name, values in found.values.items()}


def similarities(
    methods: Mapping[str, MethodVectors],
    questions: EgoMcq,
    clips: Sequence[RenderedClip],
    texts: NDArray[np.floating],
) -> Similarities:
    """The similarity (Q, C) of each question's text to its choices, by method; chance knows nothing.

    Args:
        methods: their clips are `clips`.
        questions: Q questions over clips of these.
        clips: the narrated clips of the archive.
        texts: (Q, D) embeddings of the questions' texts.
    """
    spans, choice_rows = questions.distinct_spans()
    row_of = {clip.span: row for row, clip in enumerate(clips)}
    rows = np.array([row_of[span] for span in spans], np.int64)[choice_rows]
    asked = {name: choice_similarity(method.clips[rows], method.of_texts(texts)) for name, method in methods.items()}
    return {CHANCE: np.zeros(rows.shape), **asked}


def compare(questions: EgoMcq, by_method: Similarities) -> list[MethodRow]:
    """A row per method; intervals draw whole videos, whose questions depend on one another."""
    videos = [question.choices[question.answer].video_id for question in questions.questions]
    groups = np.unique(videos, return_inverse=True)[1]
    right = {name: _right(name, similarity, questions) for name, similarity in by_method.items()}
    kinds = [questions.types == kind for kind in (INTER, INTRA)]
    rows = []
    for name, values in right.items():
        inter, intra = (float(values[kind].mean()) if kind.any() else float("nan") for kind in kinds)
        gains = [
            paired_difference(right[OURS][kind], values[kind], groups=groups[kind])
            if name != OURS and kind.any()
            else None
            for kind in kinds
        ]
        rows.append(MethodRow(name, inter, intra, *gains))
    return rows


def describe_all(
    archive: Path, spans: Sequence[Span], ways: Mapping[str, Describe], num_frames: int, on_progress: Progress
) -> dict[str, Description]:
    """Every way's description of every span of an archive, which must be whole.

    Raises:
        VideoError: if a span cannot be read.
    """
    batches = read_spans(spans, videos_by_id(archive / "videos"), EGO4D_FRAMES, num_frames)
    described = describe_spans(ways, batches, len(spans), on_progress=on_progress)
    _require_whole(archive, described.refused)
    return described.values


def _require_whole(archive: Path, refused: Sequence[RefusedSpans]) -> None:
    if refused:
        raise VideoError(f"{archive}: {refused[0].reason}")


def _ways(encoders: Encoders) -> dict[str, Describe]:
    order = np.random.default_rng(0)
    encode = partial(encode_frames, encoders.henasy)
    alone = encoders.decoder_alone
    return {
        HISTOGRAM: colour_histogram,
        ONE_FRAME: lambda frames: encode(one_frame(frames)),
        SHUFFLED: lambda frames: encode(shuffled_frames(frames, order)),
        FIRST_STAGE: partial(encode_frames, encoders.first_stage),
        **({} if alone is None else {DECODER_ALONE: partial(encode_frames, alone)}),
        OURS: encode,
    }


def _encoder(checkpoint: Checkpoint, device: str) -> Encoder:
    return Encoder(checkpoint, device=torch.device(device), dtype="float32", micro_batch=MICRO_BATCH_CPU)


def _places(clips: Sequence[RenderedClip]) -> NDArray[np.float64]:
    return np.array([place_in_time(clip.span.start_s, clip.span.end_s, clip.video_s) for clip in clips])


def _right(name: str, similarity: NDArray[np.float64], questions: EgoMcq) -> NDArray[np.float64]:
    """(Q,) 1 where right; the expected share for chance."""
    if name == CHANCE:
        return np.full(len(similarity), 1 / NUM_CHOICES)
    return right_answers(similarity, questions.answers).astype(np.float64)
