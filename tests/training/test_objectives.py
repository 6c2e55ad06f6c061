"""What the stages add to the contrasts of the papers, against plain loops."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from henasy.errors import ConfigError
from henasy.evaluation.machine.training_probe import RandomBatches, random_tokens
from henasy.losses.total import LossWeights
from henasy.model.build import build_dual, build_henasy
from henasy.model.config import DecoderConfig, DualConfig, HenasyConfig, LocalConfig, TextConfig, VisionConfig
from henasy.model.henasy import Henasy
from henasy.training.data import TrainBatch
from henasy.training.objectives import DualObjective, HenasyObjective, Words

NUM_WORDS = 6
CPU = torch.device("cpu")


def _model() -> Henasy:
    torch.manual_seed(0)
    config = HenasyConfig(
        dual=DualConfig(
            vision=VisionConfig(image_px=32, patch_px=8, width=32, depth=2, heads=2, num_frames=2),
            text=TextConfig(width=24, heads=2, layers=1, context_length=12, vocab_size=64),
            joint_dim=16,
        ),
        local=LocalConfig(width=20, heads=2, num_group_tokens=6, num_entities=3, num_bootstrap_layers=2),
        decoder=DecoderConfig(width=28, heads=2, depth=1),
    )
    return build_henasy(config).eval()


def _words(seed: int, is_narrated: list[bool]) -> Words:
    tokens = random_tokens(NUM_WORDS, 64, torch.Generator().manual_seed(seed))
    return Words(tokens=tokens, is_narrated=torch.tensor(is_narrated))


def _objective(model: Henasy, words: float, verbs: Words | None) -> HenasyObjective:
    return HenasyObjective(
        model,
        nouns=_words(1, [True] * 5 + [False]),
        verbs=verbs,
        temperature=0.07,
        weights=LossWeights(words=words),
        box_weight=2.0,
        synonym_cosine=None,
    )


def test_bare_words_add_their_two_weighted_contrasts() -> None:
    model, verbs = _model(), _words(2, [True] * NUM_WORDS)
    batch = RandomBatches(model.config.dual, 4).batch(0, 0, CPU)
    noun_rows, verb_rows = batch.noun_rows.clone().clamp(max=4), batch.verb_rows.clone()
    noun_rows[2], verb_rows[:3] = -1, -1
    batch = batch._replace(noun_rows=noun_rows, verb_rows=verb_rows)
    without, with_words = _objective(model, 0.0, None)(batch), _objective(model, 0.25, verbs)(batch)

    video = F.normalize(model(batch.frames).video, dim=-1)
    added = 0.0
    for words, truth in ((_words(1, [True] * 5), noun_rows[:, 0]), (verbs, verb_rows)):
        text = F.normalize(model.encode_text(words.tokens[: len(words.is_narrated)]), dim=-1)
        logs = (video @ text.T / 0.07).log_softmax(dim=-1)
        own = [logs[row, word].item() for row, word in enumerate(truth.tolist()) if word >= 0]
        added -= sum(own) / len(own)
    torch.testing.assert_close(with_words["loss"] - without["loss"], torch.tensor(0.25 * added), rtol=1e-4, atol=1e-5)
    assert {"noun_top1", "verb_top1"} == set(with_words) - set(without)


def test_nouns_of_boxes_take_part_only_where_boxes_are_known() -> None:
    model = _model()
    batch = RandomBatches(model.config.dual, 4).batch(0, 0, CPU)
    assert (batch.box_nouns != batch.noun_rows[:, :1, None]).any()

    def losses(has_box_nouns: bool, batch: TrainBatch) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        return HenasyObjective(
            model,
            nouns=_words(1, [True] * 5 + [False]),
            temperature=0.07,
            weights=LossWeights(),
            box_weight=0.0,
            synonym_cosine=None,
            has_box_nouns=has_box_nouns,
        )(batch)

    unnamed = batch._replace(box_nouns=torch.full_like(batch.box_nouns, -1))
    assert losses(False, batch)["noun_entity"] == losses(False, unnamed)["noun_entity"]
    assert losses(False, batch)["noun_entity"] == losses(True, unnamed)["noun_entity"]
    assert losses(True, batch)["noun_entity"] != losses(False, batch)["noun_entity"]


def test_bare_words_need_verbs() -> None:
    with pytest.raises(ConfigError, match=r"weights.words is 0.25 and verbs is None"):
        _objective(_model(), 0.25, None)


@pytest.mark.parametrize("region_weight", [0.0, 0.75])
def test_boxes_add_the_weighted_contrast_of_what_they_hold_with_their_nouns(region_weight: float) -> None:
    torch.manual_seed(0)
    dual = build_dual(_model().config.dual).eval()
    nouns = _words(1, [True] * NUM_WORDS)
    objective = DualObjective(
        dual,
        nouns=nouns,
        verbs=_words(2, [True] * NUM_WORDS),
        temperature=0.07,
        word_weight=0.5,
        region_weight=region_weight,
        keep_patches=1.0,
    )
    batch = RandomBatches(dual.config, 2).batch(0, 0, CPU)
    boxes, box_nouns = batch.boxes.clone(), batch.box_nouns.clone()
    boxes[0, 0, 1] = torch.tensor([0.25, 0.5, 0.75, 1.0])  # patches 9, 10, 13, 14 of 4 x 4
    boxes[1, :, 2], box_nouns[2, 1, 0] = 0, -1  # no box, a box without a name
    batch = batch._replace(boxes=boxes, box_nouns=box_nouns)
    values = objective(batch)
    others = values["ego"] + 0.5 * (values["nouns"] + values["verbs"])
    if region_weight == 0:
        torch.testing.assert_close(values["loss"], others)
        return

    tokens = dual.visual(batch.frames).patches
    text = F.normalize(dual.encode_text(nouns.tokens), dim=-1)
    centres = [((x + 0.5) / 4, (y + 0.5) / 4) for y in range(4) for x in range(4)]
    losses = []
    for clip, frame, slot in np.ndindex(*box_nouns.shape):
        x0, y0, x1, y1 = boxes[clip, frame, slot].tolist()
        inside = [place for place, (x, y) in enumerate(centres) if x0 <= x < x1 and y0 <= y < y1]
        word = int(box_nouns[clip, frame, slot])
        if inside and word >= 0:
            held = F.normalize(dual.project_video(tokens[clip, frame, inside].mean(dim=0)), dim=-1)
            losses.append(-(held @ text.T / 0.07).log_softmax(dim=-1)[word].item())
    assert len(losses) == box_nouns.numel() - 3
    torch.testing.assert_close(values["regions"], torch.tensor(losses).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(values["loss"], others + 0.75 * values["regions"])
