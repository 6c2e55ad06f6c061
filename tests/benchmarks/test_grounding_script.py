"""`grounding.py` from videos to numbers, on rendered truth and on the same truth written as hand-made masks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import read_checkpoint, save_checkpoint
from henasy.evaluation.rendered.layouts import RenderedClip, read_rendered_clips
from henasy.evaluation.rendered.overlaps import rendered_overlaps
from henasy.evaluation.rendered.things import acting_hand, action, handled_object
from henasy.evaluation.tasks.report import RENDERED_HEADING
from henasy.scenes.archive import read_config
from henasy.scenes.truth import Truth
from henasy.video.decode import find_decoder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def iou(mask: np.ndarray, other: np.ndarray) -> float:
    return float((mask & other).sum() / (mask | other).sum())


def check_page(text: str, title: str, remark: str, num_shown: int = 16) -> None:
    assert f"<h1>{title}</h1>" in text
    assert remark in text
    assert text.count("<svg") == 2
    assert text.count('<div class="item">') == text.count("data:image/jpeg") == num_shown
    assert text.count("true mask; the patch grid allows") == num_shown
    assert "no frame" not in text


def test_rendered_scores_average_what_the_overlaps_say(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    arguments = ("grounding.py", "--archive", small_archive, "--model", random_checkpoint, "--json", out)
    page = tmp_path / "page.html"
    first, again = run_script(*arguments), run_script(*arguments, "--report", page)
    check_page(page.read_text(), "Visual grounding, mean IoU in percent", RENDERED_HEADING)
    assert first.exit_code == 0, first.output
    assert first.output == again.output
    assert RENDERED_HEADING in first.output
    assert "HelpingHands" not in first.output
    written = json.loads(out.read_text())
    encoder, clips = load_encoder(random_checkpoint), read_rendered_clips(small_archive)
    kinds = {"noun, object": handled_object, "noun, hand": acting_hand, "verb phrase": action}
    for kind, found in zip(kinds, rendered_overlaps(encoder, small_archive, clips, list(kinds.values())), strict=True):
        by_label: dict[str, list[float]] = {}
        for one in found:
            if one.ious is not None:
                by_label.setdefault(one.thing.label, []).extend(one.ious.by_frame[:, one.chosen])
        expected = np.mean([np.mean(values) for values in by_label.values()])
        assert written[f"{kind}/text_chosen"] == pytest.approx(expected)
        assert written[f"{kind}/text_chosen/low"] <= expected <= written[f"{kind}/text_chosen/high"]
        for column in ("text_chosen", "by_lot"):
            assert written[f"{kind}/{column}"] <= written[f"{kind}/ceiling"] <= 1
        assert written[f"{kind}/gain"] == pytest.approx(written[f"{kind}/text_chosen"] - written[f"{kind}/by_lot"])


def test_a_verb_phrase_names_hand_and_object_together(small_archive: Path, random_checkpoint: Path) -> None:
    clip = read_rendered_clips(small_archive)[0]
    assert action(clip).text == clip.verb_phrase
    assert action(clip).label == clip.verb
    encoder = load_encoder(random_checkpoint)
    found = rendered_overlaps(encoder, small_archive, [clip], (handled_object, acting_hand, action))
    ceilings = [of_kind[0].ious.pooled_ceiling for of_kind in found if of_kind[0].ious is not None]
    assert len(ceilings) == 3
    assert all(0 < ceiling < 1 for ceiling in ceilings)


def annotated(archive: Path, clips: list[RenderedClip], path: Path, **changes: Any) -> Path:
    """One mask of each clip's object and hand at the truth time nearest to its middle, in the documented layout."""
    entries = []
    for clip in clips:
        truth = Truth.open(archive, clip.span.video_id)
        time_s = float(truth.times_s[np.abs(truth.times_s - (clip.span.start_s + clip.span.end_s) / 2).argmin()])
        for key, text, instance in (
            ("noun", clip.noun, clip.instance),
            ("phrase", clip.verb_phrase, truth.hands()[f"{clip.hand} hand"]),
        ):
            mask = truth.masks_at(time_s, instance)
            code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
            segmentation = {"size": list(mask.shape), "counts": code["counts"].decode()}
            entry = {"video": clip.span.video_id, "time_s": time_s, key: text, "segmentation": segmentation}
            entries.append(entry | changes)
    path.write_text(json.dumps(entries))
    return path


