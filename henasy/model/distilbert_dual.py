"""The dual encoder of EgoVLP: a TimeSformer and DistilBERT, under the names that LaViLa's conversion gives them.

Shapes: B clips, N texts, L tokens, D joint width.

Source: showlab/EgoVLP model/model.py; facebookresearch/LaViLa scripts/convert_egovlp_ckpt.py (the names).
"""

import torch
from torch import Tensor, nn

from henasy.errors import missing_extra
from henasy.model.config import DistilbertConfig, DualConfig
from henasy.model.dual import DualEncoder
from henasy.model.init import init_embeddings_, init_linears_
from henasy.model.timesformer import Timesformer

PAD_ID = 0


def build_distilbert(config: DistilbertConfig) -> nn.Module:
    """The text tower, from the `transformers` library.

    Raises:
        ConfigError: the library is not installed.
    """
    try:
        from transformers import DistilBertConfig, DistilBertModel
    except ImportError as error:
        raise missing_extra(f"EgoVLP's text tower needs the transformers library ({error})", "egovlp") from error
    tower: nn.Module = DistilBertModel(
        DistilBertConfig(
            vocab_size=config.vocab_size,
            max_position_embeddings=config.context_length,
            dim=config.width,
            n_heads=config.heads,
            n_layers=config.layers,
            hidden_dim=config.hidden,
            pad_token_id=PAD_ID,
            activation="gelu",
        )
    )
    # A list of numbers that is no weight: without it the library counts positions itself, so that a tower built
    # without memory needs nothing but its weights.
    del tower.get_submodule("embeddings").position_ids
    return tower


class DistilbertDual(DualEncoder):
    """Embeds clips and texts in EgoVLP's joint space; embeddings are not normalised."""

    def __init__(self, config: DualConfig, *, visual: Timesformer, textual: nn.Module) -> None:
        """Takes built parts."""
        super().__init__(config, visual=visual)
        self.textual = textual
        self.image_projection = nn.Sequential(nn.Linear(config.vision.width, config.joint_dim))
        self.text_projection = nn.Sequential(nn.ReLU(), nn.Linear(config.text.width, config.joint_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh random weights for all but the text tower, which comes with its own."""
        visual = self.visual
        init_linears_(visual, num_residuals=2 * len(visual.blocks))
        init_embeddings_(visual.cls_token, visual.pos_embed, visual.temporal_embed)
        for projection in (self.image_projection, self.text_projection):
            init_linears_(projection, num_residuals=1)

    def project_video(self, cls: Tensor) -> Tensor:
        """(B, D) clip embeddings of (B, width) video tokens."""
        out: Tensor = self.image_projection(cls)
        return out

    def project_text(self, features: Tensor) -> Tensor:
        """(..., D) embeddings of (..., text width) features."""
        out: Tensor = self.text_projection(features)
        return out

    def text_features(self, tokens: Tensor) -> Tensor:
        """(N, L, text width) features of every token; padding is seen by none."""
        # The library looks into the mask; tokens without memory, as when cost is counted, have none to look into.
        mask = None if tokens.is_meta else (tokens != PAD_ID).to(torch.long)
        out: Tensor = self.textual(input_ids=tokens, attention_mask=mask).last_hidden_state
        return out

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(N, D) text embeddings of (N, L) int64 token ids, zero-padded, read at the first token.

        Raises:
            InputError: ids of another shape, or longer than the context.
        """
        self._check(tokens)
        longest = int((tokens != PAD_ID).sum(dim=1).max())
        return self.project_text(self.text_features(tokens[:, : max(longest, 1)])[:, 0])
