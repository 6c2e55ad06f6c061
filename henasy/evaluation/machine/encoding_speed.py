"""How fast a machine encodes, and how well two ways of encoding agree: what the speed benchmarks measure with.

N clips, T frames, D width of the joint space.
"""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from henasy.checkpoint.folder import Checkpoint
from henasy.model.henasy import Henasy
from henasy.video.preprocess import preprocess

_MATMUL_SIDE = {"cpu": 1536, "cuda": 8192}
_MATMUL_ROUNDS = 7
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Patches of colour in a random picture: enough structure that clips differ, as noise would not.
_PICTURE_CELLS = (5, 9)


class Agreement(NamedTuple):
    """How well embeddings of the same clips, made in two ways, agree."""

    largest_difference: float
    """Over all elements of the L2-normalised embeddings."""
    mean_cosine: float
    top10_overlap: float
    """Share of each clip's ten nearest neighbours that both ways name."""


def agreement(reference: NDArray[np.float32], other: NDArray[np.float32]) -> Agreement:
    """How `other` (N, D) differs from `reference` (N, D), rows of length 1."""
    count = min(10, len(reference) - 1)
    nearest = [_neighbours(vectors, count) for vectors in (reference, other)]
    shared = [len(np.intersect1d(*pair)) for pair in zip(*nearest, strict=True)]
    return Agreement(
        largest_difference=float(np.abs(reference - other).max()),
        mean_cosine=float((reference * other).sum(axis=1).mean()),
        top10_overlap=float(np.mean(shared) / count),
    )


def matmul_rate(device: str, dtype: str) -> float:
    """FLOP per second of a large square matrix product, the median of several: what encoding is measured against."""
    kind = torch.device(device).type
    side = _MATMUL_SIDE[kind]
    left, right = (torch.randn(side, side, device=device, dtype=_TYPES[dtype]) for _ in range(2))
    product = torch.empty_like(left)
    seconds = time_rounds({"matmul": lambda: torch.mm(left, right, out=product)}, device, _MATMUL_ROUNDS)["matmul"]
    return 2 * side**3 / seconds


def time_rounds(calls: Mapping[str, Callable[[], object]], device: str, num_rounds: int) -> dict[str, float]:
    """Median seconds of each call, after one unmeasured round; rounds are interleaved, so that drift hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(num_rounds + 1):
        for name, call in calls.items():
            start_s = time.perf_counter()
            call()
            synchronise(device)
            if number > 0:
                seconds[name].append(time.perf_counter() - start_s)
    return {name: median(times) for name, times in seconds.items()}


def synchronise(device: str) -> None:
    """Waits until the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def random_clips(num_clips: int, num_frames: int, *, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Frames (N * T, 256, 456, 3) of drifting patches of colour, and each clip's rows of them (N, T)."""
    rng = np.random.default_rng(seed)
    height, width = _PICTURE_CELLS
    cells = rng.integers(0, 256, (num_clips, height, width, 3)).astype(np.uint8)
    drifting = np.stack([np.roll(cells, shift, axis=2) for shift in range(num_frames)], axis=1)
    rows, columns = np.arange(256) * height // 256, np.arange(456) * width // 456
    frames = drifting[:, :, rows][:, :, :, columns].reshape(num_clips * num_frames, 256, 456, 3)
    return frames, np.arange(num_clips * num_frames).reshape(num_clips, num_frames)


@torch.inference_mode()
def plain_loop(checkpoint: Checkpoint, frames: NDArray[np.uint8], frame_rows: NDArray[np.int64]) -> torch.Tensor:
    """(N, D) clip embeddings in float32 on the model's device, one clip at a time: what an encoder must beat."""
    model = checkpoint.model
    device = next(model.parameters()).device
    embeddings = []
    for rows in frame_rows:
        clip = preprocess(frames[rows], checkpoint.spec, device=device)[None]
        embeddings.append(model(clip).video if isinstance(model, Henasy) else model.encode_video(clip))
    return torch.nn.functional.normalize(torch.cat(embeddings), dim=-1)


def _neighbours(vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """(N, count) the nearest other rows of each row."""
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :count]
