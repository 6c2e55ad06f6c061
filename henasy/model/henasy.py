"""HENASY: frozen dual encoder, local entity encoder, entity-aware decoder, and the maps to the joint space.

Shapes: B clips, T frames, K patches per frame, E entities, D local width, J joint width.
"""

import copy
import dataclasses
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from henasy.model.config import HenasyConfig
from henasy.model.decoder import VideoDecoder
from henasy.model.dual import DualEncoder
from henasy.model.fusion import fused
from henasy.model.init import init_linears_
from henasy.model.local_encoder import DirectLocalEncoder, LocalEncoder
from henasy.model.saliency import own_patches


class HenasyOutput(NamedTuple):
    """Everything that one pass yields; no embedding is normalised."""

    video: Tensor
    """(B, J) the clip's embedding: `decoded`, or its mean with `global_video` (`HenasyConfig.global_share`)."""
    decoded: Tensor
    """(B, J) entity-aware embedding of the decoder, which training contrasts."""
    global_video: Tensor
    """(B, J) clip embedding of the frozen dual encoder alone."""
    entities: Tensor
    """(B, E, J) entity embeddings."""
    entity_tokens: Tensor
    """(B, E, D) entity tokens before the decoder."""
    saliency: Tensor
    """(B, T, E, K) how much each patch belongs to each entity, sums to 1 over E."""
    hard: Tensor
    """(B, T, K) int64 entity with the largest saliency."""
    is_valid: Tensor
    """(B, E) whether an entity owns any patch."""
    patch_share: Tensor
    """(B, E) share of the clip's patches that an entity owns."""


class Sight(NamedTuple):
    """What the frozen dual encoder sees in a batch of clips: all that the trained parts build on."""

    levels: tuple[Tensor, ...]
    """(B, T, K, vision width) patch tokens z^0 ... z^S1."""
    patches: Tensor
    """(B, T, K, vision width) final patch tokens."""
    global_video: Tensor
    """(B, J) clip embedding of the dual encoder."""


class Henasy(nn.Module):
    """The whole model; only what is not the dual encoder is trained."""

    kind = "henasy"

    def __init__(
        self,
        config: HenasyConfig,
        *,
        dual: DualEncoder,
        local: LocalEncoder | DirectLocalEncoder,
        decoder: VideoDecoder,
        video_head: nn.Linear,
        entity_head: nn.Module | None,
    ) -> None:
        """Takes built parts; without an `entity_head` entities share the linear map of the video."""
        super().__init__()
        self.config = config
        self.dual = dual.requires_grad_(False)
        self.local = local
        self.decoder = decoder
        self.video_head = video_head
        self.entity_head = entity_head
        self.reset_parameters()
        self.train()

    def reset_parameters(self) -> None:
        """Fresh random weights for all that is trained."""
        num_residuals = 2 * (self.config.local.num_segment_blocks + self.config.local.num_entity_blocks + 1)
        init_linears_(self.local, num_residuals=num_residuals)
        init_linears_(self.decoder, num_residuals=self.decoder.num_residuals)
        init_linears_(self.video_head, num_residuals=1)
        if self.entity_head is not None:
            init_linears_(self.entity_head, num_residuals=1)

    def train(self, mode: bool = True) -> Self:
        """Switches the trained parts; the frozen dual encoder stays in eval mode."""
        super().train(mode)
        self.dual.eval()
        return self

    def with_global_share(self, global_share: float) -> Self:
        """The same weights, not a copy of them, under another `HenasyConfig.global_share`."""
        other = copy.copy(self)
        other.config = dataclasses.replace(self.config, global_share=global_share)
        return other

    def forward(self, frames: Tensor) -> HenasyOutput:
        """Embeddings, entities and saliency of (B, T, 3, S, S) normalised frames."""
        return self.compose(self.see(frames))

    @torch.no_grad()
    def see(self, frames: Tensor) -> Sight:
        """What the frozen part makes of (B, T, 3, S, S) normalised frames: the same for all models around it."""
        tokens = self.dual.visual(frames, num_levels=self.config.local.num_bootstrap_layers + 1)
        return Sight(tokens.levels, tokens.patches, self.dual.project_video(tokens.cls))

    def compose(self, sight: Sight) -> HenasyOutput:
        """What the trained parts make of it."""
        local = self.local(sight.levels)
        decoded = self.video_head(self.decoder(local.entities, sight.patches.flatten(1, 2)))
        entity_head = self.video_head if self.entity_head is None else self.entity_head
        owned = own_patches(local.saliency)
        return HenasyOutput(
            video=fused(decoded, sight.global_video, self.config.global_share),
            decoded=decoded,
            global_video=sight.global_video,
            entities=entity_head(local.entities),
            entity_tokens=local.entities,
            saliency=local.saliency,
            hard=owned.hard,
            is_valid=owned.is_valid,
            patch_share=owned.patch_share,
        )

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(N, J) text embeddings of the frozen text tower, not normalised."""
        return self.dual.encode_text(tokens)

    def encode_text_tokens(self, tokens: Tensor) -> Tensor:
        """(N, L, J) every token in the joint space, not normalised."""
        return self.dual.encode_text_tokens(tokens)
