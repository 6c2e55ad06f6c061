"""The embeddings of a benchmark's spans and texts, with the facts that fix them. The one step that needs a model."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.errors import NotFoundError, VideoError
from henasy.evaluation.embed import describe_spans, embed_texts, encode_frames
from henasy.evaluation.frame_rules import FrameRule, Span
from henasy.evaluation.source import VideoSource
from henasy.evaluation.span_frames import RefusedSpans, read_spans
from henasy.evaluation.video_files import VideoFiles, missing_videos, videos_by_id

_LISTED = 20


class Encoded(NamedTuple):
    """Embeddings in the order of the spans and the texts."""

    clip: NDArray[np.float32]
    """(N, D), zeros where there is none."""
    is_encoded: NDArray[np.bool_]
    """(N,)"""
    texts: NDArray[np.float32]
    """(M, D)"""
    facts: dict[str, object]


def encode_annotated(spans: Sequence[Span], texts: Sequence[str], rule: FrameRule, source: VideoSource) -> Encoded:
    """Embeddings of every span and of every text.

    Raises:
        NotFoundError: if videos are missing and that is not allowed; the message lists them.
        VideoError: the same for spans that cannot be read.
    """
    found = available_videos(spans, source.videos, is_allowing_missing=source.is_allowing_missing)
    encoder = load_encoder(source.model, device=source.device, num_frames=source.num_frames)
    with progress_bar() as progress:
        task = progress.add_task("encoding", total=len(spans))
        described = describe_spans(
            {"clip": partial(encode_frames, encoder)},
            read_spans(spans, found, rule, encoder.num_frames),
            len(spans),
            on_progress=lambda count: progress.advance(task, count),
        )
    if described.refused and not source.is_allowing_missing:
        raise VideoError(f"{_listed(described.refused)}\n--allow-missing scores the rest")
    facts = encoder_facts(source.model, encoder, is_rendered=source.is_rendered)
    if described.refused:
        facts["refused"] = _listed(described.refused)
    return Encoded(described.values["clip"], described.is_described, embed_texts(encoder, texts), facts)


def encoder_facts(model: str, encoder: Encoder, *, is_rendered: bool) -> dict[str, object]:
    """What of an encoder fixes its embeddings, and what must be said of its weights on these videos."""
    facts: dict[str, object] = {
        "model": f"{model} ({encoder.kind})",
        "space": encoder.space_id,
        "frames": encoder.num_frames,
        "image": f"{encoder.spec.image_px} px, crop {encoder.spec.crop}, antialias {encoder.spec.is_antialiased}",
        "computed": f"{encoder.device}, {str(encoder.dtype).removeprefix('torch.')}",
    }
    warning = encoder.card.warning()
    if warning is not None and (encoder.card.is_random or not is_rendered):
        facts["warning"] = warning
    return facts


def available_videos(spans: Sequence[Span], folder: Path, *, is_allowing_missing: bool) -> dict[str, VideoFiles]:
    """The files of every annotated video.

    Raises:
        NotFoundError: if some are missing and that is not allowed; the message lists them.
    """
    found = videos_by_id(folder)
    missing = missing_videos((span.video_id for span in spans), found)
    if missing and not is_allowing_missing:
        shown = ", ".join(missing[:_LISTED]) + (", ..." if len(missing) > _LISTED else "")
        raise NotFoundError(
            f"{folder}: {len(missing)} annotated videos are not there: {shown}; --allow-missing scores the rest"
        )
    return found


def _listed(refused: list[RefusedSpans]) -> str:
    lines = [f"{len(part.rows)} spans: {part.reason}" for part in refused]
    rest = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n".join([f"{sum(len(part.rows) for part in refused)} spans cannot be read", *lines[:_LISTED], *rest])


def progress_bar() -> Progress:
    """A bar on standard error that leaves nothing behind."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
