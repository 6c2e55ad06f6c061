"""The dual encoder equals LaViLa's on converted random weights, block by block."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from henasy.model.build import build_dual
from henasy.model.config import DualConfig, TextConfig, VisionConfig
from henasy.model.dual import DualEncoder
from henasy.model.timesformer import inflate_temporal_embed

Golden = dict[str, Any]


def _assert_equal(actual: Tensor, expected: np.ndarray) -> None:
    """Float64: to 1e-6 of the array's scale, since the golden float64 results are stored as float32.

    A float32 carries 2**-24 = 6e-8 of its own size, up to 5e-7 for the largest values here (about 8), so an
    absolute 1e-6 holds where values are near 1. Float32: the 2e-4 that the golden README gives.
    """
    wanted = torch.from_numpy(np.asarray(expected)).to(actual.dtype)
    assert actual.shape == wanted.shape
    atol = 1e-6 if actual.dtype == torch.float64 else 2e-4
    torch.testing.assert_close(actual, wanted, atol=atol, rtol=1e-7)


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> Golden:
    return dict(np.load(golden_dir / "lavila_tiny_io.npz"))


def _tiny_lavila(num_frames: int = 4) -> DualConfig:
    return DualConfig(
        vision=VisionConfig(image_px=48, patch_px=16, width=64, depth=3, heads=4, num_frames=num_frames),
        text=TextConfig(width=32, heads=4, layers=2, context_length=77, vocab_size=512),
        joint_dim=24,
    )


@pytest.fixture(scope="module", params=[torch.float64, torch.float32], ids=["float64", "float32"])
def dual(request: pytest.FixtureRequest, golden_dir: Path) -> DualEncoder:
    model = build_dual(_tiny_lavila())
    model.load_state_dict(load_file(golden_dir / "lavila_tiny.safetensors"), strict=True)
    return model.to(request.param).eval().requires_grad_(False)


def _frames(golden: Golden, name: str, dual: DualEncoder) -> Tensor:
    return torch.from_numpy(golden[name]).to(dual.logit_scale.dtype).transpose(1, 2)  # B C T H W to B T C H W


def _all_tokens(cls: Tensor, patches: Tensor) -> Tensor:
    return torch.cat((cls, patches.flatten(1, 2)), dim=1)


def test_patch_embedding_equals_the_convolution(dual: DualEncoder, golden: Golden) -> None:
    patches = dual.visual.patch_embed(_frames(golden, "video", dual))
    _assert_equal(patches.flatten(0, 1).transpose(1, 2).unflatten(2, (3, 3)), golden["visual_patch_embed"])


def test_tokens_entering_block_0(dual: DualEncoder, golden: Golden) -> None:
    _assert_equal(_all_tokens(*dual.visual.embed(_frames(golden, "video", dual))), golden["visual_ln_pre_out"])


def test_inside_block_0(dual: DualEncoder, golden: Golden) -> None:
    block: Any = dual.visual.blocks[0]
    cls, patches = dual.visual.embed(_frames(golden, "video", dual))
    normed = block.norm3(cls), block.norm3(patches)
    time = block.timeattn.over_time(*normed)
    space = block.attn.over_space(block.norm1(cls + time[0]), block.norm1(patches + time[1]))
    _assert_equal(_all_tokens(*normed), golden["visual_block0_norm3"])
    _assert_equal(_all_tokens(*time), golden["visual_block0_time_output"])
    _assert_equal(_all_tokens(*space), golden["visual_block0_space_output"])


def test_every_vision_block(dual: DualEncoder, golden: Golden) -> None:
    cls, patches = dual.visual.embed(_frames(golden, "video", dual))
    for index, block in enumerate(dual.visual.blocks):
        cls, patches = block(cls, patches)
        _assert_equal(_all_tokens(cls, patches), golden[f"visual_block{index}"])


def test_final_tokens_and_levels(dual: DualEncoder, golden: Golden) -> None:
    tokens = dual.visual(_frames(golden, "video", dual), num_levels=4)
    _assert_equal(_all_tokens(tokens.cls.unsqueeze(1), tokens.patches), golden["visual_norm_all_tokens"])
    _assert_equal(tokens.cls, golden["visual_cls_before_projection"])
    stored = ("visual_ln_pre_out", "visual_block0", "visual_block1", "visual_block2")
    for level, name in zip(tokens.levels, stored, strict=True):
        _assert_equal(level.flatten(1, 2), golden[name][:, 1:])


def test_clip_embeddings(dual: DualEncoder, golden: Golden) -> None:
    _assert_equal(dual.encode_video(_frames(golden, "video", dual)), golden["image_embed"])


def test_two_frames_use_the_first_temporal_rows(dual: DualEncoder, golden: Golden) -> None:
    frames = _frames(golden, "video", dual)[:, :2]
    cls, patches = dual.visual.embed(frames)
    _assert_equal(_all_tokens(*dual.visual.blocks[0](cls, patches)), golden["f2_visual_block0"])
    _assert_equal(dual.encode_video(frames), golden["f2_image_embed"])


def test_eight_frames_by_inflation(dual: DualEncoder, golden: Golden) -> None:
    inflated = inflate_temporal_embed(dual.visual.temporal_embed, 8)
    _assert_equal(inflated, golden["f8_temporal_embed"])
    longer = build_dual(_tiny_lavila(num_frames=8)).to(inflated.dtype).eval()
    longer.load_state_dict({**dual.state_dict(), "visual.temporal_embed": inflated}, strict=True)
    _assert_equal(longer.encode_video(_frames(golden, "f8_video", dual)).detach(), golden["f8_image_embed"])


def test_three_frames_by_cutting(dual: DualEncoder, golden: Golden) -> None:
    _assert_equal(inflate_temporal_embed(dual.visual.temporal_embed, 3), golden["f3_temporal_embed"])


def test_every_text_block(dual: DualEncoder, golden: Golden) -> None:
    tokens = torch.from_numpy(golden["tokens"])
    x = dual.token_embedding(tokens) + dual.positional_embedding
    for index, block in enumerate(dual.transformer.resblocks):
        x = block(x)
        _assert_equal(x.transpose(0, 1), golden[f"text_block{index}_LND"])
    _assert_equal(dual.ln_final(x), golden["text_ln_final_NLD"])


def test_text_embeddings_and_logits(dual: DualEncoder, golden: Golden) -> None:
    texts = dual.encode_text(torch.from_numpy(golden["tokens"]))
    clips = dual.encode_video(_frames(golden, "video", dual))
    scale = dual.logit_scale.exp()
    _assert_equal(texts, golden["text_embed"])
    _assert_equal(F.normalize(texts, dim=-1), golden["text_embed_normed"])
    _assert_equal(F.normalize(clips, dim=-1), golden["image_embed_normed"])
    _assert_equal(scale, golden["logit_scale_exp"])
    _assert_equal(scale * F.normalize(clips, dim=-1) @ F.normalize(texts, dim=-1).T, golden["logits_per_image"])
