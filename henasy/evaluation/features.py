"""Embeddings made elsewhere: read, checked, and compared."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError, NotFoundError
from henasy.evaluation.report import file_digest

Similarity = Literal["cosine", "dot"]


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


def compared_features(
    videos: Path,
    leading_videos: tuple[int | None, ...],
    texts: Path,
    leading_texts: tuple[int | None, ...],
    similarity: Similarity,
    *,
    rows: tuple[str, str],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Video and text features of one model, whose dot products are the chosen similarity.

    Args:
        videos: file of the video features.
        leading_videos: their shape before the width.
        texts: file of the text features.
        leading_texts: their shape before the width.
        similarity: how they are compared.
        rows: what the rows of each are, for error messages.

    Raises:
        NotFoundError, InputError: as for `load_features`, and if the widths differ.
    """
    found = load_features(videos, leading_videos, rows=rows[0]), load_features(texts, leading_texts, rows=rows[1])
    if found[0].shape[-1] != found[1].shape[-1]:
        raise InputError(
            "features", f"video features are {found[0].shape[-1]} wide, text features {found[1].shape[-1]}"
        )
    return compared(found[0], similarity), compared(found[1], similarity)


def feature_facts(videos: Path, texts: Path, similarity: Similarity) -> dict[str, object]:
    """What fixes a result on embeddings made elsewhere; nothing is known of the frames behind them."""
    return {
        "features": f"{videos}, {texts}",
        "features sha256": file_digest(videos, texts),
        "similarity": similarity,
    }
