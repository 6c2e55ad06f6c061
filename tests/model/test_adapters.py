"""Adapters: they start as nothing, are all there is to train, merge into plain weights, fit one model only."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from henasy.checkpoint.adapter_folder import ABOUT, FACTORS, apply_adapters, save_adapters
from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import Checkpoint, read_checkpoint, save_checkpoint
from henasy.checkpoint.space import space_id
from henasy.checkpoint.training_note import TrainingNote
from henasy.errors import CheckpointError, ConfigError, NotFoundError
from henasy.model.build import build_dual, build_henasy
from henasy.model.config import (
    DecoderConfig,
    DistilbertConfig,
    DualConfig,
    HenasyConfig,
    LocalConfig,
    TextConfig,
    VisionConfig,
)
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy
from henasy.text.tokenizer import train_tokenizer
from henasy.video.preprocess import PreprocessSpec

pytest.importorskip("peft")

from henasy.model.adapters import AdapterConfig, Adapters, adapted_weights

VISION = VisionConfig(image_px=16, patch_px=8, width=16, depth=2, heads=2, num_frames=2)
TEXT = TextConfig(width=12, heads=2, layers=2, context_length=12, vocab_size=540)
DUAL = DualConfig(vision=VISION, text=TEXT, joint_dim=8)
LOCAL = LocalConfig(
    width=16,
    heads=2,
    num_group_tokens=4,
    num_entities=2,
    num_bootstrap_layers=1,
    num_segment_blocks=1,
    num_entity_blocks=1,
)
HENASY = HenasyConfig(dual=DUAL, local=LOCAL, decoder=DecoderConfig(width=16, heads=2, depth=1))
EGOVLP = DualConfig(
    vision=replace(VISION, has_patch_bias=True, has_first_norm=False, activation="gelu"),
    text=DistilbertConfig(width=12, heads=2, layers=2, context_length=12, vocab_size=540, hidden=24),
    joint_dim=8,
)
RANK = 3


def model_of(kind: str, seed: int = 0) -> DualEncoder | Henasy:
    torch.manual_seed(seed)
    if kind == "henasy":
        return build_henasy(HENASY).eval()
    return build_dual(EGOVLP if kind == "egovlp" else DUAL).eval()


def embed(model: DualEncoder | Henasy) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(5)
    frames = torch.randn(3, 2, 3, 16, 16, generator=draw).to(next(model.parameters()).dtype)
    tokens = torch.randint(1, 500, (4, 9), generator=draw)
    tokens[:, -1] = 539
    video = model.encode_video(frames) if isinstance(model, DualEncoder) else model(frames).video
    return video, model.encode_text(tokens)


def stir(adapters: Adapters) -> None:
    draw = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for factor in adapters.factors:
            factor.add_(0.3 * torch.randn(factor.shape, generator=draw))


KINDS = pytest.mark.parametrize("kind", ["dual", "egovlp", "henasy"])


@KINDS
def test_fresh_adapters_change_nothing_and_are_all_that_is_trained(kind: str) -> None:
    model = model_of(kind)
    before = embed(model)
    adapters = Adapters(model, AdapterConfig(rank=RANK))
    after = embed(adapters.model)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    trained = {id(value) for value in model.parameters() if value.requires_grad}
    assert trained == {id(value) for value in adapters.parameters()}
    sum(part.sum() for part in after).backward()
    without = [name for name, value in zip(adapters.names, adapters.factors, strict=True) if value.grad is None]
    assert without == []


@KINDS
def test_merged_adapters_leave_a_plain_model_that_computes_the_same(kind: str) -> None:
    model = model_of(kind).double()  # stirred weights blow up what single precision rounds
    names, before = set(model.state_dict()), embed(model)
    needs_gradient = {name for name, value in model.named_parameters() if value.requires_grad}
    adapters = Adapters(model, AdapterConfig(rank=RANK))
    stir(adapters)
    adapted = embed(adapters.model)
    merged = adapters.merge()
    assert set(merged.state_dict()) == names
    assert {name for name, value in merged.named_parameters() if value.requires_grad} == needs_gradient
    assert not [m for m in merged.modules() if type(m).__module__.startswith("peft")]
    for old, own, new in zip(before, adapted, embed(merged), strict=True):
        assert not torch.allclose(old, own, atol=1e-2)
        torch.testing.assert_close(new, own, rtol=1e-9, atol=1e-9)


def test_merged_weight_is_the_sum_written_out() -> None:
    model = model_of("dual")
    name = "transformer.resblocks.1.attn.in_proj_weight"
    before = model.state_dict()[name].clone()
    adapters = Adapters(model, AdapterConfig(rank=RANK, alpha=6))
    stir(adapters)
    factors = {key: value.clone() for key, value in adapters.tensors().items()}
    merged = adapters.merge().state_dict()[name]
    expected = before + 6 / RANK * factors[f"{name}.up"] @ factors[f"{name}.down"]
    torch.testing.assert_close(merged, expected, rtol=1e-5, atol=1e-6)


def test_towers_choose_what_is_adapted() -> None:
    weights = {
        towers: adapted_weights(model_of("dual"), AdapterConfig(towers=towers)) for towers in ("video", "text", "both")
    }
    assert set(weights["both"]) == {*weights["video"], *weights["text"]}
    assert all(name.startswith("visual.blocks.") for name in weights["video"])
    assert all(name.startswith("transformer.resblocks.") for name in weights["text"])
    # attention and MLP maps of two blocks each: qkv and proj twice and two of the MLP; in, out and two of the MLP
    assert (len(weights["video"]), len(weights["text"])) == (2 * 6, 2 * 4)


def test_henasy_keeps_its_global_encoder_and_its_grouping() -> None:
    model = model_of("henasy")
    assert isinstance(model, Henasy)
    weights = adapted_weights(model, AdapterConfig())
    assert not [name for name in weights if name.startswith("dual.visual") or ".assign." in name]
    assert any(name.startswith("dual.transformer.") for name in weights)
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.startswith(("local.", "decoder."))]
    left_out = {f"{name}.weight" for name in linear} - set(weights)
    assert left_out
    assert all(".assign." in name for name in left_out)


def test_same_seed_gives_the_same_adapters() -> None:
    first, again, other = (
        Adapters(model_of("dual"), AdapterConfig(rank=RANK), seed=seed).tensors() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_training_state_holds_the_factors_alone() -> None:
    adapters = Adapters(model_of("dual"), AdapterConfig(rank=RANK))
    assert sum(value.numel() for value in adapters.state_dict().values()) == sum(
        value.numel() for value in adapters.parameters()
    )
    fresh = Adapters(model_of("dual"), AdapterConfig(rank=RANK), seed=9)
    stir(adapters)
    fresh.load_state_dict(adapters.state_dict())
    for own, other in zip(embed(adapters.model), embed(fresh.model), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 0}, "rank is 0; allowed: a whole number"),
        ({"rank": 1.5}, "rank is 1.5"),
        ({"alpha": -1}, "alpha is -1"),
        ({"towers": "audio"}, "towers is 'audio'; allowed: video, text, both"),
        ({"bias": True}, r"unknown settings \['bias'\]"),
    ],
)
def test_settings_that_are_not_allowed_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AdapterConfig.from_dict(values)


def test_adapters_that_are_not_numbers_are_not_merged() -> None:
    adapters = Adapters(model_of("dual"), AdapterConfig(rank=RANK))
    with torch.no_grad():
        adapters.factors[0].fill_(torch.nan)
    with pytest.raises(CheckpointError, match="cannot be merged"):
        adapters.merge()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HENASY checkpoint with a tokenizer."""
    texts = ["#C C lifts the mug", "#C C opens the box"] * 20
    tokenizer = train_tokenizer(texts, vocab_size=540, context_length=12)
    config = replace(HENASY, dual=replace(DUAL, text=replace(TEXT, vocab_size=tokenizer.vocab_size)))
    torch.manual_seed(1)
    spec = PreprocessSpec(image_px=16, mean=(0.0,) * 3, std=(1.0,) * 3, is_antialiased=True)
    note = TrainingNote(summary="Random.", is_random=True)
    folder = tmp_path_factory.mktemp("base") / "checkpoint"
    model = build_henasy(config).eval()
    save_checkpoint(folder, Checkpoint(model=model, spec=spec, tokenizer=tokenizer, training=note))
    return folder


