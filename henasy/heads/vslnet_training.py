"""Training a VSLNet on features of clips and questions, repeatable to the bit on one machine; and asking it.

B questions of a batch, L positions, Q text tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from henasy.errors import InputError
from henasy.heads.fitting import fit_head, padded_sequences
from henasy.heads.vslnet import VslNet, VslNetConfig, VslNetInput, VslNetOutput
from henasy.heads.vslnet_spans import ClipSequence, SpanTarget, best_spans, highlighted, target_positions
from henasy.training.config import TrainConfig

_POSITIVE_WEIGHT = 2.0
_ASKED_AT_ONCE = 32
_LEAST_SPREAD = 1e-6


class Question(NamedTuple):
    """A clip and what is asked about it."""

    clip: ClipSequence
    tokens: NDArray[np.float32]
    """(Q, text width)"""


class Lesson(NamedTuple):
    """A question with its answer."""

    question: Question
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class VslNetTraining:
    """How a head is trained.

    By default as EgoVLPv2 trains it on EgoNLQ (README of its EgoNLQ folder): 256 positions, batches of 32, a peak rate
    of 1e-3, 50 rounds of the 11,291 training questions.
    """

    num_positions: int = 256
    """Positions of a clip."""
    hidden: int = 128
    """Width of the head."""
    num_heads: int = 8
    """Of its attention."""
    highlight_weight: float = 5.0
    """Of the highlight in the loss."""
    least_cut: int | None = None
    """Positions that a training clip keeps at least when it is cut at random around its answer, which makes many
    lessons of one; None shows whole clips, as the baseline does."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            num_steps=17_650,
            batch_size=32,
            learning_rate=1e-3,
            min_learning_rate_ratio=0.02,
            num_warmup_steps=100,
            weight_decay=0.01,
            log_every=100,
            evaluate_every=0,
            checkpoint_every=1_000,
        )
    )


class VslNetBatch(NamedTuple):
    """Questions with what should have been answered."""

    given: VslNetInput
    first: Tensor
    """(B,) int64"""
    last: Tensor
    """(B,) int64"""
    highlight: Tensor
    """(B, L)"""


