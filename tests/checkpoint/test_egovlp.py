"""Import of EgoVLP against a model of the same layout written out here: names, forward, tokens, and bad files."""

import argparse
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from henasy.checkpoint.egovlp import import_egovlp
from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import read_checkpoint, save_checkpoint
from henasy.checkpoint.lavila import import_lavila
from henasy.errors import CheckpointError, ConfigError, NotFoundError
from henasy.text.wordpiece import read_word_pieces

transformers = pytest.importorskip("transformers")

WIDTH, HEADS, PATCH, SIDE, FRAMES, DEPTH, JOINT = 32, 2, 8, 32, 4, 2, 24
TEXT_WIDTH, CONTEXT = 48, 20
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cup", "opens", "the", "draw", "##er", "wash", "##es", "#", "c", "."]
HEAD_OPTIONS = {"vision_heads": HEADS, "text_heads": 3}


class Block(nn.Module):
    """A divided space-time block by names and order of PROTOCOLS section 1.2, token by token."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(WIDTH, eps=1e-6) for _ in range(3))
        self.attn, self.timeattn = Attention(), Attention()
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(WIDTH, 4 * WIDTH), "fc2": nn.Linear(4 * WIDTH, WIDTH)})

    def forward(self, x: Tensor) -> Tensor:
        time = x + self.timeattn(self.norm3(x), same_place)
        y = x + self.attn(self.norm1(time), same_frame)
        return y + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(y))))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, is_seen: Callable[[int, int], bool]) -> Tensor:
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        count = x.shape[1]
        seen = torch.tensor([[i == 0 or j == 0 or is_seen(i - 1, j - 1) for j in range(count)] for i in range(count)])
        scores = (q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5).masked_fill(~seen, -torch.inf)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


NUM_PATCHES = (SIDE // PATCH) ** 2


def same_place(i: int, j: int) -> bool:
    return i % NUM_PATCHES == j % NUM_PATCHES


def same_frame(i: int, j: int) -> bool:
    return i // NUM_PATCHES == j // NUM_PATCHES


class VideoModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + NUM_PATCHES, WIDTH))
        self.temporal_embed = nn.Parameter(torch.randn(1, FRAMES, WIDTH))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, WIDTH, PATCH, PATCH)})
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, frames: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](frames.flatten(0, 1)).flatten(2).transpose(1, 2)
        place = self.pos_embed[:, 1:].unsqueeze(1) + self.temporal_embed.unsqueeze(2)
        patches = (patches.reshape(len(frames), FRAMES, NUM_PATCHES, WIDTH) + place).flatten(1, 2)
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(frames), -1, -1)
        x = torch.cat((cls, patches), dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


class Egovlp(nn.Module):
    """EgoVLP's model by its names, with random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.video_model = VideoModel()
        self.text_model = transformers.DistilBertModel(
            transformers.DistilBertConfig(
                vocab_size=len(PIECES),
                max_position_embeddings=CONTEXT,
                dim=TEXT_WIDTH,
                n_layers=2,
                n_heads=3,
                hidden_dim=96,
            )
        )
        self.txt_proj = nn.Sequential(nn.ReLU(), nn.Linear(TEXT_WIDTH, JOINT))
        self.vid_proj = nn.Sequential(nn.Linear(WIDTH, JOINT))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3)

    def video(self, frames: Tensor) -> Tensor:
        return self.vid_proj(self.video_model(frames))

    def text(self, ids: list[int]) -> Tensor:
        """One text, without padding and without a mask."""
        return self.txt_proj(self.text_model(torch.tensor([ids])).last_hidden_state[:, 0])[0]


@pytest.fixture(scope="module")
def model() -> Egovlp:
    torch.manual_seed(3)
    return Egovlp().eval()


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distilbert")
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return folder


