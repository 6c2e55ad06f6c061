"""A linear map from simple features to text embeddings: what a baseline that cannot see much may learn.

N rows, d features, D width of the joint space.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import InputError

_PENALTIES = (0.01, 0.1, 1.0, 10.0)
_HELD_OUT = 5

Float64s = NDArray[np.float64]


class RidgeMap(NamedTuple):
    """Standardises features and maps them to centred embeddings."""

    feature_mean: Float64s
    feature_scale: Float64s
    weights: Float64s
    """(d, D)"""
    target_mean: Float64s
    """(D,)"""
    penalty: float

    def predict(self, features: NDArray[np.floating]) -> Float64s:
        """(..., D) directions, L2-normalised, from the mean target towards the predicted one."""
        centred = ((features - self.feature_mean) / self.feature_scale) @ self.weights
        length = np.linalg.norm(centred, axis=-1, keepdims=True)
        directions: Float64s = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
        return directions

    def centred(self, targets: NDArray[np.floating]) -> Float64s:
        """(..., D) the targets as directions from the mean target, to compare predictions with."""
        offset = targets.astype(np.float64) - self.target_mean
        directions: Float64s = offset / np.linalg.norm(offset, axis=-1, keepdims=True)
        return directions


def fit_ridge(features: NDArray[np.floating], targets: NDArray[np.floating], groups: NDArray[np.int64]) -> RidgeMap:
    """The map of least squares, its penalty chosen by the directions it predicts for every fifth group.

    Args:
        features: (N, d).
        targets: (N, D).
        groups: (N,) rows with equal numbers are held out together, as those of one video should be.

    Raises:
        InputError: if there are fewer than five groups.
    """
    number = np.unique(groups, return_inverse=True)[1]
    if len(features) == 0 or number.max() + 1 < _HELD_OUT:
        raise InputError("groups", f"a map needs training clips of at least {_HELD_OUT} videos")
    is_held_out = number % _HELD_OUT == 0

    def error(penalty: float) -> float:
        fitted = _solve(features[~is_held_out], targets[~is_held_out], penalty)
        return float(((fitted.predict(features[is_held_out]) - fitted.centred(targets[is_held_out])) ** 2).mean())

    return _solve(features, targets, min(_PENALTIES, key=error))


def _solve(features: NDArray[np.floating], targets: NDArray[np.floating], penalty: float) -> RidgeMap:
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale = np.where(scale > 1e-9, scale, 1.0)
    inputs = (features - mean) / scale
    target_mean = targets.mean(axis=0, dtype=np.float64)
    gram = inputs.T @ inputs + penalty * len(inputs) * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, inputs.T @ (targets - target_mean))
    return RidgeMap(mean, scale, weights, target_mean, penalty)
