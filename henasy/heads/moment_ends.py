"""Where actions start and end, read from the patch assignments of neighbouring clips, whatever the action is.

A clip of a few frames says how its entities lie and move; three neighbours on each side say whether that begins or
ends. The network is small enough to be asked with numpy while a query waits. It belongs to one checkpoint, for entities
mean something else in another; `moment_ends_file.py` keeps it there. Without it, moments end where their scores say.
numpy alone.

N clips side by side, T frames, K patches per frame, E entities, C cells of a clip, H hidden width.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import ConfigError, InputError

Floats = NDArray[np.float32]

CELLS = 4
"""Parts of a stride that are told apart."""
KERNEL = 5
"""Clips that the second layer sees."""
OUT_KERNEL = 3
REACH = KERNEL // 2 + OUT_KERNEL // 2
"""Clips on each side that what is said of a clip depends on."""
_NUM_SHAPE = 6
"""Numbers that say how an entity lies in a frame."""
_LAYERS = ("mean", "scale", "first.weight", "first.bias", "second.weight", "second.bias", "last.weight", "last.bias")
_ALIGNED_S = 1e-3


@dataclass(frozen=True, kw_only=True)
class EndsConfig:
    """Sizes of a head, and the clips it is for."""

    num_frames: int
    grid: tuple[int, int]
    """Patches per column and row of a frame."""
    num_entities: int
    clip_s: float
    stride_s: float
    hidden: int = 128

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("num_frames", "num_entities", "hidden")}
        if not (isinstance(self.grid, tuple) and len(self.grid) == 2):
            raise ConfigError(f"grid is {self.grid!r}, must be two integers above 0")
        for name, value in (*counts.items(), *(("grid", side) for side in self.grid)):
            if not (isinstance(value, int) and not isinstance(value, bool) and value > 0):
                raise ConfigError(f"{name} is {value!r}, must be an integer above 0")
        for name in ("clip_s", "stride_s"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} is {value!r}, must be a number of seconds above 0")

    @property
    def num_patches(self) -> int:
        """K, patches of a frame."""
        return self.grid[0] * self.grid[1]

    @property
    def cell_s(self) -> float:
        """Length of a cell."""
        return self.stride_s / CELLS

    @property
    def num_features(self) -> int:
        """F, numbers that describe a clip."""
        return self.num_frames * self.num_entities * _NUM_SHAPE + (self.num_frames - 1) * self.num_entities

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the weights."""
        width, hidden, outputs = self.num_features, self.hidden, 2 * CELLS
        shapes = (
            *((width,), (width,), (hidden, width), (hidden,)),
            *((hidden, hidden, KERNEL), (hidden,), (outputs, hidden, OUT_KERNEL), (outputs,)),
        )
        return dict(zip(_LAYERS, shapes, strict=True))


class EndScores(NamedTuple):
    """How likely it is, as log odds, that an action starts or ends in each of some cells."""

    times_s: NDArray[np.float64]
    """(M,) middles of the cells, ascending; cells that no clip has in its middle are missing."""
    starts: Floats
    """(M,)"""
    ends: Floats
    """(M,)"""
    stride_s: float
    """From one clip to the next, `CELLS` cells"""


