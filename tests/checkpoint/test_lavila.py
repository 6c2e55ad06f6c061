"""Import of LaViLa checkpoints: the golden weights as such a file, and files that must be refused."""

import argparse
import json
import os
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from henasy.checkpoint.folder import read_checkpoint, save_checkpoint
from henasy.checkpoint.lavila import config_of_shapes, import_lavila
from henasy.checkpoint.space import space_id
from henasy.checkpoint.weights import build_empty
from henasy.errors import CheckpointError, ConfigError, NotFoundError
from henasy.model.config import DualConfig, base

HEADS = {"vision_heads": 4, "text_heads": 4}


class Runs:
    """Pickles as a call that would leave a trace if it were made."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.trace),))


@pytest.fixture(scope="module")
def weights(golden_dir: Path) -> dict[str, Tensor]:
    return load_file(golden_dir / "lavila_tiny.safetensors")


def as_published(weights: dict[str, Tensor], path: Path, **more: object) -> Path:
    """The layout of LaViLa's own files."""
    state = {f"module.{name}": value for name, value in weights.items()}
    args = argparse.Namespace(model="CLIP_OPENAI_TIMESFORMER_BASE", lr=3e-5)
    content = {"epoch": 5, "state_dict": state, "optimizer": {"state": {}}, "best_acc1": 1.5, "args": args}
    torch.save(content | more, path)
    return path


def test_import_equals_reference_embeddings(weights: dict[str, Tensor], golden_dir: Path, tmp_path: Path) -> None:
    found = import_lavila(as_published(weights, tmp_path / "lavila.pth"), **HEADS)
    assert found.ignored == ["args", "best_acc1", "epoch", "optimizer"]
    meta = json.loads((golden_dir / "lavila_tiny_meta.json").read_text())
    assert len(found.checkpoint.model.state_dict()) == len(weights), meta.keys()
    save_checkpoint(tmp_path / "model", found.checkpoint)
    again = read_checkpoint(tmp_path / "model")
    golden = np.load(golden_dir / "lavila_tiny_io.npz")
    with torch.no_grad():
        video = again.model.encode_video(torch.from_numpy(golden["video"]).transpose(1, 2))
        text = again.model.encode_text(torch.from_numpy(golden["tokens"]))
    # float32 against float64
    np.testing.assert_allclose(video, golden["image_embed"], atol=2e-4)
    np.testing.assert_allclose(text, golden["text_embed"], atol=2e-4)
    assert again.training.details == {
        "file": "lavila.pth",
        "lavila_model": "CLIP_OPENAI_TIMESFORMER_BASE",
        "epoch": "5",
    }


