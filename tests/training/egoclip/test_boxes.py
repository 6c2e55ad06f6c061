"""HelpingHands' boxes: read without running anything, the best of each kind, matched to clips, moved with the crop."""

import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_egoclip import Row, write_annotations

from henasy.errors import AnnotationError, NotFoundError
from henasy.training.egoclip.annotations import ClipTable, open_clips
from henasy.training.egoclip.boxes import convert_boxes, open_boxes
from henasy.training.egoclip.handobj import read_handobj
from henasy.training.egoclip.phrases import open_phrases
from henasy.training.egoclip.source import crop_boxes

SIZE = {"height": 360, "width": 640}


def entry(**frames: object) -> dict[object, object]:
    return {"info": SIZE, **{int(name[1:]): value for name, value in frames.items()}}


def detections(*boxes: tuple[float, ...], dtype: str = "float32") -> np.ndarray:
    """Rows of xyxy, score and a class, as the detector writes them."""
    return np.array([[*box, 1.0] for box in boxes], dtype)


def dump(path: Path, content: object, protocol: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4"])
def test_read_handobj_takes_the_two_best_of_each_kind(tmp_path: Path, protocol: int, dtype: str) -> None:
    hands = detections((0, 0, 64, 36, 0.3), (64, 36, 128, 72, 0.9), (320, 180, 640, 360, 0.5), dtype=dtype)
    frames = {"hand_dets": hands, "obj_dets": None}
    content = {12.345: entry(f0=frames, f3={"hand_dets": None, "obj_dets": detections((-5, 0, 700, 36, 0.1))})}
    (clip,) = read_handobj(dump(tmp_path / "0.handobj.pkl", content, protocol))
    assert clip.start_s == 12.345
    expected = np.zeros((4, 4, 4), np.float32)
    expected[0, 0] = 0.1, 0.1, 0.2, 0.2
    expected[0, 1] = 0.5, 0.5, 1.0, 1.0
    expected[3, 2] = 0.0, 0.0, 1.0, 0.1
    np.testing.assert_allclose(clip.boxes, expected, atol=1e-6)


def test_read_handobj_takes_numpy_numbers_as_keys_and_sizes(tmp_path: Path) -> None:
    content = {np.float64(3.5): {"info": {"height": np.int64(360), "width": np.int32(640)}}}
    (clip,) = read_handobj(dump(tmp_path / "0.handobj.pkl", content))
    assert clip.start_s == 3.5
    assert not clip.boxes.any()


def test_read_handobj_clip_without_a_size_has_the_first_ones(tmp_path: Path) -> None:
    frames = {"hand_dets": detections((64, 36, 128, 72, 0.9)), "obj_dets": None}
    clips = read_handobj(dump(tmp_path / "0.handobj.pkl", {2.0: {0: frames}, 1.0: entry(f0=frames)}))
    assert [clip.start_s for clip in clips] == [1.0, 2.0]
    np.testing.assert_allclose(clips[1].boxes, clips[0].boxes)


class Evil:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_read_handobj_runs_nothing(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "made"
    path = dump(tmp_path / "0.handobj.pkl", {1.0: Evil(trap)}, protocol)
    with pytest.raises(AnnotationError, match=r"names (posix|nt)\.mkdir"):
        read_handobj(path)
    assert not trap.exists()
    pickle.loads(path.read_bytes())
    assert trap.exists()  # the same bytes do harm when they are trusted


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        ({"a": entry()}, "a clip's start is 'a'"),
        ({1.0: {}}, "no mapping with 'info'"),
        ({1.0: {"info": {"height": 0, "width": 640}}}, "width and height are"),
        ({1.0: entry(f0={"hand_dets": np.zeros((2, 3)), "obj_dets": None})}, r"frame 0, hand_dets: shape \(2, 3\)"),
        ({1.0: entry(f1={"hand_dets": detections((0, 0, 1, 1, np.nan)), "obj_dets": None})}, "finite rows"),
        ({1.0: entry(f1={"obj_dets": np.array([object()])})}, "an array of type 'O8'"),
        ({1.0: entry(f1={"obj_dets": np.array(["text"])})}, "an array of type 'U4'"),
        ({1.0: entry(f1={"obj_dets": "text"})}, "str, not an array"),
    ],
)
def test_read_handobj_refuses(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_handobj(dump(tmp_path / "0.handobj.pkl", content))


def test_read_handobj_damaged(tmp_path: Path) -> None:
    path = dump(tmp_path / "0.handobj.pkl", {1.0: entry()})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_handobj(path)


def box_at(x: float) -> dict[str, object]:
    return {"hand_dets": detections((x, 0, x + 64, 36, 0.5)), "obj_dets": None}


@pytest.fixture
def table(tmp_path: Path) -> ClipTable:
    rows = [Row("v", 1.0, 2.0), Row("v", 3.0004, 4.0), Row("v", 5.0, 6.0), Row("w", 1.0, 2.0), Row("x", 1.0, 2.0)]
    return open_clips(write_annotations(tmp_path / "egoclip.csv", rows), tmp_path / "cache")


def test_converted_boxes_meet_their_clips_and_others_have_none(tmp_path: Path, table: ClipTable) -> None:
    folder = tmp_path / "handobj"
    dump(folder / "v" / "0.handobj.pkl", {1.0: entry(f0=box_at(0)), 3.001: entry(f0=box_at(64)), 9.0: entry()})
    dump(folder / "w" / "0.handobj.pkl", {1.0: entry(f0=box_at(128))})
    dump(folder / "elsewhere" / "0.handobj.pkl", {1.0: entry(f0=box_at(192))})
    done = convert_boxes(folder, tmp_path / "boxes.parquet", num_workers=1, report=print)
    assert (done.num_files, done.num_clips, done.refused) == (3, 5, ())
    boxes = open_boxes(tmp_path / "boxes.parquet", table, tmp_path / "cache")
    assert boxes.has_boxes.tolist() == [True, True, False, True, False]
    left = boxes.of(np.arange(5))[:, 0, 0, 0]
    np.testing.assert_allclose(left, [0.0, 0.1, 0.0, 0.2, 0.0], atol=1e-4)
    assert not boxes.of(np.array([2, 4])).any()
    again = open_boxes(tmp_path / "boxes.parquet", table, tmp_path / "cache")
    assert np.array_equal(again.of(np.arange(5)), boxes.of(np.arange(5)))


def test_convert_boxes_counts_unreadable_files_and_refuses_many(tmp_path: Path) -> None:
    folder = tmp_path / "handobj"
    for number in range(100):
        dump(folder / "v" / f"{number}.handobj.pkl", {float(number): entry()})
    (folder / "v" / "7.handobj.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    done = convert_boxes(folder, tmp_path / "boxes.parquet", num_workers=1, report=print)
    assert done.num_clips == 99
    assert "names os.system" in done.refused[0]
    (folder / "v" / "8.handobj.pkl").write_bytes(b"")
    with pytest.raises(AnnotationError, match="2 of 100 box files cannot be read, at most 1% may be"):
        convert_boxes(folder, tmp_path / "other.parquet", num_workers=1, report=print)
    assert not list(tmp_path.glob("*other*"))
    with pytest.raises(NotFoundError, match="no <video_uid>"):
        convert_boxes(tmp_path / "nowhere", tmp_path / "x", num_workers=1, report=print)


def test_open_boxes_refuses_other_files(tmp_path: Path, table: ClipTable) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"video_uid": ["v"], "start_ms": [1], "boxes": [[1.0]]}), other)
    with pytest.raises(AnnotationError, match="boxes are list"):
        open_boxes(other, table, tmp_path / "cache")
    pq.write_table(pa.table({"video_uid": ["v"]}), other)
    with pytest.raises(AnnotationError, match="no file of boxes"):
        open_boxes(other, table, tmp_path / "cache")
    other.write_bytes(b"PAR1")
    with pytest.raises(AnnotationError, match="no file of boxes"):
        open_boxes(other, table, tmp_path / "cache")
    with pytest.raises(NotFoundError, match="henasy-train boxes makes one"):
        open_boxes(tmp_path / "none", table, tmp_path / "cache")


