"""Cut-out things: what is cut out, what of it is chance, and that a stem learns from them and keeps what it learnt."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from henasy.errors import ConfigError
from henasy.model.conv_stem import ConvStem
from henasy.training.clip_cache import NUM_HANDS
from henasy.training.config import TrainConfig
from henasy.training.data import ClipCache
from henasy.training.things import ThingBatches, ThingNamer, ThingObjective, thing_score
from henasy.training.trainer import Trainer

CPU = torch.device("cpu")
NUM_CLIPS, CROP = 12, 64
HAND, SQUARE, STRIPES = 0, 1, 2


def picture(noun: int, at: int) -> np.ndarray:
    """A frame with one thing 20 px wide whose left upper corner is at (at, at)."""
    frame = np.full((CROP, CROP, 3), 40, np.uint8)
    inside = frame[at : at + 20, at : at + 20]
    inside[:] = 200
    if noun == STRIPES:
        inside[::4] = 0
    return frame


@pytest.fixture
def cache(tmp_path: Path) -> ClipCache:
    """Clips whose moments show a square or stripes; the left hand has the frame's last pixels, nothing else a box."""
    frames = np.zeros((NUM_CLIPS, 8, CROP, CROP, 3), np.uint8)
    boxes = np.zeros((NUM_CLIPS, 8, 4, 4), np.float32)
    nouns = np.full((NUM_CLIPS, 8, 4), -1, np.int16)
    for clip in range(NUM_CLIPS):
        for moment in range(8):
            noun, at = 1 + clip % 2, 4 + (5 * clip + 3 * moment) % 36
            frames[clip, moment] = picture(noun, at)
            boxes[clip, moment, 2] = np.array([at, at, at + 20, at + 20]) / CROP
            boxes[clip, moment, 0] = np.array([60, 60, 64, 64]) / CROP
            nouns[clip, moment, 2], nouns[clip, moment, 0] = noun, HAND
    for name, values in (("frames", frames), ("boxes", boxes), ("box_nouns", nouns)):
        np.save(tmp_path / f"{name}.npy", values)
    table = {
        "text": ["#C C lifts it"] * NUM_CLIPS,
        "verb_phrase": ["lifting it"] * NUM_CLIPS,
        "video_uid": ["v"] * NUM_CLIPS,
        "start_s": list(range(NUM_CLIPS)),
        "noun_rows": [[1 + clip % 2] for clip in range(NUM_CLIPS)],
        "hand": ["left"] * NUM_CLIPS,
        "verb_row": [0] * NUM_CLIPS,
    }
    pq.write_table(pa.table(table), tmp_path / "clips.parquet")
    about = {"crop_px": CROP, "num_moments": 8, "nouns": ["left hand", "square", "stripes"], "verbs": ["lift"]}
    (tmp_path / "cache.json").write_text(json.dumps(about))
    return ClipCache(tmp_path)


def things(cache: ClipCache, **changes: object) -> ThingBatches:
    config = TrainConfig(**({"num_steps": 10, "batch_size": 8, "seed": 3} | changes))
    sizes = {"crop_px": 24, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    return ThingBatches(cache, config, **sizes)


def test_thing_without_chance_fills_its_cutout(cache: ClipCache) -> None:
    batch = things(cache).plain(5, seed=0, device=CPU)
    assert batch.crops.shape == (5, 3, 24, 24)
    assert set(batch.nouns.tolist()) <= {SQUARE, STRIPES}
    for crop, noun in zip(batch.crops, batch.nouns, strict=True):
        # 20 of the cut-out's 24 px are the thing, in the middle
        assert crop[:, 0].max() == 40
        assert (crop[0, 2:22, 12] > 100).float().mean() == pytest.approx(1.0 if noun == SQUARE else 0.75, abs=0.15)


def test_thing_batches_depend_on_seed_and_step_alone(cache: ClipCache) -> None:
    first, again = (things(cache, recolour=1.0).batch(4, 0, CPU) for _ in range(2))
    assert torch.equal(first.crops, again.crops)
    assert torch.equal(first.nouns, again.nouns)
    assert not torch.equal(first.crops, things(cache, recolour=1.0).batch(5, 0, CPU).crops)
    assert len(first.crops) == 16


def test_thing_batches_draw_hands_more_seldom_than_other_things(cache: ClipCache) -> None:
    nouns = torch.cat([things(cache, batch_size=12).batch(step, 0, CPU).nouns for step in range(40)])
    assert float((nouns == HAND).float().mean()) == pytest.approx(0.2, abs=0.05)  # weight 0.25 beside 1


def test_stem_learns_things_and_the_run_goes_on_where_it_stopped(cache: ClipCache, tmp_path: Path) -> None:
    def train(folder: str, stops: tuple[int, ...]) -> tuple[ConvStem, dict[str, float]]:
        torch.manual_seed(0)
        stem = ConvStem(8, 16, 12)
        for stop in stops:
            namer = ThingNamer(stem, 3)
            config = TrainConfig(
                num_steps=30, batch_size=8, learning_rate=5e-3, evaluate_every=0, checkpoint_every=15, seed=3
            )
            trainer = Trainer(
                config,
                model=namer,
                objective=ThingObjective(namer),
                source=things(cache, seed=3),
                folder=tmp_path / folder,
                device=CPU,
                report=lambda line: None,
            )
            steps = trainer.steps()
            while next(steps) < stop:
                pass
            steps.close()
        return stem, thing_score(namer, things(cache).plain(60, seed=1, device=CPU))

    whole, score = train("whole", (30,))
    assert score["thing"] > 0.9
    assert not torch.equal(whole.norm.running_mean, torch.zeros(4))
    halved, _ = train("halved", (15, 30))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(halved.state_dict()[name], value, msg=name)


def test_thing_batches_refuse_a_cache_without_boxes(cache: ClipCache) -> None:
    cache.box_nouns = np.full_like(cache.box_nouns, -1)
    with pytest.raises(ConfigError, match="the cache has no boxes"):
        things(cache)


def test_thing_evaluation_refuses_a_cache_of_hands_alone(cache: ClipCache) -> None:
    of_hands = np.array(cache.box_nouns)
    of_hands[..., NUM_HANDS:] = -1
    cache.box_nouns = of_hands
    with pytest.raises(ConfigError, match="boxes of hands alone"):
        things(cache).plain(3, seed=0, device=CPU)
