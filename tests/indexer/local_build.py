"""Builds in this process, without Ray, over small real videos and an encoder that looks at colours."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import ClipEncoding
from henasy.index import ClipRows, Index, IndexSettings, StagedUnit
from henasy.video import ClipPlan, RefusedClips
from indexer.build import BuildOutcome, BuildRequest, build
from indexer.progress import Silent
from indexer.survey import Examined, examine
from indexer.units import DecodeConfig, OnClips, WorkUnit, assemble_unit, decode_unit, encode_batch

PLAN = ClipPlan(clip_s=1.0, stride_s=0.5, num_frames=2)
SETTINGS = IndexSettings(
    kind="henasy", space_id="colours", model="colours", plan=PLAN, width=12, num_entities=2, grid=(2, 2)
)


def write_clip(path: Path, seconds: float, seed: int = 0, fps: int = 8) -> Path:
    """A video whose colour drifts from a start that the seed gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 200, (2, 2, 3))
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"g": "8", "preset": "ultrafast"})
        stream.height = stream.width = 32
        stream.pix_fmt = "yuv420p"
        for number in range(round(seconds * fps)):
            picture = np.kron(corners + number % 50, np.ones((16, 16, 1))).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


class ColourEncoder:
    """Vectors that are the mean colours of the four quarters of a clip's frames."""

    def encode_clips(self, frames: NDArray[np.uint8], frame_rows: NDArray[np.int64]) -> ClipEncoding:
        count, num_frames = frame_rows.shape
        quarters = frames[:, ::4, ::4].astype(np.float32).reshape(len(frames), 2, 4, 2, 4, 3).mean(axis=(2, 4))
        clips = quarters.reshape(len(frames), 12)[frame_rows]
        entities = np.stack([clips[:, 0], clips[:, -1]], axis=1) + 1
        clip = _unit(clips.mean(axis=1) + 1)
        return ClipEncoding(
            clip=clip,
            entities=_unit(entities),
            is_valid=np.ones((count, 2), np.bool_),
            patch_share=np.full((count, 2), 0.5, np.float32),
            assignment=np.tile(np.array([0, 1, 0, 1], np.uint8), (count, num_frames, 1)),
            global_clip=clip,
        )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


class LocalWorkers:
    """Examines, decodes and encodes in the caller's process."""

    def __init__(self, on_encoded: Callable[[WorkUnit], None] | None = None, *, is_full_hash: bool = False) -> None:
        self._is_full_hash = is_full_hash
        self.examined: list[str] = []
        self.encoded: list[tuple[str, int]] = []
        self._on_encoded = on_encoded

    def examine(self, files: Sequence[str]) -> Iterator[Examined]:
        for file in files:
            self.examined.append(file)
            yield examine(file, is_full_hash=self._is_full_hash)

    def encode(self, units: Sequence[WorkUnit], on_clips: OnClips) -> Iterator[StagedUnit]:
        for unit in units:
            pieces: list[ClipRows] = []
            refused: list[RefusedClips] = []
            for item in decode_unit(unit, DecodeConfig(num_frames=2, batch_clips=4)):
                if isinstance(item, RefusedClips):
                    refused.append(item)
                else:
                    pieces.append(encode_batch(ColourEncoder(), item, SETTINGS, unit.first))
                    on_clips(unit.key, sum(len(piece) for piece in pieces))
            self.encoded.append(unit.key)
            if self._on_encoded is not None:
                self._on_encoded(unit)
            yield assemble_unit(unit, pieces, refused, SETTINGS)


def build_locally(
    videos: Path | Sequence[Path], index: Path, **options: object
) -> tuple[BuildOutcome, Index, LocalWorkers]:
    """Builds and opens the index; `options` are those of `BuildRequest`."""
    workers = LocalWorkers()
    paths = (videos,) if isinstance(videos, Path) else tuple(videos)
    request = BuildRequest(videos=paths, index=index, settings=SETTINGS, **options)  # type: ignore[arg-type]
    outcome = build(request, workers, Silent())
    return outcome, Index.open(index), workers