def test_crop_boxes_moves_them_and_drops_what_is_mostly_outside() -> None:
    boxes = np.array([[[0.5, 0.5, 0.75, 1.0], [0.0, 0.0, 0.3, 1.0], [0.2, 0.5, 0.3, 0.6], [0, 0, 0, 0]]], np.float32)
    got = crop_boxes(boxes[:, None], np.array([[0.25, 0.5, 0.75, 1.0]]))[0, 0]
    np.testing.assert_allclose(got[0], [0.5, 0.0, 1.0, 1.0])
    assert not got[1].any()  # 0.05 of 0.3 in x, half in y: 8 % inside
    np.testing.assert_allclose(got[2], [0.0, 0.0, 0.1, 0.2], atol=1e-6)  # just half inside
    assert not got[3].any()


def test_open_phrases_are_beside_their_clips(tmp_path: Path, table: ClipTable) -> None:
    path = tmp_path / "phrases.parquet"
    columns = {"clip_idx": [103, 100, 999], "verb_phrase": ["washing", "", "lost"], "source": ["a", "a", "a"]}
    pq.write_table(pa.table(columns), path)
    phrases = open_phrases(path, table, tmp_path / "cache")
    assert table.clip_idx.tolist() == [100, 101, 102, 103, 104]
    assert phrases.of(np.array([3, 0, 1])) == ["washing", "", None]
    assert phrases.num_known == 2


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"clip_idx": [1], "verb_phrase": ["a"]}, r"missing columns \['source'\]"),
        ({"clip_idx": [1, 1], "verb_phrase": ["a", "b"], "source": ["", ""]}, "clip_idx 1 is there twice"),
        ({"clip_idx": ["one"], "verb_phrase": ["a"], "source": [""]}, "needs clip_idx int64"),
    ],
)
def test_open_phrases_refuses(tmp_path: Path, table: ClipTable, columns: dict[str, object], message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "phrases.parquet")
    with pytest.raises(AnnotationError, match=message):
        open_phrases(tmp_path / "phrases.parquet", table, tmp_path / "cache")
