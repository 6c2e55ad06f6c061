"""The convolutional stem: what a token covers, that clips do not meet in its norms, and sizes it refuses."""

import math

import pytest
import torch
import torch.utils._device

from henasy.checkpoint.weights import build_empty
from henasy.errors import ConfigError
from henasy.model.build import build_dual
from henasy.model.config import VisionConfig, tiny_dual
from henasy.model.conv_stem import ConvStem
from henasy.model.init import init_positions_, positions
from henasy.model.timesformer import Timesformer


@pytest.fixture
def stem() -> ConvStem:
    torch.manual_seed(0)
    return ConvStem(8, 16, 12)


def test_stem_gives_one_token_per_patch_and_keeps_the_asked_ones(stem: ConvStem) -> None:
    frames = torch.randn(2, 3, 3, 32, 32)
    tokens = stem(frames)
    assert tokens.shape == (2, 3, 16, 12)
    keep = torch.tensor([0, 5, 15])
    torch.testing.assert_close(stem(frames, keep), tokens[:, :, keep])


def test_stem_feels_a_patch_in_its_own_token_and_nowhere_far_off(stem: ConvStem) -> None:
    frames = torch.zeros(1, 1, 3, 128, 128)
    touched = frames.clone()
    touched[..., 40:48, 64:72] = 3.0  # patch (5, 8) of 16 x 16
    moved = (stem(touched) - stem(frames)).abs().sum(dim=-1).reshape(16, 16)
    assert moved[5, 8] > 0
    # worked out by hand, layer by layer: rows 1 to 10 and columns 4 to 13 are as far as it can be felt
    assert moved.sum(dim=1).nonzero()[:, 0].tolist() == list(range(1, 11))
    assert moved.sum(dim=0).nonzero()[:, 0].tolist() == list(range(4, 14))


def test_stem_in_training_does_not_mix_the_clips_of_a_batch(stem: ConvStem) -> None:
    stem.train()
    frames = torch.randn(4, 1, 3, 16, 16)
    torch.testing.assert_close(stem(frames)[:1], stem(frames[:1]))
    assert torch.equal(stem.norm.running_mean, torch.zeros(4))


def test_stem_gets_its_gradients_through_the_encoder() -> None:
    dual = build_dual(tiny_dual(vocab_size=50))
    visual = dual.visual
    assert isinstance(visual, Timesformer)
    assert isinstance(visual.patch_embed, ConvStem)
    dual.train()
    dual.encode_video(torch.randn(2, 4, 3, 96, 96)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in visual.patch_embed.parameters())


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"patch_px": 12, "image_px": 96, "stem_width": 96}, r"patch_px is 12; allowed: a power of 2 above 1"),
        ({"patch_px": 8, "image_px": 96, "stem_width": 30}, r"stem_width is 30; allowed: 0, or a multiple of 4"),
        ({"patch_px": 8, "image_px": 96, "stem_width": -4}, r"stem_width is -4"),
        ({"patch_px": 8, "stem_width": 96, "has_patch_bias": True}, r"has_patch_bias is True; allowed: False under"),
    ],
)
def test_stem_refuses_sizes_that_cannot_be_halved(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VisionConfig(**sizes)


def test_vision_config_without_a_stem_is_stored_as_before() -> None:
    assert "stem_width" not in VisionConfig().to_dict()
    assert VisionConfig.from_dict(tiny_dual().vision.to_dict()).stem_width == tiny_dual().vision.stem_width > 0


def test_positions_are_nearest_to_their_neighbours() -> None:
    table = positions(12, 64)
    products = table @ table.T
    torch.testing.assert_close(products.diagonal(), torch.full((12,), 32.0))
    assert all(products[0, i] > products[0, i + 1] for i in range(3))


def test_positions_by_hand_down_then_across_and_frames_from_zero() -> None:
    table = torch.tensor([[0.0, 0.0, 1.0, 1.0], [math.sin(1), math.sin(0.01), math.cos(1), math.cos(0.01)]])
    torch.testing.assert_close(positions(2, 4), table)
    places, times = torch.ones(1, 5, 8), torch.ones(1, 2, 8)
    init_positions_(places, times)
    assert places[0, 0].tolist() == [1.0] * 8
    torch.testing.assert_close(places[0, 2], torch.cat([table[0], table[1]]))
    torch.testing.assert_close(places[0, 3], torch.cat([table[1], table[0]]))
    rates = [(6 / 8) ** (wave / 3) for wave in range(4)]  # wavelengths from 6 to 8 = 4 x 2 frames
    later = [math.sin(rate) for rate in rates] + [math.cos(rate) - 1 for rate in rates]
    torch.testing.assert_close(times[0], torch.tensor([[0.0] * 8, later]))


def test_positions_of_frames_stand_as_far_apart_as_those_of_patches() -> None:
    """Frames that start ten times nearer than patches stay so: a clip and its reversal end up nearly equal."""
    visual = build_dual(tiny_dual(vocab_size=50)).visual
    frames, patches = visual.temporal_embed[0], visual.pos_embed[0, 1:]
    assert torch.pdist(frames).min() > torch.pdist(patches[:12]).min()


def test_a_model_is_built_without_memory_after_transformers_had_its_way_with_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """transformers loads models under a torch.linspace of its own; torch remembers the names it sees first."""
    known = torch.utils._device._device_constructors()
    monkeypatch.setattr(torch.utils._device, "_device_constructors", lambda: known - {torch.linspace})
    model = build_empty(tiny_dual(vocab_size=50))
    assert {value.device.type for value in model.state_dict().values()} == {"meta"}
