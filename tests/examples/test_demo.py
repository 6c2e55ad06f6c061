"""The demo's arithmetic; the demo itself is run by `make demo`."""

import hashlib
import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import hypergeom
from small_world import CLIPS_PER_VIDEO, open_index

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
    return demo.Narration(video_uid="video-1", start_s=start_s, end_s=end_s, text=text, verb=verb, noun=noun)


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
    for found in range(6):
        assert demo.judge([True] * found + [False] * (5 - found), chances) is (found >= needed)


def test_judge_never_passes_when_chance_does_it_all(demo: ModuleType) -> None:
    assert demo.judge([True, True], [1.0, 1.0]) is False


def test_queries_are_different_actions_in_short_words(demo: ModuleType) -> None:
    told = [narration(demo, 0, 1, verb, noun) for verb in ("open", "close") for noun in ("box", "jar")]
    told += [one._replace(text=f"{one.text} with the left hand") for one in told]
    queries = demo.choose_queries(told, 3, np.random.default_rng(0))
    assert len({(query.verb, query.noun) for query in queries}) == 3
    assert all(query.text == f"{query.verb}s the {query.noun}" for query in queries)
