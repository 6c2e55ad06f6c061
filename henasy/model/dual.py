"""The dual encoder: global encoder and text tower with one joint space, under LaViLa's names.

Shapes: B clips, N texts, T frames, L tokens, S image side, D joint width.
"""

import math

import torch
from torch import Tensor, nn

from henasy.errors import InputError
from henasy.model.config import DualConfig
from henasy.model.init import init_embeddings_, init_linears_
from henasy.model.text_tower import TextTransformer, end_positions
from henasy.model.timesformer import Timesformer


class DualEncoder(nn.Module):
    """Embeds clips and texts in the joint space; embeddings are not normalised."""

    kind = "dual"

    def __init__(self, config: DualConfig, *, visual: Timesformer, transformer: TextTransformer) -> None:
        super().__init__()
        text = config.text
        self.config = config
        self.visual = visual
        self.transformer = transformer
        self.token_embedding = nn.Embedding(text.vocab_size, text.width)
        self.positional_embedding = nn.Parameter(torch.zeros(text.context_length, text.width))
        self.ln_final = nn.LayerNorm(text.width)
        self.image_projection = nn.Parameter(torch.zeros(config.vision.width, config.joint_dim))
        self.text_projection = nn.Parameter(torch.zeros(text.width, config.joint_dim))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / config.temperature)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh random weights for training from nothing."""
        init_linears_(self.visual, num_residuals=2 * len(self.visual.blocks))
        init_linears_(self.transformer, num_residuals=2 * len(self.transformer.resblocks))
        visual = self.visual
        init_embeddings_(visual.cls_token, visual.pos_embed, visual.temporal_embed)
        init_embeddings_(self.token_embedding.weight, self.positional_embedding)
        for projection in (self.image_projection, self.text_projection):
            nn.init.normal_(projection, std=projection.shape[0] ** -0.5)

    def encode_video(self, frames: Tensor, *, keep: Tensor | None = None) -> Tensor:
        """(B, D) clip embeddings of (B, T, 3, S, S) normalised frames; `keep` as in `Timesformer.forward`."""
        return self.project_video(self.visual.encode_cls(frames, keep=keep))

    def project_video(self, cls: Tensor) -> Tensor:
        """(B, D) clip embeddings of (B, width) video tokens."""
        return cls @ self.image_projection

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(N, D) text embeddings of (N, L) int64 token ids, zero-padded.

        Computes only up to the longest end token: with a causal mask nothing after it can matter.

        Raises:
            InputError: ids of another shape, or longer than the context.
        """
        self._check(tokens)
        ends = end_positions(tokens)
        features = self.text_features(tokens[:, : int(ends.max()) + 1])
        return features[torch.arange(len(tokens), device=tokens.device), ends] @ self.text_projection

    def encode_text_tokens(self, tokens: Tensor) -> Tensor:
        """(N, L, D) every token of (N, L) in the joint space; that of the end token is the text's embedding."""
        self._check(tokens)
        return self.text_features(tokens) @ self.text_projection

    def text_features(self, tokens: Tensor) -> Tensor:
        """(N, L, text width) features of every token after the final norm."""
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        out: Tensor = self.ln_final(self.transformer(x))
        return out

    def forward(self, frames: Tensor, tokens: Tensor, *, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Clip and text embeddings, for data-parallel training."""
        return self.encode_video(frames, keep=keep), self.encode_text(tokens)

    def _check(self, tokens: Tensor) -> None:
        longest = self.positional_embedding.shape[0]
        if tokens.ndim != 2 or not len(tokens) or not 1 <= tokens.shape[1] <= longest:
            raise InputError("tokens", f"shape {tuple(tokens.shape)}; allowed: (texts, 1 to {longest})")