def test_saved_adapters_give_the_same_merged_checkpoint_again(base: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(base)
    before = space_id(checkpoint)
    adapters = Adapters(checkpoint.model, AdapterConfig(rank=RANK))
    stir(adapters)
    save_adapters(tmp_path / "adapters", adapters, before)
    merged = replace(checkpoint, model=adapters.merge())
    save_checkpoint(tmp_path / "merged", merged)
    again = read_checkpoint(base)
    restored = replace(again, model=apply_adapters(tmp_path / "adapters", again).merge())
    assert space_id(restored) == space_id(merged) != before
    encoder = load_encoder(tmp_path / "merged")
    assert (encoder.kind, encoder.space_id) == ("henasy", space_id(merged))
    assert encoder.encode_texts(["#C C lifts the mug"]).shape == (1, encoder.width)


def test_adapters_are_refused_on_another_checkpoint(base: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(base)
    save_adapters(tmp_path / "adapters", Adapters(checkpoint.model, AdapterConfig(rank=RANK)), "0123456789abcdef")
    with pytest.raises(CheckpointError, match="adapters for the checkpoint of space 0123456789abcdef, not"):
        apply_adapters(tmp_path / "adapters", read_checkpoint(base))


def test_damaged_adapters_are_refused(base: Path, tmp_path: Path) -> None:
    checkpoint, folder = read_checkpoint(base), tmp_path / "adapters"
    own = space_id(checkpoint)
    with pytest.raises(NotFoundError, match=f"has no {ABOUT}"):
        apply_adapters(folder, checkpoint)
    save_adapters(folder, Adapters(checkpoint.model, AdapterConfig(rank=RANK)), own)
    (folder / ABOUT).write_text((folder / ABOUT).read_text().replace(f'"rank": {RANK}', '"rank": 2'))
    with pytest.raises(CheckpointError, match=r"adapters do not fit this model; the first, .* has shape \(3"):
        apply_adapters(folder, read_checkpoint(base))
    (folder / FACTORS).write_bytes(b"not tensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        apply_adapters(folder, read_checkpoint(base))
    (folder / FACTORS).unlink()
    with pytest.raises(NotFoundError, match=f"has no {FACTORS}"):
        apply_adapters(folder, read_checkpoint(base))
    (folder / ABOUT).write_text("[]")
    with pytest.raises(CheckpointError, match="not adapters of format 1"):
        apply_adapters(folder, read_checkpoint(base))


def test_adapters_do_not_replace_something_else(base: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"something else \(mine.txt\)"):
        save_adapters(tmp_path, Adapters(read_checkpoint(base).model, AdapterConfig(rank=RANK)), "0" * 16)
    assert (tmp_path / "mine.txt").exists()


@KINDS
@pytest.mark.parametrize("towers", ["video", "text"])
def test_one_tower_leaves_the_other_as_it_was(kind: str, towers: str) -> None:
    model = model_of(kind)
    before = embed(model)
    adapters = Adapters(model, AdapterConfig(rank=RANK, towers=towers))
    stir(adapters)
    changed = [not torch.allclose(old, new) for old, new in zip(before, embed(adapters.merge()), strict=True)]
    assert changed == [towers == "video", towers == "text"]
