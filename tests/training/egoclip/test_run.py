"""From a rendered archive in the files of EgoClip, EgoVLP and HelpingHands to a checkpoint that encodes."""

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner

from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import save_checkpoint
from henasy.checkpoint.random_weights import random_checkpoint
from henasy.commands.train import main
from henasy.errors import AnnotationError, CheckpointError, ConfigError, TrainingError
from henasy.model.build import build_dual
from henasy.model.config import base
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.scenes.truth import Truth
from henasy.training.clip_cache import moment_boxes, read_narrations, read_taxonomy_labels
from henasy.training.config import TrainConfig
from henasy.training.egoclip.boxes import convert_boxes
from henasy.training.egoclip.config import EgoClipFiles, EgoClipRecipe
from henasy.training.egoclip.run import EgoClipRun, sizes, train_egoclip
from henasy.training.egoclip.source import EgoClipBatches
from henasy.training.log import read_log
from henasy.video.plan import frame_times

CPU = torch.device("cpu")
CHUNK_S = 10


class Exported(NamedTuple):
    """An archive as the public data sets lie on disk."""

    files: EgoClipFiles
    model: Path
    cache: Path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    archive = folder / "archive"
    config = ArchiveConfig(seed=5, num_videos=2, video_s=30.0, width_px=228, height_px=128, fps=8)
    write_archive(config, archive, workers=1)
    for path in (archive / "videos").glob("*.mp4"):
        write_chunks(path, folder / "videos" / path.stem)
    write_handobj(archive, folder / "handobj")
    convert_boxes(folder / "handobj", folder / "boxes.parquet", num_workers=1, report=lambda line: None)
    save_checkpoint(folder / "dual", random_checkpoint("tiny", "dual", seed=1))
    files = EgoClipFiles(archive / "narrations.csv", folder / "videos", archive / "taxonomy", folder / "boxes.parquet")
    return Exported(files, folder / "dual", folder / "cache")


def write_chunks(video: Path, folder: Path) -> None:
    """EgoVLP's layout: <uid>/0.mp4, 1.mp4, ..."""
    folder.mkdir(parents=True)
    with av.open(str(video)) as source:
        rate = source.streams.video[0].average_rate
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    per_chunk = int(CHUNK_S * rate)
    for number, first in enumerate(range(0, len(frames), per_chunk)):
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=rate, options={"crf": "20"})
            stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
            for picture in frames[first : first + per_chunk]:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))


def write_handobj(archive: Path, folder: Path) -> None:
    """HelpingHands' layout, of the archive's own boxes: shares of the centre crop, put back into 640 x 360 px."""
    nouns = {label: row for row, label in enumerate(read_taxonomy_labels(archive, "noun"))}
    by_file: dict[Path, dict[float, dict[object, object]]] = {}
    for narration in read_narrations(archive):
        truth = Truth.open(archive, narration.video_uid)
        clip: dict[object, object] = {"info": {"height": 360, "width": 640}}
        times_s = frame_times(np.array([[narration.start_s, narration.end_s]]), 4)[0]
        for frame, time_s in enumerate(times_s):
            boxes, labels = moment_boxes(truth, float(time_s), narration.object_id, nouns)
            scored = np.concatenate([boxes * 360 + [140, 0, 140, 0], np.full((4, 1), 0.9)], axis=1)
            hands, objects = scored[:2][labels[:2] >= 0], scored[2:][labels[2:] >= 0]
            clip[frame] = {"hand_dets": hands if len(hands) else None, "obj_dets": objects if len(objects) else None}
        path = folder / narration.video_uid / f"{int(narration.start_s // 600)}.handobj.pkl"
        by_file.setdefault(path, {})[round(narration.start_s, 3)] = clip
    for path, content in by_file.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(content))


def make_run(exported: Exported, out: Path, **changes: object) -> EgoClipRun:
    settings: dict[str, object] = {
        "num_steps": 4,
        "batch_size": 4,
        "learning_rate": 2e-3,
        "min_learning_rate_ratio": 1.0,
        "log_every": 1,
        "evaluate_every": 0,
        "checkpoint_every": 2,
        "num_prefetched": 2,
    }
    return EgoClipRun(
        files=exported.files,
        recipe=EgoClipRecipe(numbered_chunk_s=CHUNK_S),
        train=TrainConfig(**(settings | changes)),
        model=exported.model,
        preset="tiny",
        out=out,
        cache=exported.cache,
        num_workers=2,
    )


