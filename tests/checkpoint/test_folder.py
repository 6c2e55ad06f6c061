"""Checkpoint folders: round trips, and every way in which one can be wrong."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from henasy.checkpoint.folder import Checkpoint, read_checkpoint, save_checkpoint
from henasy.checkpoint.space import space_id
from henasy.checkpoint.training_note import TrainingNote
from henasy.checkpoint.weights import build_empty
from henasy.errors import CheckpointError, NotFoundError
from henasy.text.tokenizer import train_tokenizer
from henasy.video.preprocess import lavila_spec

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.fixture
def saved(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "model", make_checkpoint())
    return tmp_path / "model"


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> str:
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[0]
    change(weights)
    save_file(weights, folder / "model.safetensors")
    return name


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("kind", ["henasy", "dual"])
def test_checkpoint_reads_back_the_same(make_checkpoint: MakeCheckpoint, tmp_path: Path, kind: str) -> None:
    checkpoint = make_checkpoint(kind)
    save_checkpoint(tmp_path / "model", checkpoint)
    again = read_checkpoint(tmp_path / "model")
    assert (again.config, again.spec, again.training) == (checkpoint.config, checkpoint.spec, checkpoint.training)
    assert again.tokenizer.digest() == checkpoint.tokenizer.digest()
    state = checkpoint.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.model.state_dict().items())
    assert not again.model.training
    assert space_id(again) == space_id(checkpoint)


def test_build_empty_leaves_nothing_to_draw(make_checkpoint: MakeCheckpoint) -> None:
    model = build_empty(make_checkpoint().config)
    assert {value.device.type for value in model.state_dict().values()} == {"meta"}
    assert not [name for name, _ in model.named_buffers() if name not in model.state_dict()]


def test_half_precision_on_disk_loads_as_float32(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    save_checkpoint(tmp_path / "model", checkpoint, dtype=torch.float16)
    again = read_checkpoint(tmp_path / "model")
    for name, value in again.model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, checkpoint.model.state_dict()[name].half().float())
    save_checkpoint(tmp_path / "full", again)
    assert space_id(read_checkpoint(tmp_path / "full")) == space_id(again) != space_id(checkpoint)


def test_space_id_depends_on_everything_that_decides_vectors(make_checkpoint: MakeCheckpoint) -> None:
    checkpoint = make_checkpoint()
    others = [
        make_checkpoint(seed=1),
        make_checkpoint("dual"),
        make_checkpoint(tokenizer=None),
        make_checkpoint(spec=replace(lavila_spec(32), is_antialiased=True)),
        make_checkpoint(spec=replace(lavila_spec(32), crop="none")),
    ]
    assert len({space_id(other) for other in [checkpoint, *others]}) == 6
    told_otherwise = make_checkpoint(training=TrainingNote(summary="Other words."))
    assert space_id(told_otherwise) == space_id(checkpoint)


def test_save_replaces_a_checkpoint_and_nothing_else(make_checkpoint: MakeCheckpoint, saved: Path) -> None:
    save_checkpoint(saved, make_checkpoint(seed=1, tokenizer=None))
    assert not (saved / "tokenizer.json").exists()
    assert read_checkpoint(saved).tokenizer is None
    assert [path.name for path in saved.parent.iterdir()] == ["model"]
    (saved / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"thesis\.txt"):
        save_checkpoint(saved, make_checkpoint())


def test_saved_files_are_readable_alike(saved: Path) -> None:
    assert len({path.stat().st_mode for path in saved.iterdir()}) == 1


def test_save_refuses_weights_that_overflow(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    checkpoint.model.state_dict()["dual.logit_scale"].fill_(1e6)
    with pytest.raises(CheckpointError, match=r"not finite in torch\.float16: dual\.logit_scale"):
        save_checkpoint(tmp_path / "model", checkpoint, dtype=torch.float16)
    assert not list(tmp_path.iterdir())


def test_read_names_missing_left_over_and_misshapen_tensors(saved: Path) -> None:
    name = change_weights(saved, lambda w: w.pop(sorted(w)[0]))
    with pytest.raises(CheckpointError, match=f"missing: {name}$"):
        read_checkpoint(saved)
    change_weights(saved, lambda w: w.update({"extra.weight": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match=rf"missing: {name}; not in the model: extra\.weight"):
        read_checkpoint(saved)
    change_weights(saved, lambda w: w.update({name: torch.zeros(1, 7)}))
    with pytest.raises(CheckpointError, match=rf"of another shape: {name} \(1, 7\) where the config needs"):
        read_checkpoint(saved)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int32])
def test_read_refuses_other_types(saved: Path, dtype: torch.dtype) -> None:
    change_weights(saved, lambda w: w.update({n: v.to(dtype) for n, v in w.items() if n == "dual.logit_scale"}))
    with pytest.raises(CheckpointError, match=r"of a type other than float32, float16, bfloat16: dual\.logit_scale"):
        read_checkpoint(saved)


def test_read_refuses_values_that_are_not_finite(saved: Path) -> None:
    change_weights(saved, lambda w: w["dual.logit_scale"].fill_(torch.nan))
    with pytest.raises(CheckpointError, match=r"not finite: dual\.logit_scale"):
        read_checkpoint(saved)


@pytest.mark.parametrize("kept", [0, 5, 1000, -100])
def test_read_refuses_cut_weights(saved: Path, kept: int) -> None:
    content = (saved / "model.safetensors").read_bytes()
    (saved / "model.safetensors").write_bytes(content[:kept])
    with pytest.raises(CheckpointError, match="weights cannot be read"):
        read_checkpoint(saved)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("config.json", {"num_wings": 2}, "num_wings"),
        ("config.json", {"kind": "bird"}, "bird"),
        ("config.json", {"decoder": {"width": 33, "heads": 2, "depth": 1}}, "width 33"),
        ("preprocessing.json", {"image_px": 64}, "64 px images, the model takes 32"),
        ("preprocessing.json", {"zoom": 2}, "zoom"),
        ("tokenizer_config.json", {"context_length": 12}, "context 12"),
        ("training.json", {"summary": 3}, "summary is 3"),
        ("training.json", {"colour": "red"}, "colour"),
    ],
)
def test_read_refuses_settings_it_does_not_know(
    saved: Path, name: str, values: dict[str, object], message: str
) -> None:
    change_json(saved / name, **values)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(saved)


@pytest.mark.parametrize("content", ["{", "[]", "\x00"])
def test_read_refuses_a_config_that_is_no_object(saved: Path, content: str) -> None:
    (saved / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_checkpoint(saved)


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "preprocessing.json", "training.json", "tokenizer_config.json"]
)
def test_read_names_a_missing_file(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(NotFoundError, match=name):
        read_checkpoint(saved)


def test_read_names_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such checkpoint folder"):
        read_checkpoint(tmp_path / "nothing")


def test_checkpoint_refuses_a_tokenizer_of_another_size(make_checkpoint: MakeCheckpoint) -> None:
    with pytest.raises(CheckpointError, match="tokenizer has 514 tokens"):
        make_checkpoint(tokenizer=train_tokenizer([], 514, 16))


def test_training_note_warns_of_rendered_and_random_weights() -> None:
    assert TrainingNote(summary="x").warning() is None
    assert "rendered" in str(TrainingNote(summary="x", is_rendered_only=True).warning())
    assert "random" in str(TrainingNote(summary="x", is_rendered_only=True, is_random=True).warning())