class LessonSource:
    """Batches of lessons, each lesson once per round; the same ones whenever a step is asked for again."""

    def __init__(self, lessons: Sequence[Lesson], *, batch_size: int, seed: int, least_cut: int | None = None) -> None:
        self.lessons, self.batch_size, self.seed, self.least_cut = lessons, batch_size, seed, least_cut
        self.targets = [target_positions(one.question.clip.edges_s, one.start_s, one.end_s) for one in lessons]

    def batch(self, step: int, part: int, device: torch.device) -> VslNetBatch:
        """The lessons of one micro-batch."""
        per_round = -(-len(self.lessons) // self.batch_size)
        number, place = divmod(step, per_round)
        order = np.random.default_rng((self.seed, number, part)).permutation(len(self.lessons))
        rows = order[place * self.batch_size : (place + 1) * self.batch_size]
        rng = np.random.default_rng((self.seed, step, part, 1))
        return _collated([self._cut(row, rng) for row in rows.tolist()], device)

    def _cut(self, row: int, rng: np.random.Generator) -> tuple[Question, SpanTarget]:
        """A lesson's question and target, in a random part of the clip where that is wanted."""
        question, target = self.lessons[row].question, self.targets[row]
        count = len(question.clip.features)
        if self.least_cut is None or count <= self.least_cut:
            return question, target
        length = max(int(rng.integers(self.least_cut, count + 1)), target.last - target.first + 1)
        first = int(rng.integers(max(target.last + 1 - length, 0), min(target.first, count - length) + 1))
        edges_s = question.clip.edges_s[first : first + length + 1]
        clip = ClipSequence(question.clip.features[first : first + length], edges_s)
        return question._replace(clip=clip), SpanTarget(target.first - first, target.last - first)


def _collated(lessons: Sequence[tuple[Question, SpanTarget]], device: torch.device) -> VslNetBatch:
    given = padded([question for question, _ in lessons], device)
    targets = [target for _, target in lessons]
    marks = np.stack([highlighted(target, given.video.shape[1]) for target in targets])
    return VslNetBatch(
        given,
        torch.tensor([target.first for target in targets], device=device),
        torch.tensor([target.last for target in targets], device=device),
        torch.from_numpy(marks).to(device),
    )


def padded(questions: Sequence[Question], device: torch.device) -> VslNetInput:
    """Questions as one batch."""
    videos, is_video = padded_sequences([question.clip.features for question in questions])
    texts, is_text = padded_sequences([question.tokens for question in questions])
    return VslNetInput(*(part.to(device) for part in (videos, is_video, texts, is_text)))


class VslNetObjective:
    """The loss of a batch: cross-entropy of both ends, and of the highlight."""

    def __init__(self, head: VslNet, *, highlight_weight: float) -> None:
        self.head, self.highlight_weight = head, highlight_weight

    def __call__(self, batch: VslNetBatch) -> Mapping[str, Tensor]:
        """Scalars: `loss` and its parts."""
        output = self.head(batch.given)
        start = F.cross_entropy(output.start, batch.first)
        end = F.cross_entropy(output.end, batch.last)
        highlight = highlight_loss(output, batch)
        return {
            "loss": start + end + self.highlight_weight * highlight,
            "start": start,
            "end": end,
            "highlight": highlight,
        }


def highlight_loss(output: VslNetOutput, batch: VslNetBatch) -> Tensor:
    """Mean binary cross-entropy over real positions; those of the answer count twice."""
    each = F.binary_cross_entropy_with_logits(output.highlight, batch.highlight, reduction="none")
    weights = (1 + (_POSITIVE_WEIGHT - 1) * batch.highlight) * batch.given.is_video
    return (each * weights).sum() / batch.given.is_video.sum()


def train_vslnet(
    lessons: Sequence[Lesson],
    settings: VslNetTraining,
    *,
    device: torch.device,
    report: Callable[[str], None],
) -> VslNet:
    """A head trained on these lessons, in eval mode.

    Raises:
        InputError: there is no lesson.
        TrainingError: the loss is not finite.
    """
    if not lessons:
        raise InputError("train-annotations", "not one question to learn from has features")
    torch.manual_seed(settings.train.seed)
    head = _fresh_head(lessons, settings).to(device)
    size = settings.train.batch_size // settings.train.num_micro_batches
    return fit_head(
        head,
        settings.train,
        objective=VslNetObjective(head, highlight_weight=settings.highlight_weight),
        source=LessonSource(lessons, batch_size=size, seed=settings.train.seed, least_cut=settings.least_cut),
        device=device,
        report=report,
    )


@torch.inference_mode()
def answer(
    head: VslNet, questions: Sequence[Question], *, device: torch.device, count: int = 5
) -> list[NDArray[np.float64]]:
    """Of each question the spans (P, 2) in seconds of the clip, best first."""
    head.eval()
    found = []
    for first in range(0, len(questions), _ASKED_AT_ONCE):
        asked = questions[first : first + _ASKED_AT_ONCE]
        output = head(padded(asked, device))
        for row, question in enumerate(asked):
            length = len(question.clip.features)
            start, end = (logits[row, :length].double().cpu().numpy() for logits in (output.start, output.end))
            found.append(best_spans(start, end, question.clip.edges_s, count)[0])
    return found


def _fresh_head(lessons: Sequence[Lesson], settings: VslNetTraining) -> VslNet:
    clips = {id(lesson.question.clip): lesson.question.clip.features for lesson in lessons}
    texts = [lesson.question.tokens for lesson in lessons]
    config = VslNetConfig(
        video_width=next(iter(clips.values())).shape[1],
        text_width=texts[0].shape[1],
        hidden=settings.hidden,
        num_heads=settings.num_heads,
        num_positions=settings.num_positions,
    )
    head = VslNet(config)
    head.set_statistics(_statistics(list(clips.values())), _statistics(texts))
    return head


def _statistics(sequences: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Mean and spread (D,) over all positions; a constant feature has the spread 1."""
    values = np.concatenate(sequences).astype(np.float64)
    spread = values.std(axis=0)
    spread[spread < _LEAST_SPREAD] = 1.0
    return torch.from_numpy(values.mean(axis=0)).float(), torch.from_numpy(spread).float()
