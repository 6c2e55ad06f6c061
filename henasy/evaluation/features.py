"""Embeddings made elsewhere: read, checked, and compared."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError, NotFoundError

Similarity = Literal["cosine", "dot"]


def load_features(path: Path, leading: tuple[int, ...], *, rows: str) -> NDArray[np.float64]:
    """Features (*leading, d) of a `.npy` file.

    Args:
        path: file of a float array.
        leading: the shape before the width, known from the annotations.
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
    if array.ndim != len(leading) + 1 or array.shape[:-1] != leading or array.shape[-1] == 0:
        wanted = ", ".join(map(str, leading))
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


def check_same_width(videos: NDArray[np.float64], texts: NDArray[np.float64]) -> None:
    """Refuse embeddings that cannot have come from one model."""
    if videos.shape[-1] != texts.shape[-1]:
        raise InputError("features", f"video features are {videos.shape[-1]} wide, text features {texts.shape[-1]}")
