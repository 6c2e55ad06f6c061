"""EGTEA: both layouts of the annotations, the frames and crops of its thirty views, the rendered layout."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.evaluation.annotations.egtea import (
    ACTION_FILE,
    SESSION_ACTION_FILE,
    SESSION_SPLIT_FILE,
    SPLIT_FILE,
    EgteaTest,
    load_egtea,
    split_digest,
)
from henasy.evaluation.encoding.frame_rules import BLACK, FramePlace, Span, egtea_rule
from henasy.evaluation.tasks.egtea_run import best_view_similarity, score_similarity
from henasy.video.preprocess import PreprocessSpec, preprocess
from henasy.video.probe import VideoInfo
from henasy.video.video_files import VideoFiles

ACTIONS = ("Open fridge 1", "Take eating_utensil 2", "Turn on faucet 5")
CLIPS = ("OP01-R01-Pasta-66680-68130-F001597-F001639 2 2 2", "P02-R01-Pizza-0-100-F000000-F000002 1 1 1 4")
SESSION_ACTIONS = ("0, 1_1, Open_fridge", "1, 2_2, Take_eating:utensil")
SESSION_CLIPS = ("1,P05-R01-PastaSalad,17497,17581,2,2,1", "19,P09-R01-PastaSalad,30,60,1,1,0")
INFO = VideoInfo(
    path=Path("v.mp4"),
    size_bytes=1,
    duration_s=10.0,
    fps=24.0,
    num_frames=240,
    width_px=64,
    height_px=48,
    rotation_deg=0,
    codec="h264",
)
FILES = VideoFiles(video_id="v", paths=(Path("v.mp4"),), chunk_starts_s=None)


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def official(tmp_path: Path) -> Path:
    write(tmp_path / ACTION_FILE, *ACTIONS)
    write(tmp_path / SPLIT_FILE, *CLIPS)
    return tmp_path


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    write(tmp_path / SESSION_ACTION_FILE, *SESSION_ACTIONS)
    write(tmp_path / SESSION_SPLIT_FILE, *SESSION_CLIPS)
    return tmp_path


def test_reads_the_data_set_s_own_layout(official: Path) -> None:
    for path in (official, official / SPLIT_FILE):
        test = load_egtea(path)
        assert test.names == ("open fridge", "take eating utensil", "turn on faucet")
        assert test.targets.tolist() == [1, 0]
        assert test.spans[0] == Span("OP01-R01-Pasta-66680-68130-F001597-F001639", 0.0, math.inf)


def test_reads_the_layout_of_sessions(sessions: Path) -> None:
    test = load_egtea(sessions)
    assert test.names == ("open fridge", "take eating utensil")
    assert test.targets.tolist() == [1, 0]
    assert test.spans[1] == Span("P09-R01-PastaSalad", 1.0, 2.0)


def test_reads_the_public_split(shared_dir: Path) -> None:
    test = load_egtea(shared_dir / "data" / "egtea")
    assert (len(test.spans), len(test.names)) == (2022, 106)
    assert test.names[42] == "divide/pull apart lettuce"
    # the data set's own name of this clip is P05-R01-PastaSalad-583261-586055
    assert test.spans[0] == pytest.approx(("P05-R01-PastaSalad", 583.261, 586.055), abs=1 / 30)


def test_only_the_clips_and_names_of_the_public_split_compare(shared_dir: Path) -> None:
    test = load_egtea(shared_dir / "data" / "egtea")
    similarity = np.zeros((2022, 106))
    kept = np.ones(2022, bool)

    def remark(changed: EgteaTest) -> str | None:
        return score_similarity(changed, similarity, {}, kept=kept).remark

    others = "as many clips and actions as test split 1, but others"
    assert remark(test) is None
    assert remark(replace(test, spans=test.spans[::-1], targets=test.targets[::-1])) is None
    assert remark(replace(test, targets=np.roll(test.targets, 1))) == others
    assert remark(replace(test, names=(test.names[1], test.names[0], *test.names[2:]))) == others
    assert remark(replace(test, spans=(Span("another", 1.0, 2.0), *test.spans[1:]))) == others
    kept[0] = False
    assert remark(test) == "not the whole test set"
    few = replace(test, spans=test.spans[1:], targets=test.targets[1:])
    assert score_similarity(few, similarity[1:], {}).remark == "not test split 1"


def test_both_layouts_name_a_clip_alike() -> None:
    own = EgteaTest(
        spans=(Span("P05-R01-PastaSalad-583261-586055-F013998-F014065", 0.0, math.inf),),
        names=("take knife",),
        targets=np.array([0]),
    )
    assert split_digest(own) == split_digest(replace(own, spans=(Span("P05-R01-PastaSalad", 17497 / 30, 17581 / 30),)))
    assert split_digest(own) != split_digest(replace(own, spans=(Span("P05-R01-PastaSalad", 17597 / 30, 17681 / 30),)))


def test_mean_class_accuracy_counts_classes_and_top_1_clips() -> None:
    # Three clips of the first class, one of them right; one of the second, right; none of the third.
    test = EgteaTest(
        spans=tuple(Span(f"v{number}", 0.0, 1.0) for number in range(4)),
        names=("a", "b", "c"),
        targets=np.array([0, 0, 0, 1]),
    )
    scored = score_similarity(test, np.eye(3)[[0, 1, 2, 1]], {})
    assert scored.scores == {"top1": 0.5, "mean_class": pytest.approx((1 / 3 + 1 + 0) / 3)}
    assert scored.facts["classes"] == "3, of which 1 have no clip and count as 0 in the mean"


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        (ACTION_FILE, ("Open fridge",), "line 1: the last field is 'fridge', must be a whole number"),
        (ACTION_FILE, (*ACTIONS, "Cut tomato 2"), "line 4: action 2 is repeated"),
        (ACTION_FILE, ("7",), "has no name"),
        (ACTION_FILE, ("",), "has no line"),
        (SPLIT_FILE, ("OP01-R01-Pasta",), "line 1: 1 fields, must be at least 2"),
        (SPLIT_FILE, (CLIPS[0], CLIPS[0]), "line 2: the clip OP01.* is repeated"),
        (SPLIT_FILE, ("OP01 3",), "action is 3, must be one of the 3 of action_idx.txt"),
        (SPLIT_FILE, ("OP01 nan",), "action is 'nan'"),
        (SPLIT_FILE, (" ",), "has no line"),
    ],
)
def test_refuses_lines(official: Path, file: str, lines: tuple[str, ...], message: str) -> None:
    write(official / file, *lines)
    with pytest.raises(AnnotationError, match=message):
        load_egtea(official)


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        (SESSION_ACTION_FILE, ("0, Open_fridge",), "2 fields, must be 3"),
        (SESSION_SPLIT_FILE, ("1,P05,17497,17581,2,1",), "must be 7 fields: clip number, video"),
        (SESSION_SPLIT_FILE, ("1,P05,50,40,2,2,1",), "last frame is 40, must be after first frame 50"),
        (SESSION_SPLIT_FILE, ("1,P05,-3,40,2,2,1",), "first frame is '-3'"),
        (SESSION_SPLIT_FILE, ("1,P05,1,40,2,2,9",), "action is 9"),
    ],
)
def test_refuses_lines_of_sessions(sessions: Path, file: str, lines: tuple[str, ...], message: str) -> None:
    write(sessions / file, *lines)
    with pytest.raises(AnnotationError, match=message):
        load_egtea(sessions)


def test_names_the_files_it_looked_for(official: Path) -> None:
    (official / ACTION_FILE).unlink()
    with pytest.raises(NotFoundError, match=r"no test_split1\.txt with action_idx\.txt or validation1\.csv with"):
        load_egtea(official)
    with pytest.raises(NotFoundError, match=r"no test_split1\.txt with action_idx\.txt in"):
        load_egtea(official / SPLIT_FILE)


def frame_ids(span: Span, num_frames: int, info: VideoInfo = INFO) -> np.ndarray:
    places = egtea_rule(span, FILES, [info], num_frames)
    return np.array([place.frame_id for place in places]).reshape(10, num_frames)


def test_ten_clips_are_spread_over_the_file() -> None:
    ids = frame_ids(Span("v", 0.0, math.inf), 16)
    # 240 frames, 32 to a clip: first frames 0 to 208 in nine equal steps, cut to whole numbers
    assert ids[:, 0].tolist() == [0, 23, 46, 69, 92, 115, 138, 161, 184, 208]
    np.testing.assert_array_equal(np.diff(ids, axis=1), 2)
    assert ids.max() == 238


def test_a_span_of_a_session_starts_at_its_own_frame() -> None:
    ids = frame_ids(Span("v", 1.0, 2.5), 16)
    assert ids[0].tolist() == list(range(24, 56, 2))
    assert ids[-1].tolist() == list(range(28, 60, 2))


def test_a_short_clip_is_filled_with_black_and_repeated() -> None:
    places = egtea_rule(Span("v", 0.0, math.inf), FILES, [replace(INFO, num_frames=5)], 4)
    assert places == (FramePlace(0, 0), FramePlace(0, 2), FramePlace(0, 4), BLACK) * 10


def test_refuses_spans_past_the_video_and_chunks() -> None:
    with pytest.raises(InputError, match="frames 216 to 264 are asked for, there are 240"):
        frame_ids(Span("v", 9.0, 11.0), 4)
    with pytest.raises(InputError, match="whole files"):
        egtea_rule(Span("v", 0.0, 1.0), replace(FILES, chunk_starts_s=(0, 300)), [INFO], 4)


@pytest.mark.parametrize(("height", "width"), [(8, 19), (19, 8), (8, 8)])
def test_three_crops_share_the_long_side(height: int, width: int) -> None:
    spec = PreprocessSpec(image_px=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    frame = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    for third, offset in enumerate((0, math.ceil((max(height, width) - 8) / 2), max(height, width) - 8)):
        top, left = (offset, 0) if height > width else (0, offset)
        wanted = torch.from_numpy(frame[:, top : top + 8, left : left + 8]).permute(0, 3, 1, 2).float()
        assert torch.equal(preprocess(frame, spec, third=third), wanted)


def test_the_closest_view_counts() -> None:
    views, texts = np.random.default_rng(0).standard_normal((2, 3, 4)), np.eye(4)
    np.testing.assert_array_equal(best_view_similarity(views, texts), views.max(axis=1))
