"""The EK100 loader on files it accepts and on each kind it must refuse."""

from pathlib import Path

import numpy as np
import pytest

from henasy.errors import AnnotationError, NotFoundError
from henasy.evaluation.annotations.epic100 import SENTENCE_FILE, TEST_FILE, load_epic_retrieval
from henasy.evaluation.metrics.relevancy import relevancy_matrix

HEADER = "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,narration,verb_class,all_noun_classes"
ROWS = (
    "P01_1_0,P01,P01_1,00:00:01.50,00:01:02.25,take plate,0,[2]",
    'P01_1_1,P01,P01_1,01:00:00.00,01:00:01.00,"put plate, on rack",1,"[2, 7]"',
    "P02_1_0,P02,P02_1,00:00:00.00,00:00:00.50,take knife,0,[4]",
)
SENTENCES = ("P02_1_0,take knife", "P01_1_1,a wording of another row")


def write(
    folder: Path, rows: tuple[str, ...] = ROWS, sentences: tuple[str, ...] = SENTENCES, header: str = HEADER
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TEST_FILE).write_text("\n".join((header, *rows)) + "\n")
    (folder / SENTENCE_FILE).write_text("\n".join(("narration_id,narration", *sentences)) + "\n")
    return folder


def test_load_reads_times_classes_and_columns_by_narration_id(tmp_path: Path) -> None:
    annotations = load_epic_retrieval(write(tmp_path))
    first, second, _ = annotations.clips
    assert (first.start_s, first.stop_s, first.verb_class, first.noun_classes) == (1.5, 62.25, 0, (2,))
    assert (second.start_s, second.narration, second.noun_classes) == (3600.0, "put plate, on rack", (2, 7))
    assert annotations.sentence_rows.tolist() == [2, 1]
    assert annotations.texts == ["take knife", "put plate, on rack"]
    assert annotations.num_other_wordings == 1


def test_load_finds_the_published_subfolder(tmp_path: Path) -> None:
    write(tmp_path / "retrieval_annotations")
    assert len(load_epic_retrieval(tmp_path).clips) == 3


def test_relevancy_hand_worked_table(tmp_path: Path) -> None:
    matrix = relevancy_matrix(load_epic_retrieval(write(tmp_path)))
    # Columns: take knife (verb 0, {4}); put plate (verb 1, {2, 7}).
    np.testing.assert_array_equal(matrix, [[0.5, 0.25], [0.0, 1.0], [1.0, 0.0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"header": HEADER.replace("verb_class", "verbclass")}, r"lacks the columns \['verb_class'\]"),
        ({"rows": ()}, "no row"),
        ({"rows": (*ROWS, ROWS[0])}, "line 5: narration_id is 'P01_1_0', must be different"),
        ({"rows": (ROWS[0].replace("[2]", "[]"), *ROWS[1:])}, r"line 2: all_noun_classes is '\[\]'"),
        ({"rows": (ROWS[0].replace("[2]", "['plate']"), *ROWS[1:])}, "all_noun_classes"),
        ({"rows": (ROWS[0].replace(",0,", ",-1,"), *ROWS[1:])}, "verb_class is '-1', must be a whole number"),
        ({"rows": (ROWS[0].replace("00:01:02.25", "62.25"), *ROWS[1:])}, "stop_timestamp is '62.25', must be a time"),
        ({"rows": (ROWS[0].replace("00:01:02.25", "00:00:01.50"), *ROWS[1:])}, "must be after start_timestamp"),
        ({"rows": (ROWS[0] + ",more", *ROWS[1:])}, "line 2: 9 fields, must be 8"),
        ({"rows": (ROWS[0].replace("take plate", " "), *ROWS[1:])}, "narration is ' ', must be a non-blank text"),
        (
            {"sentences": ("P01_1_0,take", "P01_1_0,take")},
            "_sentence.csv, line 3: narration_id is",
        ),
        ({"sentences": ("P09_9_9,take nothing",)}, r"_sentence.csv, line 2: narration_id is 'P09_9_9'"),
    ],
)
def test_load_refuses(tmp_path: Path, change: dict[str, object], message: str) -> None:
    write(tmp_path, **change)  # type: ignore[arg-type]
    with pytest.raises(AnnotationError, match=message):
        load_epic_retrieval(tmp_path)


def test_load_refuses_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=TEST_FILE):
        load_epic_retrieval(tmp_path)
    write(tmp_path)
    (tmp_path / SENTENCE_FILE).write_bytes(b"\xff\xfe\x00narration")
    with pytest.raises(AnnotationError, match="not a readable table"):
        load_epic_retrieval(tmp_path)
