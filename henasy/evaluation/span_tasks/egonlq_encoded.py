"""EgoNLQ with a model, or with features made elsewhere: from options to results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.errors import InputError
from henasy.evaluation.annotations.egonlq import EgoNlq, NlqClip, NlqQuery, annotation_file, load_egonlq
from henasy.evaluation.encoding.clip_features import missing_facts
from henasy.evaluation.encoding.dense import DenseRule, PlanRule, RateRule
from henasy.evaluation.encoding.encoded import encoder_facts
from henasy.evaluation.encoding.source import (
    SourceOptions,
    VideoSource,
    encoding_options,
    given_device,
    refuse_idle,
    required_annotations,
    span_videos,
)
from henasy.evaluation.span_tasks.egonlq_run import GIVEN, SEARCHED, TRAINED, score_file, scored_result
from henasy.evaluation.span_tasks.nlq_features import NlqFeatureSet, encode_nlq_clips, load_nlq_features
from henasy.evaluation.span_tasks.nlq_head import (
    NlqHead,
    ask_head,
    load_nlq_head,
    require_space,
    trained_nlq_head,
    with_steps,
)
from henasy.evaluation.span_tasks.nlq_predictions import Predictions, write_nlq_predictions
from henasy.evaluation.span_tasks.nlq_search import search_moments
from henasy.evaluation.tasks.report import file_digest
from henasy.evaluation.tasks.result import BenchmarkResult
from henasy.heads.files import has_head
from henasy.heads.vslnet_training import VslNetTraining
from henasy.search.request import DEFAULT_WORDING
from henasy.training.config import TrainConfig

RENDERED_TRAINING = VslNetTraining(
    num_positions=300,
    hidden=64,
    num_heads=2,
    least_cut=60,
    train=TrainConfig(
        num_steps=300,
        batch_size=32,
        learning_rate=2e-3,
        min_learning_rate_ratio=0.02,
        num_warmup_steps=30,
        log_every=50,
        evaluate_every=0,
        checkpoint_every=300,
    ),
)
"""For a few hundred questions and two minutes."""


Facts = dict[str, object]
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class NlqOptions:
    """The options of this benchmark alone, as the user gave them."""

    train_annotations: Path | None = None
    """`nlq_train.json`, if it is not in one folder with the validation file."""
    head: Path | None = None
    """Folder of the head: read if there is one, else trained and written; None keeps it in the cache."""
    features: Path | None = None
    """Folder of features made elsewhere; the head is trained on them."""
    predictions: Path | None = None
    """Somebody's predictions, scored as they are."""
    save_predictions: Path | None = None
    """Folder for our own."""
    num_steps: int | None = None
    """Steps of training, if not the default."""
    is_search_only: bool = False
    """Whether to leave the head alone."""


class _Task(NamedTuple):
    """Everything that is fixed before the first feature is made."""

    annotations: EgoNlq
    train: EgoNlq | None
    """What a head is trained on; None where there is one, or nothing to train it on."""
    head: NlqHead | None
    """The head that there is."""
    rule: DenseRule
    """Where the head's features lie."""
    space: str
    """What tells the head's features from others: only a head trained on the same may be asked."""
    encoder: Encoder
    source: VideoSource | None
    """None where the features were made elsewhere."""
    facts: Facts
    options: SourceOptions
    nlq: NlqOptions
    report: Report

    @property
    def is_rendered(self) -> bool:
        """Whether the scenes are rendered."""
        return self.source is not None and self.source.is_rendered


def run(options: SourceOptions, nlq: NlqOptions, report: Report) -> dict[str, BenchmarkResult]:
    """The results for whatever the command line asks to be scored, by how the answers were made.

    Raises:
        InputError: options are missing or exclude each other.
    """
    _refuse_idle(options, nlq)
    if nlq.predictions is not None:
        path = required_annotations("--predictions", options, "whose questions it answers")
        return {GIVEN: score_file(path, nlq.predictions, is_allowing_missing=options.is_allowing_missing)}
    task = _task(options, nlq, report)
    results = {}
    if task.source is not None:
        results[SEARCHED] = score_search(task)
    if task.head is not None or task.train is not None:
        results[TRAINED] = score_head(task)
    return results


def score_search(task: _Task) -> BenchmarkResult:
    """The result of the moment search on features as an index has them."""
    rule = PlanRule()
    features = _features(task, task.annotations.clips, rule, has_entities=True)
    predictions = search_moments(
        _answerable(task.annotations, features), features.by_clip, task.encoder, DEFAULT_WORDING
    )
    facts = {**task.facts, "features": rule.said, "wording": str(DEFAULT_WORDING), **missing_facts(features.missing)}
    return _scored(SEARCHED, task, predictions, facts)


def score_head(task: _Task) -> BenchmarkResult:
    """The result of the head, which is trained if there is none yet."""
    features = _features(task, task.annotations.clips, task.rule)
    facts = {**task.facts, "features": str(task.nlq.features) if task.source is None else task.rule.said}
    head = task.head or _trained(task, facts)
    asked = _answerable(task.annotations, features)
    device = torch.device(task.options.device)
    predictions = ask_head(head, asked, features.by_clip, task.encoder, task.space, device=device)
    facts |= {"text": "sentence tokens of the text tower, in the joint space", **missing_facts(features.missing)}
    facts["head"] = f"this project's own VSLNet, {head.training}"
    return _scored(TRAINED, task, predictions, facts)


