"""Boxes of hands and objects: HelpingHands' files turned into one Parquet file, and that file beside the clips.

video_uid     string
start_ms      int64, the clip's start, rounded
boxes         64 float32: 4 frames x (2 hands, 2 objects) x xyxy, shares of the frame; all zeros is no box
"""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from henasy.errors import AnnotationError, NotFoundError
from henasy.training.egoclip.annotations import ClipTable, file_digest, publish
from henasy.training.egoclip.handobj import NUM_EACH, NUM_FRAMES, ClipBoxes, read_handobj

SUFFIX = ".handobj.pkl"
NUM_BOXES = 2 * NUM_EACH
MAX_BAD_SHARE = 0.01
"""Largest share of box files that may be unreadable."""
_NUM_VALUES = NUM_FRAMES * NUM_BOXES * 4
_SCHEMA = pa.schema(
    [("video_uid", pa.string()), ("start_ms", pa.int64()), ("boxes", pa.list_(pa.float32(), _NUM_VALUES))]
)
_LEVELS = 65535
_FORMAT = 1


class Converted(NamedTuple):
    """What a conversion did."""

    num_files: int
    num_clips: int
    refused: tuple[str, ...]
    """Why each unreadable file is one."""


class BoxTable:
    """The boxes of an annotation file's clips, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.digest: str = json.loads((folder / "about.json").read_text())["digest"]
        self._row = np.load(folder / "row.npy", mmap_mode="r")
        self._boxes = np.load(folder / "boxes.npy", mmap_mode="r")

    @property
    def has_boxes(self) -> NDArray[np.bool_]:
        """(N,) which clips the file knows, be it without a box."""
        known: NDArray[np.bool_] = self._row >= 0
        return known

    def has_clip(self, row: int) -> bool:
        """Whether the file knows a clip."""
        return bool(self._row[row] >= 0)

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, 4 frames, 4, 4) xyxy as shares of the frame, zeros for a clip that the file lacks."""
        places = self._row[rows]
        boxes: NDArray[np.float32] = self._boxes[np.maximum(places, 0)].astype(np.float32) / np.float32(_LEVELS)
        boxes[places < 0] = 0.0
        return boxes


def convert_boxes(folder: Path, out: Path, *, num_workers: int, report: Callable[[str], None]) -> Converted:
    """Reads every `<video_uid>/<chunk>.handobj.pkl` of a folder and writes the Parquet file.

    Raises:
        NotFoundError: the folder holds no such file.
        AnnotationError: more than 1 % of the files cannot be read.
    """
    paths = sorted(folder.glob(f"*/*{SUFFIX}"))
    if not paths:
        raise NotFoundError(f"{folder}: no <video_uid>/<chunk>{SUFFIX}")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.new")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    refused: list[str] = []
    num_clips = 0
    with (
        pq.ParquetWriter(temporary, _SCHEMA, compression="zstd") as writer,
        ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool,
    ):
        for number, (path, clips) in enumerate(zip(paths, pool.map(_read, paths, chunksize=8), strict=True), start=1):
            if isinstance(clips, str):
                refused.append(clips)
                continue
            writer.write_table(_table(path.parent.name, clips))
            num_clips += len(clips)
            if number % 1000 == 0:
                report(f"{number} of {len(paths)} files, {num_clips} clips")
    if len(refused) > MAX_BAD_SHARE * len(paths):
        temporary.unlink()
        raise AnnotationError(
            f"{folder}: {len(refused)} of {len(paths)} box files cannot be read, at most {MAX_BAD_SHARE:.0%} may be; "
            f"the first: {refused[0]}"
        )
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(temporary, out)
    return Converted(len(paths), num_clips, tuple(refused))


def open_boxes(path: Path, table: ClipTable, cache: Path) -> BoxTable:
    """The boxes of a table's clips, from the cache if it holds them, else read and put there.

    A clip's boxes are those of its video whose start is within a millisecond of its own.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: it is no file of boxes.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file of boxes; henasy-train boxes makes one of HelpingHands' folder")
    digest = file_digest(path)
    folder = cache / f"boxes-{digest[:16]}-{table.digest[:16]}-{_FORMAT}"
    if not (folder / "about.json").exists():
        _build(path, digest, table, folder)
    return BoxTable(folder)


def _build(path: Path, digest: str, table: ClipTable, folder: Path) -> None:
    try:
        held = pq.read_table(path, columns=["video_uid", "start_ms"])
        file = pq.ParquetFile(path)
        if not file.schema_arrow.field("boxes").type.equals(_SCHEMA.field("boxes").type):
            raise AnnotationError(
                f"{path}: boxes are {file.schema_arrow.field('boxes').type}, not {_NUM_VALUES} float32"
            )
    except (pa.ArrowInvalid, KeyError) as error:
        raise AnnotationError(f"{path}: no file of boxes: {error}") from error
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    shape = (held.num_rows, NUM_FRAMES, NUM_BOXES, 4)
    boxes = np.lib.format.open_memmap(fresh / "boxes.npy", mode="w+", dtype=np.uint16, shape=shape)
    first = 0
    for batch in file.iter_batches(columns=["boxes"]):
        values = np.asarray(batch.column(0).flatten().to_numpy(zero_copy_only=False)).reshape(-1, *shape[1:])
        boxes[first : first + len(values)] = np.rint(np.clip(values, 0, 1) * _LEVELS)
        first += len(values)
    boxes.flush()
    np.save(fresh / "row.npy", _rows(table, held))
    (fresh / "about.json").write_text(json.dumps({"digest": digest, "num_rows": held.num_rows}))
    publish(folder, fresh)


def _rows(table: ClipTable, held: pa.Table) -> NDArray[np.int32]:
    """(N,) each clip's row among the boxes, -1 where there is none."""
    codes = {uid: code for code, uid in enumerate(table.video_uids)}
    uids = held.column("video_uid").combine_chunks().dictionary_encode()
    code_of = np.array([codes.get(uid, -1) for uid in uids.dictionary.to_pylist()] or [-1], np.int64)
    video = code_of[uids.indices.to_numpy(zero_copy_only=False)]
    keys = (video << 32) + held.column("start_ms").to_numpy()
    order = np.argsort(keys, kind="stable")
    keys = np.append(keys[order], np.iinfo(np.int64).max)
    wanted = (table.video.astype(np.int64) << 32) + np.rint(table.start_s * 1000).astype(np.int64)
    found = np.full(len(table), -1, np.int64)
    for nudge_ms in (1, -1, 0):  # the exact start wins
        place = np.searchsorted(keys, wanted + nudge_ms)
        is_found = keys[place] == wanted + nudge_ms
        found[is_found] = order[place[is_found]]
    return found.astype(np.int32)


def _table(video_uid: str, clips: list[ClipBoxes]) -> pa.Table:
    flat = np.stack([clip.boxes.reshape(-1) for clip in clips]) if clips else np.zeros((0, _NUM_VALUES), np.float32)
    columns = {
        "video_uid": pa.array([video_uid] * len(clips), pa.string()),
        "start_ms": pa.array([round(clip.start_s * 1000) for clip in clips], pa.int64()),
        "boxes": pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1), pa.float32()), _NUM_VALUES),
    }
    return pa.table(columns, schema=_SCHEMA)


def _read(path: Path) -> list[ClipBoxes] | str:
    try:
        return read_handobj(path)
    except (AnnotationError, OSError) as error:
        return str(error)
