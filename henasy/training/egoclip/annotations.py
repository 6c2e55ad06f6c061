"""`egoclip.csv` as memory-mapped columns: 3.8 million rows without 3.8 million Python objects.

The file is read once, in blocks, and kept as an uncompressed Arrow file in a cache folder named by the file's hash:

    egoclip-<hash>/clips.arrow   one row per clip, sorted by video, then by the narration's time
    egoclip-<hash>/about.json    the videos' ids, the number of rows, what was left out

Every later start maps the file; pages come from the disk when they are read and can be dropped again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from henasy.errors import AnnotationError, NotFoundError
from henasy.training.egoclip.tags import Tags, is_list_literal, parse_tags

_TYPES = {
    "clip_idx": pa.int64(),
    "video_uid": pa.string(),
    "video_dur": pa.float64(),
    "narration_time": pa.float64(),
    "clip_start": pa.float64(),
    "clip_end": pa.float64(),
    "clip_text": pa.string(),
    "tag_verb": pa.string(),
    "tag_noun": pa.string(),
}
COLUMNS = tuple(_TYPES)
"""What the file must have; it may have more."""
MAX_BAD_SHARE = 0.01
"""Largest share of lines that may be unreadable before the whole file is refused."""
_FORMAT = 1
_BLOCK_BYTES = 16 * 2**20
_NUM_EXAMPLES = 20


class BadLines(NamedTuple):
    """Lines that are no clip: another number of fields, a missing number, or tags that are no list of whole numbers."""

    num_lines: int
    examples: tuple[str, ...]
    """The first few, with what is wrong."""


class ClipTable:
    """The clips of an annotation file, memory-mapped; all arrays have one entry per clip."""

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "about.json").read_text())
        self.digest: str = about["digest"]
        self.video_uids: list[str] = about["video_uids"]
        self.bad_lines = BadLines(about["num_bad_lines"], tuple(about["examples"]))
        with pa.memory_map(str(folder / "clips.arrow")) as source:
            self._table = pa.ipc.open_file(source).read_all()
        self.clip_idx = self._numbers("clip_idx")
        self.video = self._numbers("video")
        """Row of the clip's video in `video_uids`."""
        self.video_s = self._numbers("video_dur")
        self.narration_s = self._numbers("narration_time")
        self.start_s = self._numbers("clip_start")
        self.end_s = self._numbers("clip_end")
        self.verbs, self.nouns = self._tags("tag_verb"), self._tags("tag_noun")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def texts(self, rows: NDArray[np.int64]) -> list[str]:
        """The narrations of some clips."""
        texts: list[str] = self._table.column("clip_text").chunk(0).take(pa.array(rows)).to_pylist()
        return texts

    def by_text(self) -> NDArray[np.int64]:
        """(N,) all rows, those with equal narrations next to each other."""
        text = self._table.column("clip_text").chunk(0)
        named = pa.table({"text": text, "row": pa.array(np.arange(len(self)))})
        order: NDArray[np.int64] = (
            pc.sort_indices(named, sort_keys=[("text", "ascending"), ("row", "ascending")]).to_numpy().astype(np.int64)
        )
        return order

    def _numbers(self, name: str) -> NDArray[Any]:
        numbers: NDArray[Any] = self._table.column(name).chunk(0).to_numpy()
        return numbers

    def _tags(self, name: str) -> Tags:
        lists = self._table.column(name).chunk(0)
        return Tags(lists.values.to_numpy(), lists.offsets.to_numpy())


def open_clips(annotations: Path, cache: Path) -> ClipTable:
    """The clips of an annotation file, from the cache if it holds them, else read and put there.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: it lacks columns, holds no clip, has a value of another type, or too many bad lines.
    """
    if not annotations.is_file():
        raise NotFoundError(f"{annotations}: no such annotation file")
    digest = file_digest(annotations)
    folder = cache / f"egoclip-{digest[:16]}-{_FORMAT}"
    if not (folder / "about.json").exists():
        _build(annotations, digest, folder)
    return ClipTable(folder)


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def publish(folder: Path, fresh: Path) -> None:
    """Syncs a folder written under a temporary name and gives it its name; one that is there already stays."""
    for path in [*fresh.iterdir(), fresh]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    try:
        os.rename(fresh, folder)
    except OSError:
        # another process of the run was first; both wrote the same
        shutil.rmtree(fresh, ignore_errors=True)
        if not folder.is_dir():
            raise


