"""Batches of EgoClip: who is in them, what is seen of a clip, what they depend on, what damaged clips do."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from small_egoclip import Row, frame_numbers, write_annotations, write_grey, write_taxonomy

from henasy.errors import AnnotationError, ConfigError, TrainingError
from henasy.text.tokenizer import train_tokenizer
from henasy.training.config import TrainConfig
from henasy.training.data import TrainBatch
from henasy.training.egoclip.captions import phrase_number
from henasy.training.egoclip.clips import EgoClips, open_egoclip
from henasy.training.egoclip.config import EgoClipFiles, EgoClipRecipe
from henasy.training.egoclip.refusals import Refusals
from henasy.training.egoclip.source import EgoClipBatches, Sampling
from henasy.training.share import WHOLE, Share
from henasy.video.preprocess import PreprocessSpec
from henasy.video.view_pool import ViewPool
from henasy.video.views import ViewRule

CPU = torch.device("cpu")
SPEC = PreprocessSpec(image_px=16, mean=(10.0, 10.0, 10.0), std=(2.0, 2.0, 2.0))
TEXTS = {
    "#C C picks the cup": ("[0]", "[0]"),
    "#C C takes the knife from the chopping board": ("[0]", "[1, 2]"),
    "#C C washes the hand": ("[2]", "[3]"),
    "#C C looks around": ("[]", "[]"),
}


class Data(NamedTuple):
    """A data set on disk, opened."""

    folder: Path
    clips: EgoClips


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Two videos of 10 s, whole and in chunks of 3 s, 12 clips of 1.6 s each; a minute ends at 5 s."""
    folder = tmp_path_factory.mktemp("egoclip")
    write_grey(folder / "videos" / "v.mp4", num_frames=100)
    for first in (0, 30, 60, 90):
        path = folder / "videos" / "w.mp4" / f"{first // 10}.mp4"
        write_grey(path, num_frames=min(30, 100 - first), first=first)
    starts_s = np.linspace(0, 8.2, 12)
    rows = [
        Row(video, float(start), float(start) + 1.6, text, *TEXTS[text])
        for video in "vw"
        for start, text in zip(starts_s, list(TEXTS) * 3, strict=True)
    ]
    write_annotations(folder / "egoclip.csv", rows)
    write_taxonomy(folder / "taxonomy")
    pq.write_table(
        pa.table({"clip_idx": [100, 103], "verb_phrase": ["lifting a cup", "looking"], "source": ["m", "m"]}),
        folder / "phrases.parquet",
    )
    return Data(folder, opened(folder))


def opened(folder: Path, boxes: Path | None = None, hand_word: str | None = None) -> EgoClips:
    files = EgoClipFiles(
        folder / "egoclip.csv", folder / "videos", folder / "taxonomy", boxes, folder / "phrases.parquet"
    )
    recipe = EgoClipRecipe(segment_s=5.0, hand_word=hand_word)
    return open_egoclip(files, recipe, folder, cache=folder / "cache", report=lambda line: None)


@pytest.fixture(scope="module")
def pool() -> Iterator[ViewPool]:
    with ViewPool(2) as pool:
        yield pool


def source(
    clips: EgoClips,
    pool: ViewPool,
    log: Path,
    *,
    share: Share = WHOLE,
    crop: str = "center",
    max_share: float = 0.01,
    is_middle: bool = False,
    **settings: object,
) -> EgoClipBatches:
    tokenizer = train_tokenizer(list(TEXTS), vocab_size=600, context_length=24)
    return EgoClipBatches(
        clips,
        tokenizer,
        TrainConfig(**({"num_steps": 100, "batch_size": 6} | settings)),
        spec=SPEC,
        sampling=Sampling(ViewRule(16, crop), 4, is_middle=is_middle),
        pool=pool,
        refusals=Refusals(log, clips.table, max_share=max_share),
        share=share,
    )


def levels(frames: torch.Tensor) -> np.ndarray:
    """(2B, T, S, S, 3) what was decoded."""
    return (frames * 2.0 + 10.0).permute(0, 1, 3, 4, 2).numpy()


