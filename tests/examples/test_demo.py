"""The demo's arithmetic; the demo itself is run by `make demo`."""

import hashlib
import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pycocotools import mask as coco
from scipy.stats import hypergeom
from small_world import CLIPS_PER_VIDEO, open_index

from henasy.scenes.truth import InstanceRow, Truth
from henasy.search.hits import Entity, Explanation, Mask, PhraseKind, PhraseMatch, Region

FILE = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module
    spec.loader.exec_module(module)
    return module


def narration(demo: ModuleType, start_s: float, end_s: float, verb: str = "open", noun: str = "box") -> object:
    text = f"{verb}s the {noun}"
    return demo.Narration(
        video_uid="video-1", start_s=start_s, end_s=end_s, text=text, verb=verb, noun=noun, instance=1
    )


def answers(demo: ModuleType, num_right: int, num_wrong: int, iou: float | None = 0.9) -> list[object]:
    return [demo.Answer(is_right=at < num_right, iou=iou) for at in range(num_right + num_wrong)]


def test_weights_name_tells_checkpoints_apart(demo: ModuleType, tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(name.encode())
    assert demo.weights_name(str(tmp_path / "old")) == hashlib.sha256(b"old").hexdigest()[:8]
    assert demo.weights_name(str(tmp_path / "new")) != demo.weights_name(str(tmp_path / "old"))


def test_actions_in_need_half_a_second_and_come_longest_first(demo: ModuleType) -> None:
    told = [narration(demo, 0.0, 2.4), narration(demo, 2.4, 5.0, "close"), narration(demo, 3.6, 9.0, "turn")]
    assert [one.verb for one in demo.actions_in("video-1", 2.0, 4.0, told)] == ["close"]
    assert [one.verb for one in demo.actions_in("video-1", 1.8, 4.3, told)] == ["close", "turn", "open"]
    assert demo.actions_in("video-2", 0.0, 9.0, told) == []


@pytest.mark.parametrize("num_seconds", [0.0, 1.0, 5.0, 30.0])
def test_chance_is_hypergeometric(demo: ModuleType, tmp_path: Path, num_seconds: float) -> None:
    index = open_index(tmp_path)
    query = demo.Query(text="opens the box", verb="open", noun="box")
    told = [narration(demo, 10.0, 10.0 + num_seconds)]
    # Clips start at every second and last two: those that share at least half a second.
    num_right = sum(min(s + 2, 10 + num_seconds) - max(s, 10) >= 0.5 for s in range(CLIPS_PER_VIDEO[1]))
    expected = hypergeom(sum(CLIPS_PER_VIDEO), num_right, demo.TOP_K).sf(0)
    assert demo.chance_of(query, told, index) == pytest.approx(expected)


def test_judge_wants_what_random_clips_reach_once_in_a_hundred(demo: ModuleType) -> None:
    chances = [0.05, 0.2, 0.4, 0.1, 0.3]
    outcomes = [
        (sum(right), np.prod([p if is_hit else 1 - p for p, is_hit in zip(chances, right, strict=True)]))
        for right in itertools.product([0, 1], repeat=len(chances))
    ]
    needed = next(n for n in range(6) if sum(share for count, share in outcomes if count >= n) <= demo.CHANCE_LEVEL)
    assert demo.needed_beyond_chance(chances) == needed
    for found in range(6):
        assert demo.judge(answers(demo, found, 5 - found), chances) is (found >= max(needed, 3))


def test_judge_never_passes_when_chance_does_it_all(demo: ModuleType) -> None:
    assert demo.judge(answers(demo, 2, 0), [1.0, 1.0]) is False


@pytest.mark.parametrize(
    ("num_right", "iou", "is_passed"), [(8, 0.25, True), (7, 0.9, False), (16, 0.24, False), (16, None, False)]
)
def test_judge_has_bars_of_its_own(demo: ModuleType, num_right: int, iou: float | None, is_passed: bool) -> None:
    chances = [0.01] * 16
    assert demo.needed_beyond_chance(chances) < 7
    assert demo.judge(answers(demo, num_right, 16 - num_right, iou), chances) is is_passed


def test_queries_are_spread_over_things_then_verbs(demo: ModuleType) -> None:
    pairs = [(verb, noun) for verb in ("open", "close", "turn") for noun in ("box", "jar", "pan")]
    told = [narration(demo, 0, 1, verb, noun) for verb, noun in pairs]
    for seed in range(5):
        queries = demo.choose_queries(told, 3, np.random.default_rng(seed))
        assert {query.noun for query in queries} == {"box", "jar", "pan"}
        assert {query.verb for query in queries} == {"open", "close", "turn"}
        assert queries == demo.choose_queries(told, 3, np.random.default_rng(seed))
    assert len(demo.choose_queries(told, 99, np.random.default_rng(0))) == 9


def region(time_s: float, mask: np.ndarray | None) -> Region:
    if mask is None:
        return Region(time_s=time_s, box=None, mask=None)
    counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    return Region(time_s=time_s, box=None, mask=Mask(height_px=mask.shape[0], width_px=mask.shape[1], counts=counts))


def test_mask_fit_is_the_mean_iou_with_what_is_handled(demo: ModuleType) -> None:
    ids = np.zeros((3, 4, 4), np.uint8)
    ids[0, :2] = 1  # 8 pixels of the handled jar, then nothing
    ids[:, 3] = 2  # another jar, 4 pixels in each frame
    rows = (InstanceRow(1, "jar", "red"), InstanceRow(2, "jar", "blue"), InstanceRow(3, "box", ""))
    times_s = np.array([0.0, 1.0, 2.0])
    truth = Truth(
        video_uid="video-1",
        times_s=times_s,
        ids=ids,
        boxes=np.zeros((3, 3, 4), np.int32),
        instances=rows,
        narrations=(),
    )
    half = np.zeros((4, 4), np.bool_)
    half[0] = True
    regions = [region(0.0, half), region(1.0, half), region(2.0, None)]
    handled = [narration(demo, 0, 2, noun="jar")]
    # 4 of 8 pixels; a mask over nothing; neither of them.
    assert demo.mask_fit(regions, truth, "jar", handled) == pytest.approx((0.5 + 0) / 2)
    assert demo.mask_fit([region(0.0, ids[0] == 2)], truth, "jar", []) == 1.0
    assert demo.mask_fit(regions, truth, "box", []) is None
    assert demo.mask_fit(regions, truth, "pan", []) is None


def test_met_entity_is_that_of_the_noun_phrase(demo: ModuleType) -> None:
    entities = tuple(Entity(slot=slot, score=0.5, patch_share=0.1, regions=()) for slot in (4, 2, 7))
    found = [("pulls a bottle closer", PhraseKind.VERB, 4), ("sponge", PhraseKind.NOUN, 7)]
    found += [("bottle closer", PhraseKind.NOUN, 2)]
    phrases = tuple(
        PhraseMatch(phrase=phrase, kind=kind, start_char=0, end_char=1, slot=slot, score=0.5)
        for phrase, kind, slot in found
    )
    explanation = Explanation(clip_score=0.5, phrases=phrases, entities=entities)
    assert demo.met_entity(explanation, "bottle") == ("bottle closer", entities[1])
    assert demo.met_entity(explanation, "jar") == ("the query", entities[0])


def test_pictures_of_an_earlier_demo_go(demo: ModuleType, tmp_path: Path) -> None:
    for name in ("03-box.png", "notes.png"):
        (tmp_path / name).touch()
    demo.clear_pictures(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.png"]


def test_queries_are_different_actions_in_short_words(demo: ModuleType) -> None:
    told = [narration(demo, 0, 1, verb, noun) for verb in ("open", "close") for noun in ("box", "jar")]
    told += [one._replace(text=f"{one.text} with the left hand") for one in told]
    queries = demo.choose_queries(told, 3, np.random.default_rng(0))
    assert len({(query.verb, query.noun) for query in queries}) == 3
    assert all(query.text == f"{query.verb}s the {query.noun}" for query in queries)