class EndsHead:
    """A trained head."""

    def __init__(self, config: EndsConfig, weights: dict[str, Floats], digest: str | None = None) -> None:
        """Keeps what it is given.

        Args:
            config: sizes.
            weights: by name, of `EndsConfig.shapes`.
            digest: the first 16 hexadecimal digits of the sha256 of the file they come from, for reports.
        """
        self.config = config
        self.digest = digest
        self._weights = weights

    def scores(
        self, starts_s: NDArray[np.float64], ends_s: NDArray[np.float64], assignment: NDArray[np.uint8]
    ) -> EndScores:
        """What some clips of one video say of the cells in their middles.

        A clip's cells cover one stride around its middle, so that neighbours share none. A clip off the plan's raster,
        as a video's last may be, counts as missing; next to missing ones the rest is judged by what there is.

        Args:
            starts_s: (N,) starts of the clips, ascending; clips may be left out.
            ends_s: (N,)
            assignment: (N, T, K) the entity of each patch.

        Raises:
            InputError: an assignment of another shape.
        """
        config = self.config
        if assignment.shape != (len(starts_s), config.num_frames, config.num_patches):
            wanted = (len(starts_s), config.num_frames, config.num_patches)
            raise InputError("assignment", f"has shape {assignment.shape}, needed is {wanted}")
        places = np.round(starts_s / config.stride_s).astype(np.int64)
        is_aligned = np.abs(starts_s - places * config.stride_s) < _ALIGNED_S
        is_aligned &= np.abs(ends_s - starts_s - config.clip_s) < _ALIGNED_S
        if not is_aligned.any():
            return EndScores(np.zeros(0), np.zeros(0, np.float32), np.zeros(0, np.float32), config.stride_s)
        places, found = places[is_aligned], self._hidden(assignment[is_aligned])
        outputs = self._outputs(places, found)
        starts, ends = outputs[..., 0].ravel(), outputs[..., 1].ravel()
        return EndScores(self._times(places).ravel(), starts, ends, config.stride_s)

    def _hidden(self, assignment: NDArray[np.uint8]) -> Floats:
        """(N, H) the first layer, which sees each clip alone."""
        features = assignment_features(assignment, self.config)
        features = (features - self._weights["mean"]) / self._weights["scale"]
        return _rectified(features @ self._weights["first.weight"].T + self._weights["first.bias"])

    def _outputs(self, places: NDArray[np.int64], hidden: Floats) -> Floats:
        """(N, C, 2) log odds of start and end."""
        second = _rectified(_convolved(places, hidden, self._weights["second.weight"]) + self._weights["second.bias"])
        outputs = _convolved(places, second, self._weights["last.weight"]) + self._weights["last.bias"]
        return outputs.reshape(len(places), CELLS, 2)

    def _times(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """(N, C) middles of the cells of some clips."""
        config = self.config
        first_s = (config.clip_s - config.stride_s) / 2 + config.cell_s / 2
        times_s: NDArray[np.float64] = places[:, None] * config.stride_s + first_s + np.arange(CELLS) * config.cell_s
        return times_s


def assignment_features(assignment: NDArray[np.uint8], config: EndsConfig) -> Floats:
    """(N, F) of each frame and entity the share of patches, their place and spread; of each step how many changed.

    Args:
        assignment: (N, T, K) the entity of each patch.
        config: sizes.
    """
    num, num_frames, num_patches = assignment.shape
    owned = (assignment[..., None] == np.arange(config.num_entities)).astype(np.float32)
    shape = _placing(config.grid).T @ owned.reshape(num * num_frames, num_patches, config.num_entities)
    changed = np.abs(owned[:, 1:] - owned[:, :-1]).mean(axis=2)
    return np.concatenate([shape.reshape(num, -1), changed.reshape(num, -1)], axis=1)


def _placing(grid: tuple[int, int]) -> Floats:
    """(K, 6) what each patch adds to an entity's share, place and spread."""
    row, column = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    y, x = row / max(1, grid[0] - 1) - 0.5, column / max(1, grid[1] - 1) - 0.5
    shape = np.stack([np.ones_like(x), y, x, y * y, x * x, y * x], axis=1) / len(x)
    return shape.astype(np.float32)


def _rectified(values: Floats) -> Floats:
    return np.maximum(values, 0)


def _convolved(places: NDArray[np.int64], values: Floats, weight: Floats) -> Floats:
    """(N, O) a convolution (O, H, W) over clips that lie at `places`; missing ones are zeros."""
    reach = weight.shape[2] // 2
    first, size = int(places[0]), int(places[-1] - places[0]) + 1
    padded = np.zeros((size + 2 * reach, values.shape[1]), np.float32)
    at = places - first
    padded[at + reach] = values
    found: Floats = sum(padded[at + step] @ weight[:, :, step].T for step in range(weight.shape[2]))  # type: ignore[assignment]
    return found
