"""The encoder against the model called directly, and its independence of how clips are batched."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from henasy.checkpoint.encoder import Encoder, default_micro_batch, load_encoder
from henasy.checkpoint.folder import Checkpoint, save_checkpoint
from henasy.errors import ConfigError, InputError, UnsupportedError
from henasy.model.build import build_dual
from henasy.model.config import DualConfig
from henasy.model.henasy import Henasy
from henasy.video.preprocess import lavila_spec, preprocess

MakeCheckpoint = Callable[..., Checkpoint]
FRAMES = np.random.default_rng(0).integers(0, 256, (20, 40, 56, 3), dtype=np.uint8)
ROWS = np.random.default_rng(1).integers(0, 20, (11, 4))


@pytest.fixture(scope="module")
def folders(make_checkpoint: MakeCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    for kind in ("henasy", "dual"):
        save_checkpoint(root / kind, make_checkpoint(kind))
    return {kind: root / kind for kind in ("henasy", "dual")}


@pytest.fixture(scope="module", params=["henasy", "dual"])
def encoder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Encoder:
    return load_encoder(folders[request.param])


def test_encode_clips_equals_the_model(make_checkpoint: MakeCheckpoint, folders: dict[str, Path]) -> None:
    checkpoint = make_checkpoint()
    images = preprocess(FRAMES, checkpoint.spec)
    assert isinstance(checkpoint.model, Henasy)
    with torch.no_grad():
        wanted = checkpoint.model(images[torch.from_numpy(ROWS)])
    found = load_encoder(folders["henasy"]).encode_clips(FRAMES, ROWS)
    np.testing.assert_allclose(found.clip, F.normalize(wanted.video, dim=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.entities, F.normalize(wanted.entities, dim=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.global_clip, F.normalize(wanted.global_video, dim=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.is_valid, wanted.is_valid)
    np.testing.assert_array_equal(found.assignment, wanted.hard)
    np.testing.assert_allclose(found.patch_share, wanted.patch_share, rtol=1e-6)
    shares = [(found.assignment[0] == entity).mean() for entity in range(3)]
    np.testing.assert_allclose(found.patch_share[0], shares, rtol=1e-6)


def test_dual_encoding_has_no_entities(make_checkpoint: MakeCheckpoint, folders: dict[str, Path]) -> None:
    checkpoint = make_checkpoint("dual")
    images = preprocess(FRAMES, checkpoint.spec)
    with torch.no_grad():
        wanted = checkpoint.model.encode_video(images[torch.from_numpy(ROWS)])
    encoder = load_encoder(folders["dual"])
    found = encoder.encode_clips(FRAMES, ROWS)
    np.testing.assert_allclose(found.clip, F.normalize(wanted, dim=-1), rtol=1e-5, atol=1e-6)
    assert (encoder.kind, encoder.num_entities, encoder.grid, encoder.num_frames) == ("dual", 0, (4, 4), 4)
    assert [part.shape for part in found[1:5]] == [(11, 0, 24), (11, 0), (11, 0), (11, 0, 0)]
    np.testing.assert_array_equal(found.global_clip, found.clip)
    with pytest.raises(UnsupportedError, match="dual has no entities"):
        encoder.saliency(FRAMES, ROWS)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """With more, a clip's last bits depend on which thread gets its place in the batch."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_encode_clips_does_not_depend_on_the_batch(encoder: Encoder, one_thread: None) -> None:
    together = encoder.encode_clips(FRAMES, ROWS)
    order = np.random.default_rng(2).permutation(len(ROWS))
    for part, shuffled in zip(together, encoder.encode_clips(FRAMES, ROWS[order]), strict=True):
        np.testing.assert_array_equal(part[order], shuffled)
    for row in (0, 10):
        alone = encoder.encode_clips(FRAMES[ROWS[row]], np.arange(4)[None])
        for part, single in zip(together, alone, strict=True):
            np.testing.assert_array_equal(part[row : row + 1], single)


def test_encode_clips_of_nothing_has_no_rows(encoder: Encoder) -> None:
    found = encoder.encode_clips(FRAMES, ROWS[:0])
    assert [len(part) for part in found] == [0] * 6
    assert found.clip.shape == (0, encoder.width)
    assert encoder.encode_texts([]).shape == (0, encoder.width)


def test_saliency_sums_to_one_over_entities(folders: dict[str, Path]) -> None:
    encoder = load_encoder(folders["henasy"])
    maps = encoder.saliency(FRAMES, ROWS)
    assert maps.shape == (11, 4, 3, 4, 4)
    np.testing.assert_allclose(maps.sum(axis=2), 1.0, rtol=1e-5)
    hard = encoder.encode_clips(FRAMES, ROWS).assignment.reshape(11, 4, 4, 4)
    np.testing.assert_array_equal(maps.argmax(axis=2), hard)


