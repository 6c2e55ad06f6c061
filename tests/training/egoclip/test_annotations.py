"""EgoClip's annotations as columns: what is read, what is left out, what is refused."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from small_egoclip import Row, write_annotations

from henasy.errors import AnnotationError, NotFoundError
from henasy.training.egoclip import annotations
from henasy.training.egoclip.annotations import open_clips
from henasy.training.egoclip.tags import is_list_literal, parse_tags

LITERALS = ["[93]", "[192, 115, 12]", "[]", " [ 1 ,2 ] ", "[3,]", "[0]"]


def test_tags_are_the_literals_numbers() -> None:
    tags = parse_tags(pa.array(LITERALS))
    assert [tags.of(row).tolist() for row in range(6)] == [[93], [192, 115, 12], [], [1, 2], [3], [0]]
    assert tags.multi_hot(np.array([1, 2, 3]), 200).sum(axis=1).tolist() == [3, 0, 2]


@pytest.mark.parametrize(
    "text", ["", "93", "[1.5]", "[-1]", "['a']", "[1, 2", "[1 2]", "[,]", "[9999999]", "__import__('os')"]
)
def test_tags_that_are_no_lists_of_numbers(text: str) -> None:
    assert is_list_literal(pa.array(["[1]", text])).tolist() == [True, False]
    assert all(is_list_literal(pa.array(LITERALS)))


def test_open_clips_has_the_rows_that_csv_has_sorted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        Row(f"v{rng.integers(3)}", float(start), float(start) + 1, f'#C C says "{start}"', "[1]", "[0, 2]")
        for start in rng.permutation(50) / 7
    ]
    path = write_annotations(tmp_path / "egoclip.csv", rows)
    table = open_clips(path, tmp_path / "cache")
    with path.open(newline="") as stream:
        expected = sorted(
            csv.DictReader(stream, delimiter="\t"), key=lambda r: (r["video_uid"], float(r["narration_time"]))
        )
    assert table.clip_idx.tolist() == [int(row["clip_idx"]) for row in expected]
    assert table.texts(np.arange(50)) == [row["clip_text"] for row in expected]
    assert [table.video_uids[code] for code in table.video] == [row["video_uid"] for row in expected]
    assert table.start_s.tolist() == [float(row["clip_start"]) for row in expected]
    assert table.nouns.of(7).tolist() == [0, 2]
    assert table.verbs.of(49).tolist() == [1]


def test_open_clips_reads_the_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_annotations(tmp_path / "egoclip.csv", [Row("v", 0, 1), Row("v", 2, 3)])
    first = open_clips(path, tmp_path / "cache")
    monkeypatch.setattr(annotations.csv, "open_csv", lambda *_, **__: pytest.fail("read again"))
    assert open_clips(path, tmp_path / "cache").clip_idx.tolist() == first.clip_idx.tolist()
    monkeypatch.undo()
    write_annotations(path, [Row("v", 0, 1)])
    assert len(open_clips(path, tmp_path / "cache")) == 1  # another content is another cache


def test_open_clips_leaves_out_and_counts_bad_lines(tmp_path: Path) -> None:
    path = write_annotations(tmp_path / "egoclip.csv", [Row("v", n, n + 1) for n in range(400)])
    lines = path.read_text().splitlines()
    lines[3] += "\tone field too many"
    lines[9] = lines[9].replace("[0]", "[zero]")
    lines[17] = "\t".join([*lines[17].split("\t")[:6], "", *lines[17].split("\t")[7:]])
    path.write_text("\n".join(lines))
    table = open_clips(path, tmp_path / "cache")
    assert len(table) == 397
    assert table.bad_lines.num_lines == 3
    assert any("12 fields instead of 11" in why for why in table.bad_lines.examples)
    assert any("[zero]" in why for why in table.bad_lines.examples)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("tag_noun", "nouns", 1), r"missing columns \['tag_noun'\]"),
        (lambda text: text.replace("\t", ","), "must be separated by tabs"),
        (
            lambda text: text.replace("[0]", "0"),
            "40 of 40 lines are no clips, at most 1% may be; the first: numbers missing",
        ),
        (lambda text: text.replace("\t3.0\t", "\tthree\t", 1), "conversion error to double"),
        (lambda text: text.splitlines()[0], "Empty CSV file"),
    ],
)
def test_open_clips_refuses(tmp_path: Path, change: object, message: str) -> None:
    path = write_annotations(tmp_path / "egoclip.csv", [Row("v", float(n), n + 1.0) for n in range(40)])
    path.write_text(change(path.read_text()))
    with pytest.raises(AnnotationError, match=message):
        open_clips(path, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("egoclip-*"))


def test_open_clips_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such annotation file"):
        open_clips(tmp_path / "egoclip.csv", tmp_path)
