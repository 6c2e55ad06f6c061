"""What ablated models answer, and how good that is, video by video.

N clips, E entities, T frames, K patches, D width of the joint space, V test videos, Q questions.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from henasy.evaluation.ablation.plan import (
    COMPONENTS,
    HAND_ORACLE,
    HAND_TEXT,
    INTER,
    INTRA,
    MASK_MEASURES,
    MEASURES,
    NOUN_ORACLE,
    NOUN_TEXT,
    TOP1,
    TOP5,
    Reading,
)
from henasy.evaluation.ablation.test_set import NAMING, HeldOutSet
from henasy.evaluation.metrics.classification import target_ranks
from henasy.evaluation.metrics.entity_overlap import ClipEntities
from henasy.evaluation.metrics.masks import entity_ious
from henasy.evaluation.metrics.mir import query_scores
from henasy.evaluation.metrics.multiple_choice import INTER as INTER_TYPE
from henasy.evaluation.metrics.multiple_choice import right_answers
from henasy.evaluation.tasks.class_texts import class_texts, class_vectors
from henasy.evaluation.tasks.egomcq_run import choice_similarity
from henasy.model.dual import DualEncoder
from henasy.model.fusion import fused
from henasy.model.henasy import Henasy
from henasy.text.stored import AnyTokenizer
from henasy.video.preprocess import PreprocessSpec

_BATCH_CLIPS = 40
_BATCH_TEXTS = 256

Values = NDArray[np.float64]


class Answers(NamedTuple):
    """What one model makes of all test clips; embeddings are L2-normalised."""

    clip: NDArray[np.float32]
    """(N, D)"""
    first_stage: NDArray[np.float32]
    """(N, D) of the dual encoder that the model stands on"""
    entities: NDArray[np.float32]
    """(N, E, D)"""
    is_valid: NDArray[np.bool_]
    """(N, E)"""
    assignment: NDArray[np.uint8]
    """(N, T, K)"""

    def read_as(self, reading: Reading) -> "Answers":
        """The same models' answers with another clip embedding."""
        own, first = torch.from_numpy(self.clip), torch.from_numpy(self.first_stage)
        return self._replace(clip=_unit(fused(own, first, reading.global_share)))


class TextBook:
    """Embeddings of texts by the frozen text tower that all models share, each text encoded once."""

    def __init__(self, dual: DualEncoder, tokenizer: AnyTokenizer, texts: Sequence[str]) -> None:
        distinct = list(dict.fromkeys(texts))
        self._row_of = {text: row for row, text in enumerate(distinct)}
        tokens = torch.from_numpy(tokenizer.encode_batch(distinct)).to(next(dual.parameters()).device)
        batches = [tokens[first : first + _BATCH_TEXTS] for first in range(0, len(tokens), _BATCH_TEXTS)]
        with torch.inference_mode():
            parts = [F.normalize(dual.encode_text(batch).float(), dim=-1) for batch in batches]
        self._vectors: NDArray[np.float32] = torch.cat(parts).cpu().numpy()

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(M, D) their embeddings."""
        return self._vectors[[self._row_of[text] for text in texts]]


class Exam(NamedTuple):
    """What every model is asked."""

    test: HeldOutSet
    texts: TextBook


class ModelScores(NamedTuple):
    """How good a model's answers are."""

    scores: dict[str, float]
    """By measure, fractions."""
    by_video: dict[str, list[list[float]]]
    """(V, 2) by component: the sum and the count of each test video."""
    is_right: NDArray[np.bool_]
    """(Q,)"""


@torch.inference_mode()
def ask_together(
    models: Mapping[str, Henasy], test: HeldOutSet, spec: PreprocessSpec, device: torch.device
) -> dict[str, Answers]:
    """The answers of models that stand on one dual encoder, which looks at every clip once for all of them."""
    found: dict[str, list[Answers]] = {name: [] for name in models}
    first = next(iter(models.values()))
    for model in models.values():
        model.eval()
    for frames in test.batches(spec, _BATCH_CLIPS):
        sight = first.see(frames.to(device))
        for name, model in models.items():
            out = model.compose(sight)
            found[name].append(
                Answers(
                    _unit(out.decoded),
                    _unit(out.global_video),
                    _unit(out.entities),
                    out.is_valid.cpu().numpy(),
                    _byte(out.hard),
                )
            )
    return {name: Answers(*map(np.concatenate, zip(*parts, strict=True))) for name, parts in found.items()}


def texts_of(test: HeldOutSet) -> list[str]:
    """Every text that the test set asks with."""
    things = [naming(clip).text for naming in NAMING for clip in test.clips]
    return [*test.questions.texts, *test.retrieval.texts, *class_texts(test.actions.texts_of).texts, *things]