def own_file(model: Egovlp, path: Path, **more: Any) -> Path:
    """As EgoVLP's trainer writes it: with an object of its settings that holds paths."""
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    state["module.text_model.embeddings.position_ids"] = torch.arange(CONTEXT)[None]
    module = types.ModuleType("parse_config_dist_multi")
    settings = type("ConfigParser", (), {"__module__": module.__name__, "__qualname__": "ConfigParser"})
    module.ConfigParser = settings  # type: ignore[attr-defined]
    config = settings()
    config.__dict__.update(args=argparse.Namespace(rank=0), _save_dir=Path("results"), log_levels={0: 30})
    sys.modules[module.__name__] = module
    try:
        content = {"arch": "FrozenInTime", "epoch": 7, "state_dict": state, "monitor_best": np.float64(0.5)}
        torch.save({**content, "config": config, **more}, path)
    finally:
        del sys.modules[module.__name__]
    return path


def converted_file(model: Egovlp, path: Path) -> Path:
    """As LaViLa's script writes it."""
    names = {
        "video_model": "visual",
        "text_model": "textual",
        "txt_proj": "text_projection",
        "vid_proj": "image_projection",
    }
    state = {}
    for name, value in model.state_dict().items():
        first, rest = name.split(".", 1)
        state[f"module.{names[first]}.{rest}"] = value.half()
    torch.save({"epoch": 0, "state_dict": state, "best_acc1": 0}, path)
    return path