def assert_equal(left: TrainBatch, right: TrainBatch) -> None:
    for name, one, other in zip(TrainBatch._fields, left, right, strict=True):
        assert torch.equal(one, other), name


def test_batch_is_anchors_then_others_of_their_segments(data: Data, pool: ViewPool, tmp_path: Path) -> None:
    made = source(data.clips, pool, tmp_path / "r")
    table = data.clips.table
    for step in range(3):
        rows = made.batch(step, 0, CPU).rows.numpy()
        anchors, negatives = rows[:6], rows[6:]
        assert (anchors != negatives).all()
        assert (table.video[anchors] == table.video[negatives]).all()
        assert (table.narration_s[anchors] // 5 == table.narration_s[negatives] // 5).all()


def test_batch_epoch_has_every_clip_once_and_the_next_another_order(data: Data, pool: ViewPool, tmp_path: Path) -> None:
    made = source(data.clips, pool, tmp_path / "r")
    orders = [[made.anchor(epoch * 24 + place, 0) for place in range(24)] for epoch in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(24))
    assert orders[0] != orders[1]


@pytest.mark.parametrize("crop", ["center", "random"])
def test_batch_depends_on_seed_and_step_alone(data: Data, pool: ViewPool, tmp_path: Path, crop: str) -> None:
    once, again = (source(data.clips, pool, tmp_path / name, crop=crop) for name in "ab")
    other = source(data.clips, pool, tmp_path / "c", crop=crop, seed=5)
    once.batch(7, 0, CPU)
    with ThreadPoolExecutor(3) as threads:
        made = list(threads.map(lambda step: again.batch(step, 0, CPU), (3, 4, 5)))
    assert_equal(once.batch(3, 0, CPU), made[0])
    assert not torch.equal(made[0].rows, other.batch(3, 0, CPU).rows)


def test_batch_of_shares_and_parts_are_the_rows_of_one(data: Data, pool: ViewPool, tmp_path: Path) -> None:
    whole = source(data.clips, pool, tmp_path / "r", batch_size=8, crop="random").batch(2, 0, CPU)
    halves = [
        source(data.clips, pool, tmp_path / "r", batch_size=8, crop="random", share=Share(rank, 2)).batch(2, 0, CPU)
        for rank in (0, 1)
    ]
    parted = source(data.clips, pool, tmp_path / "r", batch_size=8, crop="random", num_micro_batches=2)
    for pieces in (halves, [parted.batch(2, part, CPU) for part in (0, 1)]):
        joined = [torch.cat([a[:4], b[:4], a[4:], b[4:]]) for a, b in zip(*pieces, strict=True)]
        assert_equal(whole, TrainBatch(*joined))


def test_views_are_moments_of_each_quarter_at_random_or_in_the_middle(
    data: Data, pool: ViewPool, tmp_path: Path
) -> None:
    table = data.clips.table
    seen = set()
    for is_middle in (False, True):
        made = source(data.clips, pool, tmp_path / "r", is_middle=is_middle)
        for step in range(2):
            batch = made.batch(step, 0, CPU)
            places = (frame_numbers(levels(batch.frames)) + 0.5) / 10 - table.start_s[batch.rows.numpy()][:, None]
            quarter = places / 0.4 - np.arange(4)  # 0..1 within its own, to half a frame
            assert (quarter > -0.13).all()
            assert (quarter < 1.13).all()
            if is_middle:
                assert (abs(quarter - 0.5) < 0.13).all()
            seen.update(np.round(quarter, 1).reshape(-1).tolist())
    assert len(seen) > 8


def test_batch_words_are_those_of_the_annotations(data: Data, pool: ViewPool, tmp_path: Path) -> None:
    batch = source(data.clips, pool, tmp_path / "r", batch_size=12).batch(0, 0, CPU)
    texts = data.clips.table.texts(batch.rows.numpy())
    words = data.clips.taxonomy.words
    expected = {
        "#C C picks the cup": (["cup"], [0], [0], "picking the cup"),
        "#C C takes the knife from the chopping board": (["chopping board", "knife"], [1, 2], [0], "taking the knife"),
        "#C C washes the hand": ([], [3], [2], "washing"),
        "#C C looks around": ([], [], [], "looking around"),
    }
    for row, text in enumerate(texts):
        named, nouns, verbs, phrase = expected[text]
        assert [words[n] for n in batch.noun_rows[row] if n >= 0] == named
        assert batch.nouns[row].nonzero()[:, 0].tolist() == nouns
        assert batch.verbs[row].nonzero()[:, 0].tolist() == verbs
        assert batch.verb_rows[row] == (verbs[0] if verbs else -1)
        clip_idx = int(data.clips.table.clip_idx[batch.rows[row]])
        phrase = {100: "lifting a cup", 103: "looking"}.get(clip_idx, phrase)
        assert batch.phrase_ids[row] == phrase_number(phrase) or text == "#C C looks around"
    assert not batch.boxes.any()
    assert (batch.box_nouns == -1).all()


def boxes_file(data: Data, path: Path) -> Path:
    """Boxes of the clips with an even number, each a left hand in the left half of the frame."""
    table = data.clips.table
    rows = np.flatnonzero(table.clip_idx % 2 == 0)
    boxes = np.zeros((len(rows), 4, 4, 4), np.float32)
    boxes[:, :, 0] = 0.25, 0.0, 0.5, 1.0
    columns = {
        "video_uid": [table.video_uids[code] for code in table.video[rows]],
        "start_ms": np.rint(table.start_s[rows] * 1000).astype(np.int64),
        "boxes": pa.FixedSizeListArray.from_arrays(pa.array(boxes.reshape(-1)), 64),
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_boxes_follow_the_crop_and_their_clips_are_seen_at_the_middles(
    data: Data, pool: ViewPool, tmp_path: Path
) -> None:
    path = boxes_file(data, tmp_path / "boxes.parquet")
    clips = opened(data.folder, path, hand_word="hand")
    batch = source(clips, pool, tmp_path / "r", batch_size=12).batch(0, 0, CPU)
    has_boxes = clips.table.clip_idx[batch.rows.numpy()] % 2 == 0
    assert 0 < has_boxes.sum() < 24
    expected = torch.tensor([8 / 48, 0.0, 24 / 48, 1.0])  # the centre 48 px of 64: from 8 on
    torch.testing.assert_close(
        batch.boxes[has_boxes][:, :, 0], expected.expand(int(has_boxes.sum()), 4, 4), atol=1e-4, rtol=0
    )
    assert not batch.boxes[:, :, 1:].any()
    assert not batch.boxes[~has_boxes].any()
    hand = clips.taxonomy.word_rows["hand"]
    assert (batch.box_nouns[has_boxes][:, :, 0] == hand).all()
    assert (batch.box_nouns[~has_boxes] == -1).all()
    places = (frame_numbers(levels(batch.frames)) + 0.5) / 10 - clips.table.start_s[batch.rows.numpy()][:, None]
    assert (abs(places[has_boxes] / 0.4 - np.arange(4) - 0.5) < 0.13).all()
    with pytest.raises(AnnotationError, match="hand_word is 'paw'"):
        opened(data.folder, hand_word="paw")
    with pytest.raises(ConfigError, match="num_frames is 2; with boxes it must be 4"):
        EgoClipBatches(
            clips,
            train_tokenizer(list(TEXTS), vocab_size=600, context_length=24),
            TrainConfig(num_steps=1, batch_size=2),
            spec=SPEC,
            sampling=Sampling(ViewRule(16, "center"), 2),
            pool=pool,
            refusals=Refusals(tmp_path / "r", clips.table, max_share=1.0),
        )


@pytest.fixture
def damaged(data: Data, tmp_path: Path) -> EgoClips:
    """The chunk of 3 s to 6 s of the second video is no video, so four of its clips cannot be read."""
    for path in (data.folder / "videos").rglob("*.mp4"):
        if path.is_file():
            target = tmp_path / path.relative_to(data.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b"no video" if path.name == "3.mp4" else path.read_bytes())
    for name in ("egoclip.csv", "phrases.parquet"):
        (tmp_path / name).write_bytes((data.folder / name).read_bytes())
    write_taxonomy(tmp_path / "taxonomy")
    return opened(tmp_path)


def test_damaged_clips_are_replaced_counted_and_listed(damaged: EgoClips, pool: ViewPool, tmp_path: Path) -> None:
    log = tmp_path / "refused.jsonl"
    made = source(damaged, pool, log, batch_size=12, max_share=1.0)
    batches = [made.batch(step, 0, CPU) for step in (0, 1)]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    refused = {line["row"] for line in lines}
    assert len(lines) == len(refused) > 2
    assert all(line["video_uid"] == "w" and "3.mp4" in line["reason"] for line in lines)
    assert {line["clip_idx"] for line in lines} <= set(range(112, 124))
    for batch in batches:
        assert refused.isdisjoint(batch.rows.tolist())
        assert len(batch.rows) == 24
        assert batch.frames.flatten(1).std(dim=1).min() > 0  # no black frames
    # a later part of the run, which knows them from the start, makes the same
    again = source(damaged, pool, log, batch_size=12, max_share=1.0)
    assert_equal(again.batch(1, 0, CPU), batches[1])
    assert len(log.read_text().splitlines()) == len(lines)


def test_too_many_damaged_clips_stop_the_run(damaged: EgoClips, pool: ViewPool, tmp_path: Path) -> None:
    log = tmp_path / "refused.jsonl"
    made = source(damaged, pool, log, batch_size=12, max_share=0.001)
    message = r"2 of \d+ clips could not be decoded, at most 0\.1% may be \(max_refused_share\)"
    with pytest.raises(TrainingError, match=message):
        _ = [made.batch(step, 0, CPU) for step in range(4)]
    assert log.exists()


def test_refusals_bear_a_share_of_a_thousand_first(data: Data, tmp_path: Path) -> None:
    refusals = Refusals(tmp_path / "refused.jsonl", data.clips.table, max_share=0.01)
    for row in range(10):
        refusals.count_asked()
        refusals.add(row, f"v.mp4: fault {row % 2}")
    with pytest.raises(TrainingError, match=r"11 of 10 .*most often: \{'fault 0': 6"):
        refusals.add(10, "v.mp4: fault 0")


def test_refusals_of_a_restarted_run_count_on_and_may_be_allowed_more(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "refused-0.jsonl"

    def refuse(refusals: Refusals, rows: range, *, num_good: int = 0) -> None:
        for _ in range(num_good):
            refusals.count_asked()
        for row in rows:
            refusals.count_asked()
            refusals.add(row, "v.mp4: fault")

    refuse(Refusals(path, data.clips.table, max_share=0.01), range(10))
    with path.open("a") as stream:
        stream.write('{"row": 23, "clip_i')  # a power cut
    with pytest.raises(TrainingError, match="11 of 11 clips"):
        refuse(Refusals(path, data.clips.table, max_share=0.01), range(10, 11))
    assert [json.loads(line)["row"] for line in path.read_text().splitlines()] == list(range(11))
    allowed = Refusals(path, data.clips.table, max_share=0.02)
    assert (allowed.num_asked, allowed.num_refused, allowed.reason(23)) == (11, 11, None)
    refuse(allowed, range(11, 20))
    with pytest.raises(TrainingError, match="21 of 21 clips"):
        refuse(allowed, range(20, 21))
    # clips that were read since the last refusal are not forgotten either
    refuse(Refusals(path, data.clips.table, max_share=0.02), range(0), num_good=2500)
    refuse(Refusals(path, data.clips.table, max_share=0.02), range(21, 24))


def test_batch_larger_than_the_data_is_refused(data: Data, pool: ViewPool, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size is 25; there are 24 clips"):
        source(data.clips, pool, tmp_path / "r", batch_size=25)
