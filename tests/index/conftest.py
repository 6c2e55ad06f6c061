"""Small made-up indexes: random unit vectors, a few videos."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from henasy.index import ClipRows, IndexSettings, IndexWriter, StagedUnit, VideoRecord
from henasy.video.plan import ClipPlan

WIDTH, ENTITIES, GRID = 16, 4, (3, 5)


def unit_vectors(rng: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = rng.standard_normal(shape)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float16)


@pytest.fixture
def settings() -> IndexSettings:
    return IndexSettings(
        kind="henasy",
        space_id="space-a",
        model="made up",
        plan=ClipPlan(num_frames=2),
        width=WIDTH,
        num_entities=ENTITIES,
        grid=GRID,
    )


@pytest.fixture
def dual_settings() -> IndexSettings:
    return IndexSettings(
        kind="dual",
        space_id="space-d",
        model="made up",
        plan=ClipPlan(num_frames=2),
        width=WIDTH,
        num_entities=0,
        grid=GRID,
    )


def make_rows(seed: int, num_clips: int, settings: IndexSettings) -> ClipRows:
    rng = np.random.default_rng(seed)
    entities, width = settings.num_entities, settings.width
    patches = (settings.num_frames, settings.num_patches) if entities else (0, 0)
    starts = np.arange(num_clips, dtype=np.float64)
    return ClipRows(
        clip_rows=np.arange(num_clips),
        spans=np.stack([starts, starts + 2], axis=1),
        clip=unit_vectors(rng, num_clips, width),
        entities=unit_vectors(rng, num_clips, entities, width),
        is_valid=rng.random((num_clips, entities)) < 0.7,
        patch_share=rng.random((num_clips, entities)).astype(np.float32),
        assignment=rng.integers(0, max(1, entities), (num_clips, *patches), dtype=np.uint8),
    )


@pytest.fixture
def rows_of(settings: IndexSettings) -> Callable[[int, int], ClipRows]:
    """(seed, num_clips) -> made-up rows."""
    return lambda seed, num_clips: make_rows(seed, num_clips, settings)


@pytest.fixture
def record_of() -> Callable[..., VideoRecord]:
    """(number, num_clips, ...) -> a made-up video."""

    def make(number: int, num_clips: int, **changes: object) -> VideoRecord:
        values: dict[str, object] = {
            "video_id": f"video{number:02d}",
            "fingerprint": f"print{number}",
            "root": "/videos",
            "path": f"kitchen{number % 2}/take {number}.mp4",
            "size_bytes": 1000 + number,
            "modified_ns": number,
            "duration_s": num_clips + 1.0,
            "fps": 30.0,
            "num_frames": 30 * (num_clips + 1),
            "width_px": 456,
            "height_px": 256,
            "rotation_deg": 0,
            "codec": "h264",
            "num_clips": num_clips,
        }
        return VideoRecord(**{**values, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture
def filled(
    tmp_path: Path, settings: IndexSettings, record_of: Callable[..., VideoRecord]
) -> Callable[[dict[int, int]], Path]:
    """{video number: clips} -> folder of an index that holds them, the rows seeded by the number."""

    def make(videos: dict[int, int]) -> Path:
        folder = tmp_path / "made.henasy"
        with IndexWriter(folder, settings) as writer:
            records = [record_of(number, count) for number, count in videos.items()]
            for record, (number, count) in zip(records, videos.items(), strict=True):
                rows = make_rows(number, count, settings)
                for unit, start in enumerate(range(0, count, 7)):
                    writer.stage(
                        StagedUnit(video_id=record.video_id, unit=unit, rows=rows.take(slice(start, start + 7)))
                    )
            writer.publish(records, [])
        return folder

    return make
