"""EgoNLQ from videos to numbers, on a small rendered archive with random weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from henasy.checkpoint.encoder import load_encoder
from henasy.evaluation.rendered.spans import SpanLayout, write_span_layout
from henasy.evaluation.span_tasks import egonlq_encoded
from henasy.heads.vslnet_training import VslNetTraining


@pytest.fixture
def layout(small_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpanLayout:
    """The archive as both splits; training takes a moment."""
    default = VslNetTraining()
    train = replace(default.train, num_steps=3, num_warmup_steps=1, checkpoint_every=3)
    short = replace(default, num_positions=16, hidden=16, train=train)
    monkeypatch.setattr(egonlq_encoded, "VslNetTraining", lambda: short)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_span_layout(small_archive, small_archive, tmp_path)


def test_both_ways_are_scored_apart_and_repeat(
    run_script: Any, layout: SpanLayout, random_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    arguments = ["--annotations", layout.annotations, "--videos", layout.videos, "--model", random_checkpoint]
    result = run_script("egonlq.py", *arguments, "--json", out, "--save-predictions", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    zero_shot, head = result.output.split("EgoNLQ, VSLNet head trained on the features")
    assert "no row of theirs compares" in zero_shot
    assert "HENASY" not in zero_shot.replace("henasy", "")
    assert "HENASY, VSLNet" in head
    written = json.loads(out.read_text())
    assert list(written) == ["zero_shot", "head"]
    for made in written:
        scores = {name: value for name, value in written[made].items() if name != "facts"}
        assert list(scores) == ["r1@0.3", "r5@0.3", "r1@0.5", "r5@0.5", "miou"]
        assert all(0 <= value <= 1 for value in scores.values())
        assert written[made]["facts"]["space"] == load_encoder(random_checkpoint).space_id
        scored = run_script(
            "egonlq.py", "--annotations", layout.annotations, "--predictions", tmp_path / "mine" / f"{made}.json",
            "--json", tmp_path / f"{made}.json",
        )  # fmt: skip
        assert scored.exit_code == 0, scored.output
        again = json.loads((tmp_path / f"{made}.json").read_text())["predictions"]
        assert {name: again[name] for name in scores} == pytest.approx(scores)
    repeated = run_script(
        "egonlq.py", *arguments, "--json", tmp_path / "again.json", "--report", tmp_path / "page.html"
    )
    assert repeated.exit_code == 0, repeated.output
    assert json.loads((tmp_path / "again.json").read_text()) == written
    for made in written:
        page = (tmp_path / f"page-{made}.html").read_text()
        assert page.count("the answer, ") >= 8
        assert page.count("data:image/jpeg") > 16
        assert "no file of video" not in page


def test_search_only_trains_nothing(
    run_script: Any, layout: SpanLayout, random_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ["--annotations", layout.annotations, "--videos", layout.videos, "--model", random_checkpoint]
    result = run_script("egonlq.py", *arguments, "--search-only", "--json", tmp_path / "scores.json")
    assert result.exit_code == 0, result.output
    assert list(json.loads((tmp_path / "scores.json").read_text())) == ["zero_shot"]
    assert not (tmp_path / "cache" / "henasy" / "heads").exists()


def test_a_missing_video_stops_the_run_or_is_said(
    run_script: Any, layout: SpanLayout, random_checkpoint: Path, tmp_path: Path
) -> None:
    gone = min(layout.videos.iterdir())
    gone.unlink()
    out = tmp_path / "scores.json"
    arguments = ["--annotations", layout.annotations, "--videos", layout.videos, "--model", random_checkpoint]
    stopped = run_script("egonlq.py", *arguments)
    assert stopped.exit_code == 1
    assert f"clip {gone.stem}-clip of video {gone.stem}: no file" in stopped.output
    partial = run_script("egonlq.py", *arguments, "--allow-missing", "--json", out)
    assert partial.exit_code == 0, partial.output
    facts = json.loads(out.read_text())["head"]["facts"]
    first, rest = str(facts["scored"]).split(" of ")
    assert int(first) < int(rest.split()[0])
    assert gone.stem in str(facts["missing"])
    assert gone.stem in str(facts["training missing"])