def test_hand_made_masks_score_as_a_naive_loop(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    clips = read_rendered_clips(small_archive)[:6]
    masks, out = annotated(small_archive, clips, tmp_path / "masks.json"), tmp_path / "scores.json"
    arguments = ("--annotations", masks, "--videos", small_archive / "videos", "--model", random_checkpoint)
    page = tmp_path / "page.html"
    result = run_script("grounding.py", *arguments, "--json", out, "--report", page)
    assert result.exit_code == 0, result.output
    check_page(page.read_text(), "Visual grounding on masks of your own, mean IoU in percent", "41.06", num_shown=12)
    assert "41.06" in result.output  # the paper's row stands beside real data
    assert "Visual grounding on masks of your own, mean IoU in percent" in result.output.splitlines()
    assert "HENASY, unpublished masks" in result.output
    assert "papers' rows: from HENASY, Table 6, on the authors' own masks" in result.output
    written = json.loads(out.read_text())
    encoder, config = load_encoder(random_checkpoint), read_config(small_archive)
    by_label: dict[str, dict[str, list[float]]] = {"noun": {}, "phrase": {}}
    for entry in json.loads(masks.read_text()):
        times_s = np.clip(entry["time_s"] + 0.5 * (np.arange(4) - 2), 0, config.video_s - 0.5 / config.fps)
        shown = (np.floor(times_s * config.fps + 1e-6) + 0.5) / config.fps
        path = small_archive / "videos" / f"{entry['video']}.mp4"
        runs = find_decoder("pyav")(path, shown, lambda: None)
        frames = np.stack([run.image for run in runs for _ in range(run.first, run.last)])
        encoding = encoder.encode_clips(frames, np.arange(4)[None])
        crop = encoder.spec.crop_to_frame(*frames.shape[1:3])
        grid = encoding.assignment[0, 2].reshape(encoder.grid).astype(np.float32)
        painted = crop.masks_to_frame(grid, is_smooth=False, outside=-1)
        seen = (coco.decode(entry["segmentation"]) > 0) & (painted >= 0)
        kind = "noun" if "noun" in entry else "phrase"
        text = encoder.encode_texts([entry[kind]])[0]
        chosen = int(np.where(encoding.is_valid[0], encoding.entities[0] @ text, -2).argmax())
        if seen.any():
            by_label[kind].setdefault(entry[kind], []).append(iou(painted == chosen, seen))
    for kind, name in (("noun", "noun"), ("phrase", "verb phrase")):
        expected = np.mean([np.mean(values) for values in by_label[kind].values()])
        assert written[f"{name}/text_chosen"] == pytest.approx(expected)


def test_errors_are_one_line_and_name_the_value(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    clips, videos = read_rendered_clips(small_archive)[:2], small_archive / "videos"
    whole = read_checkpoint(random_checkpoint)
    dual = tmp_path / "dual"
    save_checkpoint(dual, replace(whole, model=whole.model.dual))
    square = {"size": [10, 10], "counts": [50, 50]}
    for changes, model, message in (
        ({"time_s": 99.0}, random_checkpoint, "is 99; the video ends at 14"),
        ({"segmentation": square}, random_checkpoint, "is 10 x 10; its pictures are 72 x 128"),
        ({"video": "absent"}, random_checkpoint, "1 annotated videos are not there: absent"),
        ({}, dual, "of kind dual has no entities"),
    ):
        masks = annotated(small_archive, clips[:1], tmp_path / "masks.json", **changes)
        result = run_script("grounding.py", "--annotations", masks, "--videos", videos, "--model", model)
        assert result.exit_code == 1, result.output
        assert message in result.output.replace("\n", " ")
    result = run_script("grounding.py", "--annotations", masks, "--features", masks, masks)
    assert result.exit_code == 1
    assert "have no masks" in result.output


def test_missing_videos_are_left_out_only_when_that_is_allowed(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    clips = read_rendered_clips(small_archive)
    kept = clips[0].span.video_id
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / f"{kept}.mp4").symlink_to(small_archive / "videos" / f"{kept}.mp4")
    some = [*[clip for clip in clips if clip.span.video_id == kept][:2], clips[-1]]
    masks, out = annotated(small_archive, some, tmp_path / "masks.json"), tmp_path / "scores.json"
    arguments = ("grounding.py", "--annotations", masks, "--videos", videos, "--model", random_checkpoint)
    assert run_script(*arguments).exit_code == 1
    result = run_script(*arguments, "--allow-missing", "--json", out)
    assert result.exit_code == 0, result.output
    assert "percent; not all of them" in result.output
    assert json.loads(out.read_text())["facts"]["masks"] == "scored on 4 of 6"
