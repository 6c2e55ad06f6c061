"""Batches of clips with swapped captions, and what continued training with EgoNCE++ minimises on them.

N rows of a batch, K swapped captions of each, L tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from henasy.errors import ConfigError
from henasy.losses.egonce import positive_pairs
from henasy.losses.egoncepp import TEMPERATURE, egoncepp, shared_nouns
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy
from henasy.scenes.household.swaps import Said, noun_swaps, verb_swaps
from henasy.text.stored import AnyTokenizer
from henasy.text.word_swaps import WordSwaps
from henasy.training.data import ClipCache, TrainBatch
from henasy.training.distributed import ALONE, Peers
from henasy.training.egoclip.annotations import ClipTable
from henasy.training.trainer import BatchSource


class Caption(NamedTuple):
    """What a clip is narrated as."""

    text: str
    verbs: Sequence[int]
    """Classes of the verb taxonomy"""
    nouns: Sequence[int]
    """Classes of the noun taxonomy"""


class Captions(Protocol):
    """The captions of a source's clips."""

    def captions(self, rows: NDArray[np.int64]) -> list[Caption]:
        """Those of some clips, by the numbers that batches give them."""
        ...


class EgoClipCaptions:
    """The narrations of an annotation file's clips."""

    def __init__(self, table: ClipTable) -> None:
        self.table = table

    def captions(self, rows: NDArray[np.int64]) -> list[Caption]:
        """See `Captions`."""
        table = self.table
        return [
            Caption(text, table.verbs.of(int(row)).tolist(), table.nouns.of(int(row)).tolist())
            for row, text in zip(rows, table.texts(rows), strict=True)
        ]


class CacheCaptions:
    """The narrations of a clip cache, backwards too: its rows are those of `Told`."""

    def __init__(self, cache: ClipCache) -> None:
        self.cache = cache

    def captions(self, rows: NDArray[np.int64]) -> list[Caption]:
        """See `Captions`."""
        told = self.cache.told
        return [Caption(told.texts[r], [int(told.verb_rows[r])], [int(told.handled_rows[r])]) for r in rows]


@dataclass(frozen=True, kw_only=True)
class SwapConfig:
    """How many captions a clip is told apart from.

    Source of the defaults: xuboshen/EgoNCEpp, neg_num of egohoi_try_t2v.json, which counts each kind.
    """

    num_verb_swaps: int = 10
    """With another verb."""
    num_noun_swaps: int = 10
    """With another noun."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is not int or value < 0:
                raise ConfigError(f"{name} is {value!r}; allowed: a whole number of at least 0")


class Swaps(Protocol):
    """Makes captions with a swapped word."""

    def verb_swaps(self, row: int, caption: Caption, rng: np.random.Generator, count: int) -> list[str]:
        """Up to `count` captions of a clip with another verb; `rng` decides which."""
        ...

    def noun_swaps(self, row: int, caption: Caption, rng: np.random.Generator, count: int) -> list[str]:
        """Up to `count` captions of a clip with another noun."""
        ...


class TaxonomySwaps:
    """Captions swapped for other words of a taxonomy."""

    def __init__(self, words: WordSwaps) -> None:
        self.words = words

    def verb_swaps(self, row: int, caption: Caption, rng: np.random.Generator, count: int) -> list[str]:
        """See `Swaps`."""
        return self.words.verb_swaps(caption.text, caption.verbs, rng, count)

    def noun_swaps(self, row: int, caption: Caption, rng: np.random.Generator, count: int) -> list[str]:
        """See `Swaps`."""
        return self.words.noun_swaps(caption.text, caption.nouns, rng, count)


class CacheSwaps:
    """Captions of a rendered archive's clips, worded as the archive words narrations and none of them true."""

    def __init__(self, cache: ClipCache) -> None:
        self.cache = cache

    def verb_swaps(self, row: int, caption: Caption, rng: np.random.Generator, count: int) -> list[str]:
        """See `Swaps`."""
        return verb_swaps(self._said(row), rng, count)

    def noun_swaps(self, row: int, caption: Caption, rng: np.random.Generator, count: int) -> list[str]:
        """See `Swaps`."""
        return noun_swaps(self._said(row), rng, count)

    def _said(self, row: int) -> Said:
        cache, told = self.cache, self.cache.told
        verb, noun = cache.verbs[told.verb_rows[row]], cache.nouns[told.handled_rows[row]]
        return Said(told.texts[row], verb, noun, cache.hands[row % len(cache)])


class SwapBatch(NamedTuple):
    """What one micro-batch of EgoNCE++ trains on."""

    frames: Tensor
    """(N, T, 3, S, S) float32, normalised."""
    tokens: Tensor
    """(N, L) int64: the caption."""
    nouns: Tensor
    """(N, classes) float32, multi-hot."""
    verbs: Tensor
    """(N, classes) float32, multi-hot."""
    swap_tokens: Tensor
    """(N, K, L) int64: captions with another verb, then captions with another noun; zeros where there is none."""
    has_swap: Tensor
    """(N, K) bool."""


