"""The dual encoder: global encoder and text tower with one joint space.

Shapes: B clips, N texts, T frames, L tokens, S image side, D joint width.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from henasy.errors import InputError
from henasy.model.config import DualConfig, TextConfig
from henasy.model.init import init_embeddings_, init_linears_, init_positions_
from henasy.model.text_tower import TextTransformer, end_positions
from henasy.model.timesformer import Timesformer


class DualEncoder(nn.Module, ABC):
    """Embeds clips and texts in the joint space; embeddings are not normalised."""

    kind = "dual"

    def __init__(self, config: DualConfig, *, visual: Timesformer) -> None:
        super().__init__()
        self.config = config
        self.visual = visual

    def encode_video(self, frames: Tensor, *, keep: Tensor | None = None) -> Tensor:
        """(B, D) clip embeddings of (B, T, 3, S, S) normalised frames; `keep` as in `Timesformer.forward`."""
        return self.project_video(self.visual.encode_cls(frames, keep=keep))

    def encode_text_tokens(self, tokens: Tensor) -> Tensor:
        """(N, L, D) every token of (N, L) in the joint space."""
        self._check(tokens)
        return self.project_text(self.text_features(tokens))

    def forward(self, frames: Tensor, tokens: Tensor, *, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Clip and text embeddings, for data-parallel training."""
        return self.encode_video(frames, keep=keep), self.encode_text(tokens)

    @abstractmethod
    def project_video(self, cls: Tensor) -> Tensor:
        """(B, D) clip embeddings of (B, width) video tokens."""

    @abstractmethod
    def project_text(self, features: Tensor) -> Tensor:
        """(..., D) embeddings of (..., text width) features."""

    @abstractmethod
    def text_features(self, tokens: Tensor) -> Tensor:
        """(N, L, text width) features of every token."""

    @abstractmethod
    def encode_text(self, tokens: Tensor) -> Tensor:
        """(N, D) text embeddings of (N, L) int64 token ids, zero-padded.

        Raises:
            InputError: ids of another shape, or longer than the context.
        """

    def _check(self, tokens: Tensor) -> None:
        longest = self.config.text.context_length
        if tokens.ndim != 2 or not len(tokens) or not 1 <= tokens.shape[1] <= longest:
            raise InputError("tokens", f"shape {tuple(tokens.shape)}; allowed: (texts, 1 to {longest})")


class LavilaDual(DualEncoder):
    """The dual encoder with CLIP's text tower, under LaViLa's names."""

    def __init__(
        self, config: DualConfig, text: TextConfig, *, visual: Timesformer, transformer: TextTransformer
    ) -> None:
        """Takes built parts; `text` are the sizes of the text tower."""
        super().__init__(config, visual=visual)
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
        init_positions_(visual.pos_embed, visual.temporal_embed)
        init_embeddings_(self.token_embedding.weight, self.positional_embedding)
        for projection in (self.image_projection, self.text_projection):
            nn.init.normal_(projection, std=projection.shape[0] ** -0.5)

    def project_video(self, cls: Tensor) -> Tensor:
        """(B, D) clip embeddings of (B, width) video tokens."""
        return cls @ self.image_projection

    def project_text(self, features: Tensor) -> Tensor:
        """(..., D) embeddings of (..., text width) features."""
        return features @ self.text_projection

    def text_features(self, tokens: Tensor) -> Tensor:
        """(N, L, text width) features of every token after the final norm."""
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        out: Tensor = self.ln_final(self.transformer(x))
        return out

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(N, D) text embeddings of (N, L) int64 token ids, zero-padded.

        Computes only up to the longest end token: with a causal mask nothing after it can matter.

        Raises:
            InputError: ids of another shape, or longer than the context.
        """
        self._check(tokens)
        ends = end_positions(tokens)
        features = self.text_features(tokens[:, : int(ends.max()) + 1])
        return self.project_text(features[torch.arange(len(tokens), device=tokens.device), ends])
