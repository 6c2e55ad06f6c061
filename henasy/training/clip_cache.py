"""A rendered archive's narrated clips as memory-mapped arrays, so that a training step reads no video.

    frames.npy      (N, F, C, C, 3) uint8, RGB, centre crop at C px; F moments spread over the clip
    boxes.npy       (N, F, 4, 4) float32, xyxy as shares of that crop: left hand, right hand, handled, another object
    box_nouns.npy   (N, F, 4) int16, row of the box's noun in the archive's noun taxonomy; -1 where there is no box
    clips.parquet   one row per clip: video, span, sentence, verb phrase, noun rows, verb row, acting hand

N clips, F moments, C crop size in px. A video's rows are contiguous.
"""

import csv
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from henasy.errors import AnnotationError, ConfigError, VideoError
from henasy.scenes.files import write_text
from henasy.scenes.truth import Truth
from henasy.video.clips import RefusedClips, read_clips
from henasy.video.plan import frame_times
from henasy.video.preprocess import PreprocessSpec, preprocess

NUM_BOXES = 4
NUM_HANDS = 2
"""The first boxes are those of the hands."""
_FORMAT_VERSION = 2
_COLUMNS = (
    *("video_uid", "clip_start", "clip_end", "clip_text", "verb_phrase"),
    *("tag_noun", "tag_verb", "hand", "object_id"),
)


class Narration(NamedTuple):
    """One row of an archive's narrations, as training needs it."""

    video_uid: str
    start_s: float
    end_s: float
    text: str
    verb_phrase: str
    noun_rows: list[int]
    """Of the noun taxonomy: what is handled, then what it is done with or beside."""
    verb_row: int
    """Of the verb taxonomy."""
    hand: str
    """left or right."""
    object_id: int


def read_narrations(archive: Path) -> list[Narration]:
    """The archive's narrations in file order.

    Raises:
        AnnotationError: a column is missing.
    """
    path = archive / "narrations.csv"
    with path.open(newline="") as stream:
        reader = csv.DictReader(stream, delimiter="\t")
        missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise AnnotationError(f"{path}: missing columns {missing}; it has {reader.fieldnames}")
        return [
            Narration(
                row["video_uid"],
                float(row["clip_start"]),
                float(row["clip_end"]),
                row["clip_text"],
                row["verb_phrase"],
                [int(noun) for noun in json.loads(row["tag_noun"])],
                int(json.loads(row["tag_verb"])[0]),
                row["hand"],
                int(row["object_id"]),
            )
            for row in reader
        ]


def read_taxonomy_labels(archive: Path, kind: str) -> list[str]:
    """Labels of the archive's noun or verb taxonomy, in row order."""
    with (archive / "taxonomy" / f"{kind}_taxonomy.csv").open(newline="") as stream:
        return [row["label"] for row in csv.DictReader(stream)]


def build_clip_cache(archive: Path, folder: Path, *, crop_px: int, num_moments: int, num_workers: int = 2) -> int:
    """Writes the arrays of every narrated clip of an archive; an existing complete cache of it is left as it is.

    Returns:
        Number of clips.

    Raises:
        ConfigError: the folder holds a cache of another archive, of other sizes, or of an older format.
        VideoError: a clip of the archive cannot be decoded.
    """
    source: dict[str, str | int] = {
        "format_version": _FORMAT_VERSION,
        "archive": archive_digest(archive),
        "crop_px": crop_px,
        "num_moments": num_moments,
    }
    if (folder / "cache.json").exists():
        return _existing(folder / "cache.json", source)
    narrations = sorted(read_narrations(archive), key=lambda n: (n.video_uid, n.start_s))
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(narrations), num_moments)
    _create(folder / "frames.npy", (*shape, crop_px, crop_px, 3), "uint8")
    _create(folder / "boxes.npy", (*shape, NUM_BOXES, 4), "float32")
    _create(folder / "box_nouns.npy", (*shape, NUM_BOXES), "int16")
    nouns = {label: row for row, label in enumerate(read_taxonomy_labels(archive, "noun"))}
    jobs = [(archive, folder, first, rows, nouns) for first, rows in _by_video(narrations)]
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        for done in pool.map(_fill_video, jobs):
            assert done
    _write_table(folder / "clips.parquet", narrations)
    about = {
        **source,
        "num_clips": len(narrations),
        "nouns": list(nouns),
        "verbs": read_taxonomy_labels(archive, "verb"),
    }
    write_text(folder / "cache.json", json.dumps(about, indent=2))
    return len(narrations)


