"""Batches: who is whose hard negative, what a step's clips depend on, crops that move pixels and boxes together."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from henasy.errors import AnnotationError, ConfigError
from henasy.scenes.truth import InstanceRow, Truth
from henasy.text.tokenizer import train_tokenizer
from henasy.training.clip_cache import moment_boxes, read_narrations
from henasy.training.config import TrainConfig
from henasy.training.data import CacheBatches, ClipCache, bare
from henasy.training.share import Share
from henasy.training.validation import questions

CPU = torch.device("cpu")
NUM_CLIPS, CROP, IMAGE = 12, 20, 16


@pytest.fixture
def cache(tmp_path: Path) -> ClipCache:
    """Two videos of six clips, 25 s apart; pixel (y, x) of a frame is (clip, moment, y * 10 + x) in RGB."""
    frames = np.zeros((NUM_CLIPS, 8, CROP, CROP, 3), np.uint8)
    frames[..., 0] = np.arange(NUM_CLIPS)[:, None, None, None]
    frames[..., 1] = np.arange(8)[None, :, None, None]
    frames[..., 2] = np.arange(CROP)[:, None] * 10 + np.arange(CROP)
    boxes = np.tile(np.array([0.25, 0.5, 0.75, 1.0], np.float32), (NUM_CLIPS, 8, 4, 1))
    np.save(tmp_path / "frames.npy", frames)
    np.save(tmp_path / "boxes.npy", boxes)
    np.save(tmp_path / "box_nouns.npy", np.zeros((NUM_CLIPS, 8, 4), np.int16))
    rows = np.arange(NUM_CLIPS)
    table = {
        "text": [f"#C C lifts the mug {i % 3}" for i in rows],
        "verb_phrase": [f"lifting the mug {i % 3}" for i in rows],
        "video_uid": [f"v{i // 6}" for i in rows],
        "start_s": [25.0 * (i % 6) for i in rows],
        "noun_rows": [[i % 2, 1 - i % 2] if i % 3 == 0 else [i % 2] for i in rows],
        "hand": ["left"] * NUM_CLIPS,
        "verb_row": (rows % 3).tolist(),
    }
    pq.write_table(pa.table(table), tmp_path / "clips.parquet")
    about = {"crop_px": CROP, "num_moments": 8, "nouns": ["mug", "pan"], "verbs": ["lift", "put", "stir"]}
    (tmp_path / "cache.json").write_text(json.dumps(about))
    return ClipCache(tmp_path)


def batches(cache: ClipCache, **changes: object) -> CacheBatches:
    settings: dict[str, object] = {"num_steps": 10, "batch_size": 6}
    tokenizer = train_tokenizer(cache.texts, vocab_size=600, context_length=16)
    return CacheBatches(
        cache,
        tokenizer,
        TrainConfig(**(settings | changes)),
        image_px=IMAGE,
        num_frames=4,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


def test_batch_holds_anchors_then_neighbours_of_the_same_video(cache: ClipCache) -> None:
    for step in range(6):
        clips = batches(cache).batch(step, 0, CPU).frames[:, 0, 0, 0, 0].long().numpy()
        anchors, negatives = clips[:6], clips[6:]
        assert (anchors != negatives).all()
        assert (anchors // 6 == negatives // 6).all()
        assert (np.abs(anchors - negatives) <= 2).all()  # 2 * 25 s is within a minute, 3 * 25 s is not


def test_batch_clip_alone_in_its_minute_is_its_own_negative(cache: ClipCache) -> None:
    cache.starts_s = np.arange(NUM_CLIPS) * 100.0
    clips = batches(cache).batch(0, 0, CPU).frames[:, 0, 0, 0, 0]
    assert torch.equal(clips[:6], clips[6:])


def test_batch_is_what_the_shares_of_two_processes_make_together(cache: ClipCache) -> None:
    settings: dict[str, object] = {"recolour": 0.5, "backwards": 0.5, "undone_negatives": 0.5}
    whole = batches(cache, **settings)
    shares = [batches(cache, **settings) for _ in range(2)]
    for rank, source in enumerate(shares):
        source.share = Share(rank, 2)
    for step in range(4):
        own = [torch.from_numpy(source.share.rows(6)) for source in shares]
        parts = [source.batch(step, 0, CPU) for source in shares]
        for column, *halves in zip(whole.batch(step, 0, CPU), *parts, strict=True):
            for rows, half in zip(own, halves, strict=True):
                assert torch.equal(column[rows], half)


def test_batch_epoch_shows_every_clip_once(cache: ClipCache) -> None:
    source = batches(cache, num_micro_batches=2)
    seen = [source.batch(step, part, CPU).frames[:3, 0, 0, 0, 0] for step in (0, 1) for part in (0, 1)]
    assert sorted(torch.cat(seen).long().tolist()) == list(range(NUM_CLIPS))


def test_batch_depends_on_seed_and_step_alone(cache: ClipCache) -> None:
    once, again, other = batches(cache), batches(cache), batches(cache, seed=5)
    once.batch(7, 0, CPU)
    for left, right in zip(once.batch(3, 0, CPU), again.batch(3, 0, CPU), strict=True):
        assert torch.equal(left, right)
    assert not torch.equal(once.batch(3, 0, CPU).frames, other.batch(3, 0, CPU).frames)


def test_views_take_one_moment_of_each_quarter_in_order(cache: ClipCache) -> None:
    moments = batches(cache).batch(0, 0, CPU).frames[:, :, 1, 0, 0].long()
    assert torch.equal(moments // 2, torch.arange(4).expand(12, 4))


def test_views_boxes_move_with_the_crop(cache: ClipCache) -> None:
    batch = batches(cache).batch(0, 0, CPU)
    corner = batch.frames[:, 0, 2, 0, 0].long()
    y, x = corner // 10, corner % 10
    expected = torch.stack([5 - x, 10 - y, 15 - x, 20 - y], dim=1).float() / IMAGE
    torch.testing.assert_close(batch.boxes[:, 0, 0], expected.clamp(0, 1))


def test_views_of_evaluation_are_the_middle_crop(cache: ClipCache) -> None:
    frames = batches(cache).views(np.array([3]))
    assert frames.shape == (1, 4, 3, IMAGE, IMAGE)
    assert frames[0, :, 1, 0, 0].tolist() == [1, 3, 5, 7]
    assert frames[0, 0, 2, 0, 0] == 2 * 10 + 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_px": 32}, "image_px is 32"),
        ({"num_frames": 3}, "must divide the cache's 8"),
        ({"num_frames": 1, "backwards": 0.5}, "backwards is 0.5 .* both must be 0 for single frames"),
        ({"num_frames": 1, "undone_negatives": 0.5}, "undone_negatives 0.5; both must be 0 for single frames"),
    ],
)
def test_batches_refuse_what_the_cache_cannot_give(cache: ClipCache, changes: dict[str, Any], message: str) -> None:
    tokenizer = train_tokenizer(cache.texts, vocab_size=600, context_length=16)
    ways = {name: changes[name] for name in ("backwards", "undone_negatives") if name in changes}
    sizes = {name: changes.get(name, usual) for name, usual in (("image_px", IMAGE), ("num_frames", 4))}
    config = TrainConfig(num_steps=1, batch_size=2, **ways)
    with pytest.raises(ConfigError, match=message):
        CacheBatches(cache, tokenizer, config, mean=(0,) * 3, std=(1,) * 3, **sizes)


def test_questions_have_one_right_choice_and_stay_within_the_video(cache: ClipCache) -> None:
    rows = np.arange(NUM_CLIPS)
    asked = questions(cache, rows, np.random.default_rng(0), is_same_video=True)
    action = cache.handled_rows * 3 + cache.verb_rows
    assert len(asked) == NUM_CLIPS
    for question in asked:
        assert len(set(question // 6)) == 1
        assert (action[question[1:]] != action[question[0]]).all()


def test_bare_drops_the_leading_tag_only() -> None:
    assert bare("#C C lifts the mug") == "lifts the mug"
    assert bare("lifts the #C C mug") == "lifts the #C C mug"


def test_moment_boxes_orders_hands_handled_and_largest_other() -> None:
    instances = [(1, "left hand"), (2, "mug"), (3, "pan"), (4, "spoon")]
    boxes = np.array([[[0, 0, 10, 10], [50, 20, 90, 60], [60, 60, 80, 80], [60, 10, 70, 30]]], np.int32)
    truth = Truth(
        video_uid="v",
        times_s=np.array([0.0]),
        ids=np.zeros((1, 100, 140), np.uint8),
        boxes=boxes,
        instances=tuple(InstanceRow(number, noun, "") for number, noun in instances),
        narrations=(),
    )
    nouns = {"left hand": 0, "right hand": 1, "mug": 2, "pan": 3, "spoon": 4}
    chosen, labels = moment_boxes(truth, 0.0, 2, nouns)
    assert labels.tolist() == [-1, -1, 2, 3]  # the hand lies left of the centre crop, the spoon is the smaller other
    np.testing.assert_allclose(chosen[2], [0.3, 0.2, 0.7, 0.6], atol=1e-6)


def test_read_narrations_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "narrations.csv").write_text("video_uid\tclip_start\nv\t0\n")
    with pytest.raises(AnnotationError, match=r"missing columns \['clip_end'"):
        read_narrations(tmp_path)


def test_recolour_swaps_whole_clips_and_spares_named_colours(cache: ClipCache) -> None:
    cache.texts[:6] = ["#C C lifts the red mug"] * 6
    plain, swapped = (batches(cache, recolour=share, batch_size=12).batch(0, 0, CPU).frames for share in (0.0, 1.0))
    is_same = (plain == swapped).flatten(1).all(dim=1)
    clips = plain[:, 0, 0, 0, 0]
    assert is_same[clips < 6].all()
    assert not is_same[clips >= 6].all()
    assert torch.equal(plain.sort(dim=2).values, swapped.sort(dim=2).values)  # channels moved, nothing else


def test_backwards_turns_frames_and_boxes_and_says_what_undoes_them(cache: ClipCache) -> None:
    cache.boxes = np.tile(np.linspace(0.0, 0.7, 8, dtype=np.float32)[None, :, None, None], (NUM_CLIPS, 1, 4, 4))
    cache.boxes[..., 2:] = 1.0
    source = batches(cache, backwards=1.0, batch_size=12)
    batch = source.batch(0, 0, CPU)
    lifted = batch.rows % 3 == 0  # the narrations of other clips are not of their verb, so nothing undoes them
    assert 0 < lifted.sum() < 24
    moments = batch.frames[:, :, 1, 0, 0]
    assert (moments[lifted].diff(dim=1) < 0).all()
    assert (moments[~lifted].diff(dim=1) > 0).all()
    corners = batch.frames[:, :, 2, 0, 0] % 10
    left = ((moments * 0.1 * CROP - corners) / IMAGE).clamp(min=0)
    torch.testing.assert_close(batch.boxes[:, :, 0, 0], left)
    assert batch.verb_rows[lifted].eq(1).all()
    assert batch.verbs[lifted].argmax(dim=1).eq(1).all()
    assert (batch.verb_rows == batch.rows % 3)[~lifted].all()
    tokenizer = train_tokenizer(cache.texts, vocab_size=600, context_length=16)
    for row, tokens in zip(batch.rows[lifted], batch.phrase_tokens[lifted], strict=True):
        assert tokens.tolist() == tokenizer.encode_batch([f"putting down the mug {row % 3}"])[0].tolist()


def test_phrases_of_one_verb_and_noun_are_one_however_they_are_worded(cache: ClipCache) -> None:
    cache.verb_phrases = [f"{verb} number {row}" for row, verb in enumerate(cache.verb_phrases)]
    batch = batches(cache, backwards=0.5, batch_size=12).batch(0, 0, CPU)
    deeds = list(zip(batch.verb_rows.tolist(), batch.noun_rows[:, 0].tolist(), strict=True))
    assert len(set(deeds)) < len(deeds)
    for row, deed in enumerate(deeds):
        same = [deed == other for other in deeds]
        assert (batch.phrase_ids == batch.phrase_ids[row]).tolist() == same


def test_undone_negatives_are_the_anchors_the_other_way_round(cache: ClipCache) -> None:
    batch = batches(cache, backwards=0.5, undone_negatives=1.0, batch_size=12).batch(0, 0, CPU)
    clips = batch.rows % NUM_CLIPS
    lifted = clips[:12] % 3 == 0
    assert torch.equal(clips[12:][lifted], clips[:12][lifted])
    assert ((batch.rows[12:] >= NUM_CLIPS) != (batch.rows[:12] >= NUM_CLIPS))[lifted].all()
    assert (clips[12:][~lifted] != clips[:12][~lifted]).all()
    ways = batch.frames[:, :, 1, 0, 0].diff(dim=1)[:, 0].sign()
    assert (ways[:12] == -ways[12:])[lifted].all()
    assert set(ways[:12][lifted].tolist()) == {-1.0, 1.0}
    assert (batch.verb_rows[:12] + batch.verb_rows[12:])[lifted].eq(1).all()  # one lifts, row 0, the other puts, row 1


def test_backwards_of_every_clip_changes_nothing_but_the_ways(cache: ClipCache) -> None:
    plain, turned = (batches(cache, backwards=share, batch_size=12).batch(3, 0, CPU) for share in (1e-9, 1.0))
    assert torch.equal(plain.rows, turned.rows % NUM_CLIPS)
    assert torch.equal(plain.frames.sort(dim=1).values, turned.frames.sort(dim=1).values)
    assert torch.equal(plain.noun_rows, turned.noun_rows)


def test_a_narration_names_all_its_nouns_and_contrasts_what_is_handled(cache: ClipCache) -> None:
    batch = batches(cache).batch(0, 0, CPU)
    for row, nouns, contrasted in zip(batch.rows.tolist(), batch.noun_rows.tolist(), batch.nouns, strict=True):
        assert nouns == [row % 2, 1 - row % 2 if row % 3 == 0 else -1]
        assert contrasted.nonzero().flatten().tolist() == [row % 2]