def train(run: EgoClipRun, report: Callable[[str], None] = lambda line: None) -> Path:
    return train_egoclip(run, device=CPU, report=report)


def losses(folder: Path) -> list[dict[str, float]]:
    kept = ("loss", "ego", "noun_entity", "verb_entities", "projection", "grad_norm")
    return [{name: line[name] for name in kept} for line in read_log(folder / "log.jsonl")]


def test_command_trains_from_the_public_files_to_a_checkpoint_that_encodes(exported: Exported, tmp_path: Path) -> None:
    files, out = exported.files, tmp_path / "run"
    arguments = [
        *("egoclip", "--annotations", files.annotations, "--videos", files.videos, "--taxonomy", files.taxonomy),
        *("--boxes", files.boxes, "--model", exported.model, "--preset", "tiny", "--out", out),
        *("--cache", exported.cache, "--batch-size", 4, "--steps", 20, "--learning-rate", 2e-3, "--log-every", 1),
        *("--numbered-chunk", CHUNK_S, "--workers", 2, "--device", "cpu", "--hand-word", "left hand"),
        *("--box-weight", 2.0),
    ]
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    assert f"wrote {out / 'checkpoint'}" in done.output
    assert '"num_epochs": 5.0' in done.output
    lines = losses(out)
    for name in ("loss", "projection"):
        assert sum(line[name] for line in lines[-3:]) < sum(line[name] for line in lines[:3]), name
    encoder = load_encoder(out / "checkpoint")
    assert encoder.kind == "henasy"
    assert encoder.encode_texts(["#C C lifts the mug"]).shape == (1, encoder.width)
    assert [path.name for path in (out / "checkpoints").glob("step-*")] == ["step-00000020"]
    settings = json.loads((out / "settings.json").read_text())
    assert settings["train"]["num_steps"] == 20
    assert settings["digests"]["boxes"]


