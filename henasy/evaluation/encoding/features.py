"""Embeddings made elsewhere: read, checked, and compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError, NotFoundError
from henasy.evaluation.encoding.source import FeatureSource, Similarity
from henasy.evaluation.tasks.report import file_digest


def load_features(path: Path, leading: tuple[int | None, ...], *, rows: str) -> NDArray[np.float64]:
    """Features (*leading, d) of a `.npy` file.

    Args:
        path: file of a float array.
        leading: the shape before the width, known from the annotations; None for any number of at least 1.
        rows: what the rows are, for the error message.

    Raises:
        NotFoundError: if the file is missing.
        InputError: if it is no float array of that shape, or has a NaN or an infinity.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such feature file")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError("features", f"{path} is not a plain .npy array: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise InputError("features", f"{path} holds {getattr(array, 'dtype', 'an archive')}, must be a float array")
    is_right = array.ndim == len(leading) + 1 and array.size > 0
    if not is_right or any(want not in (None, size) for want, size in zip(leading, array.shape[:-1], strict=True)):
        wanted = ", ".join("n" if size is None else str(size) for size in leading)
        raise InputError("features", f"{path} has shape {array.shape}, must be ({wanted}, d): {rows}")
    finite = np.isfinite(array).all(axis=-1)
    if not finite.all():
        where = tuple(int(axis[0]) for axis in np.nonzero(~finite))
        raise InputError("features", f"{path} has NaN or infinity in row {where if len(where) > 1 else where[0]}")
    return array.astype(np.float64)


def compared(features: NDArray[np.float64], similarity: Similarity) -> NDArray[np.float64]:
    """The features whose dot products are the chosen similarity.

    Raises:
        InputError: if a row has length 0 and cosine is asked for.
    """
    if similarity == "dot":
        return features
    length = np.linalg.norm(features, axis=-1, keepdims=True)
    if (length == 0).any():
        where = tuple(int(axis[0]) for axis in np.nonzero(length[..., 0] == 0))
        raise InputError(
            "features", f"row {where if len(where) > 1 else where[0]} has length 0: its cosine is undefined"
        )
    scaled: NDArray[np.float64] = features / length
    return scaled


class ComparedFeatures(NamedTuple):
    """Video and text features of one model, whose dot products are the chosen similarity, and what fixes them."""

    videos: NDArray[np.float64]
    texts: NDArray[np.float64]
    facts: dict[str, object]


def compared_features(
    source: FeatureSource,
    leading_videos: tuple[int | None, ...],
    leading_texts: tuple[int | None, ...],
    *,
    rows: tuple[str, str],
    annotations: Sequence[Path],
) -> ComparedFeatures:
    """The features of both files.

    Args:
        source: the files, and how they are compared.
        leading_videos: shape of the video features before the width.
        leading_texts: shape of the text features before the width.
        rows: what the rows of each are, for error messages.
        annotations: the files whose order the rows follow.

    Raises:
        NotFoundError, InputError: as for `load_features`, and if the widths differ.
    """
    videos, texts, similarity = source.video_features, source.text_features, source.similarity
    found = load_features(videos, leading_videos, rows=rows[0]), load_features(texts, leading_texts, rows=rows[1])
    if found[0].shape[-1] != found[1].shape[-1]:
        raise InputError(
            "features", f"video features are {found[0].shape[-1]} wide, text features {found[1].shape[-1]}"
        )
    # Nothing is known of the frames behind them.
    facts: dict[str, object] = {
        "features": f"{videos}, {texts}",
        "features sha256": file_digest(videos, texts),
        "similarity": similarity,
        "annotations sha256": file_digest(*annotations),
    }
    return ComparedFeatures(compared(found[0], similarity), compared(found[1], similarity), facts)