def test_encode_texts_equals_one_by_one(encoder: Encoder, one_thread: None) -> None:
    texts = ["washes the red cup", "", "cup", "opens the drawer " * 20, "cup"]
    together = encoder.encode_texts(texts)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, rtol=1e-5)
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(together[2], together[4])


def test_num_text_tokens_tells_what_is_cut(encoder: Encoder) -> None:
    assert encoder.max_text_tokens == 16
    short, exact, cut = "cup", "c u p " * 4 + "c u", "c u p " * 5
    assert encoder.num_text_tokens([exact, cut]) == [16, 17]
    assert encoder.num_text_tokens([short])[0] < 16
    same, other = encoder.encode_texts([cut, f"{cut} drawer"])
    np.testing.assert_array_equal(same, other)


def test_encode_texts_needs_a_tokenizer(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", make_checkpoint(tokenizer=None))
    with pytest.raises(UnsupportedError, match="no tokenizer"):
        load_encoder(tmp_path / "model").encode_texts(["cup"])


def test_bfloat16_is_close_to_float32(encoder: Encoder, folders: dict[str, Path]) -> None:
    short = load_encoder(folders[encoder.kind], dtype="bfloat16")
    assert short.space_id == encoder.space_id
    full, found = encoder.encode_clips(FRAMES, ROWS), short.encode_clips(FRAMES, ROWS)
    assert found.clip.dtype == np.float32
    # a patch between two groups may change hands, which moves a random little model's clip more than rounding does
    assert (full.clip * found.clip).sum(axis=1).min() > (0.95 if encoder.num_entities else 0.999)
    texts = ["washes the red cup", "opens the drawer"]
    assert (encoder.encode_texts(texts) * short.encode_texts(texts)).sum(axis=1).min() > 0.99


def test_more_frames_make_another_space(encoder: Encoder, folders: dict[str, Path]) -> None:
    longer = load_encoder(folders[encoder.kind], num_frames=8)
    assert longer.num_frames == 8
    assert longer.space_id != encoder.space_id
    assert longer.encode_clips(FRAMES, np.arange(16).reshape(2, 8)).clip.shape == (2, 24)
    assert load_encoder(folders[encoder.kind], num_frames=4).space_id == encoder.space_id


@pytest.mark.parametrize(
    ("frames", "rows", "field"),
    [
        (FRAMES.astype(np.float32), ROWS, "frames"),
        (FRAMES[..., :2], ROWS, "frames"),
        (FRAMES, ROWS[:, :3], "frame_rows"),
        (FRAMES, ROWS.astype(np.float64), "frame_rows"),
        (FRAMES, ROWS - 1, "frame_rows"),
        (FRAMES[:5], ROWS, "frame_rows"),
    ],
)
def test_encode_clips_refuses_other_input(encoder: Encoder, frames: np.ndarray, rows: np.ndarray, field: str) -> None:
    with pytest.raises(InputError, match=f"{field}: "):
        encoder.encode_clips(frames, rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "float16"),
        ({"device": "abacus"}, "abacus"),
        ({"device": "xpu"}, "xpu"),
        ({"micro_batch": 0}, "micro_batch is 0"),
        ({"num_frames": 0}, "num_frames is 0"),
    ],
)
def test_load_encoder_refuses_other_options(folders: dict[str, Path], options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_encoder(folders["dual"], **options)  # type: ignore[arg-type]


def test_default_micro_batch_depends_on_device_and_width(make_checkpoint: MakeCheckpoint) -> None:
    narrow = make_checkpoint("dual")
    with torch.device("meta"):
        wide = build_dual(DualConfig())
    wide_checkpoint = replace(narrow, model=wide, spec=lavila_spec(), tokenizer=None)
    sizes = {
        (kind, device): default_micro_batch(checkpoint, torch.device(device))
        for kind, checkpoint in (("narrow", narrow), ("wide", wide_checkpoint))
        for device in ("cpu", "cuda")
    }
    assert sizes[("wide", "cpu")] < sizes[("narrow", "cpu")] < sizes[("narrow", "cuda")] == sizes[("wide", "cuda")]


def test_raw_embeddings_are_the_model_s_own(encoder: Encoder) -> None:
    raw = encoder.encode_clips(FRAMES, ROWS, is_normalised=False)
    unit = encoder.encode_clips(FRAMES, ROWS)
    text = ["opens the red drawer", "washes"]
    pairs = [(raw.clip, unit.clip), (raw.entities, unit.entities), (raw.global_clip, unit.global_clip)]
    pairs.append((encoder.encode_texts(text, is_normalised=False), encoder.encode_texts(text)))
    for vectors, normalised in pairs:
        length = np.linalg.norm(vectors, axis=-1, keepdims=True)
        assert (np.abs(length - 1) > 1e-3).all()
        np.testing.assert_allclose(vectors / length, normalised, rtol=1e-5, atol=1e-6)
