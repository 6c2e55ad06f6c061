"""What each stage minimises, from a batch to scalars by name.

N rows of the batch, T frames, K patches, E entities, D joint space, W words of a dictionary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from henasy.errors import ConfigError
from henasy.losses.counted import CountedLoss, mean_of
from henasy.losses.egonce import egonce, positive_pairs
from henasy.losses.matching import ABSENT, clip_nouns, match_jointly
from henasy.losses.noun_entity import entity_choice_loss, noun_cosines, noun_entity_loss
from henasy.losses.projection import has_area, projection_loss, soft_overlap
from henasy.losses.total import LossWeights, TotalLoss, total_loss
from henasy.losses.verb_entities import verb_entities_loss
from henasy.losses.words import WordLoss, word_loss
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy, HenasyOutput
from henasy.training.data import TrainBatch
from henasy.training.distributed import ALONE, Peers
from henasy.training.regions import box_means


class Words(NamedTuple):
    """A dictionary of single words or short phrases, tokenised."""

    tokens: Tensor
    """(W, L) int64"""
    is_narrated: Tensor
    """(W,) bool: words that narrations are about (a hand is named by boxes only)."""


class DualEmbedded(NamedTuple):
    """Clips and narrations in the joint space."""

    video: Tensor
    """(N, D)"""
    text: Tensor
    """(N, D)"""
    regions: Tensor
    """(N, T, M, D) what each box holds; M is 0 where no term asks for it."""
    is_region: Tensor
    """(N, T, M) bool: whether the box held a patch that was computed."""


class DualObjective:
    """Stage one: EgoNCE between clips and narrations; clips against bare nouns and verbs, boxes against nouns.

    The published encoder that this stage stands in for starts from CLIP, whose text tower knows words on their own and
    whose patches know what they show; the word terms give that to a small model which never saw another picture. They
    are what the paper's pre-training lacks.
    """

    def __init__(
        self,
        model: DualEncoder,
        *,
        nouns: Words,
        verbs: Words,
        temperature: float,
        word_weight: float,
        region_weight: float,
        keep_patches: float,
        peers: Peers = ALONE,
    ) -> None:
        self.model, self.nouns, self.verbs, self.peers = model, nouns, verbs, peers
        self.temperature, self.keep_patches = temperature, keep_patches
        self.word_weight, self.region_weight = word_weight, region_weight

    def __call__(self, batch: TrainBatch) -> dict[str, Tensor]:
        """Scalars of a batch: the loss, its terms, and the share of clips and boxes whose word ranks first."""
        return self.losses(self.embed(batch), [batch])

    def embed(self, batch: TrainBatch) -> DualEmbedded:
        """What of a batch meets the other parts and processes."""
        keep = self._kept(batch.frames.device)
        text = self.model.encode_text(batch.tokens).float()
        if not self.region_weight:
            video = self.model.encode_video(batch.frames, keep=keep).float()
            regions = video.new_zeros(*batch.box_nouns.shape[:2], 0, video.shape[-1])
            return DualEmbedded(video, text, regions, regions[..., 0].bool())
        tokens = self.model.visual(batch.frames, keep=keep)
        pooled = box_means(tokens.patches, batch.boxes, self.model.config.vision.grid_size, keep=keep)
        regions = self.model.project_video(pooled.means.to(tokens.cls.dtype)).float()
        return DualEmbedded(self.model.project_video(tokens.cls).float(), text, regions, pooled.has_patches)

    def losses(self, embedded: Sequence[Tensor], parts: Sequence[TrainBatch]) -> dict[str, Tensor]:
        """Scalars of batches that were embedded one by one and joined."""
        batch = join(parts)
        words = [self.model.encode_text(words.tokens).float() for words in (self.nouns, self.verbs)]
        video, text, regions, is_region = embedded
        with torch.autocast(video.device.type, enabled=False):  # a contrast in half precision is too coarse
            videos, texts, nouns_of, verbs_of = self.peers.gather(video, text, batch.nouns, batch.verbs)
            ego = egonce(videos, texts, positive_pairs(nouns_of, verbs_of), temperature=self.temperature).total
            nouns = narrated(video, words[0], self.nouns, batch.noun_rows[:, 0], temperature=self.temperature)
            verbs = narrated(video, words[1], self.verbs, batch.verb_rows, temperature=self.temperature)
            boxed = self._region_term(regions, is_region, words[0], batch.box_nouns[:, :, : regions.shape[2]])
        terms = [term.value for term in self.peers.of_all(*nouns, *verbs, *boxed)]
        noun_loss, noun_hits, verb_loss, verb_hits, region_loss, region_hits = terms
        values = {
            "loss": ego + self.word_weight * (noun_loss + verb_loss) + self.region_weight * region_loss,
            "ego": ego,
            "nouns": noun_loss,
            "verbs": verb_loss,
            "noun_top1": noun_hits,
            "verb_top1": verb_hits,
        }
        return values | ({"regions": region_loss, "region_top1": region_hits} if self.region_weight else {})

    def _region_term(self, regions: Tensor, is_region: Tensor, text: Tensor, box_nouns: Tensor) -> WordLoss:
        """Of the boxes' nouns, hands among them."""
        is_named = is_region & (box_nouns != ABSENT)
        return word_loss(regions[is_named], text, box_nouns[is_named], temperature=self.temperature)

    def _kept(self, device: torch.device) -> Tensor | None:
        if self.keep_patches == 1.0:
            return None
        num_patches = self.model.config.vision.num_patches
        count = max(1, round(self.keep_patches * num_patches))
        return torch.randperm(num_patches)[:count].sort().values.to(device)


