"""Real models of the smallest useful size."""

from collections.abc import Callable

import pytest
import torch

from henasy.checkpoint.folder import Checkpoint
from henasy.checkpoint.training_note import TrainingNote
from henasy.model.build import build
from henasy.model.config import DecoderConfig, DualConfig, HenasyConfig, LocalConfig, TextConfig, VisionConfig
from henasy.text.tokenizer import Tokenizer, train_tokenizer
from henasy.video.preprocess import lavila_spec

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["opens the red drawer", "opens the drawer", "washes the red cup"], 530, 16)


@pytest.fixture(scope="session")
def make_checkpoint(tokenizer: Tokenizer) -> MakeCheckpoint:
    dual = DualConfig(
        vision=VisionConfig(image_px=32, patch_px=8, width=32, depth=2, heads=2, num_frames=4),
        text=TextConfig(width=32, heads=2, layers=2, context_length=16, vocab_size=tokenizer.vocab_size),
        joint_dim=24,
    )
    local = LocalConfig(
        width=32,
        heads=2,
        num_group_tokens=6,
        num_entities=3,
        num_bootstrap_layers=1,
        num_segment_blocks=1,
        num_entity_blocks=1,
    )
    henasy = HenasyConfig(dual=dual, local=local, decoder=DecoderConfig(width=32, heads=2, depth=1))

    def make(kind: str = "henasy", seed: int = 0, **changes: object) -> Checkpoint:
        torch.manual_seed(seed)
        model = build(henasy if kind == "henasy" else dual).eval()
        parts = {
            "spec": lavila_spec(32),
            "tokenizer": tokenizer,
            "training": TrainingNote(summary="Made by a test.", is_random=True),
        } | changes
        return Checkpoint(model=model, **parts)  # type: ignore[arg-type]

    return make
