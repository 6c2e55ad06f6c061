"""From nothing to a checkpoint on a small rendered archive, and what the objectives train."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import read_checkpoint, save_checkpoint
from henasy.commands import train
from henasy.commands.train import main
from henasy.errors import ConfigError
from henasy.model.build import build_dual
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.training.clip_cache import build_clip_cache
from henasy.training.config import TrainConfig
from henasy.training.log import read_log
from henasy.training.recipe import (
    PLAIN_CLIPS,
    Prepared,
    TinyRecipe,
    prepare,
    require_same_stages,
    tiny_checkpoint,
    tiny_config,
    train_dual,
    train_henasy,
    with_extras,
)

CPU = torch.device("cpu")


def short(config: TrainConfig, **changes: object) -> TrainConfig:
    settings = {"num_steps": 3, "batch_size": 4, "num_warmup_steps": 0, "log_every": 1, "evaluate_every": 0}
    return replace(config, **(settings | {"precision": "float32"} | changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipe")


ARCHIVE = ArchiveConfig(seed=5, num_videos=2, video_s=30.0, width_px=228, height_px=128, fps=8)


@pytest.fixture(scope="module")
def prepared(folder: Path) -> Prepared:
    write_archive(ARCHIVE, folder / "train", workers=1)
    return prepare(folder / "train", folder / "train", folder / "run", TinyRecipe(), num_workers=1)


@pytest.fixture(scope="module")
def recipe() -> TinyRecipe:
    whole = TinyRecipe()
    return replace(
        whole,
        things=short(whole.things),
        images=short(whole.images),
        clips=short(whole.clips),
        henasy=short(whole.henasy),
        num_validation_clips=8,
    )


def test_recipe_trains_and_its_checkpoints_encode(prepared: Prepared, recipe: TinyRecipe, tmp_path: Path) -> None:
    dual = train_dual(prepared, tmp_path, recipe, device=CPU, report=lambda line: None)
    before = {name: value.clone() for name, value in dual.state_dict().items()}
    model = train_henasy(prepared, dual, tmp_path, recipe, device=CPU, report=lambda line: None)
    assert all(torch.equal(value, before[name]) for name, value in model.dual.state_dict().items())
    assert sum(p.numel() for p in model.parameters()) <= 4_000_000
    for stage, kind in (("images", "dual"), ("henasy", "henasy")):
        left = load_encoder(tmp_path / stage / "checkpoints" / "step-00000003")
        assert left.kind == kind
        assert left.encode_texts(["#C C lifts the mug"]).shape == (1, left.width)
    for name, trained in (("dual", dual), ("henasy", model)):
        folder = tmp_path / f"checkpoint-{name}"
        save_checkpoint(folder, tiny_checkpoint(trained, prepared, recipe), dtype=torch.float16)
        encoder = load_encoder(folder)
        assert encoder.kind == name
        assert encoder.encode_texts(["#C C lifts the mug"]).shape == (1, encoder.width)
        note = tiny_checkpoint(trained, prepared, recipe).training
        assert "rendered scenes only" in (note.warning() or "")
        told = {setting for settings in note.details.values() for setting in settings}
        of_entities = {"loss_weights", "box_weight", "global_share"}
        stages = {"things", "images", "clips", "henasy"}
        assert {field.name for field in fields(recipe)} - stages - told == (set() if name == "henasy" else of_entities)
        assert ("henasy" in note.details) == (name == "henasy")


def test_recipe_run_again_does_nothing_and_a_cut_run_goes_on(
    prepared: Prepared, recipe: TinyRecipe, tmp_path: Path
) -> None:
    said: list[str] = []
    first = train_dual(prepared, tmp_path, recipe, device=CPU, report=said.append)
    steps = sum(line.startswith("step") for line in said)
    again = train_dual(prepared, tmp_path, recipe, device=CPU, report=said.append)
    assert sum(line.startswith("step") for line in said) == steps == 9
    assert torch.equal(first.image_projection, again.image_projection)


def test_plain_clips_learn_from_narrations_alone_beside_the_others(
    prepared: Prepared, recipe: TinyRecipe, tmp_path: Path
) -> None:
    other = train_dual(prepared, tmp_path, recipe, device=CPU, report=lambda line: None)
    plain = replace(recipe, has_plain_clips=True)
    said: list[str] = []
    model = train_dual(prepared, tmp_path, plain, device=CPU, report=said.append)
    assert sum(line.startswith("step") for line in said) == 3  # things and images are there already
    steps = {
        name: [line for line in read_log(tmp_path / name / "log.jsonl") if "loss" in line]
        for name in ("clips", PLAIN_CLIPS)
    }
    assert all(line["loss"] > line["ego"] + 1 for line in steps["clips"])
    assert all(line["loss"] == line["ego"] and "regions" not in line for line in steps[PLAIN_CLIPS])
    assert len(steps["clips"]) == len(steps[PLAIN_CLIPS]) == 3
    assert not torch.equal(model.image_projection, other.image_projection)
    assert tiny_checkpoint(model, prepared, plain).training.details["images and clips"]["has_plain_clips"]
    require_same_stages(tmp_path, plain)
    (tmp_path / "clips").rename(tmp_path / "away")
    with pytest.raises(ConfigError, match=r"clips-plain holds a run with other settings"):
        require_same_stages(tmp_path, replace(plain, clips=replace(plain.clips, backwards=0.25)))


def test_plain_clips_command_leaves_a_first_stage_and_no_entities(
    prepared: Prepared, recipe: TinyRecipe, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train", "val"):
        (tmp_path / "archives").mkdir(exist_ok=True)
        (tmp_path / "archives" / name).symlink_to(folder / "train")
    for name in ("_TRAIN_ARCHIVE", "_VALIDATION_ARCHIVE"):
        monkeypatch.setattr(train, name, ARCHIVE)
    monkeypatch.setattr(train, "TinyRecipe", lambda has_plain_clips: replace(recipe, has_plain_clips=has_plain_clips))
    run = tmp_path / "run"
    options = ["--archives", str(tmp_path / "archives"), "--device", "cpu", "--workers", "1", "--plain-clips"]
    result = CliRunner().invoke(main, ["tiny", str(run), *options])
    assert result.exit_code == 0, result.output
    assert result.output.endswith(f"wrote {run / 'checkpoint-plain'}\n")
    encoder = load_encoder(run / "checkpoint-plain")
    assert encoder.kind == "dual"
    assert encoder.card.details["images and clips"]["has_plain_clips"]
    stages = {path.name for path in run.iterdir() if path.is_dir() and not path.name.startswith("cache-")}
    assert stages == {"things", "images", PLAIN_CLIPS, "checkpoint-plain"}


def test_recipe_folder_of_another_recipe_is_refused(prepared: Prepared, recipe: TinyRecipe, tmp_path: Path) -> None:
    require_same_stages(tmp_path, recipe)
    train_dual(prepared, tmp_path, recipe, device=CPU, report=lambda line: None)
    require_same_stages(tmp_path, with_extras(recipe, has_tensorboard=True, evaluate_every=1))
    other = replace(recipe, clips=replace(recipe.clips, backwards=0.25))
    with pytest.raises(ConfigError, match=r"clips holds a run with other settings .*'backwards': \(0.5, 0.25\)"):
        require_same_stages(tmp_path, other)


def test_recipe_share_of_the_global_embedding_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(ConfigError, match=r"global_share is 1.5; allowed: 0 or more, below 1"):
        TinyRecipe(global_share=1.5)


def test_tiny_command_renders_nothing_in_the_folder_of_another_recipe(tmp_path: Path) -> None:
    state = tmp_path / "images" / "step-00000001"
    state.mkdir(parents=True)
    (state / "train.json").write_text(json.dumps({"step": 1, "config": short(TinyRecipe().images, seed=99).to_dict()}))
    result = CliRunner().invoke(main, ["tiny", str(tmp_path), "--device", "cpu"])
    assert result.exit_code == 1
    assert "images holds a run with other settings" in result.output
    assert "'seed': (99, 1)" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_recipe_last_stage_trains_the_same_weights_whatever_the_share_of_the_global_embedding(
    prepared: Prepared, recipe: TinyRecipe, tmp_path: Path
) -> None:
    trained = {}
    for share in (0.0, 0.5):
        torch.manual_seed(0)
        dual = build_dual(tiny_config(prepared.tokenizer.vocab_size).dual)
        changed = replace(recipe, global_share=share, loss_weights=replace(recipe.loss_weights, words=0.5))
        folder = tmp_path / str(share)
        trained[share] = train_henasy(prepared, dual, folder, changed, device=CPU, report=lambda line: None)
        assert {"noun_top1", "verb_top1"} <= read_log(folder / "henasy" / "log.jsonl")[0].keys()
    paper, mean = trained[0.0], trained[0.5]
    assert all(torch.equal(value, mean.state_dict()[name]) for name, value in paper.state_dict().items())
    save_checkpoint(tmp_path / "checkpoint", tiny_checkpoint(mean, prepared, replace(recipe, global_share=0.5)))
    loaded = read_checkpoint(tmp_path / "checkpoint")
    assert loaded.model.config.global_share == 0.5
    assert loaded.training.details["henasy"]["global_share"] == 0.5


def test_recipe_entity_losses_fall_on_a_repeated_batch(prepared: Prepared, recipe: TinyRecipe, tmp_path: Path) -> None:
    untrained = build_dual(tiny_config(prepared.tokenizer.vocab_size).dual)
    longer = replace(
        recipe, henasy=short(recipe.henasy, num_steps=25, batch_size=6, learning_rate=1e-3, num_warmup_steps=5)
    )
    train_henasy(prepared, untrained, tmp_path, longer, device=CPU, report=lambda line: None)
    lines = read_log(tmp_path / "henasy" / "log.jsonl")
    lines = [line for line in lines if "projection" in line]
    for name in ("projection", "noun_entity"):
        assert sum(line[name] for line in lines[-4:]) < 0.75 * sum(line[name] for line in lines[:4]), name


def test_clip_cache_of_another_version_is_refused(prepared: Prepared, folder: Path, tmp_path: Path) -> None:
    about = json.loads((folder / "run" / "cache-train" / "cache.json").read_text())
    del about["format_version"]
    (tmp_path / "cache.json").write_text(json.dumps(about))
    with pytest.raises(ConfigError, match=r"another version of henasy \(format 1, this one reads 2\)"):
        build_clip_cache(folder / "train", tmp_path, crop_px=100, num_moments=8, num_workers=1)


def test_clip_cache_of_another_archive_is_refused(prepared: Prepared, folder: Path) -> None:
    cache = folder / "run" / "cache-train"
    sizes = {"crop_px": prepared.cache.crop_px, "num_moments": prepared.cache.num_moments}
    assert build_clip_cache(folder / "train", cache, **sizes) == len(prepared.cache)
    with pytest.raises(ConfigError, match=r"cache of other clips .*'crop_px': \(100, 64\)"):
        build_clip_cache(folder / "train", cache, **(sizes | {"crop_px": 64}))