def narrated(video: Tensor, text: Tensor, words: Words, truth: Tensor, *, temperature: float) -> WordLoss:
    """Of (N, D) clips against the (W, D) narrated words; a clip whose word in (N,) is absent takes no part."""
    has_word = truth != ABSENT
    return word_loss(video[has_word], text, truth[has_word], temperature=temperature, is_allowed=words.is_narrated)


class Grounding(NamedTuple):
    """What nouns and boxes ask of a batch's entities, and how far these are."""

    noun_entity: CountedLoss
    projection: CountedLoss
    entity_choice: CountedLoss
    entity_top1: CountedLoss
    """Share of the boxed nouns whose matched entity is the nearest of its clip."""
    overlap: CountedLoss
    """Mean soft IoU of boxes with their matched entities' saliency."""


class HenasyObjective:
    """Stage two: Eq. 10 on frozen encoders, with nouns and boxes matched to entities at once.

    `box_weight` of 0 leaves the noun matching to the cosine alone, as the paper writes it. Without `has_box_nouns`
    what boxes are called adds no noun to those of a clip's narration. `verbs` are asked for by `weights.words`
    alone.
    """

    def __init__(
        self,
        model: Henasy,
        *,
        nouns: Words,
        temperature: float,
        weights: LossWeights,
        box_weight: float,
        synonym_cosine: float | None,
        has_box_nouns: bool = True,
        verbs: Words | None = None,
        peers: Peers = ALONE,
    ) -> None:
        if weights.words and verbs is None:
            raise ConfigError(f"weights.words is {weights.words} and verbs is None; bare words need both dictionaries")
        self.model, self.temperature, self.weights, self.peers = model, temperature, weights, peers
        self.box_weight, self.synonym_cosine, self.has_box_nouns = box_weight, synonym_cosine, has_box_nouns
        with torch.no_grad():
            self.dictionary = F.normalize(model.encode_text(nouns.tokens).float(), dim=-1)
            self._words = [(nouns, self.dictionary)]
            if verbs is not None:
                self._words.append((verbs, model.encode_text(verbs.tokens).float()))

    def __call__(self, batch: TrainBatch) -> dict[str, Tensor]:
        """Scalars of a batch: loss and its parts, and how much of each frame the largest entity takes."""
        return self.losses(self.embed(batch), [batch])

    def embed(self, batch: TrainBatch) -> HenasyOutput:
        """What of a batch meets the other parts and processes, and what its own nouns and boxes need."""
        output = self.model(batch.frames)
        return HenasyOutput(*(part.float() if part.is_floating_point() else part for part in output))

    def losses(self, embedded: Sequence[Tensor], parts: Sequence[TrainBatch]) -> dict[str, Tensor]:
        """Scalars of batches that were embedded one by one and joined."""
        batch, out = join(parts), HenasyOutput(*embedded)
        with torch.no_grad():
            text = self.model.encode_text(batch.tokens).float()
            phrases = self.model.encode_text(batch.phrase_tokens).float()
        with torch.autocast(text.device.type, enabled=False):  # a contrast in half precision is too coarse
            total, grounding = self._losses(out, text, phrases, batch)
            words = self._narrated(out.decoded, batch)
        num_clips = len(out.video)
        valid, largest = self.peers.of_all(
            CountedLoss(out.is_valid.float().sum(dim=1).mean(), num_clips),
            CountedLoss(out.patch_share.amax(dim=1).mean(), num_clips),
        )
        return {
            "loss": total.total + self.weights.words * sum(term.loss.value for term in words.values()),
            "ego": total.egonce,
            "noun_entity": total.noun_entity.value,
            "verb_entities": total.verb_entities.value,
            "projection": total.projection.value,
            "entity_choice": total.entity_choice.value,
            "entity_top1": grounding.entity_top1.value,
            "matched_overlap": grounding.overlap.value,
            "valid_entities": valid.value,
            "largest_share": largest.value,
            **{f"{kind}_top1": term.top1.value for kind, term in words.items()},
        }

    def _losses(
        self, out: HenasyOutput, text: Tensor, phrases: Tensor, batch: TrainBatch
    ) -> tuple[TotalLoss, Grounding]:
        videos, texts, nouns, verbs = self.peers.gather(out.decoded, text, batch.nouns, batch.verbs)
        contrast = egonce(videos, texts, positive_pairs(nouns, verbs), temperature=self.temperature)
        grounding = Grounding(*self.peers.of_all(*self._grounding(out, batch)))
        phrase_clips = torch.nonzero(batch.phrase_ids != ABSENT)[:, 0]
        verb_loss = verb_entities_loss(
            out.entities,
            phrases[phrase_clips],
            phrase_clips=phrase_clips,
            phrase_ids=batch.phrase_ids[phrase_clips],
            is_valid=out.is_valid,
            temperature=self.temperature,
            gather=self.peers.gather,
        )
        total = total_loss(
            contrast,
            noun_entity=grounding.noun_entity,
            verb_entities=verb_loss,
            projection=grounding.projection,
            entity_choice=grounding.entity_choice,
            weights=self.weights,
        )
        return total, grounding

    def _narrated(self, video: Tensor, batch: TrainBatch) -> dict[str, WordLoss]:
        """Clips against bare nouns and bare verbs, as all processes see it; nothing where that weighs nothing."""
        if not self.weights.words:
            return {}
        truths = (batch.noun_rows[:, 0], batch.verb_rows)
        terms = [
            narrated(video, text, words, truth, temperature=self.temperature)
            for (words, text), truth in zip(self._words, truths, strict=True)
        ]
        nouns, noun_top1, verbs, verb_top1 = self.peers.of_all(*terms[0], *terms[1])
        return {"noun": WordLoss(nouns, noun_top1), "verb": WordLoss(verbs, verb_top1)}

    def _grounding(self, out: HenasyOutput, batch: TrainBatch) -> Grounding:
        """What nouns and boxes ask of the entities, under one matching."""
        grid = (self.model.config.dual.vision.grid_size,) * 2
        saliency = out.saliency.reshape(*out.saliency.shape[:-1], *grid)
        has_box = has_area(batch.boxes)
        named = torch.where(has_box & self.has_box_nouns, batch.box_nouns, ABSENT)
        noun_rows = clip_nouns(batch.noun_rows, named)
        overlap = soft_overlap(saliency, batch.boxes, grid)
        cosine = noun_cosines(out.entities, self.dictionary, noun_rows)
        match = match_jointly(
            cosine,
            overlap,
            noun_rows=noun_rows,
            box_nouns=batch.box_nouns,
            has_box=has_box,
            box_weight=self.box_weight,  # entities without patches take part: a box is what gives them some
        )
        noun_loss = noun_entity_loss(
            out.entities,
            self.dictionary,
            noun_rows,
            match.noun_entity,
            temperature=self.temperature,
            synonym_cosine=self.synonym_cosine,
        )
        box_loss = projection_loss(saliency, batch.boxes, match.box_entity, grid=(2 * grid[0], 2 * grid[1]))
        boxed_entity = torch.where(_is_boxed(noun_rows, batch.box_nouns, has_box), match.noun_entity, ABSENT)
        return Grounding(
            noun_entity=noun_loss,
            projection=box_loss,
            entity_choice=entity_choice_loss(cosine, boxed_entity, temperature=self.temperature),
            entity_top1=mean_of((cosine.argmax(dim=-1) == boxed_entity)[boxed_entity != ABSENT].float(), cosine),
            overlap=mean_of(_of_matched(overlap, match.box_entity), overlap),
        )


def _is_boxed(noun_rows: Tensor, box_nouns: Tensor, has_box: Tensor) -> Tensor:
    """(N, W) whether a box of the clip is labelled with the noun: only such a noun's entity is known, not guessed."""
    labels = torch.where(has_box, box_nouns, ABSENT).flatten(1)
    return ((noun_rows[:, :, None] == labels[:, None, :]) & (noun_rows != ABSENT)[:, :, None]).any(dim=-1)


def _of_matched(overlap: Tensor, box_entity: Tensor) -> Tensor:
    """(P,) overlap of each matched box with its entity."""
    is_matched = box_entity != ABSENT
    return overlap[is_matched].gather(-1, box_entity[is_matched][:, None])[:, 0]


def join(parts: Sequence[TrainBatch]) -> TrainBatch:
    """The rows of several batches as one."""
    return parts[0] if len(parts) == 1 else TrainBatch(*(torch.cat(column) for column in zip(*parts, strict=True)))