def archive_digest(archive: Path) -> str:
    """What tells one archive from another: its settings and its narrations."""
    content = (archive / "archive.json").read_bytes() + (archive / "narrations.csv").read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _existing(path: Path, source: dict[str, str | int]) -> int:
    about = json.loads(path.read_text())
    if about.get("format_version") != _FORMAT_VERSION:
        raise ConfigError(
            f"{path.parent} was made by another version of henasy (format {about.get('format_version', 1)}, this one "
            f"reads {_FORMAT_VERSION}), which trains by other rules: begin the run in another folder"
        )
    differing = {name: (about.get(name), value) for name, value in source.items() if about.get(name) != value}
    if differing:
        raise ConfigError(f"{path.parent} holds the cache of other clips (stored, asked): {differing}; remove it")
    return int(about["num_clips"])


def _create(path: Path, shape: tuple[int, ...], dtype: str) -> None:
    np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()


def _by_video(narrations: list[Narration]) -> Iterator[tuple[int, list[Narration]]]:
    first = 0
    for row in range(1, len(narrations) + 1):
        if row == len(narrations) or narrations[row].video_uid != narrations[first].video_uid:
            yield first, narrations[first:row]
            first = row


def _fill_video(job: tuple[Path, Path, int, list[Narration], dict[str, int]]) -> bool:
    archive, folder, first, narrations, nouns = job
    frames = np.load(folder / "frames.npy", mmap_mode="r+")
    num_moments, crop_px = frames.shape[1], frames.shape[2]
    spec = PreprocessSpec(image_px=crop_px, mean=(0.0,) * 3, std=(1.0,) * 3, is_antialiased=True)
    video = archive / "videos" / f"{narrations[0].video_uid}.mp4"
    spans = np.array([(n.start_s, n.end_s) for n in narrations])
    for part in read_clips(video, spans, num_moments):
        if isinstance(part, RefusedClips):
            raise VideoError(f"{video}: clips {part.rows} refused: {part.reason}")
        small = preprocess(part.frames, spec).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        frames[first + part.clip_rows] = small[part.frame_rows]
    _fill_boxes(archive, folder, first, narrations, nouns, frame_times(spans, num_moments))
    frames.flush()
    return True


def _fill_boxes(
    archive: Path,
    folder: Path,
    first: int,
    narrations: list[Narration],
    nouns: dict[str, int],
    times_s: NDArray[np.float64],
) -> None:
    boxes = np.load(folder / "boxes.npy", mmap_mode="r+")
    box_nouns = np.load(folder / "box_nouns.npy", mmap_mode="r+")
    truth = Truth.open(archive, narrations[0].video_uid)
    for row, narration in enumerate(narrations):
        for moment, time_s in enumerate(times_s[row]):
            chosen, labels = moment_boxes(truth, float(time_s), narration.object_id, nouns)
            boxes[first + row, moment] = chosen
            box_nouns[first + row, moment] = labels
    boxes.flush()
    box_nouns.flush()


def moment_boxes(
    truth: Truth, time_s: float, handled: int, nouns: dict[str, int]
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """The at most four boxes of one moment, as a detector of hands and active objects would give them.

    Args:
        handled: instance id of the object that the narration is about.
        nouns: taxonomy row of each noun.

    Returns:
        (4, 4) xyxy as shares of the centre crop, and (4,) noun rows with -1 for an absent box. Order: left hand,
        right hand, handled object, the largest other object. A box is absent when under 30 % of it is in the crop.
    """
    boxes = np.zeros((NUM_BOXES, 4), np.float32)
    labels = np.full(NUM_BOXES, -1, np.int16)
    largest_other = 0.0
    for row in truth.instances:
        box_px = truth.box_at(time_s, row.instance)
        cropped = None if box_px is None else _crop_box(box_px, truth.ids.shape[1], truth.ids.shape[2])
        if cropped is None:
            continue
        slot = {"left hand": 0, "right hand": 1}.get(row.noun, 2 if row.instance == handled else 3)
        area = float(np.prod(cropped[2:] - cropped[:2]))
        if slot == 3 and area <= largest_other:
            continue
        largest_other = area if slot == 3 else largest_other
        boxes[slot], labels[slot] = cropped, nouns[row.noun]
    return boxes, labels


def _crop_box(box_px: NDArray[np.int32], height_px: int, width_px: int) -> NDArray[np.float32] | None:
    """A box as shares of the centre crop, or None when under 30 % of its area is inside."""
    side = min(height_px, width_px)
    origin = np.array([(width_px - side) / 2, (height_px - side) / 2] * 2)
    shares = (box_px - origin) / side
    cropped = np.clip(shares, 0, 1).astype(np.float32)
    inside, full = np.prod(cropped[2:] - cropped[:2]), np.prod(shares[2:] - shares[:2])
    return cropped if inside >= 0.3 * full else None


def _write_table(path: Path, narrations: list[Narration]) -> None:
    columns = {name: [getattr(n, name) for n in narrations] for name in Narration._fields}
    pq.write_table(pa.table(columns), path)