def test_own_file_gives_the_vectors_of_the_model(model: Egovlp, vocabulary: Path, tmp_path: Path) -> None:
    found = import_egovlp(own_file(model, tmp_path / "egovlp.pth"), tokenizer=vocabulary, **HEAD_OPTIONS)
    assert found.ignored == ["arch", "config", "epoch", "monitor_best", "textual.embeddings.position_ids"]
    assert found.checkpoint.training.details["epoch"] == "7"
    save_checkpoint(tmp_path / "model", found.checkpoint)
    again = read_checkpoint(tmp_path / "model")
    frames = torch.randn(2, FRAMES, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(again.model.encode_video(frames), model.video(frames), rtol=1e-4, atol=1e-5)
    encoder = load_encoder(tmp_path / "model")
    assert (encoder.kind, encoder.num_entities, encoder.max_text_tokens) == ("dual", 0, CONTEXT)
    texts = {
        "#C C opens the drawer": [2, 12, 13, 13, 6, 7, 8, 9, 3],
        "Washes a cup.": [2, 10, 11, 4, 5, 14, 3],
        "a zebra": [2, 4, 1, 3],
    }
    assert encoder.num_text_tokens(list(texts)) == [9, 7, 4]
    with torch.no_grad():
        expected = F.normalize(torch.stack([model.text(ids) for ids in texts.values()]), dim=-1).numpy()
    np.testing.assert_allclose(encoder.encode_texts(list(texts)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(["a zebra"])[0], expected[2], rtol=1e-4, atol=1e-5)


def test_frames_are_normalised_as_imagenet(model: Egovlp, tmp_path: Path) -> None:
    checkpoint = import_egovlp(own_file(model, tmp_path / "a.pth"), **HEAD_OPTIONS).checkpoint
    assert checkpoint.spec.mean == pytest.approx([255 * value for value in (0.485, 0.456, 0.406)])
    assert checkpoint.spec.std == pytest.approx([255 * value for value in (0.229, 0.224, 0.225)])
    assert checkpoint.tokenizer is None


def test_conversion_by_lavila_is_the_same_model(model: Egovlp, tmp_path: Path) -> None:
    own = import_egovlp(own_file(model, tmp_path / "a.pth"), **HEAD_OPTIONS).checkpoint.model.state_dict()
    other = import_egovlp(converted_file(model, tmp_path / "b.pth"), **HEAD_OPTIONS).checkpoint.model.state_dict()
    assert list(own) == list(other)
    assert all(torch.equal(own[name].half(), other[name].half()) for name in own)
    assert len(own) == len(model.state_dict())


def test_long_texts_keep_their_last_token(vocabulary: Path) -> None:
    tokenizer = read_word_pieces(vocabulary, context_length=5)
    assert tokenizer.encode_batch(["a cup a cup a cup"]).tolist() == [[2, 4, 5, 4, 3]]
    rows = tokenizer.encode_batch(["cup", "a cup"])
    assert rows.tolist() == [[2, 5, 3, 0, 0], [2, 4, 5, 3, 0]]
    assert tokenizer.lengths(rows).tolist() == [3, 4]


def test_tokens_equal_those_of_transformers(vocabulary: Path) -> None:
    reference = transformers.BertTokenizer(vocab=str(vocabulary / "vocab.txt"), do_lower_case=True)
    tokenizer = read_word_pieces(vocabulary, context_length=CONTEXT)
    texts = ["#C C opens the DRAWER.", "Wáshes   a cup", "drawerer  the.the", ""]
    for text, row in zip(texts, tokenizer.encode_batch(texts).tolist(), strict=True):
        expected = reference(text)["input_ids"]
        assert row == expected + [0] * (CONTEXT - len(expected)), text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("module.vid_proj.0.bias"), r"missing: image_projection\.0\.bias"),
        (lambda w: w.pop("module.text_model.embeddings.word_embeddings.weight"), "not an EgoVLP dual encoder"),
        (lambda w: w.update({"module.extra": torch.zeros(1)}), "not in the model: extra"),
        (
            lambda w: w.update({"module.video_model.ln_pre.weight": torch.ones(WIDTH)}),
            r"not in the model: visual\.ln_pre",
        ),
        (lambda w: w.update({"module.visual.cls_token": torch.zeros(1, 1, WIDTH)}), "under EgoVLP's names and"),
        (lambda w: w["module.vid_proj.0.bias"].fill_(torch.nan), "not finite: image_projection"),
        (lambda w: w.update({"module.text_model.embeddings.position_ids": torch.ones(1, 4)}), "must count 0, 1"),
    ],
)
def test_import_refuses_other_tensors(
    model: Egovlp, tmp_path: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    state = {f"module.{name}": value.clone() for name, value in model.state_dict().items()}
    change(state)
    torch.save({"state_dict": state}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        import_egovlp(tmp_path / "a.pth", **HEAD_OPTIONS)


def test_import_refuses_files_of_the_other_kind(model: Egovlp, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a LaViLa dual encoder"):
        import_lavila(converted_file(model, tmp_path / "a.pth"), **HEAD_OPTIONS)
    torch.save({"state_dict": {"token_embedding.weight": torch.zeros(3, 4)}}, tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="not an EgoVLP dual encoder"):
        import_egovlp(tmp_path / "b.pth")


def test_import_refuses_code(model: Egovlp, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    runs = type("Runs", (), {"__reduce__": lambda self: (os.mkdir, (str(trace),))})
    path = own_file(model, tmp_path / "a.pth", more=argparse.Namespace())
    content = {"state_dict": dict(model.state_dict()), "config": runs()}
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"object of (posix|nt)\.mkdir"):
        import_egovlp(path, **HEAD_OPTIONS)
    assert not trace.exists()


def test_without_transformers_the_error_names_the_extra(
    model: Egovlp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = own_file(model, tmp_path / "a.pth")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[egovlp\]'"):
        import_egovlp(file, **HEAD_OPTIONS)


def test_tokenizer_folder_must_fit(model: Egovlp, vocabulary: Path, tmp_path: Path) -> None:
    file = own_file(model, tmp_path / "a.pth")
    with pytest.raises(NotFoundError, match=r"neither tokenizer\.json nor vocab\.txt"):
        import_egovlp(file, tokenizer=tmp_path, **HEAD_OPTIONS)
    (tmp_path / "vocab.txt").write_text("\n".join([*PIECES, "more"]))
    with pytest.raises(ConfigError, match="16 word pieces, the checkpoint's text tower has 15"):
        import_egovlp(file, tokenizer=tmp_path, **HEAD_OPTIONS)
    (tmp_path / "vocab.txt").write_text("[UNK]\na\nb\nc\n")
    with pytest.raises(ConfigError, match="all must be there"):
        import_egovlp(file, tokenizer=tmp_path, **HEAD_OPTIONS)
    stored = read_word_pieces(vocabulary, context_length=CONTEXT).to_json()
    (tmp_path / "tokenizer.json").write_text(stored)
    assert import_egovlp(file, tokenizer=tmp_path, **HEAD_OPTIONS).checkpoint.tokenizer is not None
    for text, message in (
        (stored.replace('"lowercase":true', '"lowercase":false'), "capital"),
        ("{}", "no word-piece"),
        ("{", "Expecting"),
    ):
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(ConfigError, match=message):
            import_egovlp(file, tokenizer=tmp_path, **HEAD_OPTIONS)
