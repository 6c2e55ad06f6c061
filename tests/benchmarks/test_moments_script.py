"""The benchmark of moments from videos to tables, on a minute of rendered scenes with random weights."""

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.checkpoint.encoder import load_encoder
from henasy.evaluation.encoding.dense import PlanRule
from henasy.evaluation.encoding.index_folder import index_settings, write_index
from henasy.evaluation.moments.run import MomentsOptions, found_by_henasy, load_moments, run
from henasy.evaluation.moments.scores import found_in_own_video
from henasy.evaluation.own.searched_archive import IndexArchive
from henasy.evaluation.tasks.report import RENDERED_HEADING
from henasy.heads.moment_ends import EndsConfig
from henasy.heads.moment_ends_file import SPACE, save_ends_head
from henasy.heads.moment_ends_training import EndsNetwork
from henasy.index.reader import Index
from henasy.index.select import Filters
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.scenes.split import Split
from henasy.search.engine import Engine
from henasy.search.request import SearchRequest, Target
from henasy.video.find import find_videos
from henasy.video.plan import ClipPlan

FINDERS = [
    "best single clip",
    "thresholded run of clips",
    "linear threshold crossing",
    "find_moments",
    "ceiling: find_moments on true labels",
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Test and training archive, two videos and one of a minute each."""
    folder = tmp_path_factory.mktemp("long")
    splits: tuple[Split, ...] = ("test", "train")
    for split in splits:
        config = ArchiveConfig(
            seed=21,
            num_videos=2 if split == "test" else 1,
            video_s=60.0,
            width_px=64,
            height_px=48,
            fps=4,
            split=split,
            truth_fps=1,
            longest_action_s=20.0,
        )
        write_archive(config, folder / split, workers=2)
    return folder / "test", folder / "train"


def _check_page(text: str) -> None:
    assert "<h1>Moments of narrated actions in long videos</h1>" in text
    assert f'<p class="remark">{RENDERED_HEADING}</p>' in text
    assert text.count("<table>") == 4
    assert text.count("<svg") == 4
    assert all(text.count(finder) >= 4 + 3 for finder in FINDERS)
    assert text.count("data:image/jpeg") > 10
    assert "the narrated action, " in text
    assert "no frame" not in text


def test_all_finders_are_measured_and_the_ceiling_is_highest(
    run_script: Any, archives: tuple[Path, Path], random_checkpoint: Path, tmp_path: Path
) -> None:
    test, train = archives
    out, page = tmp_path / "moments.json", tmp_path / "page.html"
    options = ("--model", random_checkpoint, "--archive", test, "--train-archive", train, "--json", out)
    result = run_script("moments.py", *options, "--report", page)
    assert result.exit_code == 0, result.output
    _check_page(page.read_text())
    assert RENDERED_HEADING in result.output
    written = json.loads(out.read_text())
    assert list(written["finders"]) == FINDERS
    assert written["facts"]["space"] == load_encoder(random_checkpoint).space_id
    assert "random" in written["facts"]["warning"]
    assert written["facts"]["ends head"] == "none"
    for name, row in written["finders"].items():
        own = row["own video"]
        assert 0 <= own["r1@0.7"] <= own["r1@0.5"] <= own["r1@0.3"] <= own["r5@0.3"] <= 1
        assert own["queries"] == sum(part["queries"] for part in row["by length"].values())
        assert own["miou"] <= written["finders"][FINDERS[-1]]["own video"]["miou"]
        assert row["nlq"]["miou"] <= own["miou"] + 1e-9
        assert ("gain_of_find_moments" in own) == (name in FINDERS[:3])
    gain = written["finders"]["best single clip"]["own video"]["gain_of_find_moments"]
    ours, best = (written["finders"][name]["own video"]["miou"] for name in ("find_moments", "best single clip"))
    assert gain["mean"] == pytest.approx(ours - best)
    assert gain["low"] <= gain["mean"] <= gain["high"]


def test_an_index_of_the_archive_gives_the_same_numbers(
    run_script: Any, archives: tuple[Path, Path], random_checkpoint: Path, tmp_path: Path
) -> None:
    test, train = archives
    encoder = load_encoder(random_checkpoint)
    settings = index_settings(encoder, str(random_checkpoint), ClipPlan(num_frames=encoder.num_frames))
    write_index(tmp_path / "index", find_videos([test / "videos"]).videos, encoder, settings)
    options = ("--model", random_checkpoint, "--archive", test, "--train-archive", train)
    written = []
    for name, more in (("encoded", ()), ("indexed", ("--index", tmp_path / "index"))):
        out = tmp_path / f"{name}.json"
        result = run_script("moments.py", *options, *more, "--json", out)
        assert result.exit_code == 0, result.output
        written.append(json.loads(out.read_text()))
    for name in FINDERS:
        encoded, indexed = (one["finders"][name]["own video"]["miou"] for one in written)
        assert math.isclose(encoded, indexed, abs_tol=0.05), name

    lacking = run_script("moments.py", *options[:2], "--archive", train, *options[4:], "--index", tmp_path / "index")
    assert lacking.exit_code == 1
    assert "1 of 1 videos have no clip in it" in lacking.output
    other = run_script("moments.py", "--model", "henasy-tiny", *options[2:], "--index", tmp_path / "index")
    assert other.exit_code == 1
    assert "holds space" in other.output
    frames = run_script("moments.py", *options, "--index", tmp_path / "index", "--frames", 8)
    assert frames.exit_code == 1
    assert "--frames: is 8, the index has 4 frames" in frames.output


def test_results_name_the_head_that_made_their_ends(
    archives: tuple[Path, Path], random_checkpoint: Path, tmp_path: Path
) -> None:
    test, train = archives
    model = tmp_path / "with_head"
    shutil.copytree(random_checkpoint, model)
    encoder = load_encoder(model)
    config = EndsConfig(
        num_frames=encoder.num_frames,
        grid=encoder.grid,
        num_entities=encoder.num_entities,
        clip_s=2.0,
        stride_s=1.0,
        hidden=8,
    )
    folder = save_ends_head(model, config, EndsNetwork(config).state_dict(), {SPACE: encoder.space_id})
    expected = "sha256 " + hashlib.sha256((folder / "head.safetensors").read_bytes()).hexdigest()[:16]
    result = run(MomentsOptions(model=str(model), archive=test, train_archive=train))
    assert result.facts["ends head"] == expected
    settings = index_settings(encoder, str(model), ClipPlan(num_frames=encoder.num_frames))
    write_index(tmp_path / "index", find_videos([train / "videos"]).videos, encoder, settings)
    for name, head in ((model, expected), (random_checkpoint, "none")):
        searched = IndexArchive(tmp_path / "index", model=str(name), device="cpu", target=Target.MOMENTS)
        assert searched.facts["ends head"] == head


def test_the_measured_finder_answers_what_a_search_answers(
    archives: tuple[Path, Path], random_checkpoint: Path, tmp_path: Path
) -> None:
    test, _ = archives
    encoder = load_encoder(random_checkpoint)
    settings = index_settings(encoder, str(random_checkpoint), ClipPlan(num_frames=encoder.num_frames))
    write_index(tmp_path / "index", find_videos([test / "videos"]).videos, encoder, settings)
    index = Index.open(tmp_path / "index")
    moments = load_moments(test, encoder, PlanRule(), index=index)
    engine = Engine(index, encoder)
    id_of = {Path(record.path).stem: record.video_id for record in index.videos}
    found = found_in_own_video(moments, found_by_henasy, moments.evidence)
    for query, ours in list(zip(moments.queries, found, strict=True))[:5]:
        filters = Filters(video_ids=(id_of[query.video_uid],))
        answer = engine.search(SearchRequest(queries=(query.text,), target=Target.MOMENTS, filters=filters))
        hits = [(hit.span.start_s, hit.span.end_s) for hit in answer.results[0].hits]
        assert len(hits) == len(ours.spans)
        # Random weights score clips nearly alike, so that rounding moves an end.
        np.testing.assert_allclose(hits[0], ours.spans[0], atol=0.1)


def test_wrong_archives_end_with_one_line(
    run_script: Any, archives: tuple[Path, Path], random_checkpoint: Path, tmp_path: Path
) -> None:
    test, train = archives
    options = ("--model", random_checkpoint, "--train-archive", train)
    empty = run_script("moments.py", *options, "--archive", tmp_path)
    assert empty.exit_code == 1
    assert "no such annotation file" in empty.output
    partial = tmp_path / "partial"
    partial.mkdir()
    (partial / "narrations.csv").write_bytes((test / "narrations.csv").read_bytes())
    without_videos = run_script("moments.py", *options, "--archive", partial)
    assert without_videos.exit_code == 1
    assert "kitchen-test-000021-0000" in without_videos.output
