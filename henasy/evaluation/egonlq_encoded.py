"""EgoNLQ with a model, or with features made elsewhere: from options to results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.errors import InputError
from henasy.evaluation.dense import DenseRule, PlanRule, RateRule
from henasy.evaluation.egonlq import EgoNlq, NlqClip, NlqQuery, annotation_file, load_egonlq
from henasy.evaluation.egonlq_run import GIVEN, SEARCHED, TRAINED, score_file, scored_result
from henasy.evaluation.encoded import encoder_facts
from henasy.evaluation.nlq_features import NlqFeatureSet, encode_nlq_clips, load_nlq_features
from henasy.evaluation.nlq_head import NlqHead, ask_head, load_nlq_head, trained_nlq_head, with_steps
from henasy.evaluation.nlq_predictions import Predictions, write_nlq_predictions
from henasy.evaluation.nlq_search import search_moments
from henasy.evaluation.report import file_digest
from henasy.evaluation.result import BenchmarkResult
from henasy.evaluation.source import RenderedSource, SourceOptions, VideoSource, choose_source
from henasy.heads.files import has_head
from henasy.heads.vslnet_training import VslNetTraining
from henasy.search.request import DEFAULT_WORDING
from henasy.training.config import TrainConfig

RENDERED_TRAINING = VslNetTraining(
    num_positions=300,
    hidden=64,
    train=TrainConfig(
        num_steps=300,
        batch_size=32,
        learning_rate=1e-3,
        min_learning_rate_ratio=0.02,
        num_warmup_steps=40,
        log_every=50,
        evaluate_every=0,
        checkpoint_every=300,
    ),
)
"""For a few hundred questions and two minutes."""

_LISTED = 20

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
    train_file: Path | None
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
    if nlq.predictions is not None:
        _refuse_beside("--predictions", options, nlq)
        path = _annotations("--predictions", options)
        return {GIVEN: score_file(path, nlq.predictions, is_allowing_missing=options.is_allowing_missing)}
    task = _task(options, nlq, report)
    results = {}
    if task.source is not None:
        results[SEARCHED] = score_search(task)
    if _wants_head(task):
        results[TRAINED] = score_head(task)
    return results


def score_search(task: _Task) -> BenchmarkResult:
    """The result of the moment search on features as an index has them."""
    rule = PlanRule()
    features = _features(task, task.annotations.clips, rule, has_entities=True)
    predictions = search_moments(
        _answerable(task.annotations, features), features.by_clip, task.encoder, DEFAULT_WORDING
    )
    facts = {**task.facts, "features": rule.said, "wording": str(DEFAULT_WORDING), **_missing(features)}
    return _scored(SEARCHED, task, predictions, facts)


def score_head(task: _Task) -> BenchmarkResult:
    """The result of the head, which is trained if there is none yet."""
    rule: DenseRule = PlanRule() if task.is_rendered else RateRule()
    space = f"{task.encoder.space_id} {rule.name}"
    facts = dict(task.facts)
    if task.source is None:
        space, facts["features"] = f"features made elsewhere, texts of {task.encoder.space_id}", str(task.nlq.features)
    else:
        facts["features"] = rule.said
    features = _features(task, task.annotations.clips, rule)
    head = _head(task, rule, space, facts)
    asked = _answerable(task.annotations, features)
    device = torch.device(task.options.device)
    predictions = ask_head(head, asked, features.by_clip, task.encoder, space, device=device)
    facts |= {"text": "sentence tokens of the text tower, in the joint space", **_missing(features)}
    facts["head"] = f"this project's own VSLNet, {head.training}"
    return _scored(TRAINED, task, predictions, facts)


def _head(task: _Task, rule: DenseRule, space: str, facts: Facts) -> NlqHead:
    device = torch.device(task.options.device)
    if task.nlq.head is not None and has_head(task.nlq.head):
        return load_nlq_head(task.nlq.head, device=device)
    assert task.train_file is not None
    train = load_egonlq(task.train_file, "train")
    facts["training annotations sha256"] = file_digest(task.train_file)
    features = _features(task, train.clips, rule)
    facts |= {f"training {name}": value for name, value in _missing(features).items()}
    settings = RENDERED_TRAINING if task.is_rendered else VslNetTraining()
    return trained_nlq_head(
        train,
        features.by_clip,
        task.encoder,
        space,
        settings if task.nlq.num_steps is None else with_steps(settings, task.nlq.num_steps),
        folder=task.nlq.head,
        device=device,
        report=task.report,
    )


def _task(options: SourceOptions, nlq: NlqOptions, report: Report) -> _Task:
    if nlq.features is not None:
        _refuse_beside("--features", options, nlq)
        path, source, model = _annotations("--features", options), None, options.model
        if model is None:
            raise InputError("--features", "needs --model, whose text tower reads the questions")
    else:
        source = _video_source(options)
        path, model = source.annotations, source.model
    encoder = load_encoder(model, device=options.device, num_frames=options.num_frames)
    return _Task(
        annotations=load_egonlq(path),
        train_file=_train_file(path, nlq),
        encoder=encoder,
        source=source,
        facts=encoder_facts(model, encoder, is_rendered=source is not None and source.is_rendered),
        options=options,
        nlq=nlq,
        report=report,
    )


def _wants_head(task: _Task) -> bool:
    """Whether there is a head, or what it takes to train one.

    Raises:
        InputError: one is asked for, and there is neither.
    """
    if task.nlq.is_search_only:
        return False
    is_possible = task.train_file is not None or (task.nlq.head is not None and has_head(task.nlq.head))
    if not is_possible and (task.nlq.head is not None or task.source is None):
        raise InputError("--head", "there is none yet: it takes --train-annotations nlq_train.json to train one")
    return is_possible


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


def _missing(features: NlqFeatureSet) -> Facts:
    lines = features.missing
    if not lines:
        return {}
    return {"missing": [f"{len(lines)} clips or parts of clips have no features", *lines[:_LISTED]]}


def _scored(made: str, task: _Task, predictions: Predictions, facts: Facts) -> BenchmarkResult:
    if task.nlq.save_predictions is not None:
        write_nlq_predictions(task.nlq.save_predictions / f"{made}.json", predictions)
    return scored_result(made, task.annotations, predictions, facts, is_rendered=task.is_rendered, source=task.source)


def _train_file(path: Path, nlq: NlqOptions) -> Path | None:
    if nlq.train_annotations is not None:
        return annotation_file(nlq.train_annotations, "train")
    beside = annotation_file(path, "train")
    return beside if path.is_dir() and beside.is_file() else None


def _video_source(options: SourceOptions) -> VideoSource:
    source = choose_source(options)
    if not isinstance(source, RenderedSource):
        assert isinstance(source, VideoSource)
        return source
    # Loads the rendering library, which real footage needs not.
    from henasy.evaluation.rendered_spans import rendered_span_layout

    layout = rendered_span_layout(options.archive)
    return source.as_videos(layout.annotations, layout.videos)


def _annotations(option: str, options: SourceOptions) -> Path:
    if options.annotations is None:
        raise InputError(option, "needs --annotations, whose questions it answers")
    return options.annotations


def _refuse_beside(option: str, options: SourceOptions, nlq: NlqOptions) -> None:
    """Refuses options that would have no effect beside `option`."""
    given: dict[str, object] = {name: getattr(options, name) for name in ("videos", "archive")}
    if option == "--predictions":
        others = ("train_annotations", "head", "features", "save_predictions", "num_steps")
        given |= {"model": options.model, **{name: getattr(nlq, name) for name in others}}
    idle = [name for name, value in given.items() if value is not None]
    if idle or nlq.is_search_only:
        name = idle[0].replace("_", "-").replace("num-steps", "steps") if idle else "search-only"
        raise InputError(option, f"cannot be used together with --{name}")
