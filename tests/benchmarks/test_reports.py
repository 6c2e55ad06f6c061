"""The report of a run, from the script's command line to a page with the clips and what was said of them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.evaluation.annotations.egohoi import NUM_CAPTIONS, EgoHoi, HoiItem
from henasy.evaluation.annotations.egomcq import load_egomcq
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.pages.choice_details import class_details, swap_details
from henasy.evaluation.rendered.layouts import write_layouts


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(("script", "name"), [("egomcq.py", "EgoMCQ"), ("ek100_mir.py", "EK100 multi")])
def test_a_report_shows_clips_with_masks(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path, script: str, name: str
) -> None:
    page = tmp_path / "page.html"
    result = run_script(script, "--archive", small_archive, "--model", random_checkpoint, "--report", page)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert f"<h1>{name}" in text
    assert "rendered scenes, not comparable with the papers" in text
    assert text.count("<svg") == 2
    assert text.count("data:image/jpeg") > 20
    # Pictures name the phrases whose entities they show.
    assert text.count('class="key"') > 20
    assert "<dt>warning</dt>" in text


def test_features_made_elsewhere_give_a_report_without_pictures(
    run_script: Any, small_archive: Path, tmp_path: Path
) -> None:
    layout = write_layouts(small_archive, tmp_path)
    count = len(load_egomcq(layout.egomcq).questions)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "v.npy", rng.standard_normal((count, 5, 8)).astype(np.float32))
    np.save(tmp_path / "t.npy", rng.standard_normal((count, 8)).astype(np.float32))
    page = tmp_path / "page.html"
    features = ("--features", tmp_path / "v.npy", tmp_path / "t.npy")
    result = run_script("egomcq.py", "--annotations", layout.egomcq, *features, "--report", page)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert "LaViLa" in text
    assert "data:image" not in text
    assert len(re.findall('<div class="item">', text)) == min(16, count)


def test_a_report_that_cannot_be_written_is_one_line(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    result = run_script(
        "egomcq.py", "--archive", small_archive, "--model", random_checkpoint, "--report", tmp_path / "file" / "x.html"
    )
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert "file" in result.output.splitlines()[-1]


def test_classes_are_shown_with_the_right_one_among_them() -> None:
    similarity = np.array([[0.9, 0.2, 0.3, 0.4, 0.5, 0.1], [0.0, 0.6, 0.5, 0.0, 0.0, 0.0]])
    spans = [Span("v", 0, 1), Span("v", 1, 2)]
    details = class_details(["a", "b"], list("uvwxyz"), similarity, np.array([5, 1]), spans)
    first, second = details.items
    assert [one.label for one in first.candidates] == ["u", "y", "x", "w", "z"]
    assert [one.is_right for one in first.candidates] == [False] * 4 + [True]
    assert [one.span for one in first.candidates] == [spans[0], None, None, None, None]
    assert first.score == pytest.approx(-0.8)
    assert second.score == pytest.approx(0.1)
    assert dict(zip(*(axis.tolist() for axis in details.charts[0].lines[0][1:]), strict=True)) == {
        1: 50, 2: 50, 3: 50, 4: 50, 5: 50, 6: 100,
    }  # fmt: skip


def test_word_swaps_are_told_by_their_kind() -> None:
    def item(text: str) -> HoiItem:
        swaps = tuple(f"{text} {number}" for number in range(20))
        return HoiItem(span=Span("v", 0, 1), text=text, verb_swaps=swaps[:10], noun_swaps=swaps[10:])

    similarity = np.zeros((3, NUM_CAPTIONS))
    similarity[0, 0], similarity[0, 3] = 0.9, 0.4
    similarity[1, 0], similarity[1, 15] = 0.2, 0.8
    annotations = EgoHoi(items=(item("open"), item("cut"), item("lost")))
    details = swap_details(annotations, similarity, np.array([True, True, False]))
    assert [one.score for one in details.items] == pytest.approx([0.5, -0.6])
    assert [one.candidates[0].label for one in details.items] == ["open", "cut 14"]
    verbs, nouns = details.charts[0].lines
    assert verbs.y.tolist()[0] == 100
    assert nouns.y.tolist()[0] == 50
    assert nouns.y.tolist()[1] == 100