def score(answers: Answers, exam: Exam, measures: Sequence[str] = MEASURES) -> ModelScores:
    """`measures` of one model's answers."""
    test, texts = exam
    videos = test.video_rows()
    is_right, questions = _questions(answers, test, texts, videos)
    parts = questions | _retrieval(answers, test, texts, videos) | _classes(answers, test, texts, videos)
    if not set(MASK_MEASURES).isdisjoint(measures):
        parts |= _masks(answers, test, texts, videos)
    num_videos = len(test.video_ids)
    by_video = {name: _sums(values, rows, num_videos) for name, (values, rows) in parts.items()}
    means = {name: float(values.mean()) for name, (values, _) in parts.items()}
    scores = {measure: float(np.mean([means[name] for name in COMPONENTS[measure]])) for measure in measures}
    return ModelScores(scores, by_video, is_right)


def _questions(
    answers: Answers, test: HeldOutSet, texts: TextBook, videos: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], dict[str, tuple[Values, NDArray[np.int64]]]]:
    spans, choices = test.questions.distinct_spans()
    row_of = {clip.span: row for row, clip in enumerate(test.clips)}
    rows = np.array([row_of[span] for span in spans], np.int64)[choices]
    similarity = choice_similarity(answers.clip[rows], texts.of(test.questions.texts))
    is_right = right_answers(similarity, test.questions.answers)
    asked = videos[rows[np.arange(len(rows)), test.questions.answers]]
    is_inter = test.questions.types == INTER_TYPE
    return is_right, {
        INTER: (is_right[is_inter].astype(np.float64), asked[is_inter]),
        INTRA: (is_right[~is_inter].astype(np.float64), asked[~is_inter]),
    }


def _retrieval(
    answers: Answers, test: HeldOutSet, texts: TextBook, videos: NDArray[np.int64]
) -> dict[str, tuple[Values, NDArray[np.int64]]]:
    """A sentence counts to the video of the clip that it narrates."""
    similarity = answers.clip.astype(np.float64) @ texts.of(test.retrieval.texts).astype(np.float64).T
    of_clips, of_texts = query_scores(similarity, test.relevancy), query_scores(similarity.T, test.relevancy.T)
    told = videos[test.retrieval.sentence_rows]
    return {
        "mAP V-T": (of_clips.average_precision, videos),
        "mAP T-V": (of_texts.average_precision, told),
        "nDCG V-T": (of_clips.ndcg, videos),
        "nDCG T-V": (of_texts.ndcg, told),
    }


def _classes(
    answers: Answers, test: HeldOutSet, texts: TextBook, videos: NDArray[np.int64]
) -> dict[str, tuple[Values, NDArray[np.int64]]]:
    wordings = class_texts(test.actions.texts_of)
    classes = class_vectors(texts.of(wordings.texts), wordings.owners, "cosine")
    ranks = target_ranks(answers.clip.astype(np.float64) @ classes.T, test.actions.targets)
    return {name: ((ranks < k).astype(np.float64), videos) for name, k in ((TOP1, 1), (TOP5, 5))}


def _masks(
    answers: Answers, test: HeldOutSet, texts: TextBook, videos: NDArray[np.int64]
) -> dict[str, tuple[Values, NDArray[np.int64]]]:
    """IoU, pooled over a clip's frames, of the entity that the thing's word meets and of the best; things in view."""
    found: dict[str, tuple[Values, NDArray[np.int64]]] = {}
    num_entities = answers.is_valid.shape[1]
    for place, (naming, names) in enumerate(
        zip(NAMING, ((NOUN_TEXT, NOUN_ORACLE), (HAND_TEXT, HAND_ORACLE)), strict=True)
    ):
        words = texts.of([naming(clip).text for clip in test.clips])
        rows = np.flatnonzero(test.covered[:, place].sum(axis=(1, 2)) > 0)
        pairs = np.zeros((len(rows), 2))
        for out, row in enumerate(rows):
            clip = ClipEntities(answers.entities[row], answers.is_valid[row], answers.assignment[row])
            covered = test.covered[row, place].astype(np.float64)
            ious = entity_ious(clip.assignment, covered, test.pixels, num_entities)
            pairs[out] = ious[clip.chosen_by(words[row])], ious.max()
        found |= {name: (pairs[:, column], videos[rows]) for column, name in enumerate(names)}
    return found


def _sums(values: Values, rows: NDArray[np.int64], num_videos: int) -> list[list[float]]:
    """(V, 2) the sum and the count of each video; six digits, far below what a question more or less changes."""
    sums, counts = np.bincount(rows, values, num_videos), np.bincount(rows, minlength=num_videos)
    return [[round(float(total), 6), int(count)] for total, count in zip(sums, counts, strict=True)]


def _unit(vectors: Tensor) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = F.normalize(vectors.float(), dim=-1).cpu().numpy()
    return unit


def _byte(entity: Tensor) -> NDArray[np.uint8]:
    return entity.to(torch.uint8).cpu().numpy()
