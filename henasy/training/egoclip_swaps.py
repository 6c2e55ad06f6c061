"""Captions with a swapped word for every clip of an annotation file, made once and kept in Parquet.

    clip_idx     int64
    verb_swaps   list of strings, captions with another verb; empty where no verb is found
    noun_swaps   list of strings, captions with another noun
    source       string, who wrote them: a model's name, or taxonomy

One row per clip; a model's are in the order of the narrations.

Training that is given no such file swaps words by the taxonomy as it goes. A file is for captions that a chat model
wrote, or to see what is trained on.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from henasy.errors import AnnotationError, ConfigError, NotFoundError
from henasy.text.swap_answers import read_swaps, swap_prompt
from henasy.text.word_swaps import WordSwaps
from henasy.training.egoclip.annotations import ClipTable, file_digest, publish
from henasy.training.egoclip.taxonomy import Taxonomy
from henasy.training.egoclip_phrases import TAXONOMY, Chat, asked_of, order_of
from henasy.training.egoncepp import Caption
from henasy.training.share import WHOLE, Share
from henasy.training.table_parts import TableParts

_TEXTS = pa.list_(pa.string())
SCHEMA = pa.schema({"clip_idx": pa.int64(), "verb_swaps": _TEXTS, "noun_swaps": _TEXTS, "source": pa.string()})
_HELD = pa.schema(
    {"clip_idx": pa.int64(), **dict.fromkeys(("verb_swaps", "noun_swaps"), pa.large_list(pa.large_string()))}
)
"""In memory and in the cache: EgoClip's captions together are more than the 2 GB of small strings."""
PART_ROWS = 1 << 14
CHAT_PART_ROWS = 1 << 9
"""Smaller: a kill costs the part that is being made."""


class SwapCounts(NamedTuple):
    """What the swaps of a file are."""

    num_rows: int
    num_answered: int
    """Clips whose captions the model wrote, of verbs, nouns or both."""
    num_without: int
    """Clips without a single swapped caption."""


def word_swaps(taxonomy: Taxonomy) -> WordSwaps:
    """The swaps within a taxonomy."""
    return WordSwaps(taxonomy.verbs.groups, taxonomy.nouns.groups)


def write_swaps(
    table: ClipTable,
    taxonomy: Taxonomy,
    out: Path,
    *,
    count: int = 10,
    seed: int = 0,
    chat: Chat | None = None,
    part_rows: int | None = None,
    share: Share = WHOLE,
    report: Callable[[str], None] = print,
) -> SwapCounts | None:
    """Writes up to `count` captions of each kind for every clip, going on where an earlier call was killed.

    Args:
        table: the clips.
        taxonomy: of their tags; its words stand in where the model's answer cannot be read.
        out: the Parquet file.
        count: captions of a kind.
        seed: with the clip's number it fixes the taxonomy's swaps.
        chat: writes the captions; None takes the taxonomy's words.
        part_rows: rows that a kill costs at most.
        share: what this process does of it, beside others that are given the same file.
        report: is given a line per part.

    Returns:
        Counts of the whole file; None while parts of it are left to other processes.

    Raises:
        ConfigError: `out` was begun with other settings or from other files, or `count` is below 1.
    """
    if count < 1:
        raise ConfigError(f"count is {count}; it must be at least 1")
    about = {
        "made": "word swaps",
        "annotations": table.digest,
        "taxonomy": taxonomy.digest(),
        **asked_of(chat),
        "count": count,
        "seed": seed,
    }
    rows = part_rows or (PART_ROWS if chat is None else CHAT_PART_ROWS)
    parts = TableParts(out, about, num_rows=len(table), part_rows=rows)
    if not parts.is_done:
        words, order = word_swaps(taxonomy), order_of(table, chat)

        def make(own: range) -> pa.Table:
            return _part(table, words, order[own.start : own.stop], count=count, seed=seed, chat=chat)

        if not parts.fill(make, share, report):
            return None
        parts.join(SCHEMA)
    return _counted(out)


class StoredSwaps:
    """The captions of a file, memory-mapped; a clip that it lacks has none."""

    def __init__(self, folder: Path, digest: str) -> None:
        """Takes the folder that holds them, and the digest of the file that they came from."""
        self.digest = digest
        with pa.memory_map(str(folder / "swaps.arrow")) as source:
            held = pa.ipc.open_file(source).read_all()
        self._verbs, self._nouns = held.column("verb_swaps").chunk(0), held.column("noun_swaps").chunk(0)

    def verb_swaps(self, row: int, caption: Caption, rng: np.random.Generator, count: int) -> list[str]:
        """See `henasy.training.egoncepp.Swaps`."""
        return _drawn(self._verbs[row].as_py(), rng, count)

    def noun_swaps(self, row: int, caption: Caption, rng: np.random.Generator, count: int) -> list[str]:
        """See `henasy.training.egoncepp.Swaps`."""
        return _drawn(self._nouns[row].as_py(), rng, count)


