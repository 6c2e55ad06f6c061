"""Dense features of the clips that NLQ and MQ annotate: where clips lie in videos, encoding them, files made elsewhere.

N features of a clip, E entities, D width.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.errors import InputError, NotFoundError, VideoError
from henasy.evaluation.encoding.dense import DenseFeatures, DenseRule, Window, dense_features
from henasy.evaluation.encoding.frame_rules import Span
from henasy.search.moments import clip_evidence
from henasy.video.video_files import VideoFiles, videos_by_id

_SUFFIXES = (".npy", ".pt")
_LISTED = 20


class AnnotatedClip(Protocol):
    """A clip of minutes that annotations are about."""

    @property
    def clip_uid(self) -> str:
        """Its name."""

    def part_of_video(self) -> Span:
        """Where it lies in its video."""


class EncodedClips(NamedTuple):
    """Features by clip_uid, and a line for each clip, or part of one, without any."""

    by_clip: dict[str, DenseFeatures]
    missing: tuple[str, ...]


def encode_annotated_clips(
    clips: Sequence[AnnotatedClip],
    rule: DenseRule,
    *,
    videos: Path,
    encoder: Encoder,
    has_entities: bool,
    is_allowing_missing: bool,
    is_cached: bool,
) -> EncodedClips:
    """L2-normalised embeddings of every clip, as the rule lays them.

    Args:
        clips: what to encode.
        rule: where features lie in a clip.
        videos: folder of the videos.
        encoder: what encodes.
        has_entities: whether the entities are wanted too.
        is_allowing_missing: whether to go on without videos that are missing or cannot be read.
        is_cached: whether features may come from the cache and are kept there.

    Raises:
        NotFoundError: videos are missing and that is not allowed; they are listed.
        VideoError: the same for videos that cannot be read, or if not one can be.
    """
    windows, missing = clip_windows(clips, videos_by_id(videos))
    if missing and not is_allowing_missing:
        raise NotFoundError(
            f"{videos}: {len(missing)} of {len(clips)} annotated clips have no whole video:\n{shown(missing)}\n"
            "--allow-missing scores the rest"
        )
    dense = dense_features(encoder, windows, rule, has_entities=has_entities, is_caching=is_cached)
    faults = dense.listed()
    if not dense.features or (faults and not is_allowing_missing):
        raise VideoError(
            f"{videos}: features are missing:\n{shown(faults or missing)}\n--allow-missing scores the rest"
        )
    return EncodedClips(dense.features, (*missing, *faults))


def clip_windows(clips: Sequence[AnnotatedClip], files: dict[str, VideoFiles]) -> tuple[list[Window], list[str]]:
    """Where each clip lies in its video, and a line for each without one.

    A file named by the clip itself, as Ego4D's clip downloads are, is preferred and taken whole.

    Raises:
        AnnotationError: the annotations do not say where a clip lies.
    """
    windows, missing = [], []
    for clip in clips:
        own, span = files.get(clip.clip_uid), clip.part_of_video()
        found = own or files.get(span.video_id)
        if found is None:
            missing.append(f"clip {clip.clip_uid} of video {span.video_id}: no file")
        elif found.chunk_starts_s is not None:
            missing.append(f"clip {clip.clip_uid} of video {span.video_id}: {found.paths[0].parent} is in chunks")
        elif own is not None:
            windows.append(Window(clip.clip_uid, own.paths[0]))
        else:
            windows.append(Window(clip.clip_uid, found.paths[0], span.start_s, span.end_s))
    return windows, missing


def feature_file(folder: Path, uid: str) -> Path | None:
    """The `.npy` or `.pt` file of a clip or a video, if there is one."""
    return next((path for suffix in _SUFFIXES if (path := folder / f"{uid}{suffix}").is_file()), None)


def read_features(path: Path) -> NDArray[np.float32]:
    """The matrix (N, D) of a file; a `.pt` file is read without running anything in it.

    Raises:
        InputError: the file is damaged, or holds no finite float matrix.
    """
    try:
        array = _read_tensor(path) if path.suffix == ".pt" else np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, RuntimeError) as error:
        raise InputError("features", f"{path} is not a plain array: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.ndim != 2 or 0 in array.shape:
        shape = getattr(array, "shape", type(array).__name__)
        raise InputError("features", f"{path} has shape {shape}, must be (T, D) of floats")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise InputError("features", f"{path} has NaN or infinity in row {bad[0]}")
    return array.astype(np.float32)


def require_one_width(folder: Path, matrices: Iterable[NDArray[np.float32]]) -> None:
    """Passes when all matrices (N, D) have the same D.

    Raises:
        InputError: they have not.
    """
    widths = {matrix.shape[1] for matrix in matrices}
    if len(widths) > 1:
        raise InputError("features", f"{folder}: files are {sorted(widths)} wide, must all have one width")


def text_evidence(
    features: NDArray[np.float32],
    entities: NDArray[np.float32] | None,
    is_valid: NDArray[np.bool_] | None,
    text: NDArray[np.float32],
) -> NDArray[np.float64]:
    """(N,) how well features (N, D) and their entities (N, E, D) fit a text (D,), as a search scores an index."""
    scores = features @ text
    if entities is None or is_valid is None:
        return clip_evidence(scores)
    return clip_evidence(scores, np.where(is_valid, entities @ text, -np.inf))


def missing_facts(missing: Sequence[str]) -> dict[str, object]:
    """What a result says of clips without features; nothing where all have them."""
    if not missing:
        return {}
    return {"missing": [f"{len(missing)} clips or parts of clips have no features", *missing[:_LISTED]]}


def shown(lines: Sequence[str]) -> str:
    """The first lines, and how many more there are."""
    rest = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n".join([*lines[:_LISTED], *rest])


def _read_tensor(path: Path) -> object:
    import pickle

    import torch

    try:
        tensor = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    return tensor.float().numpy() if isinstance(tensor, torch.Tensor) else tensor
