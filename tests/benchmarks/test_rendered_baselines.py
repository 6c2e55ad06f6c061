"""The table of baselines and the mask evidence on a small rendered archive with random weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import read_checkpoint
from henasy.checkpoint.space import space_id
from henasy.evaluation.rendered.baselines import CHANCE, FIRST_STAGE, OURS, load_encoders
from henasy.evaluation.rendered.layouts import read_rendered_clips, write_layouts
from henasy.evaluation.rendered.mask_evidence import mask_evidence
from henasy.evaluation.rendered.things import truth_times
from henasy.evaluation.rendered.words import NOUN_SWAPS, OBJECT, OBJECT_HELD_OUT, VERB_SWAPS
from henasy.scenes.archive import read_config
from henasy.scenes.truth import Truth
from henasy.video.decode import find_decoder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_table_agrees_with_the_benchmark_and_brackets_gains(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    out, other = tmp_path / "table.json", tmp_path / "egomcq.json"
    arguments = ("--archive", small_archive, "--train-archive", small_archive, "--model", random_checkpoint)
    result = run_script("egomcq_rendered_baselines.py", *arguments, "--distractors", "any", "--json", out)
    assert result.exit_code == 0, result.output
    run_script("egomcq.py", "--archive", small_archive, "--model", random_checkpoint, "--json", other)
    table, benchmark = json.loads(out.read_text()), json.loads(other.read_text())
    for kind in ("inter", "intra"):
        assert table[f"{OURS}/{kind}"] == benchmark[kind]
        gain = table[f"{OURS}/{kind}"] - table[f"{FIRST_STAGE}/{kind}"]
        assert table[f"{FIRST_STAGE}/{kind} gain mean"] == pytest.approx(gain)
        assert table[f"{FIRST_STAGE}/{kind} gain low"] <= gain <= table[f"{FIRST_STAGE}/{kind} gain high"]
        assert table[f"{CHANCE}/{kind}"] == pytest.approx(0.2)
    for thing in ("noun", "hand"):
        chosen, best = table[f"masks/{thing}/text_chosen"], table[f"masks/{thing}/best"]
        assert 0 <= chosen <= best <= table[f"masks/{thing}/ceiling"] <= 1
    for measure in (OBJECT, VERB_SWAPS, NOUN_SWAPS):
        gain = table[f"{OURS}/{measure}"] - table[f"{FIRST_STAGE}/{measure}"]
        assert table[f"{FIRST_STAGE}/{measure} gain mean"] == pytest.approx(gain)
    assert table[f"{OURS}/{OBJECT_HELD_OUT}"] is None  # the archive that was learnt from is the one asked about


def test_stages_alone_give_the_numbers_of_the_whole_table(
    run_script: Any, small_archive: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    arguments = ("--archive", small_archive, "--train-archive", small_archive, "--model", random_checkpoint)
    written = {}
    for name, options in (("whole", ()), ("stages", ("--stages",))):
        out = tmp_path / f"{name}.json"
        result = run_script("egomcq_rendered_baselines.py", *arguments, "--distractors", "any", "--json", out, *options)
        assert result.exit_code == 0, result.output
        written[name] = {key: value for key, value in json.loads(out.read_text()).items() if isinstance(value, float)}
    assert written["stages"] == pytest.approx({key: written["whole"][key] for key in written["stages"]})
    assert {key.partition("/")[0] for key in written["stages"]} == {CHANCE, FIRST_STAGE, OURS}


def test_an_archive_without_alike_clips_is_refused(
    run_script: Any, small_archive: Path, random_checkpoint: Path
) -> None:
    arguments = ("--archive", small_archive, "--train-archive", small_archive, "--model", random_checkpoint)
    result = run_script("egomcq_rendered_baselines.py", *arguments)
    assert result.exit_code == 1
    assert "narrations give no question: one needs four clips of other videos with its verb and colour" in result.output


@pytest.mark.parametrize("script", ["egomcq_rendered_baselines.py", "moments.py"])
@pytest.mark.parametrize("option", ["--archive", "--train-archive"])
def test_a_folder_that_is_no_archive_is_refused_before_another_is_rendered(
    run_script: Any, random_checkpoint: Path, tmp_path: Path, script: str, option: str
) -> None:
    (tmp_path / "videos").mkdir()
    result = run_script(script, option, tmp_path / "videos", "--model", random_checkpoint)
    assert result.exit_code == 1
    assert str(tmp_path / "videos") in result.output
    assert not list((tmp_path / "cache").rglob("*.mp4*"))
    assert not (tmp_path / "cache" / "henasy" / "archives").exists()


def test_first_stage_is_the_frozen_dual_encoder(random_checkpoint: Path) -> None:
    encoders = load_encoders(str(random_checkpoint), "cpu")
    assert encoders.first_stage.kind == "dual"
    frames, rows = np.random.default_rng(0).integers(0, 256, (4, 72, 128, 3)).astype(np.uint8), np.arange(4)[None]
    first, whole = encoders.first_stage.encode_clips(frames, rows), encoders.henasy.encode_clips(frames, rows)
    assert not np.allclose(first.clip, whole.clip, atol=1e-3)
    np.testing.assert_array_equal(encoders.first_stage.encode_texts(["a mug"]), encoders.henasy.encode_texts(["a mug"]))


def test_henasy_with_a_global_share_is_the_mean_of_first_stage_and_decoder_alone(
    random_checkpoint: Path, tmp_path: Path
) -> None:
    assert load_encoders(str(random_checkpoint), "cpu").decoder_alone is None
    folder = shutil.copytree(random_checkpoint, tmp_path / "mean")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"global_share": 0.25}))
    encoders = load_encoders(str(folder), "cpu")
    assert encoders.decoder_alone is not None
    frames, rows = np.random.default_rng(0).integers(0, 256, (4, 72, 128, 3)).astype(np.uint8), np.arange(4)[None]
    first, alone, whole = (
        encoder.encode_clips(frames, rows).clip
        for encoder in (encoders.first_stage, encoders.decoder_alone, encoders.henasy)
    )
    mean = 0.25 * first + 0.75 * alone
    np.testing.assert_allclose(whole, mean / np.linalg.norm(mean), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(alone, load_encoder(random_checkpoint).encode_clips(frames, rows).clip)
    assert space_id(read_checkpoint(folder)) != space_id(read_checkpoint(random_checkpoint))


def test_mask_evidence_equals_painting_each_mask_in_the_frame(small_archive: Path, random_checkpoint: Path) -> None:
    encoder, config = load_encoder(random_checkpoint), read_config(small_archive)
    clip = read_rendered_clips(small_archive)[0]
    found = mask_evidence(encoder, small_archive, [clip])
    truth = Truth.open(small_archive, clip.span.video_id)
    times_s = truth_times(clip.span, encoder.num_frames, config)
    path = small_archive / "videos" / f"{clip.span.video_id}.mp4"
    shown = (times_s + 0.5 / config.fps).astype(np.float64)
    frames = np.stack(
        [run.image for run in find_decoder("pyav")(path, shown, lambda: None) for _ in range(run.first, run.last)]
    )
    encoding = encoder.encode_clips(frames, np.arange(encoder.num_frames)[None])
    crop = encoder.spec.crop_to_frame(*frames.shape[1:3])
    painted = crop.masks_to_frame(
        encoding.assignment[0].reshape(-1, *encoder.grid).astype(np.float32), is_smooth=False, outside=-1
    )
    for things, instance, word in (
        (found.noun, clip.instance, clip.noun),
        (found.hand, truth.hands()[f"{clip.hand} hand"], f"{clip.hand} hand"),
    ):
        masks = np.stack([truth.masks_at(time_s, instance) for time_s in times_s]) & (painted >= 0)
        ious = [((painted == e) & masks).sum() / ((painted == e) | masks).sum() for e in range(encoder.num_entities)]
        closeness = np.where(encoding.is_valid[0], encoding.entities[0] @ encoder.encode_texts([word])[0], -2)
        assert things[0].text_chosen == pytest.approx(ious[int(closeness.argmax())])
        assert things[0].best == pytest.approx(max(ious))


def test_text_of_both_layouts_is_that_of_the_archive(small_archive: Path, tmp_path: Path) -> None:
    layout = write_layouts(small_archive, tmp_path)
    assert {clip.text for clip in read_rendered_clips(small_archive)} >= {
        question["query"]["clip_text"] for question in json.loads(layout.egomcq.read_text()).values()
    }
