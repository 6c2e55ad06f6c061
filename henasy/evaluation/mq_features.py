"""The features of the annotated clips of moment queries: encoded now, or made elsewhere.

T features of a clip, D their width, E entities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.errors import InputError, NotFoundError, VideoError
from henasy.evaluation.dense import DenseFeatures, DenseRule, PlanRule, Window, dense_features
from henasy.evaluation.egomq import MomentClip
from henasy.evaluation.video_files import VideoFiles, videos_by_id

_LISTED = 20
SUFFIXES = (".npy", ".pt")


class ClipFeatures(NamedTuple):
    """One clip, feature by feature: each has a step of time to itself, in the middle of the span it describes."""

    features: NDArray[np.float32]
    """(T, D)"""
    spans: NDArray[np.float64]
    """(T, 2) what each describes, in seconds of the clip."""
    step_s: float
    """Seconds from one to the next. A last one that an index plan moves nearer counts as if it were not."""
    duration_s: float
    """Length of the clip."""
    entities: NDArray[np.float32] | None = None
    """(T, E, D) L2-normalised; None where nobody encoded them."""
    is_valid: NDArray[np.bool_] | None = None
    """(T, E) whether an entity owns any patch."""

    @property
    def first_s(self) -> float:
        """When the first feature's step begins; where spans overlap, that is after the clip's start."""
        return float(self.spans[0].mean()) - self.step_s / 2

    def steps(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Times in the clip as places in the row of features, which run from 0 to T."""
        places: NDArray[np.float64] = np.clip((times_s - self.first_s) / self.step_s, 0.0, len(self.features))
        return places

    def seconds(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places in the row of features as times in the clip; the two ends of the row are the clip's own."""
        times_s = np.where(places <= 0, 0.0, self.first_s + places * self.step_s)
        return np.clip(np.where(places >= len(self.features), self.duration_s, times_s), 0.0, self.duration_s)


def side_by_side(features: NDArray[np.float32], duration_s: float) -> ClipFeatures:
    """Features that share the clip evenly among them."""
    step_s = duration_s / len(features)
    starts_s = np.arange(len(features), dtype=np.float64) * step_s
    return ClipFeatures(features, np.stack([starts_s, starts_s + step_s], axis=1), step_s, duration_s)


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """The features of many clips, by clip_uid."""

    by_clip: dict[str, ClipFeatures]
    missing: tuple[str, ...]
    """A line for each clip, or part of one, without features."""

    @property
    def width(self) -> int:
        """D."""
        return int(next(iter(self.by_clip.values())).features.shape[1])


def encode_clips(
    clips: Sequence[MomentClip],
    rule: DenseRule,
    *,
    videos: Path,
    encoder: Encoder,
    is_allowing_missing: bool,
    is_cached: bool,
) -> FeatureSet:
    """L2-normalised embeddings of every clip, as the rule lays them; as an index has them, with the entities.

    Raises:
        NotFoundError: videos are missing and that is not allowed; they are listed.
        VideoError: the same for videos that cannot be read, or if not one can be.
    """
    windows, missing = clip_windows(clips, videos_by_id(videos))
    if missing and not is_allowing_missing:
        shown = "\n".join(missing[:_LISTED])
        raise NotFoundError(
            f"{videos}: {len(missing)} of {len(clips)} annotated clips have no whole video:\n{shown}\n"
            "--allow-missing scores the rest"
        )
    has_entities = isinstance(rule, PlanRule)
    dense = dense_features(encoder, windows, rule, has_entities=has_entities, is_caching=is_cached)
    faults = dense.listed()
    if not dense.features or (faults and not is_allowing_missing):
        listed = "\n".join((faults or missing)[:_LISTED])
        raise VideoError(f"{videos}: features are missing:\n{listed}\n--allow-missing scores the rest")
    by_clip = {uid: _clip_features(found) for uid, found in dense.features.items()}
    return FeatureSet(by_clip=by_clip, missing=(*missing, *faults))


def _clip_features(found: DenseFeatures) -> ClipFeatures:
    has_entities = found.entities.shape[1] > 0
    return ClipFeatures(
        found.clip,
        found.spans,
        _step_s(found.spans),
        found.duration_s,
        found.entities if has_entities else None,
        found.is_valid if has_entities else None,
    )


def _step_s(spans: NDArray[np.float64]) -> float:
    """Seconds between neighbours; of a single one, its length."""
    return float(spans[1, 0] - spans[0, 0] if len(spans) > 1 else spans[0, 1] - spans[0, 0])


def clip_windows(clips: Sequence[MomentClip], files: dict[str, VideoFiles]) -> tuple[list[Window], list[str]]:
    """Where each clip lies in its video, and a line for each without one.

    A file named by the clip itself, as Ego4D's clip downloads are, is preferred and taken whole.

    Raises:
        AnnotationError: the annotations do not say where the clip lies.
    """
    windows, missing = [], []
    for clip in clips:
        own = files.get(clip.clip_uid)
        span = clip.part_of_video()
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


def load_clip_features(clips: Sequence[MomentClip], folder: Path, *, is_allowing_missing: bool) -> FeatureSet:
    """Features made elsewhere: `<clip_uid>.npy` or `<clip_uid>.pt`, each (T, D), evenly over the whole clip.

    Raises:
        NotFoundError: clips have no file and that is not allowed, or not one has any.
        InputError: a file holds no finite float matrix, or widths differ.
    """
    paths = {clip.clip_uid: _feature_path(folder, clip.clip_uid) for clip in clips}
    missing = tuple(f"clip {uid}" for uid, path in paths.items() if path is None)
    if len(missing) == len(clips) or (missing and not is_allowing_missing):
        shown = ", ".join(missing[:_LISTED])
        raise NotFoundError(
            f"{folder}: {len(missing)} of {len(clips)} annotated clips have no <clip_uid>.npy or .pt: {shown}; "
            "--allow-missing scores the rest"
        )
    by_clip = {}
    for clip in clips:
        path = paths[clip.clip_uid]
        if path is not None:
            features = read_features(path)
            span = clip.part_of_video()
            by_clip[clip.clip_uid] = side_by_side(features, span.end_s - span.start_s)
    widths = {found.features.shape[1] for found in by_clip.values()}
    if len(widths) > 1:
        raise InputError("features", f"{folder}: files are {sorted(widths)} wide, must all have one width")
    return FeatureSet(by_clip=by_clip, missing=missing)


def read_features(path: Path) -> NDArray[np.float32]:
    """The matrix (T, D) of a file.

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


def _feature_path(folder: Path, clip_uid: str) -> Path | None:
    return next((path for suffix in SUFFIXES if (path := folder / f"{clip_uid}{suffix}").is_file()), None)


def _read_tensor(path: Path) -> object:
    import pickle

    import torch

    try:
        tensor = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    return tensor.float().numpy() if isinstance(tensor, torch.Tensor) else tensor
