"""The proposal head: which positions answer, what is asked of them, and that it learns what can be learnt."""

import numpy as np
import pytest
import torch

from henasy.errors import ConfigError, InputError
from henasy.heads.proposal_loss import (
    TrueSpans,
    answering,
    class_targets,
    nearest_length,
    proposal_loss,
    quality_focal,
    span_iou,
)
from henasy.heads.proposal_training import CropSource, LabelledFeatures, ProposalTraining, train_proposals
from henasy.heads.proposals import Positions, ProposalConfig, ProposalHead, ProposalOutput
from henasy.training.config import TrainConfig

WIDTH = 12


def small_head(num_classes: int = 3) -> ProposalHead:
    torch.manual_seed(0)
    return ProposalHead(ProposalConfig(width=WIDTH, num_classes=num_classes, hidden=16, num_levels=4)).eval()


def guesses(length: int) -> ProposalOutput:
    output: ProposalOutput = small_head()(torch.randn(2, length, WIDTH), torch.ones(2, length, dtype=torch.bool))
    return output


def test_positions_cover_every_feature_once_per_level() -> None:
    output = guesses(16)
    assert output.logits.shape == (2, 16 + 8 + 4 + 2, 3)
    assert output.positions.centre[:3].tolist() == [0.5, 1.5, 2.5]
    assert output.positions.centre[16:18].tolist() == [1.0, 3.0]
    assert (output.spans[..., 0] < output.positions.centre).all()
    assert (output.spans[..., 1] > output.positions.centre).all()


def test_padding_is_marked_and_its_content_changes_nothing() -> None:
    head = small_head()
    features = torch.randn(1, 11, WIDTH)
    is_real = torch.arange(11)[None] < 9
    first: ProposalOutput = head(features, is_real)
    second: ProposalOutput = head(torch.where(is_real[..., None], features, torch.tensor(7.0)), is_real)
    assert first.is_real[0, :16].tolist() == [True] * 9 + [False] * 7
    assert first.is_real[0, 16:24].tolist() == [True] * 5 + [False] * 3
    torch.testing.assert_close(first.logits, second.logits)


def test_positions_answer_for_spans_of_their_size() -> None:
    positions = guesses(64).positions
    spans = torch.tensor([[3.2, 3.6], [10.0, 13.0], [8.0, 40.0], [0.0, 64.0]])
    answers = answering(positions, spans)
    assert answers.any(dim=0).all()
    assert positions.centre[answers[:, 0]].tolist() == [3.5]
    assert set(positions.level[answers[:, 1]].tolist()) == {0}
    assert set(positions.level[answers[:, 2]].tolist()) == {3}
    inside = (positions.centre[:, None] > spans[:, 0]) & (positions.centre[:, None] < spans[:, 1])
    assert (inside[:, 1:] | ~answers[:, 1:]).all()


def test_the_shortest_span_is_the_one_meant() -> None:
    answers = torch.tensor([[True, True], [True, False], [False, False]])
    assert nearest_length(answers, torch.tensor([[0.0, 9.0], [2.0, 4.0]])).tolist() == [1, 0, -1]
    assert nearest_length(torch.zeros(2, 0, dtype=torch.bool), torch.zeros(0, 2)).tolist() == [-1, -1]


def test_targets_are_the_best_overlap_of_each_class() -> None:
    overlap = torch.tensor([[0.3, 0.8, 0.5], [0.0, 0.0, 0.0]])
    assert class_targets(overlap, torch.tensor([2, 2, 0]), 3).tolist() == [
        [pytest.approx(0.5), 0, pytest.approx(0.8)],
        [0, 0, 0],
    ]


def test_overlap_and_focal_loss_by_hand() -> None:
    assert span_iou(torch.tensor([0.0, 4.0]), torch.tensor([1.0, 6.0])).item() == pytest.approx(0.5)
    assert span_iou(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0])).item() == 0
    # sigmoid(0) is 1/2: squared distance 1/16 times ln 2
    assert quality_focal(torch.zeros(1), torch.full((1,), 0.25)).item() == pytest.approx(np.log(2) / 16)