def _build(annotations: Path, digest: str, folder: Path) -> None:
    reader = _Reader(annotations)
    table = pa.Table.from_batches(reader.blocks())
    bad = reader.bad_lines()
    _check_rows(annotations, table.num_rows, bad)
    uids = pc.unique(table.column("video_uid")).sort()
    codes = pc.index_in(table.column("video_uid"), uids).combine_chunks()
    table = table.drop_columns("video_uid").append_column("video", codes)
    order = [("video", "ascending"), ("narration_time", "ascending"), ("clip_idx", "ascending")]
    table = table.take(pc.sort_indices(table, order)).combine_chunks()
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    with pa.OSFile(str(fresh / "clips.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    about = {
        "digest": digest,
        "num_bad_lines": bad.num_lines,
        "examples": bad.examples,
        "video_uids": uids.to_pylist(),
    }
    (fresh / "about.json").write_text(json.dumps(about))
    publish(folder, fresh)


class _Reader:
    """Reads an annotation file block by block, and remembers the lines that it leaves out."""

    def __init__(self, annotations: Path) -> None:
        self._path = annotations
        self._num_bad = 0
        self._examples: list[str] = []

    def bad_lines(self) -> BadLines:
        """What has been left out so far."""
        return BadLines(self._num_bad, tuple(self._examples))

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """The file's clips, with their tags as numbers."""
        _check_columns(self._path)
        try:
            reader = csv.open_csv(
                self._path,
                read_options=csv.ReadOptions(block_size=_BLOCK_BYTES),
                parse_options=csv.ParseOptions(delimiter="\t", newlines_in_values=True, invalid_row_handler=self._skip),
                convert_options=csv.ConvertOptions(column_types=_TYPES, include_columns=COLUMNS),
            )
            for block in reader:
                yield _with_tags(self._good_rows(block))
        except pa.ArrowInvalid as error:
            raise AnnotationError(f"{self._path}: {error}") from error

    def _good_rows(self, block: pa.RecordBatch) -> pa.RecordBatch:
        is_good = is_list_literal(block.column("tag_verb")) & is_list_literal(block.column("tag_noun"))
        for name in COLUMNS:
            is_good &= np.asarray(block.column(name).is_valid().to_numpy(zero_copy_only=False), dtype=bool)
        for row in np.flatnonzero(~is_good):
            values = [str(block.column(name)[int(row)]) for name in COLUMNS if name != "clip_text"]
            self._leave_out(f"numbers missing, or tags that are no lists of whole numbers: {', '.join(values)}")
        return block.filter(pa.array(is_good))

    def _skip(self, row: csv.InvalidRow) -> str:
        self._leave_out(f"{row.actual_columns} fields instead of {row.expected_columns}: {str(row.text)[:80]!r}")
        return "skip"

    def _leave_out(self, why: str) -> None:
        self._num_bad += 1
        if len(self._examples) < _NUM_EXAMPLES:
            self._examples.append(why)


def _with_tags(block: pa.RecordBatch) -> pa.RecordBatch:
    """The block with its tags as lists of numbers."""
    columns = {name: block.column(name) for name in COLUMNS}
    for name in ("tag_verb", "tag_noun"):
        tags = parse_tags(block.column(name))
        columns[name] = pa.LargeListArray.from_arrays(pa.array(tags.offsets), pa.array(tags.values))
    columns["clip_text"] = pc.cast(columns["clip_text"], pa.large_string())
    return pa.RecordBatch.from_pydict(columns)


def _check_columns(annotations: Path) -> None:
    with annotations.open("rb") as stream:
        header = stream.readline(65536).decode("utf-8", errors="replace").rstrip("\r\n")
    names = [name.strip('"') for name in header.split("\t")]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        hint = "; its columns must be separated by tabs" if len(names) == 1 and "," in header else ""
        raise AnnotationError(f"{annotations}: missing columns {missing}; it has {names[:20]}{hint}")


def _check_rows(annotations: Path, num_rows: int, bad: BadLines) -> None:
    num_lines = num_rows + bad.num_lines
    if bad.num_lines > MAX_BAD_SHARE * num_lines:
        raise AnnotationError(
            f"{annotations}: {bad.num_lines} of {num_lines} lines are no clips, at most {MAX_BAD_SHARE:.0%} may be; "
            f"the first: {bad.examples[0]}"
        )
    if num_rows == 0:
        raise AnnotationError(f"{annotations}: holds no clip")
