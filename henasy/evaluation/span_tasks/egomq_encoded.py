"""EgoMQ with a model, with features made elsewhere, or with somebody's predictions: from options to results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.evaluation.annotations.egomq import EgoMq, MomentClip, load_egomq, moments_file
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
from henasy.evaluation.pages.run_report import draw_in_clips
from henasy.evaluation.span_tasks.egomq_run import (
    GIVEN,
    SEARCHED,
    TRAINED,
    MqAnnotations,
    gain_facts,
    load_annotations,
    score_file,
    scored_result,
)
from henasy.evaluation.span_tasks.mq_export import FEATURES, export_for_vsgn
from henasy.evaluation.span_tasks.mq_features import FeatureSet, encode_clips, load_clip_features
from henasy.evaluation.span_tasks.mq_head import (
    MomentHead,
    load_moment_head,
    predict,
    require_same,
    trained_head,
    with_steps,
)
from henasy.evaluation.span_tasks.mq_predictions import PredictionFile, write_prediction_files
from henasy.evaluation.span_tasks.mq_search import search_classes
from henasy.evaluation.tasks.report import file_digest
from henasy.evaluation.tasks.result import BenchmarkResult
from henasy.heads.files import has_head
from henasy.heads.proposal_training import ProposalTraining
from henasy.training.config import TrainConfig

RENDERED_TRAINING = ProposalTraining(
    crop=256,
    hidden=64,
    num_levels=7,
    noise=1.0,
    train=TrainConfig(
        num_steps=300,
        batch_size=8,
        learning_rate=2e-3,
        min_learning_rate_ratio=0.02,
        num_warmup_steps=40,
        weight_decay=0.05,
        beta2=0.99,
        log_every=50,
        evaluate_every=0,
        checkpoint_every=300,
    ),
)
"""For a few hundred moments and a minute."""
Facts = dict[str, object]
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class MqOptions:
    """The options of this benchmark alone, as the user gave them."""

    classes: Path | None = None
    """`moment_classes_idx.json`, if it is not beside the annotations."""
    head: Path | None = None
    """Folder of the head: read if there is one, else trained and written; None keeps it in the cache."""
    predictions: Path | None = None
    """Somebody's predictions, scored as they are."""
    features: Path | None = None
    """Folder of features made elsewhere, a file per clip."""
    export: Path | None = None
    """Where to write features for VSGN."""
    save_predictions: Path | None = None
    """Folder for our own predictions."""
    num_steps: int | None = None
    """Steps of training, if not the default."""
    is_searching: bool = False
    """Whether to ask the moment search too; on rendered scenes it always is."""


class _Maker(NamedTuple):
    """What gives the features of clips."""

    features_of: Callable[[Sequence[MomentClip], DenseRule], FeatureSet]
    rule: DenseRule
    """How the head's features lie."""
    space: str
    """What tells the head's features from others: only a head trained on the same may be asked."""
    facts: Facts
    encoder: Encoder | None
    """None where the features were made elsewhere."""
    is_rendered: bool


class _Task(NamedTuple):
    """Everything that is fixed before the first feature is made."""

    path: Path
    annotations: MqAnnotations
    maker: _Maker
    mq: MqOptions
    device: torch.device
    report: Report


class _Split(NamedTuple):
    """One split with its features."""

    annotations: EgoMq
    features: FeatureSet


def run(options: SourceOptions, mq: MqOptions, report: Report) -> dict[str, BenchmarkResult]:
    """The results for whatever the command line asks to be scored, by how the answers were made.

    Raises:
        InputError: if options are missing or exclude each other.
    """
    _refuse_idle(options, mq)
    if mq.predictions is not None:
        annotations = load_annotations(
            required_annotations("--predictions", options, "whose clips it is for"), mq.classes
        )
        return {GIVEN: score_file(mq.predictions, annotations, is_allowing_missing=options.is_allowing_missing)}
    source = None
    if mq.features is not None:
        path = required_annotations("--features", options, "whose clips it is for")
        maker = _elsewhere(mq.features, is_allowing_missing=options.is_allowing_missing)
    else:
        source = span_videos(options)
        path, maker = source.annotations, _encoding(source)
    task = _Task(path, load_annotations(path, mq.classes), maker, mq, torch.device(options.device), report)
    head, facts = ask_head(task)
    if maker.encoder is None or not (mq.is_searching or maker.is_rendered):
        return {TRAINED: _pictured(_scored(TRAINED, task, head, facts), task, source)}
    searched, search_facts = ask_search(task, maker.encoder)
    facts |= gain_facts(head, searched, task.annotations)
    return {
        SEARCHED: _pictured(_scored(SEARCHED, task, searched, search_facts), task, source),
        TRAINED: _pictured(_scored(TRAINED, task, head, facts), task, source),
    }


def ask_search(task: _Task, encoder: Encoder) -> tuple[PredictionFile, Facts]:
    """The moment search's answers, asked for every class by its name, on features as an index has them."""
    rule = PlanRule()
    val = task.annotations.val
    features = task.maker.features_of(val.clips, rule)
    predictions = search_classes(val, features.by_clip, task.annotations.labels, encoder)
    return predictions, {"features": rule.said, **missing_facts(features.missing)}


