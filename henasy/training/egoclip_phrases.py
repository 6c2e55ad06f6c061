"""Verb phrases of every clip of an annotation file: a chat model's where one is given, else the taxonomy's.

The file has one row per clip: `clip_idx`, `verb_phrase`, `source`; a model's are in the order of the narrations. Of
several phrases of an answer the first is taken.
A narration whose answer cannot be read gets the taxonomy's verb and object, is counted and listed.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from henasy.text.chat_model import Prompt
from henasy.text.verb_answers import bare, read_verb_phrases, verb_prompt
from henasy.training.egoclip.annotations import ClipTable
from henasy.training.egoclip.captions import plain_phrase
from henasy.training.egoclip.taxonomy import Taxonomy
from henasy.training.share import WHOLE, Share
from henasy.training.table_parts import TableParts

SCHEMA = pa.schema({"clip_idx": pa.int64(), "verb_phrase": pa.string(), "source": pa.string()})
TAXONOMY = "taxonomy"
"""Source of phrases that no model wrote."""
PART_ROWS = 1 << 16
CHAT_PART_ROWS = 1 << 10
"""Smaller: a kill costs the part that is being made."""


class Chat(Protocol):
    """What answers prompts."""

    name: str
    max_new_tokens: int
    """An answer is cut after so many."""

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """One answer per prompt."""
        ...


class PhraseCounts(NamedTuple):
    """What the phrases of a file are."""

    num_rows: int
    num_answered: int
    """Written by the model."""
    num_unread: int
    """Whose answer could not be read; the taxonomy's stand in."""
    num_empty: int
    """Without a verb."""


def write_phrases(
    table: ClipTable,
    taxonomy: Taxonomy,
    out: Path,
    *,
    chat: Chat | None = None,
    part_rows: int | None = None,
    share: Share = WHOLE,
    report: Callable[[str], None] = print,
) -> PhraseCounts | None:
    """Writes the phrases of every clip, going on where an earlier call was killed, and `OUT.unread.jsonl`.

    Args:
        table: the clips.
        taxonomy: of their tags.
        out: the Parquet file.
        chat: writes the phrases; None takes the taxonomy's.
        part_rows: rows that a kill costs at most; by default a number that suits the writer.
        share: what this process does of it, beside others that are given the same file.
        report: is given a line per part.

    Returns:
        Counts of the whole file; None while parts of it are left to other processes.

    Raises:
        ConfigError: `out` was begun with another model or from other annotations or another taxonomy.
    """
    about = {"made": "verb phrases", "annotations": table.digest, "taxonomy": taxonomy.digest(), **asked_of(chat)}
    parts = TableParts(
        out, about, num_rows=len(table), part_rows=part_rows or (PART_ROWS if chat is None else CHAT_PART_ROWS)
    )
    if parts.is_done:
        report(f"{out} is there already")
        return _counted(out)
    order = order_of(table, chat)
    if not parts.fill(lambda rows: _part(table, taxonomy, order[rows.start : rows.stop], chat), share, report):
        return None
    parts.join(SCHEMA, before=lambda: _list_unread(parts, unread_file(out)))
    return _counted(out)


def asked_of(chat: Chat | None) -> dict[str, object]:
    """What of a chat model fixes its answers."""
    return {"model": None} if chat is None else {"model": chat.name, "max_tokens": chat.max_new_tokens}


def order_of(table: ClipTable, chat: Chat | None) -> NDArray[np.int64]:
    """The rows as they are worked through: as they stand; for a model equal narrations in a row, to ask about once."""
    return np.arange(len(table), dtype=np.int64) if chat is None else table.by_text()


def unread_file(out: Path) -> Path:
    """The list of narrations whose answer could not be read, one JSON object a line."""
    return out.with_name(f"{out.name}.unread.jsonl")


def _part(table: ClipTable, taxonomy: Taxonomy, rows: NDArray[np.int64], chat: Chat | None) -> pa.Table:
    texts = table.texts(rows)
    answers = _answers(chat, texts) if chat is not None else {}
    phrases, sources, unread = [], [], []
    for row, text in zip(rows.tolist(), texts, strict=True):
        answer = answers.get(bare(text))
        found = None if answer is None else read_verb_phrases(answer)
        if chat is not None and found is not None:
            phrases.append(found[0] if found else "")
            sources.append(chat.name)
        else:
            phrases.append(plain_phrase(text, table.verbs.of(row).tolist(), table.nouns.of(row).tolist(), taxonomy))
            sources.append(TAXONOMY)
        unread.append(answer if found is None else None)
    columns = [
        pa.array(table.clip_idx[rows], pa.int64()),
        pa.array(phrases, pa.string()),
        pa.array(sources, pa.string()),
    ]
    schema = SCHEMA.append(pa.field("text", pa.string())).append(pa.field("unread", pa.string()))
    return pa.table([*columns, pa.array(texts, pa.string()), pa.array(unread, pa.string())], schema=schema)


def _answers(chat: Chat, texts: Sequence[str]) -> dict[str, str]:
    """The answer about each narration; equal ones are asked about once, empty ones not at all."""
    asked = [text for text in dict.fromkeys(map(bare, texts)) if text]
    return dict(zip(asked, chat.answers([verb_prompt(text) for text in asked]), strict=True))


def _list_unread(parts: TableParts, path: Path) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    with fresh.open("w", encoding="utf-8") as stream:
        for table in parts.tables():
            unread = table.filter(pc.is_valid(table.column("unread"))).select(["clip_idx", "text", "unread"])
            for row in unread.to_pylist():
                stream.write(
                    json.dumps({"clip_idx": row["clip_idx"], "clip_text": row["text"], "answer": row["unread"]})
                )
                stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(fresh, path)


def _counted(out: Path) -> PhraseCounts:
    num_rows = num_answered = num_empty = 0
    for batch in pq.ParquetFile(out).iter_batches(columns=["verb_phrase", "source"]):
        num_rows += batch.num_rows
        num_answered += pc.sum(pc.not_equal(batch.column("source"), TAXONOMY)).as_py() or 0
        num_empty += pc.sum(pc.equal(batch.column("verb_phrase"), "")).as_py() or 0
    with unread_file(out).open(encoding="utf-8") as stream:
        num_unread = sum(1 for _ in stream)
    return PhraseCounts(num_rows, num_answered, num_unread, num_empty)
