"""The features of the clips that EgoNLQ asks about: encoded now, or made elsewhere.

N features of a clip, D their width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.errors import InputError, NotFoundError, VideoError
from henasy.evaluation.dense import DenseFeatures, DenseRule, Window, dense_features
from henasy.evaluation.egonlq import NlqClip
from henasy.evaluation.mq_features import SUFFIXES, read_features
from henasy.evaluation.video_files import VideoFiles, videos_by_id
from henasy.heads.vslnet_spans import even_spans

_LISTED = 20
_REFERENCE_RATE = 30 / 16
"""Features per second of the whole-video files that Ego4D publishes."""


class NlqFeatures(NamedTuple):
    """One clip, feature by feature, in order of time."""

    features: NDArray[np.float32]
    """(N, D)"""
    spans: NDArray[np.float64]
    """(N, 2) what each describes, in seconds of the clip."""
    duration_s: float
    """Length of the clip."""
    entities: NDArray[np.float32] | None = None
    """(N, E, D) L2-normalised, where they were asked for and the encoder has any."""
    is_valid: NDArray[np.bool_] | None = None
    """(N, E) whether an entity owns any patch."""


@dataclass(frozen=True, kw_only=True)
class NlqFeatureSet:
    """The features of many clips, by clip_uid."""

    by_clip: dict[str, NlqFeatures]
    missing: tuple[str, ...]
    """A line for each clip, or part of one, without features."""


def encode_nlq_clips(
    clips: Sequence[NlqClip],
    videos: Path,
    encoder: Encoder,
    rule: DenseRule,
    *,
    has_entities: bool = False,
    is_allowing_missing: bool,
    is_cached: bool,
) -> NlqFeatureSet:
    """L2-normalised embeddings of every clip that is asked about, as the rule lays them.

    Args:
        clips: what is asked about.
        videos: folder of the videos.
        encoder: what encodes.
        rule: where features lie in a clip.
        has_entities: whether the entities are wanted too.
        is_allowing_missing: whether to go on without videos that are missing or cannot be read.
        is_cached: whether features may come from the cache and are kept there.

    Raises:
        NotFoundError: videos are missing and that is not allowed; they are listed.
        VideoError: the same for videos that cannot be read, or if not one can be.
    """
    windows, missing = nlq_windows(clips, videos_by_id(videos))
    if missing and not is_allowing_missing:
        raise NotFoundError(
            f"{videos}: {len(missing)} of {len(clips)} annotated clips have no whole video:\n{_shown(missing)}\n"
            "--allow-missing scores the rest"
        )
    dense = dense_features(encoder, windows, rule, has_entities=has_entities, is_caching=is_cached)
    faults = dense.listed()
    if not dense.features or (faults and not is_allowing_missing):
        raise VideoError(
            f"{videos}: features are missing:\n{_shown(faults or missing)}\n--allow-missing scores the rest"
        )
    by_clip = {uid: _readable(found) for uid, found in dense.features.items()}
    return NlqFeatureSet(by_clip=by_clip, missing=(*missing, *faults))


def nlq_windows(clips: Sequence[NlqClip], files: dict[str, VideoFiles]) -> tuple[list[Window], list[str]]:
    """Where each clip lies in its video, and a line for each without one.

    A file named by the clip itself, as Ego4D's clip downloads are, is preferred and taken whole.
    """
    windows, missing = [], []
    for clip in clips:
        own = files.get(clip.clip_uid)
        found = own or files.get(clip.video_uid)
        if found is None:
            missing.append(f"clip {clip.clip_uid} of video {clip.video_uid}: no file")
        elif found.chunk_starts_s is not None:
            missing.append(f"clip {clip.clip_uid} of video {clip.video_uid}: {found.paths[0].parent} is in chunks")
        elif own is not None:
            windows.append(Window(clip.clip_uid, own.paths[0]))
        else:
            windows.append(Window(clip.clip_uid, found.paths[0], clip.start_s, clip.end_s))
    return windows, missing


def load_nlq_features(clips: Sequence[NlqClip], folder: Path, *, is_allowing_missing: bool) -> NlqFeatureSet:
    """Features made elsewhere, as VSLNet's code reads them: a float matrix (N, D) in a `.npy` or `.pt` file.

    `<clip_uid>` lies evenly over its clip. `<video_uid>` holds a whole video at 30/16 features a second, of which a
    clip takes its part. A `.pt` file is read without running anything in it.

    Raises:
        NotFoundError: clips have no file and that is not allowed, or not one has any.
        InputError: a file holds no finite float matrix, is too short for its clip, or widths differ.

    Source: EGO4D/episodic-memory NLQ/VSLNet/utils/prepare_ego4d_dataset.py.
    """
    found = {clip.clip_uid: _features_of(clip, folder) for clip in clips}
    missing = tuple(f"clip {uid}: no file of features" for uid, features in found.items() if features is None)
    if len(missing) == len(clips) or (missing and not is_allowing_missing):
        raise NotFoundError(
            f"{folder}: {len(missing)} of {len(clips)} clips have no <clip_uid> or <video_uid> .npy or .pt:\n"
            f"{_shown(missing)}\n--allow-missing scores the rest"
        )
    by_clip = {uid: features for uid, features in found.items() if features is not None}
    widths = {features.features.shape[1] for features in by_clip.values()}
    if len(widths) > 1:
        raise InputError("features", f"{folder}: files are {sorted(widths)} wide, must all have one width")
    return NlqFeatureSet(by_clip=by_clip, missing=missing)


def _readable(found: DenseFeatures) -> NlqFeatures:
    """The features that there are; what could not be read leaves a gap."""
    kept = found.is_encoded
    if not found.entities.shape[1]:
        return NlqFeatures(found.clip[kept], found.spans[kept], found.duration_s)
    return NlqFeatures(
        found.clip[kept], found.spans[kept], found.duration_s, found.entities[kept], found.is_valid[kept]
    )


def _features_of(clip: NlqClip, folder: Path) -> NlqFeatures | None:
    duration_s = clip.end_s - clip.start_s
    own, whole = (_path(folder, uid) for uid in (clip.clip_uid, clip.video_uid))
    if own is not None:
        features = read_features(own)
    elif whole is not None:
        first, last = int(clip.start_s * _REFERENCE_RATE), int(clip.end_s * _REFERENCE_RATE) + 1
        features = read_features(whole)[first:last]
        if len(features) < math.floor(duration_s * _REFERENCE_RATE) - 1:
            raise InputError(
                "features",
                f"{whole} ends before clip {clip.clip_uid} ({clip.start_s:.1f} to {clip.end_s:.1f} s): at "
                f"{_REFERENCE_RATE} features a second it needs rows {first} to {last}",
            )
    else:
        return None
    return NlqFeatures(features, even_spans(len(features), duration_s), duration_s)


def _path(folder: Path, uid: str) -> Path | None:
    return next((path for suffix in SUFFIXES if (path := folder / f"{uid}{suffix}").is_file()), None)


def _shown(lines: Sequence[str]) -> str:
    rest = [f"and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n".join([*lines[:_LISTED], *rest])
