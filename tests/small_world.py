"""A small index with a known content and an encoder that reads words, for the tests of search and service."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from henasy.index.reader import Index
from henasy.index.rows import ClipRows
from henasy.index.settings import IndexSettings
from henasy.index.staging import StagedUnit
from henasy.index.videos import RefusedRecord, VideoRecord
from henasy.index.writer import IndexWriter
from henasy.video.fingerprint import fingerprint
from henasy.video.plan import ClipPlan
from henasy.video.preprocess import PreprocessSpec

WIDTH, ENTITIES, FRAMES, GRID = 32, 4, 2, (3, 4)
PLAN = ClipPlan(clip_s=2.0, stride_s=1.0, num_frames=FRAMES)
SPACE_ID = "words-32"
THINGS = ("drawer", "mug", "knife", "onion", "hand", "pan", "towel", "bottle")
ACTIONS = ("open", "wash", "cut", "lift", "close")


def unit_vector(text: str) -> NDArray[np.float32]:
    """The normalised sum of one pseudo-random vector per word; the same everywhere and always."""
    total = np.zeros(WIDTH)
    for word in text.lower().split() or [text]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        total += np.random.default_rng(seed).standard_normal(WIDTH)
    return (total / np.linalg.norm(total)).astype(np.float32)


@dataclass(frozen=True)
class WordEncoder:
    """The facade of an encoder over `unit_vector`, with square models of 64 px."""

    kind: str = "henasy"
    space_id: str = SPACE_ID
    width: int = WIDTH
    num_frames: int = FRAMES
    num_entities: int = ENTITIES
    grid: tuple[int, int] = GRID
    spec: PreprocessSpec = PreprocessSpec(image_px=64, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # noqa: RUF009

    max_text_tokens: int = 77

    def num_text_tokens(self, texts: list[str]) -> list[int]:
        """One per word, and start and end."""
        return [len(text.split()) + 2 for text in texts]

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """(N, D)"""
        return np.stack([unit_vector(text) for text in texts])

    def saliency(self, frames: NDArray[np.uint8], frame_rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(N, T, E, gh, gw): the first entity gets 0.7 everywhere, the others share the rest."""
        shape = (len(frame_rows), FRAMES, ENTITIES, *GRID)
        maps = np.full(shape, 0.3 / (ENTITIES - 1), np.float32)
        maps[:, :, 0] = 0.7
        assert frames.shape[-1] == 3
        return maps


def settings(kind: str = "henasy", space_id: str = SPACE_ID) -> IndexSettings:
    """What the rows of a small index share."""
    return IndexSettings(
        kind=kind,
        space_id=space_id,
        model="words",
        plan=PLAN,
        width=WIDTH,
        num_entities=ENTITIES if kind == "henasy" else 0,
        grid=GRID,
    )


def clip_rows(num_clips: int, seed: int, kind: str = "henasy") -> ClipRows:
    """Clips about random things; the last entity of every third clip has no patch."""
    rng = np.random.default_rng(seed)
    names = [rng.permutation(THINGS)[:ENTITIES] for _ in range(num_clips)]
    clip = np.stack([unit_vector(f"{rng.choice(ACTIONS)} {things[0]}") for things in names])
    spans = PLAN.spans(num_clips + 1.0)[:num_clips]
    entities = np.stack([[unit_vector(name) for name in things] for things in names])
    # Twice the noise for entities, so that equal names still rank.
    clip = clip + 0.05 * rng.standard_normal(clip.shape)
    entities = entities + 0.1 * rng.standard_normal(entities.shape)
    num_slots = ENTITIES if kind == "henasy" else 0
    assignment = rng.integers(0, ENTITIES, (num_clips, FRAMES, GRID[0] * GRID[1])).astype(np.uint8)
    is_last = assignment == ENTITIES - 1
    is_last[np.arange(num_clips) % 3 != 0] = False
    assignment[is_last] = 0
    share = (
        np.stack([(assignment == slot).mean(axis=(1, 2)) for slot in range(num_slots)], axis=1) if num_slots else None
    )
    return ClipRows(
        clip_rows=np.arange(num_clips),
        spans=spans,
        clip=_normalised(clip),
        entities=_normalised(entities)[:, :num_slots],
        is_valid=np.zeros((num_clips, 0), np.bool_) if share is None else share > 0,
        patch_share=np.zeros((num_clips, 0), np.float32) if share is None else share.astype(np.float32),
        assignment=assignment if num_slots else np.zeros((num_clips, 0, 0), np.uint8),
    )


def _normalised(vectors: NDArray[np.float64]) -> NDArray[np.float16]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float16)


def write_video(path: Path, *, seconds: int = 4, width_px: int = 96, height_px: int = 64) -> None:
    """A small H.264 file at 10 frames per second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        for number in range(10 * seconds):
            image = np.full((height_px, width_px, 3), 5 * number % 255, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def record(root: Path, number: int, num_clips: int, *, is_file: bool = False) -> VideoRecord:
    """A video of the small index; only with `is_file` is it on disk."""
    path = f"kitchen {number % 2}/video-{number}.mp4"
    file = root / path
    if is_file and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_video(file)
    return VideoRecord(
        video_id=f"video{number}",
        fingerprint=fingerprint(file) if is_file else f"none{number}",
        root=str(root),
        path=path,
        size_bytes=file.stat().st_size if is_file else 1000,
        modified_ns=file.stat().st_mtime_ns if is_file else 0,
        duration_s=num_clips + 1.0,
        fps=10.0,
        num_frames=10 * (num_clips + 1),
        width_px=96,
        height_px=64,
        rotation_deg=0,
        codec="h264",
        num_clips=num_clips,
        is_online=is_file,
        metadata={"room": "kitchen" if number % 2 else "cellar", "take": number, "tidy": number > 1},
    )


CLIPS_PER_VIDEO = (3, 40, 25, 7)


def write_index(root: Path, *, kind: str = "henasy", num_videos: int = 4, space_id: str = SPACE_ID) -> Path:
    """A published index of up to four videos under `root`; calling it again with more videos adds them."""
    path = root / "index"
    with IndexWriter(path, settings(kind, space_id)) as writer:
        records = []
        for number in range(num_videos):
            num_clips = CLIPS_PER_VIDEO[number]
            records.append(record(root, number, num_clips, is_file=number == 0))
            if records[-1].video_id not in writer.videos:
                writer.stage(StagedUnit(video_id=f"video{number}", unit=0, rows=clip_rows(num_clips, number, kind)))
        broken = RefusedRecord(
            file=str(root / "broken.mp4"), size_bytes=0, modified_ns=0, video_id="", clip_rows=None, reason="empty"
        )
        writer.publish(records, [broken])
    return path


def open_index(root: Path, **settings: object) -> Index:
    """The index that `write_index` makes."""
    return Index.open(write_index(root, **settings))  # type: ignore[arg-type]