def test_resumed_run_repeats_the_undisturbed_one(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(make_run(exported, tmp_path / "a"))
    batch = EgoClipBatches.batch

    def failing(self: EgoClipBatches, step: int, part: int, device: torch.device) -> object:
        if step >= 3:
            raise TrainingError("cut")
        return batch(self, step, part, device)

    with monkeypatch.context() as cut:
        cut.setattr(EgoClipBatches, "batch", failing)
        with pytest.raises(TrainingError, match="cut"):
            train(make_run(exported, tmp_path / "b"))
    said: list[str] = []
    resumed = train(make_run(exported, tmp_path / "b"), said.append)
    assert "going on from step 2 of 4" in said
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert (whole / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()


def test_run_of_the_epochs_stops_after_them(exported: Exported, tmp_path: Path) -> None:
    run = make_run(exported, tmp_path / "run", num_steps=10**9, batch_size=6)
    run = replace(run, recipe=replace(run.recipe, num_epochs=0.6))
    said: list[str] = []
    train(run, said.append)
    num_clips = len(read_narrations(exported.files.annotations.parent))
    assert len(losses(tmp_path / "run")) == int(0.6 * num_clips / 6) > 0
    assert any(f"boxes: known for {num_clips} of {num_clips} clips" in line for line in said)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda r: replace(r, preset="base"),
            CheckpointError,
            r"not those of preset 'base' .*'vision.image_px': \(96, 224\)",
        ),
        (lambda r: replace(r, preset="huge"), ConfigError, "preset is 'huge'; allowed: base, base-768, tiny"),
        (
            lambda r: replace(r, recipe=replace(r.recipe, numbered_chunk_s=600)),  # the chunks have 10 s
            TrainingError,
            r"could not be decoded, at most 1.0% .*most often: \{'the readable part of the video ends there'",
        ),
    ],
)
def test_run_refuses(
    exported: Exported, tmp_path: Path, change: Callable[[EgoClipRun], EgoClipRun], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(change(make_run(exported, tmp_path / "run")))


def test_run_leaves_out_clips_of_a_missing_chunk_if_it_may(exported: Exported, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(exported.files.videos, videos)
    sorted(videos.glob("*/1.mp4"))[0].unlink()
    run = make_run(exported, tmp_path / "run", num_steps=1)
    run = replace(run, files=exported.files._replace(videos=videos))
    with pytest.raises(AnnotationError, match=r"max_missing_share.*'a chunk of its video is missing': \d+"):
        train(run)
    train(replace(run, recipe=replace(run.recipe, max_missing_share=0.5)))
    listed = pq.read_table(tmp_path / "run" / "left_out.parquet").to_pylist()
    assert {line["reason"] for line in listed} == {"a chunk of its video is missing"}
    assert all(line["clip_end"] > 10 and line["clip_start"] < 20 for line in listed)


def test_run_refuses_to_go_on_with_other_settings(exported: Exported, tmp_path: Path) -> None:
    train(make_run(exported, tmp_path / "run", num_steps=1))
    for change in ({"learning_rate": 1e-3}, {"num_steps": 2}):
        with pytest.raises(ConfigError, match="holds a run with other settings"):
            train(make_run(exported, tmp_path / "run", **({"num_steps": 1} | change)))
    run = make_run(exported, tmp_path / "run", num_steps=1, num_prefetched=1)
    with pytest.raises(ConfigError, match=r"'recipe': .*'segment_s': 30"):
        train(replace(run, recipe=replace(run.recipe, segment_s=30.0)))
    train(replace(run, num_workers=1))  # how fast it goes may change
    train(replace(run, recipe=replace(run.recipe, max_refused_share=0.5, max_missing_share=0.5)))  # what it bears too
    save_checkpoint(tmp_path / "other", random_checkpoint("tiny", "dual", seed=2))
    with pytest.raises(ConfigError, match="'start':"):
        train(replace(run, model=tmp_path / "other"))
    taxonomy = tmp_path / "taxonomy"
    shutil.copytree(exported.files.taxonomy, taxonomy)
    nouns = taxonomy / "noun_taxonomy.csv"
    nouns.write_text(nouns.read_text().replace("mug", "beaker"))
    with pytest.raises(ConfigError, match=r"'digests': .*'taxonomy'"):
        train(replace(run, files=exported.files._replace(taxonomy=taxonomy)))
    settings = json.loads((run.out / "settings.json").read_text())
    del settings["train"]["backwards"]
    (run.out / "settings.json").write_text(json.dumps(settings))
    train(run)  # a setting that came after the run was begun has its default in it


def test_run_starts_from_a_dual_encoder_alone(exported: Exported, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "henasy", random_checkpoint("tiny", "henasy", seed=1))
    with pytest.raises(CheckpointError, match="kind henasy; training starts from a dual encoder"):
        train(replace(make_run(exported, tmp_path / "run"), model=tmp_path / "henasy"))


def test_run_stops_at_a_loss_that_is_no_number(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = EgoClipBatches.batch

    def spoilt(self: EgoClipBatches, step: int, part: int, device: torch.device) -> object:
        made = batch(self, step, part, device)
        return made._replace(frames=made.frames * torch.nan) if step == 2 else made

    monkeypatch.setattr(EgoClipBatches, "batch", spoilt)
    with pytest.raises(TrainingError, match="step 2: not finite"):
        train(make_run(exported, tmp_path / "run"))
    assert (tmp_path / "run" / "step-00000002").is_dir()
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_run_without_boxes_nouns_and_tags_on_a_single_clip(exported: Exported, tmp_path: Path) -> None:
    """Every term that has nothing to go by is 0; what is left trains."""
    lines = exported.files.annotations.read_text().splitlines()
    header = lines[0].split("\t")
    fields = lines[1].split("\t")
    fields[header.index("tag_noun")] = fields[header.index("tag_verb")] = "[]"
    fields[header.index("clip_text")] = "#C C x"
    path = tmp_path / "one.csv"
    path.write_text("\t".join(header) + "\n" + "\t".join(fields) + "\n")
    files = exported.files._replace(annotations=path, boxes=None)
    run = replace(make_run(exported, tmp_path / "run", batch_size=1, num_steps=2), files=files)
    train(replace(run, recipe=replace(run.recipe, num_epochs=5)))
    for line in losses(tmp_path / "run"):
        assert line["noun_entity"] == line["verb_entities"] == line["projection"] == 0.0
        assert np.isfinite(line["loss"])


def test_sizes_of_lavila_are_those_of_the_base_presets() -> None:
    with torch.device("meta"):
        start = SimpleNamespace(model=build_dual(base().dual), config=base().dual)
    assert sizes("base", start).local.width == 512
    assert sizes("base-768", start).local.width == 768


def test_boxes_command_says_what_it_did(exported: Exported, tmp_path: Path) -> None:
    source = exported.files.boxes
    assert source is not None
    shutil.copytree(source.parent / "handobj", tmp_path / "handobj")
    done = CliRunner().invoke(main, ["boxes", str(tmp_path / "handobj"), str(tmp_path / "b.parquet"), "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert "0 files left out" in done.output
    assert (tmp_path / "b.parquet").read_bytes() == source.read_bytes()
