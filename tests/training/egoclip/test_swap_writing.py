"""`henasy-train swaps`: by the taxonomy and by a model, killed and gone on, read again by training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from small_egoclip import Row, write_annotations, write_taxonomy

from henasy.commands.train_swaps import swaps as command
from henasy.errors import AnnotationError, ConfigError, NotFoundError
from henasy.text.chat_model import Prompt
from henasy.training.egoclip.annotations import ClipTable, open_clips
from henasy.training.egoclip.taxonomy import Taxonomy, read_taxonomy
from henasy.training.egoclip_swaps import open_swaps, word_swaps, write_swaps
from henasy.training.egoncepp import Caption

ROWS = [
    Row("b", 0.0, 1.0, "#C C picks the cup"),
    Row("a", 0.0, 1.0, "#C C washes the knife", "[2]", "[1]"),
    Row("a", 1.0, 2.0, "#C C looks around", "[]", "[]"),
]
CAPTION = Caption("unused", [], [])


class Scripted:
    """Swaps the verb of one narration, and knows no nouns."""

    name = "scripted"
    max_new_tokens = 256

    def __init__(self) -> None:
        self.asked: list[str] = []

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        self.asked += [prompt.user for prompt in prompts]
        return [
            '["throws the cup", "holds the cup"]' if "one verb" in p.user and "the cup" in p.user else "Sorry."
            for p in prompts
        ]


@pytest.fixture
def table(tmp_path: Path) -> ClipTable:
    return open_clips(write_annotations(tmp_path / "egoclip.csv", ROWS), tmp_path / "cache")


@pytest.fixture
def taxonomy(tmp_path: Path) -> Taxonomy:
    return read_taxonomy(write_taxonomy(tmp_path / "taxonomy"))


def quiet(line: str) -> None:
    """Takes no notice."""


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_taxonomy_swaps_are_those_of_seed_and_clip(table: ClipTable, taxonomy: Taxonomy, tmp_path: Path) -> None:
    out = tmp_path / "s.parquet"
    counts = write_swaps(table, taxonomy, out, count=3, seed=7, part_rows=2, report=quiet)
    held = pq.read_table(out).to_pylist()
    assert [row["clip_idx"] for row in held] == [101, 102, 100]
    words = word_swaps(taxonomy)
    draw = np.random.default_rng((7, 100))
    assert held[2]["verb_swaps"] == words.verb_swaps("#C C picks the cup", [0], draw, 3)
    assert held[2]["noun_swaps"] == words.noun_swaps("#C C picks the cup", [0], draw, 3)
    assert len(held[2]["noun_swaps"]) == 3
    assert held[1] == {"clip_idx": 102, "verb_swaps": [], "noun_swaps": [], "source": "taxonomy"}
    assert counts == (3, 0, 1)
    assert write_swaps(table, taxonomy, out, count=3, seed=7, report=quiet) == counts


def test_model_swaps_come_before_the_taxonomys(table: ClipTable, taxonomy: Taxonomy, tmp_path: Path) -> None:
    out = tmp_path / "s.parquet"
    counts = write_swaps(table, taxonomy, out, chat=Scripted(), report=quiet)
    held = {row["clip_idx"]: row for row in pq.read_table(out).to_pylist()}
    written, plain = held[100], held[101]
    assert written["verb_swaps"] == ["#C C throws the cup", "#C C holds the cup"]
    assert "#C C picks the knife" in written["noun_swaps"]
    assert (written["source"], plain["source"]) == ("scripted", "taxonomy")
    assert counts == (3, 1, 1)


def test_training_draws_from_what_is_written(table: ClipTable, taxonomy: Taxonomy, tmp_path: Path) -> None:
    out = tmp_path / "s.parquet"
    write_swaps(table, taxonomy, out, chat=Scripted(), report=quiet)
    stored = open_swaps(out, table, tmp_path / "cache")
    assert sorted(stored.verb_swaps(2, CAPTION, rng(), 5)) == ["#C C holds the cup", "#C C throws the cup"]
    assert stored.verb_swaps(2, CAPTION, rng(3), 1) == stored.verb_swaps(2, CAPTION, rng(3), 1)
    assert {stored.verb_swaps(2, CAPTION, rng(seed), 1)[0] for seed in range(9)} == {
        "#C C holds the cup",
        "#C C throws the cup",
    }
    assert stored.noun_swaps(1, CAPTION, rng(), 5) == []


def test_parts_of_other_settings_are_refused(table: ClipTable, taxonomy: Taxonomy, tmp_path: Path) -> None:
    out = tmp_path / "s.parquet"
    write_swaps(table, taxonomy, out, report=quiet)
    with pytest.raises(ConfigError, match=r"of something else .*'count': \(10, 4\)"):
        write_swaps(table, taxonomy, out, count=4, report=quiet)
    with pytest.raises(ConfigError, match="count is 0"):
        write_swaps(table, taxonomy, tmp_path / "t.parquet", count=0, report=quiet)


def test_files_that_are_none_are_refused(table: ClipTable, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="henasy-train swaps makes one"):
        open_swaps(tmp_path / "s.parquet", table, tmp_path / "cache")
    texts = pa.array([["a"]], pa.list_(pa.string()))
    pq.write_table(pa.table({"clip_idx": [7], "verb_swaps": texts, "noun_swaps": texts}), tmp_path / "other.parquet")
    with pytest.raises(AnnotationError, match="none of the clips"):
        open_swaps(tmp_path / "other.parquet", table, tmp_path / "cache")
    twice = pa.concat_arrays([texts, texts])
    pq.write_table(
        pa.table({"clip_idx": [100] * 2, "verb_swaps": twice, "noun_swaps": twice}), tmp_path / "two.parquet"
    )
    with pytest.raises(AnnotationError, match="is there twice"):
        open_swaps(tmp_path / "two.parquet", table, tmp_path / "cache")
    pq.write_table(pa.table({"clip": [7]}), tmp_path / "none.parquet")
    with pytest.raises(AnnotationError, match="no file of word swaps"):
        open_swaps(tmp_path / "none.parquet", table, tmp_path / "cache")


def test_command_says_what_it_made(tmp_path: Path) -> None:
    arguments = [
        *("--annotations", str(write_annotations(tmp_path / "egoclip.csv", ROWS))),
        *("--taxonomy", str(write_taxonomy(tmp_path / "taxonomy"))),
        *("--out", str(tmp_path / "s.parquet")),
    ]
    called = CliRunner().invoke(command, arguments)
    assert called.exit_code == 0, called.output
    assert "3 clips, 0 by the model" in called.output
    assert "1 clips have no swapped caption" in called.output