def test_a_perfect_guess_costs_less_than_any_other() -> None:
    centre = torch.tensor([0.5, 1.5, 2.5, 3.5])
    positions = Positions(centre, torch.ones(4), torch.zeros(4, dtype=torch.int64))
    truth = [TrueSpans(torch.tensor([[1.0, 3.0]]), torch.tensor([0]))]

    def loss(spans: torch.Tensor, logits: torch.Tensor) -> float:
        output = ProposalOutput(logits[None], spans[None], torch.ones(1, 4, dtype=torch.bool), positions)
        return proposal_loss(output, truth).total.item()

    perfect = torch.tensor([1.0, 3.0]).expand(4, 2)
    sure = torch.tensor([[-20.0], [20.0], [20.0], [-20.0]])
    assert loss(perfect, sure) == pytest.approx(0, abs=1e-6)
    assert loss(perfect + 0.5, sure) > 0.1
    assert loss(perfect, -sure) > 1


def test_a_window_without_spans_only_asks_for_silence() -> None:
    output = guesses(16)
    nothing = TrueSpans(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    loss = proposal_loss(output, [nothing, nothing])
    assert loss.ends.item() == 0
    assert loss.total.item() > 0


def test_crops_keep_the_spans_that_lie_mostly_inside() -> None:
    window = LabelledFeatures(np.ones((30, WIDTH), np.float32), np.array([[0.0, 2.0], [4.0, 24.0]]), np.array([0, 1]))
    source = CropSource([window], crop=10, batch_size=16, seed=0)
    batch = source.batch(3, 0, torch.device("cpu"))
    again = source.batch(3, 0, torch.device("cpu"))
    assert batch.features.shape == (16, 10, WIDTH)
    assert all((truth.spans >= 0).all() and (truth.spans <= 10).all() for truth in batch.truth)
    kept = [truth.labels.tolist() for truth in batch.truth]
    assert any(labels == [1] for labels in kept)
    assert any(labels == [] for labels in kept)
    assert kept == [truth.labels.tolist() for truth in again.truth]


def planted(seed: int, num_windows: int) -> list[LabelledFeatures]:
    """Windows in which each class raises a feature of its own from a span's start to its end."""
    rng = np.random.default_rng(seed)
    windows = []
    for _ in range(num_windows):
        features = 0.3 * rng.standard_normal((96, WIDTH)).astype(np.float32)
        starts = np.array([6, 38, 70]) + rng.integers(-4, 4, 3)
        spans = np.stack([starts, starts + rng.integers(3, 20, 3)], axis=1).astype(np.float64)
        labels = rng.integers(0, 3, 3)
        for (start, end), label in zip(spans.astype(int), labels, strict=True):
            features[start:end, label] += 2
        windows.append(LabelledFeatures(features, spans, labels))
    return windows


SHORT = ProposalTraining(
    crop=96,
    hidden=32,
    num_levels=5,
    train=TrainConfig(num_steps=80, batch_size=6, learning_rate=4e-3, num_warmup_steps=10, log_every=80, seed=1),
)


def trained(num_steps: int | None = None) -> ProposalHead:
    settings = SHORT
    if num_steps is not None:
        settings = ProposalTraining(
            crop=96, hidden=32, num_levels=5, train=TrainConfig(num_steps=num_steps, batch_size=4, seed=1)
        )
    return train_proposals(planted(0, 12), 3, settings, device=torch.device("cpu"), report=lambda _: None)


def test_it_finds_what_was_planted_in_windows_it_never_saw() -> None:
    head = trained()
    hits = []
    for window in planted(1, 6):
        features = torch.from_numpy(window.features)[None]
        output: ProposalOutput = head(features, torch.ones(1, 96, dtype=torch.bool))
        scores = output.logits[0].sigmoid()
        for span, label in zip(torch.from_numpy(window.spans).float(), window.labels, strict=True):
            near = span_iou(output.spans[0], span) > 0.7
            # the surest guess about this span says its class
            hits.append(near.any().item() and int(scores[near].max(dim=0).values.argmax()) == label)
    assert np.mean(hits) > 0.9


def test_training_repeats_exactly() -> None:
    first, second = trained(5).state_dict(), trained(5).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_wrong_settings_and_nothing_to_learn_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_classes is 0"):
        ProposalConfig(width=4, num_classes=0)
    with pytest.raises(ConfigError, match="kernel is 4; it must be odd"):
        ProposalConfig(width=4, num_classes=1, kernel=4)
    empty = LabelledFeatures(np.zeros((8, 4), np.float32), np.zeros((0, 2)), np.zeros(0, np.int64))
    with pytest.raises(InputError, match="not one moment to learn from"):
        train_proposals([empty], 1, SHORT, device=torch.device("cpu"), report=lambda _: None)