class SwapBatches:
    """The batches of another source with swapped captions; those of a step depend on (seed, step) alone."""

    def __init__(
        self,
        source: BatchSource[TrainBatch],
        captions: Captions,
        swaps: Swaps,
        tokenizer: AnyTokenizer,
        config: SwapConfig,
        *,
        seed: int,
    ) -> None:
        self.source, self.captions, self.swaps = source, captions, swaps
        self.tokenizer, self.config, self.seed = tokenizer, config, seed

    def batch(self, step: int, part: int, device: torch.device) -> SwapBatch:
        """Micro-batch `part` of optimiser step `step`."""
        plain = self.source.batch(step, part, device)
        rows = plain.rows.cpu().numpy()
        captions = self.captions.captions(rows)
        swapped = [self._swapped(caption, step, int(row)) for caption, row in zip(captions, rows, strict=True)]
        texts = [caption.text for caption in captions]
        num_swaps = len(swapped[0])
        tokens = self.tokenizer.encode_batch([*texts, *(text for own in swapped for text in own)])
        swap_tokens = tokens[len(texts) :].reshape(len(texts), num_swaps, tokens.shape[1])
        has_swap = np.array([[text != "" for text in own] for own in swapped], np.bool_).reshape(len(texts), num_swaps)
        return SwapBatch(
            frames=plain.frames,
            tokens=torch.from_numpy(tokens[: len(texts)]).to(device),
            nouns=plain.nouns,
            verbs=plain.verbs,
            swap_tokens=torch.from_numpy(swap_tokens).to(device),
            has_swap=torch.from_numpy(has_swap).to(device),
        )

    def _swapped(self, caption: Caption, step: int, row: int) -> list[str]:
        """K captions, empty where there are not as many."""
        rng = np.random.default_rng((self.seed, step, row))
        config, found = self.config, []
        verbs = self.swaps.verb_swaps(row, caption, rng, config.num_verb_swaps)
        nouns = self.swaps.noun_swaps(row, caption, rng, config.num_noun_swaps)
        for texts, count in ((verbs, config.num_verb_swaps), (nouns, config.num_noun_swaps)):
            found += [*texts, *[""] * (count - len(texts))]
        return found


class Embedded(NamedTuple):
    """Clips and their captions in the joint space."""

    video: Tensor
    """(N, D)"""
    text: Tensor
    """(N, D)"""
    swapped: Tensor
    """(N, K, D)"""


class EgoNcePlusPlusObjective:
    """EgoNCE++ of an adapted model's embeddings, as they are searched with.

    With `spares_same_action` a caption of the same verb and noun as a clip's own is not among those that the clip is
    told from: of a rendered archive's few hundred pairs, many come twice in a batch.
    """

    def __init__(
        self,
        model: DualEncoder | Henasy,
        *,
        temperature: float = TEMPERATURE,
        spares_same_action: bool = False,
        peers: Peers = ALONE,
    ) -> None:
        self.model, self.temperature, self.spares_same_action, self.peers = (
            model,
            temperature,
            spares_same_action,
            peers,
        )

    def __call__(self, batch: SwapBatch) -> dict[str, Tensor]:
        """Scalars of a batch: loss, its two directions, the share of clips nearest to their true caption, swaps."""
        return self.losses(self.embed(batch), [batch])

    def embed(self, batch: SwapBatch) -> Embedded:
        """What of a batch meets the other parts and processes."""
        video = self._embed_video(batch.frames).float()
        num_clips, num_swaps, length = batch.swap_tokens.shape
        tokens = torch.cat([batch.tokens, batch.swap_tokens.reshape(num_clips * num_swaps, length)])
        text = self.model.encode_text(tokens).float()
        return Embedded(video, text[:num_clips], text[num_clips:].reshape(num_clips, num_swaps, text.shape[1]))

    def _embed_video(self, frames: Tensor) -> Tensor:
        """(N, D) of (N, T, 3, S, S): the whole clip embedding, the frozen encoder's share in it too."""
        return self.model.encode_video(frames) if isinstance(self.model, DualEncoder) else self.model(frames).video

    def losses(self, embedded: Sequence[Tensor], parts: Sequence[SwapBatch]) -> dict[str, Tensor]:
        """Scalars of batches that were embedded one by one and joined."""
        said = [torch.cat([getattr(part, name) for part in parts]) for name in ("nouns", "verbs", "has_swap")]
        with torch.autocast(embedded[0].device.type, enabled=False):  # a contrast in half precision is too coarse
            video, text, swapped, nouns, verbs, has_swap = self.peers.gather(*embedded, *said)
            loss = egoncepp(
                video,
                text,
                swapped,
                shared_nouns(nouns),
                has_swap=has_swap,
                is_same_action=positive_pairs(nouns, verbs) if self.spares_same_action else None,
                temperature=self.temperature,
            )
        return {
            "loss": loss.total,
            "text_to_video": loss.text_to_video,
            "video_to_text": loss.video_to_text,
            "own_first": _own_first(video, text, swapped, has_swap),
            "swaps_per_clip": has_swap.float().sum(dim=1).mean(),
        }


@torch.no_grad()
def _own_first(video: Tensor, own: Tensor, swapped: Tensor, has_swap: Tensor) -> Tensor:
    clips = F.normalize(video, dim=-1)
    right = (clips * F.normalize(own, dim=-1)).sum(dim=-1)
    wrong = torch.einsum("nd,nkd->nk", clips, F.normalize(swapped, dim=-1))
    return (right[:, None] >= wrong.masked_fill(~has_swap, -torch.inf)).all(dim=1).float().mean()