def test_import_takes_bare_tensors_and_half_precision(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(weights, tmp_path / "bare.pth")
    bare = import_lavila(tmp_path / "bare.pth", **HEADS)
    assert bare.ignored == []
    published = import_lavila(as_published(weights, tmp_path / "full.pth"), **HEADS)
    assert space_id(bare.checkpoint) == space_id(published.checkpoint)
    short = {name: value.half() for name, value in weights.items()}
    halved = import_lavila(as_published(short, tmp_path / "half.pth"), **HEADS).checkpoint.model
    for name, value in halved.state_dict().items():
        assert torch.equal(value, short[name].float())


def test_shapes_tell_the_published_size() -> None:
    """LaViLa's base model, by shapes alone: 224 px, 12 layers, 12 and 8 heads."""
    state = build_empty(base().dual).state_dict()
    state["logit_scale"] = torch.tensor(2.6592600)
    found = config_of_shapes(state, vision_heads=None, text_heads=None, source="x")
    assert (found.vision, found.text, found.joint_dim) == (base().dual.vision, base().dual.text, 256)
    assert found.temperature == pytest.approx(0.07, rel=1e-5)
    assert isinstance(found, DualConfig)


def test_import_of_another_vocabulary(weights: dict[str, Tensor], shared_dir: Path, tmp_path: Path) -> None:
    path = as_published(weights, tmp_path / "lavila.pth")
    assert import_lavila(path, **HEADS).checkpoint.tokenizer is None
    clip = shared_dir / "data" / "clip" / "bpe_simple_vocab_16e6.txt.gz"
    with pytest.raises(ConfigError, match="49408 tokens, the checkpoint's token_embedding has 512 rows"):
        import_lavila(path, **HEADS, vocabulary=clip)


def test_import_with_the_clip_vocabulary(weights: dict[str, Tensor], shared_dir: Path, tmp_path: Path) -> None:
    grown = weights | {"token_embedding.weight": torch.zeros(49408, 32)}
    path = as_published(grown, tmp_path / "lavila.pth")
    with pytest.raises(NotFoundError, match="absent"):
        import_lavila(path, **HEADS, vocabulary=tmp_path / "absent")
    clip = shared_dir / "data" / "clip" / "bpe_simple_vocab_16e6.txt.gz"
    save_checkpoint(tmp_path / "model", import_lavila(path, **HEADS, vocabulary=clip).checkpoint)
    tokenizer = read_checkpoint(tmp_path / "model").tokenizer
    samples = json.loads((shared_dir / "reference" / "golden" / "tokenizer.json").read_text())["samples"]
    for row, sample in zip(tokenizer.encode_batch([s["text"] for s in samples]), samples, strict=True):
        assert row.tolist() == sample["ids"] + [0] * (77 - len(sample["ids"]))


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({}, "--text-heads is needed: width 32"),
        ({"vision_heads": 5, "text_heads": 4}, "--vision-heads is 5; allowed: a divisor of the width 64"),
    ],
)
def test_import_needs_heads_that_fit(
    weights: dict[str, Tensor], tmp_path: Path, heads: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        import_lavila(as_published(weights, tmp_path / "lavila.pth"), **heads)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("visual.norm.bias"), r"missing: visual\.norm\.bias"),
        (lambda w: w.pop("visual.cls_token"), r"no tensor visual\.cls_token"),
        (lambda w: w.update({"visual.head.bias": torch.zeros(3)}), r"not in the model: visual\.head\.bias"),
        (lambda w: w.update({"visual.pos_embed": torch.zeros(1, 9, 64)}), "8 patches"),
        (lambda w: w.update({"visual.pos_embed": torch.zeros(9, 64)}), "3 axes are needed"),
        (lambda w: w.update({"ln_final.bias": torch.zeros(3)}), r"ln_final\.bias \(3,\) where the config needs"),
        (lambda w: w.update({"ln_final.bias": torch.full((32,), torch.nan)}), r"not finite: ln_final\.bias"),
    ],
)
def test_import_names_tensors_that_do_not_fit(
    weights: dict[str, Tensor], tmp_path: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    changed = dict(weights)
    change(changed)
    with pytest.raises(CheckpointError, match=message):
        import_lavila(as_published(changed, tmp_path / "lavila.pth"), **HEADS)


@pytest.mark.parametrize("is_zip", [True, False])
def test_import_names_an_object_and_does_not_make_it(weights: dict[str, Tensor], tmp_path: Path, is_zip: bool) -> None:
    trace, path = tmp_path / "trace", tmp_path / "lavila.pth"
    torch.save({"state_dict": weights, "x": Runs(trace)}, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(CheckpointError, match=r"object of (posix|nt)\.mkdir; allowed: tensors"):
        import_lavila(path, **HEADS)
    path.write_bytes(pickle.dumps(Runs(trace)))
    with pytest.raises(CheckpointError, match=r"object of (posix|nt)\.mkdir"):
        import_lavila(path, **HEADS)
    as_published(weights, path, best_acc1=Fraction(1, 3))
    with pytest.raises(CheckpointError, match=r"object of fractions\.Fraction; allowed: tensors"):
        import_lavila(path, **HEADS)
    assert not trace.exists()


def test_import_refuses_what_is_no_checkpoint(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "lavila.pth"
    with pytest.raises(NotFoundError, match="no such file"):
        import_lavila(path)
    whole = as_published(weights, tmp_path / "whole.pth").read_bytes()
    for content in (b"", b"this is text", b"\x80\x02.", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"lavila\.pth: "):
            import_lavila(path, **HEADS)
    for value, message in (([1], "holds a list"), ({"epoch": 1}, "no state_dict"), ({"state_dict": {"a": 1}}, "a")):
        torch.save(value, path)
        with pytest.raises(CheckpointError, match=message):
            import_lavila(path, **HEADS)
