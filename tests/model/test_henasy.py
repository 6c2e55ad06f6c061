"""The whole model: shapes, what is frozen, what learns, what is deterministic."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from henasy.errors import ConfigError, InputError
from henasy.model.build import build_dual, build_henasy
from henasy.model.config import DecoderConfig, DualConfig, HenasyConfig, LocalConfig, TextConfig, VisionConfig
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy


def _config(*, decoder_width: int = 32, is_cross_mlp: bool = False, has_entity_mlp: bool = True) -> HenasyConfig:
    return HenasyConfig(
        dual=DualConfig(
            vision=VisionConfig(image_px=32, patch_px=8, width=32, depth=3, heads=2, num_frames=4),
            text=TextConfig(width=24, heads=2, layers=2, context_length=12, vocab_size=40),
            joint_dim=16,
        ),
        local=LocalConfig(
            width=20,
            heads=2,
            num_group_tokens=6,
            num_entities=3,
            num_bootstrap_layers=2,
            num_segment_blocks=2,
            num_entity_blocks=1,
            is_cross_mlp=is_cross_mlp,
        ),
        decoder=DecoderConfig(width=decoder_width, heads=2, depth=2),
        has_entity_mlp=has_entity_mlp,
    )


def _henasy(config: HenasyConfig | None = None) -> Henasy:
    torch.manual_seed(0)
    return build_henasy(config or _config())


def _dual() -> DualEncoder:
    torch.manual_seed(0)
    return build_dual(_config().dual).eval().requires_grad_(False)


def _frames(num_clips: int = 2, num_frames: int = 4) -> Tensor:
    return torch.randn(num_clips, num_frames, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("num_frames", [1, 3, 4])
def test_shapes(num_frames: int) -> None:
    out = _henasy().eval()(_frames(2, num_frames))
    assert out.video.shape == out.global_video.shape == (2, 16)
    assert out.entities.shape == (2, 3, 16)
    assert out.entity_tokens.shape == (2, 3, 20)
    assert out.saliency.shape == (2, num_frames, 3, 16)
    assert out.hard.shape == (2, num_frames, 16)
    assert out.is_valid.shape == out.patch_share.shape == (2, 3)
    torch.testing.assert_close(out.saliency.sum(dim=2), torch.ones(2, num_frames, 16))
    torch.testing.assert_close(out.patch_share.sum(dim=1), torch.ones(2))
    assert torch.equal(out.is_valid, out.patch_share > 0)


def test_global_video_is_the_dual_encoders() -> None:
    model = _henasy().eval()
    frames = _frames()
    torch.testing.assert_close(model(frames).global_video, model.dual.encode_video(frames))


def test_eval_is_deterministic_and_training_is_not() -> None:
    model = _henasy().eval()
    assert all(torch.equal(a, b) for a, b in zip(model(_frames()), model(_frames()), strict=True))
    model.train()
    assert not torch.equal(model(_frames()).video, model(_frames()).video)


@pytest.mark.parametrize(
    "config",
    [_config(), _config(is_cross_mlp=True), _config(decoder_width=20, has_entity_mlp=False)],
    ids=["plain", "cross_mlp", "shared_head"],
)
def test_gradient_reaches_all_that_is_trained_and_nothing_frozen(config: HenasyConfig) -> None:
    model = _henasy(config).train()
    out = model(_frames())
    loss = sum(
        (part * torch.randn(part.shape, generator=torch.Generator().manual_seed(2))).sum()
        for part in (out.video, out.entities, out.saliency)
    )
    assert isinstance(loss, Tensor)
    loss.backward()
    for name, parameter in model.named_parameters():
        if name.startswith("dual."):
            assert not parameter.requires_grad, name
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            is_shift_of_all_logits = name.endswith("assign.k_proj.bias")
            assert is_shift_of_all_logits or parameter.grad.abs().sum() > 0, name


def test_the_dual_encoder_stays_in_eval_mode() -> None:
    model = _henasy().train()
    assert model.training
    assert model.local.training
    assert not any(part.training for part in model.dual.modules())


def test_all_patches_in_one_group_leave_everything_finite() -> None:
    model = _henasy().eval()
    out = model(torch.zeros(1, 4, 3, 32, 32))  # equal patches: all but one group are empty
    assert all(torch.isfinite(part).all() for part in out if part.is_floating_point())


def test_cls_alone_equals_the_full_pass() -> None:
    visual = _dual().double().visual
    frames = _frames().double()
    keep = torch.tensor([0, 3, 7, 15])
    torch.testing.assert_close(visual.encode_cls(frames), visual(frames).cls, atol=1e-12, rtol=0)
    torch.testing.assert_close(visual.encode_cls(frames, keep=keep), visual(frames, keep=keep).cls, atol=1e-12, rtol=0)


def test_keeping_every_patch_changes_nothing_and_order_does_not_matter() -> None:
    dual = _dual().double()
    frames = _frames().double()
    whole = dual.encode_video(frames)
    torch.testing.assert_close(dual.encode_video(frames, keep=torch.arange(16)), whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(dual.encode_video(frames, keep=torch.randperm(16)), whole, atol=1e-12, rtol=0)


def test_dropped_patches_are_not_seen() -> None:
    dual = _dual()
    frames = _frames()
    keep = torch.arange(4, 16)  # not the first row of patches
    changed = frames.clone()
    changed[..., :8, :] = 100.0
    assert torch.equal(dual.encode_video(frames, keep=keep), dual.encode_video(changed, keep=keep))
    assert not torch.equal(dual.encode_video(frames), dual.encode_video(changed))


def test_text_up_to_the_longest_end_equals_the_whole_context() -> None:
    dual = _dual().double()
    tokens = torch.zeros(4, 12, dtype=torch.long)
    for row, length in enumerate([0, 2, 5, 7]):
        tokens[row, 0] = 38
        tokens[row, 1 : 1 + length] = torch.arange(1, 1 + length)
        tokens[row, 1 + length] = 39
    features = dual.text_features(tokens)
    whole = features[torch.arange(4), tokens.argmax(dim=-1)] @ dual.text_projection
    torch.testing.assert_close(dual.encode_text(tokens), whole, atol=1e-12, rtol=0)


@pytest.mark.parametrize("shape", [(2, 5, 3, 32, 32), (2, 0, 3, 32, 32), (2, 3, 4, 32, 32), (2, 4, 3, 32, 40)])
def test_bad_frames_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="frames: "):
        _dual().encode_video(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 13), (0, 5), (2, 0), (5,)])
def test_bad_tokens_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"tokens: shape .* allowed: \(texts, 1 to 12\)"):
        _dual().encode_text(torch.zeros(shape, dtype=torch.long))


def test_global_share_is_the_mean_of_the_two_directions() -> None:
    paper, mean = _henasy(), _henasy(replace(_config(), global_share=0.25))
    mean.load_state_dict(paper.state_dict())
    ours, theirs = mean.eval()(_frames()), paper.eval()(_frames())
    assert torch.equal(theirs.video, theirs.decoded)
    for clip in range(len(ours.video)):
        decoded, whole = theirs.decoded[clip], theirs.global_video[clip]
        expected = 0.75 * decoded / decoded.norm() + 0.25 * whole / whole.norm()
        torch.testing.assert_close(ours.video[clip], expected)
    for name in ("decoded", "global_video", "entities", "saliency"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=0, atol=0)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_global_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=r"global_share is .*; allowed: 0 or more, below 1"):
        replace(_config(), global_share=share)
