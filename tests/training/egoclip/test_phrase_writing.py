"""`henasy-train phrases`: with a model and without, killed and gone on, what cannot be read."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from small_egoclip import Row, write_annotations, write_taxonomy

from henasy.commands.train_phrases import phrases as command
from henasy.errors import ConfigError
from henasy.text.chat_model import Prompt
from henasy.training.egoclip.annotations import ClipTable, open_clips
from henasy.training.egoclip.phrases import open_phrases
from henasy.training.egoclip.taxonomy import Taxonomy, read_taxonomy
from henasy.training.egoclip_phrases import TAXONOMY, unread_file, write_phrases
from henasy.training.share import Share
from henasy.training.table_parts import TableParts

ROWS = [
    Row("b", 0.0, 1.0, "#C C picks the cup"),
    Row("b", 1.0, 2.0, "#C C washes the knife and the cup", "[2]", "[1, 0]"),
    Row("a", 0.0, 1.0, "#C C picks the cup"),
    Row("a", 1.0, 2.0, "#C C looks around", "[]", "[]"),
    Row("a", 2.0, 3.0, "#C C turns off the tap", "[1]", "[]"),
]
# in the order of the table: by video, then time
PLAIN = ["picking the cup", "looking", "turning off", "picking the cup", "washing the knife"]
ANSWERS = {
    "picks the cup": 'Sure: ["picking the cup", "holding the cup"]',
    "washes the knife and the cup": "I am a robot.",
    "looks around": "[]",
    "turns off the tap": "['turning off the tap']",
}


class Scripted:
    """Says what is written for a narration, and remembers what it was asked; fails at a given question."""

    name = "scripted"
    max_new_tokens = 64

    def __init__(self, fails_at: int = 10**9) -> None:
        self.asked: list[str] = []
        self.fails_at = fails_at

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        sentences = [prompt.user.rsplit("Input sentence: ", 1)[1] for prompt in prompts]
        self.asked += sentences
        if len(self.asked) > self.fails_at:
            raise KeyboardInterrupt
        return [ANSWERS[sentence] for sentence in sentences]


@pytest.fixture
def table(tmp_path: Path) -> ClipTable:
    return open_clips(write_annotations(tmp_path / "egoclip.csv", ROWS), tmp_path / "cache")


@pytest.fixture
def taxonomy(tmp_path: Path) -> Taxonomy:
    return read_taxonomy(write_taxonomy(tmp_path / "taxonomy"))


def quiet(line: str) -> None:
    """Takes no notice."""


def read(path: Path) -> dict[int, tuple[str, str]]:
    table = pq.read_table(path)
    assert table.column_names == ["clip_idx", "verb_phrase", "source"]
    columns = table.to_pydict()
    assert len(set(columns["clip_idx"])) == len(ROWS)
    return dict(zip(columns["clip_idx"], zip(columns["verb_phrase"], columns["source"], strict=True), strict=True))


def test_without_a_model_the_taxonomy_says_them(table: ClipTable, taxonomy: Taxonomy, tmp_path: Path) -> None:
    counts = write_phrases(table, taxonomy, tmp_path / "p.parquet", part_rows=2, report=quiet)
    found = read(tmp_path / "p.parquet")
    assert [found[int(clip)] for clip in table.clip_idx] == [(phrase, TAXONOMY) for phrase in PLAIN]
    assert counts == (5, 0, 0, 0)
    assert unread_file(tmp_path / "p.parquet").read_text() == ""
    assert not (tmp_path / "p.parquet.parts").exists()


def test_a_model_says_them_and_what_it_does_not_say_is_listed(
    table: ClipTable, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    chat, out = Scripted(), tmp_path / "p.parquet"
    counts = write_phrases(table, taxonomy, out, chat=chat, report=quiet)
    found = [read(out)[int(clip)] for clip in table.clip_idx]
    assert found == [
        ("picking the cup", "scripted"),
        ("", "scripted"),
        ("turning off the tap", "scripted"),
        ("picking the cup", "scripted"),
        ("washing the knife", TAXONOMY),
    ]
    assert counts == (5, 4, 1, 1)
    assert sorted(chat.asked) == sorted(ANSWERS)  # what two clips say is asked about once
    (listed,) = [json.loads(line) for line in unread_file(out).read_text().splitlines()]
    assert listed == {
        "clip_idx": 101,
        "clip_text": "#C C washes the knife and the cup",
        "answer": "I am a robot.",
    }


def test_what_a_kill_left_is_not_made_again(table: ClipTable, taxonomy: Taxonomy, tmp_path: Path) -> None:
    out = tmp_path / "p.parquet"
    with pytest.raises(KeyboardInterrupt):
        write_phrases(table, taxonomy, out, chat=Scripted(fails_at=3), part_rows=2, report=quiet)
    assert not out.exists()
    again, said = Scripted(), list[str]()
    write_phrases(table, taxonomy, out, chat=again, part_rows=2, report=said.append)
    assert said[0] == "going on: 1 of 3 parts are there"
    assert sorted(again.asked) == sorted(["turns off the tap", "picks the cup", "washes the knife and the cup"])
    whole = tmp_path / "whole.parquet"
    write_phrases(table, taxonomy, whole, chat=Scripted(), part_rows=2, report=quiet)
    assert read(out) == read(whole)
    assert unread_file(out).read_text() == unread_file(whole).read_text()


def test_processes_share_a_file_and_ask_about_equal_narrations_once(
    table: ClipTable, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    out, whole = tmp_path / "p.parquet", tmp_path / "whole.parquet"
    chats, said = [Scripted(), Scripted()], list[str]()
    made = [
        write_phrases(table, taxonomy, out, chat=chat, part_rows=3, share=Share(rank, 2), report=said.append)
        for rank, chat in enumerate(chats)
    ]
    assert made[0] is None
    assert "1 of 2 parts are other processes'; the last of them writes" in said[1]
    assert made[1] == write_phrases(table, taxonomy, whole, chat=Scripted(), part_rows=3, report=quiet)
    assert read(out) == read(whole)
    assert sorted(chats[0].asked + chats[1].asked) == sorted(ANSWERS)
    assert not (tmp_path / "p.parquet.parts").exists()
    assert write_phrases(table, taxonomy, out, chat=chats[0], share=Share(0, 2), report=quiet) == made[1]


def test_whoever_comes_late_to_the_joining_finds_it_done(tmp_path: Path) -> None:
    schema, calls = pa.schema({"row": pa.int64()}), list[int]()
    both = [TableParts(tmp_path / "t.parquet", {}, num_rows=4, part_rows=2) for _ in range(2)]
    for rank, parts in enumerate(both):
        parts.fill(lambda rows: pa.table({"row": list(rows)}, schema=schema), Share(rank, 2), quiet)
    for parts in both:
        parts.join(schema, before=lambda: calls.append(1))
    assert pq.read_table(tmp_path / "t.parquet").to_pydict() == {"row": [0, 1, 2, 3]}
    assert calls == [1]
    third = TableParts(tmp_path / "u.parquet", {}, num_rows=4, part_rows=2)
    shutil.rmtree(third.folder)
    with pytest.raises(FileNotFoundError):
        third.join(schema)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_share_that_is_none_is_refused(table: ClipTable, tmp_path: Path, text: str) -> None:
    given = (
        "--annotations",
        tmp_path / "egoclip.csv",
        "--taxonomy",
        tmp_path,
        "--out",
        tmp_path / "o",
        "--share",
        text,
    )
    called = CliRunner().invoke(command, [str(one) for one in given])
    assert called.exit_code == 2
    assert f"{text!r} is no share; allowed: 1/N to N/N" in called.output


def test_a_file_that_is_there_is_left_alone(table: ClipTable, taxonomy: Taxonomy, tmp_path: Path) -> None:
    out, chat = tmp_path / "p.parquet", Scripted()
    first = write_phrases(table, taxonomy, out, chat=Scripted(), report=quiet)
    assert write_phrases(table, taxonomy, out, chat=chat, report=quiet) == first
    assert chat.asked == []
    with pytest.raises(ConfigError, match=r"p.parquet is of something else .*'model': \('scripted', None\)"):
        write_phrases(table, taxonomy, out, report=quiet)
    (tmp_path / "mine.parquet").write_text("mine")
    with pytest.raises(ConfigError, match="was not made by this"):
        write_phrases(table, taxonomy, tmp_path / "mine.parquet", report=quiet)


def test_another_taxonomy_or_length_of_answers_is_something_else(
    table: ClipTable, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    out = tmp_path / "p.parquet"
    write_phrases(table, taxonomy, out, chat=Scripted(), report=quiet)
    longer = Scripted()
    longer.max_new_tokens = 128
    with pytest.raises(ConfigError, match=r"'max_tokens': \(64, 128\)"):
        write_phrases(table, taxonomy, out, chat=longer, report=quiet)
    other = taxonomy._replace(verbs=taxonomy.verbs._replace(labels=taxonomy.verbs.labels[::-1]))
    with pytest.raises(ConfigError, match="'taxonomy'"):
        write_phrases(table, other, out, chat=Scripted(), report=quiet)


def test_parts_of_something_else_are_refused(table: ClipTable, taxonomy: Taxonomy, tmp_path: Path) -> None:
    out = tmp_path / "p.parquet"
    with pytest.raises(KeyboardInterrupt):
        write_phrases(table, taxonomy, out, chat=Scripted(fails_at=3), part_rows=2, report=quiet)
    with pytest.raises(ConfigError, match=r"p.parquet.parts is of something else .*'model'"):
        write_phrases(table, taxonomy, out, part_rows=2, report=quiet)
    with pytest.raises(ConfigError, match="part_rows is -1"):
        write_phrases(table, taxonomy, tmp_path / "q.parquet", part_rows=-1, report=quiet)


def test_training_reads_what_is_written(table: ClipTable, taxonomy: Taxonomy, tmp_path: Path) -> None:
    out = tmp_path / "p.parquet"
    write_phrases(table, taxonomy, out, part_rows=2, report=quiet)
    written = open_phrases(out, table, tmp_path / "cache")
    assert written.num_known == len(ROWS)
    assert written.of(table.video.argsort(kind="stable")) == PLAIN


def test_command_says_what_it_made(tmp_path: Path) -> None:
    arguments = [
        *("--annotations", str(write_annotations(tmp_path / "egoclip.csv", ROWS))),
        *("--taxonomy", str(write_taxonomy(tmp_path / "taxonomy"))),
        *("--out", str(tmp_path / "p.parquet")),
    ]
    called = CliRunner().invoke(command, arguments)
    assert called.exit_code == 0, called.output
    assert "5 clips in" in called.output
    assert "0 answers could not be read: p.parquet.unread.jsonl" in called.output
    called = CliRunner().invoke(
        command, [*arguments[:-1], str(tmp_path / "q.parquet"), "--model", str(tmp_path / "no")]
    )
    assert called.exit_code == 1
    assert "no chat model can be loaded" in called.output
