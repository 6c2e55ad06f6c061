"""Scores of a model on a held-out clip cache, cheap enough to run between training steps.

N clips, M choices of a question.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from henasy.text.tokenizer import Tokenizer
from henasy.training.data import CacheBatches, ClipCache

NUM_CHOICES = 5
SCORES = ("inter", "intra", "noun", "verb")
"""What `Validation.scores` gives: five-way questions between and within videos, nouns and verbs among all."""
Embed = Callable[[torch.Tensor], torch.Tensor]


class Validation:
    """Five-way questions and word recognition over the clips of a cache."""

    def __init__(self, source: CacheBatches, tokenizer: Tokenizer, *, num_clips: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.source = source
        self.rows = np.sort(rng.permutation(len(source.cache))[:num_clips])
        self.texts = torch.from_numpy(tokenizer.encode_batch([source.cache.texts[r] for r in self.rows]))
        self.nouns = torch.from_numpy(tokenizer.encode_batch(source.cache.nouns))
        self.verbs = torch.from_numpy(tokenizer.encode_batch(source.cache.verbs))
        self.inter = questions(source.cache, self.rows, rng, is_same_video=False)
        self.intra = questions(source.cache, self.rows, rng, is_same_video=True)

    def scores(
        self, embed_video: Embed, embed_text: Embed, *, device: torch.device, batch: int = 50
    ) -> dict[str, float]:
        """Accuracies in [0, 1], by `SCORES`."""
        with torch.inference_mode():
            video = torch.cat(
                [
                    F.normalize(embed_video(self.source.views(rows).to(device)).float(), dim=-1).cpu()
                    for rows in np.split(self.rows, range(batch, len(self.rows), batch))
                ]
            )
            text, nouns, verbs = (
                F.normalize(embed_text(tokens.to(device)).float(), dim=-1).cpu()
                for tokens in (self.texts, self.nouns, self.verbs)
            )
        cache = self.source.cache
        values = (
            _accuracy(text, video, self.inter),
            _accuracy(text, video, self.intra),
            _word_accuracy(video, nouns, cache.handled_rows[self.rows]),
            _word_accuracy(video, verbs, cache.verb_rows[self.rows]),
        )
        return dict(zip(SCORES, values, strict=True))


def questions(
    cache: ClipCache, rows: NDArray[np.int64], rng: np.random.Generator, *, is_same_video: bool
) -> NDArray[np.int64]:
    """(Q, 5) positions in `rows`: the right clip first, then four of another action from its or other videos."""
    action = cache.handled_rows[rows] * len(cache.verbs) + cache.verb_rows[rows]
    video = np.unique(np.array(cache.video_uids), return_inverse=True)[1][rows]
    asked = []
    for position in range(len(rows)):
        is_choice = (action != action[position]) & ((video == video[position]) == is_same_video)
        choices = np.flatnonzero(is_choice)
        if len(choices) >= NUM_CHOICES - 1:
            asked.append([position, *rng.choice(choices, NUM_CHOICES - 1, replace=False)])
    return np.array(asked, dtype=np.int64).reshape(-1, NUM_CHOICES)


def _accuracy(text: torch.Tensor, video: torch.Tensor, asked: NDArray[np.int64]) -> float:
    if len(asked) == 0:
        return float("nan")
    choices = torch.from_numpy(asked)
    similarity = torch.einsum("qd,qmd->qm", text[choices[:, 0]], video[choices])
    return float((similarity.argmax(dim=1) == 0).float().mean())


def _word_accuracy(video: torch.Tensor, words: torch.Tensor, truth: NDArray[np.int64]) -> float:
    narrated = np.unique(truth)
    best = narrated[(video @ words[torch.from_numpy(narrated)].T).argmax(dim=1).numpy()]
    return float((best == truth).mean())
