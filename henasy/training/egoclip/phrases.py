"""Verb phrases of clips from a Parquet file, beside the clips of an annotation file.

    clip_idx      int64
    verb_phrase   string, in "-ing" form; empty where the narration has no action
    source        string, who wrote it

`henasy-train phrases` writes the file. A clip that it lacks gets its phrase from the taxonomy
(`captions.plain_phrase`).
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from henasy.errors import AnnotationError, NotFoundError
from henasy.training.egoclip.annotations import ClipTable, file_digest, publish

_COLUMNS = {"clip_idx": pa.int64(), "verb_phrase": pa.string(), "source": pa.string()}
_FORMAT = 1


class PhraseTable:
    """The phrases of an annotation file's clips, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.digest: str = json.loads((folder / "about.json").read_text())["digest"]
        with pa.memory_map(str(folder / "phrases.arrow")) as source:
            self._phrases = pa.ipc.open_file(source).read_all().column("verb_phrase").chunk(0)

    @property
    def num_known(self) -> int:
        """Clips that the file has a phrase for, be it an empty one."""
        return len(self._phrases) - int(self._phrases.null_count)

    def of(self, rows: NDArray[np.int64]) -> list[str | None]:
        """The phrase of each clip, None where the file lacks the clip."""
        phrases: list[str | None] = self._phrases.take(pa.array(rows)).to_pylist()
        return phrases


def open_phrases(path: Path, table: ClipTable, cache: Path) -> PhraseTable:
    """The phrases of a table's clips, from the cache if it holds them, else read and put there.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: it is no file of phrases, or names a clip twice.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file of verb phrases; henasy-train phrases makes one")
    digest = file_digest(path)
    folder = cache / f"phrases-{digest[:16]}-{table.digest[:16]}-{_FORMAT}"
    if not (folder / "about.json").exists():
        _build(path, digest, table, folder)
    return PhraseTable(folder)


def _build(path: Path, digest: str, table: ClipTable, folder: Path) -> None:
    try:
        held = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise AnnotationError(f"{path}: no Parquet file: {error}") from error
    missing = [name for name in _COLUMNS if name not in held.column_names]
    if missing:
        raise AnnotationError(f"{path}: missing columns {missing}; it has {held.column_names}")
    try:
        held = held.select(list(_COLUMNS)).cast(pa.schema(_COLUMNS))
    except pa.ArrowInvalid as error:
        raise AnnotationError(f"{path}: {error}; needs {', '.join(f'{n} {t}' for n, t in _COLUMNS.items())}") from error
    places = _places(path, table, held.column("clip_idx").to_numpy())
    phrases = held.column("verb_phrase").cast(pa.large_string()).combine_chunks()
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    beside = pa.table({"verb_phrase": phrases.take(pa.array(places, mask=places < 0))})
    with pa.OSFile(str(fresh / "phrases.arrow"), "wb") as sink, pa.ipc.new_file(sink, beside.schema) as writer:
        writer.write_table(beside.combine_chunks())
    (fresh / "about.json").write_text(json.dumps({"digest": digest, "num_rows": held.num_rows}))
    publish(folder, fresh)


def _places(path: Path, table: ClipTable, clip_idx: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) each clip's row in the file, -1 where there is none."""
    order = np.argsort(clip_idx, kind="stable")
    ordered = clip_idx[order]
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        raise AnnotationError(f"{path}: clip_idx {ordered[twice[0]]} is there twice")
    ordered, order = np.append(ordered, np.iinfo(np.int64).max), np.append(order, -1)
    place = np.searchsorted(ordered, table.clip_idx)
    return np.where(ordered[place] == table.clip_idx, order[place], -1)