def ask_head(task: _Task) -> tuple[PredictionFile, Facts]:
    """The answers of the proposal head, which is trained if there is none yet, and what fixes them."""
    maker = task.maker
    val = _split(task, task.annotations.val, maker.rule)
    is_kept = task.mq.head is not None and has_head(task.mq.head)
    train = None if is_kept and task.mq.export is None else load_egomq(task.path, "train", task.annotations.classes)
    facts: Facts = {"features": maker.rule.said} if maker.encoder is not None else {}
    facts |= missing_facts(val.features.missing)
    if train is not None:
        facts["training annotations sha256"] = file_digest(moments_file(task.path, "train"))
    if train is not None and task.mq.export is not None:
        facts["exported"] = _export(task.mq.export, task, (train, task.annotations.val))
    head, training_facts = _head(task, train)
    require_same(head, maker.space, task.annotations.labels, val.features.width)
    predictions = predict(head, val.annotations, val.features.by_clip)
    facts |= {"head": f"this project's own, {head.training}", **training_facts}
    return predictions, facts


def _scored(made: str, task: _Task, predictions: PredictionFile, facts: Facts) -> BenchmarkResult:
    if task.mq.save_predictions is not None:
        write_prediction_files(task.mq.save_predictions / made, predictions)
    facts = {**task.maker.facts, **facts}
    return scored_result(made, predictions, task.annotations, facts, is_rendered=task.maker.is_rendered)


def _pictured(result: BenchmarkResult, task: _Task, source: VideoSource | None) -> BenchmarkResult:
    """The result with what a report takes its pictures from, where there are videos."""
    if source is None or result.illustrated is None:
        return result
    clips = {clip.clip_uid: clip.part_of_video() for clip in task.annotations.val.clips}
    return replace(result, illustrated=result.illustrated._replace(draw=partial(draw_in_clips, source, clips)))


def _head(task: _Task, train: EgoMq | None) -> tuple[MomentHead, Facts]:
    """The head, and what was missing when it was trained."""
    if train is None or (task.mq.head is not None and has_head(task.mq.head)):
        assert task.mq.head is not None
        return load_moment_head(task.mq.head, device=task.device), {}
    # Without a class file the training split may have classes that validation lacks.
    classes = task.annotations.classes or tuple(sorted({*train.labels, *task.annotations.labels}))
    learnt = _split(task, train, task.maker.rule)
    settings = RENDERED_TRAINING if task.maker.is_rendered else ProposalTraining()
    head = trained_head(
        train,
        learnt.features.by_clip,
        classes,
        task.maker.space,
        settings if task.mq.num_steps is None else with_steps(settings, task.mq.num_steps),
        folder=task.mq.head,
        device=task.device,
        report=task.report,
    )
    return head, {f"training {name}": value for name, value in missing_facts(learnt.features.missing).items()}


def _split(task: _Task, annotations: EgoMq, rule: DenseRule) -> _Split:
    return _Split(annotations, task.maker.features_of(annotations.clips, rule))


def _export(folder: Path, task: _Task, splits: Sequence[EgoMq]) -> str:
    """Writes what VSGN reads, whose features lie side by side."""
    parts = [_split(task, annotations, RateRule()) for annotations in splits]
    features = {uid: found for part in parts for uid, found in part.features.by_clip.items()}
    labels = {label for annotations in splits for label in annotations.labels}
    count = export_for_vsgn(folder, splits, features, task.annotations.classes or sorted(labels))
    width = next(iter(features.values())).features.shape[1]
    return f"{count} clips for VSGN in {folder}: --feature_path {folder / FEATURES} --input_feat_dim {width}"


def _elsewhere(folder: Path, *, is_allowing_missing: bool) -> _Maker:
    def make(clips: Sequence[MomentClip], _: DenseRule) -> FeatureSet:
        return load_clip_features(clips, folder, is_allowing_missing=is_allowing_missing)

    # Whose features these are no file says, so any head of their width may be asked.
    return _Maker(make, RateRule(), "features made elsewhere", {"features": str(folder)}, None, is_rendered=False)


def _encoding(source: VideoSource) -> _Maker:
    encoder = load_encoder(source.model, device=source.device, num_frames=source.num_frames)
    make = partial(
        encode_clips,
        videos=source.videos,
        encoder=encoder,
        is_allowing_missing=source.is_allowing_missing,
        is_cached=source.is_cached,
    )
    # The shipped model knows clips of two seconds; the papers' features are EgoVLP's.
    rule: DenseRule = PlanRule() if source.is_rendered else RateRule()
    facts = encoder_facts(source.model, encoder, is_rendered=source.is_rendered)
    return _Maker(make, rule, f"{encoder.space_id} {rule.name}", facts, encoder, source.is_rendered)


def _refuse_idle(options: SourceOptions, mq: MqOptions) -> None:
    """Refuses options that would have no effect beside others.

    Raises:
        InputError: there is one.
    """
    others = {**encoding_options(options), "model": options.model, "zero_shot": mq.is_searching}
    if mq.predictions is not None:
        own = {"head": mq.head, "features": mq.features, "export": mq.export, "save_predictions": mq.save_predictions}
        refuse_idle("--predictions", {**others, **own, "device": given_device(options), "steps": mq.num_steps})
    if mq.features is not None:
        refuse_idle("--features", others)