def _trained(task: _Task, facts: Facts) -> NlqHead:
    assert task.train is not None
    facts["training annotations sha256"] = file_digest(task.train.path)
    features = _features(task, task.train.clips, task.rule)
    facts |= {f"training {name}": value for name, value in missing_facts(features.missing).items()}
    settings = RENDERED_TRAINING if task.is_rendered else VslNetTraining()
    return trained_nlq_head(
        task.train,
        features.by_clip,
        task.encoder,
        task.space,
        settings if task.nlq.num_steps is None else with_steps(settings, task.nlq.num_steps),
        folder=task.nlq.head,
        device=torch.device(task.options.device),
        report=task.report,
    )


def _task(options: SourceOptions, nlq: NlqOptions, report: Report) -> _Task:
    """What the options ask for; whatever is wrong with files and heads shows before hours of encoding."""
    if nlq.features is not None:
        path, source, model = (
            required_annotations("--features", options, "whose questions it answers"),
            None,
            options.model,
        )
        if model is None:
            raise InputError("--features", "needs --model, whose text tower reads the questions")
    else:
        source = span_videos(options)
        path, model = source.annotations, source.model
    encoder = load_encoder(model, device=options.device, num_frames=options.num_frames)
    is_rendered = source is not None and source.is_rendered
    rule: DenseRule = PlanRule() if is_rendered else RateRule()
    made = f"{encoder.space_id} {rule.name}"
    space = f"features made elsewhere, texts of {encoder.space_id}" if source is None else made
    annotations = load_egonlq(path)
    head = _kept_head(nlq, space, torch.device(options.device))
    train = None if head is not None or nlq.is_search_only else _training_questions(path, nlq)
    if head is None and train is None and not nlq.is_search_only and (nlq.head is not None or source is None):
        raise InputError("--head", "there is none yet: it takes --train-annotations nlq_train.json to train one")
    return _Task(
        annotations=annotations,
        train=train,
        head=head,
        rule=rule,
        space=space,
        encoder=encoder,
        source=source,
        facts=encoder_facts(model, encoder, is_rendered=is_rendered),
        options=options,
        nlq=nlq,
        report=report,
    )


def _kept_head(nlq: NlqOptions, space: str, device: torch.device) -> NlqHead | None:
    if nlq.is_search_only or nlq.head is None or not has_head(nlq.head):
        return None
    head = load_nlq_head(nlq.head, device=device)
    require_space(head, space)
    return head


def _training_questions(path: Path, nlq: NlqOptions) -> EgoNlq | None:
    if nlq.train_annotations is not None:
        return load_egonlq(nlq.train_annotations, "train")
    is_beside = path.is_dir() and annotation_file(path, "train").is_file()
    return load_egonlq(path, "train") if is_beside else None


def _features(task: _Task, clips: Sequence[NlqClip], rule: DenseRule, *, has_entities: bool = False) -> NlqFeatureSet:
    asked = [clip for clip in clips if any(query.text is not None for query in clip.queries)]
    is_allowing_missing = task.options.is_allowing_missing
    if task.source is None:
        assert task.nlq.features is not None
        return load_nlq_features(asked, task.nlq.features, is_allowing_missing=is_allowing_missing)
    return encode_nlq_clips(
        asked,
        task.source.videos,
        task.encoder,
        rule,
        has_entities=has_entities,
        is_allowing_missing=is_allowing_missing,
        is_cached=task.source.is_cached,
    )


def _answerable(annotations: EgoNlq, features: NlqFeatureSet) -> list[NlqQuery]:
    return [query for query in annotations.queries if query.key.clip_uid in features.by_clip]


def _scored(made: str, task: _Task, predictions: Predictions, facts: Facts) -> BenchmarkResult:
    if task.nlq.save_predictions is not None:
        write_nlq_predictions(task.nlq.save_predictions / f"{made}.json", predictions)
    return scored_result(made, task.annotations, predictions, facts, is_rendered=task.is_rendered, source=task.source)


def _refuse_idle(options: SourceOptions, nlq: NlqOptions) -> None:
    """Refuses options that would have no effect beside others.

    Raises:
        InputError: there is one.
    """
    training = {"train_annotations": nlq.train_annotations, "steps": nlq.num_steps}
    if nlq.predictions is not None:
        own = {"head": nlq.head, "features": nlq.features, "save_predictions": nlq.save_predictions}
        others = {**encoding_options(options), "model": options.model, "device": given_device(options), **own}
        refuse_idle("--predictions", {**others, **training, "search_only": nlq.is_search_only})
    if nlq.features is not None:
        refuse_idle("--features", {**encoding_options(options), "search_only": nlq.is_search_only})
    if nlq.is_search_only:
        refuse_idle("--search-only", {"head": nlq.head, **training})