def open_swaps(path: Path, table: ClipTable, cache: Path) -> StoredSwaps:
    """The swaps of a table's clips, in the order of the table; a copy of them is kept in the cache.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: it is no file of swaps, names a clip twice, or has none of the table's clips.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file of word swaps; henasy-train swaps makes one")
    digest = file_digest(path)
    folder = cache / f"swaps-{digest[:16]}-{table.digest[:16]}"
    if not (folder / "about.json").exists():
        _build(path, table, folder)
    return StoredSwaps(folder, digest)


def _drawn(texts: list[str] | None, rng: np.random.Generator, count: int) -> list[str]:
    held = texts or []
    return [held[at] for at in rng.permutation(len(held))[:count]]


def _part(
    table: ClipTable, words: WordSwaps, rows: NDArray[np.int64], *, count: int, seed: int, chat: Chat | None
) -> pa.Table:
    texts = table.texts(rows)
    written = {kind: _written(chat, texts, kind, count) for kind in ("verb", "noun")}
    columns: dict[str, list[list[str]]] = {"verb": [], "noun": []}
    sources = []
    for row, text in zip(rows.tolist(), texts, strict=True):
        rng = np.random.default_rng((seed, int(table.clip_idx[row])))
        plain = {
            "verb": words.verb_swaps(text, table.verbs.of(row).tolist(), rng, count),
            "noun": words.noun_swaps(text, table.nouns.of(row).tolist(), rng, count),
        }
        for kind, column in columns.items():
            column.append((written[kind].get(text) or plain[kind])[:count])
        is_written = any(text in written[kind] for kind in columns)
        sources.append(chat.name if chat is not None and is_written else TAXONOMY)
    arrays = [pa.array(columns[kind], _TEXTS) for kind in ("verb", "noun")]
    return pa.table(
        [pa.array(table.clip_idx[rows], pa.int64()), *arrays, pa.array(sources, pa.string())], schema=SCHEMA
    )


def _written(chat: Chat | None, texts: Sequence[str], kind: str, count: int) -> dict[str, list[str]]:
    """What the model wrote for each narration whose answer can be read; equal ones are asked about once."""
    if chat is None:
        return {}
    asked = list(dict.fromkeys(texts))
    answers = chat.answers([swap_prompt(text, kind, count) for text in asked])
    read = {text: read_swaps(answer, text, kind) for text, answer in zip(asked, answers, strict=True)}
    return {text: swaps for text, swaps in read.items() if swaps is not None}


def _counted(out: Path) -> SwapCounts:
    num_rows = num_answered = num_without = 0
    for batch in pq.ParquetFile(out).iter_batches(columns=["verb_swaps", "noun_swaps", "source"]):
        lengths = pc.add(*(pc.list_value_length(batch.column(name)) for name in ("verb_swaps", "noun_swaps")))
        num_rows += batch.num_rows
        num_answered += pc.sum(pc.not_equal(batch.column("source"), TAXONOMY)).as_py() or 0
        num_without += pc.sum(pc.equal(lengths, 0)).as_py() or 0
    return SwapCounts(num_rows, num_answered, num_without)


def _build(path: Path, table: ClipTable, folder: Path) -> None:
    try:
        held = pq.read_table(path, columns=["clip_idx", "verb_swaps", "noun_swaps"])
        held = held.cast(_HELD).combine_chunks()
    except (pa.ArrowInvalid, KeyError) as error:
        raise AnnotationError(f"{path}: no file of word swaps: {error}") from error
    if held.num_rows and pc.count_distinct(held.column("clip_idx")).as_py() < held.num_rows:
        raise AnnotationError(f"{path}: a clip_idx is there twice")
    places = pc.index_in(pa.array(table.clip_idx), held.column("clip_idx").combine_chunks())
    if places.null_count == len(table):
        raise AnnotationError(f"{path}: has none of the clips of the annotations")
    beside = held.take(places).combine_chunks()
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    with pa.OSFile(str(fresh / "swaps.arrow"), "wb") as sink, pa.ipc.new_file(sink, beside.schema) as writer:
        writer.write_table(beside)
    (fresh / "about.json").write_text(json.dumps({"file": str(path), "num_rows": held.num_rows}))
    publish(folder, fresh)
