"""EgoMQ with a model, with features made elsewhere, or with somebody's predictions: from options to results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from henasy.checkpoint.encoder import load_encoder
from henasy.errors import InputError
from henasy.evaluation.dense import EGOVLP_RATE
from henasy.evaluation.egomq import EgoMq, MomentClip, load_egomq, moments_file
from henasy.evaluation.egomq_run import MqAnnotations, load_annotations, score_file, scored_result
from henasy.evaluation.encoded import encoder_facts
from henasy.evaluation.mq_export import export_for_vsgn
from henasy.evaluation.mq_features import FeatureSet, encode_clips, load_clip_features
from henasy.evaluation.mq_head import MomentHead, load_moment_head, predict, require_same, trained_head
from henasy.evaluation.mq_predictions import write_prediction_files
from henasy.evaluation.report import file_digest
from henasy.evaluation.result import BenchmarkResult
from henasy.evaluation.source import RenderedSource, SourceOptions, VideoSource, choose_source
from henasy.heads.files import has_head

_LISTED = 20
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
    """Folder for the head's predictions."""


class _Maker(NamedTuple):
    """What gives the features of clips."""

    features_of: Callable[[Sequence[MomentClip]], FeatureSet]
    space: str
    """What tells its features from others: only a head trained on the same may be asked."""
    facts: Facts
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


def run(options: SourceOptions, mq: MqOptions, report: Report) -> list[BenchmarkResult]:
    """The results for whatever the command line asks to be scored; the first is the one to compare.

    Raises:
        InputError: if options are missing or exclude each other.
    """
    if mq.predictions is not None:
        _refuse_beside("--predictions", options, mq)
        annotations = load_annotations(_annotations("--predictions", options), mq.classes)
        return [score_file(mq.predictions, annotations, is_allowing_missing=options.is_allowing_missing)]
    if mq.features is not None:
        _refuse_beside("--features", options, mq)
        path = _annotations("--features", options)
        maker = _elsewhere(mq.features, is_allowing_missing=options.is_allowing_missing)
    else:
        source = _video_source(options)
        path, maker = source.annotations, _encoding(source)
    task = _Task(path, load_annotations(path, mq.classes), maker, mq, torch.device(options.device), report)
    return [score_head(task)]


def score_head(task: _Task) -> BenchmarkResult:
    """The result of the proposal head, which is trained if there is none yet."""
    val = _Split(task.annotations.val, task.maker.features_of(task.annotations.val.clips))
    is_kept = task.mq.head is not None and has_head(task.mq.head)
    train = _train_split(task) if task.mq.export is not None or not is_kept else None
    facts = dict(task.maker.facts)
    if missing := [line for split in (val, train) if split is not None for line in split.features.missing]:
        facts["missing"] = [f"{len(missing)} clips or parts of clips have no features", *missing[:_LISTED]]
    if train is not None:
        facts["training annotations sha256"] = file_digest(moments_file(task.path, "train"))
    if task.mq.export is not None and train is not None:
        facts["exported"] = _export(task.mq.export, (train, val), task.annotations)
    head = _head(task, train)
    require_same(head, task.maker.space, task.annotations.labels, val.features.width)
    predictions = predict(head, val.annotations, val.features.by_clip)
    if task.mq.save_predictions is not None:
        write_prediction_files(task.mq.save_predictions, predictions)
    facts["head"] = f"this project's own proposal head, {head.training}"
    return scored_result(predictions, task.annotations, facts, is_rendered=task.maker.is_rendered)


def _head(task: _Task, train: _Split | None) -> MomentHead:
    if train is None or (task.mq.head is not None and has_head(task.mq.head)):
        assert task.mq.head is not None
        return load_moment_head(task.mq.head, device=task.device)
    # Without a class file the training split may have classes that validation lacks.
    classes = task.annotations.classes or tuple(sorted({*train.annotations.labels, *task.annotations.labels}))
    return trained_head(
        train.annotations,
        train.features.by_clip,
        classes,
        task.maker.space,
        folder=task.mq.head,
        device=task.device,
        report=task.report,
    )


def _train_split(task: _Task) -> _Split:
    train = load_egomq(task.path, "train", task.annotations.classes)
    return _Split(train, task.maker.features_of(train.clips))


def _export(folder: Path, splits: Sequence[_Split], annotations: MqAnnotations) -> str:
    features = {uid: found for split in splits for uid, found in split.features.by_clip.items()}
    labels = annotations.classes or tuple(sorted({label for split in splits for label in split.annotations.labels}))
    count = export_for_vsgn(folder, [split.annotations for split in splits], features, labels)
    return f"{count} clips for VSGN in {folder}"


def _elsewhere(folder: Path, *, is_allowing_missing: bool) -> _Maker:
    make = partial(load_clip_features, folder=folder, is_allowing_missing=is_allowing_missing)
    # Whose features these are no file says, so any head of their width may be asked.
    return _Maker(make, "features made elsewhere", {"features": str(folder)}, is_rendered=False)


def _encoding(source: VideoSource) -> _Maker:
    encoder = load_encoder(source.model, device=source.device, num_frames=source.num_frames)
    make = partial(
        encode_clips,
        videos=source.videos,
        encoder=encoder,
        is_allowing_missing=source.is_allowing_missing,
        is_cached=source.is_cached,
    )
    facts = encoder_facts(source.model, encoder, is_rendered=source.is_rendered)
    facts["features"] = f"{EGOVLP_RATE} a second, side by side, {encoder.num_frames} frames each, as EgoVLP's"
    return _Maker(make, f"{encoder.space_id} at {EGOVLP_RATE}/s", facts, source.is_rendered)


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
        raise InputError(option, "needs --annotations, whose clips it is for")
    return options.annotations


def _refuse_beside(option: str, options: SourceOptions, mq: MqOptions) -> None:
    """Refuses options that would have no effect beside `option`."""
    given = {name: getattr(options, name) for name in ("videos", "model", "archive")}
    if option == "--predictions":
        given |= {name: getattr(mq, name) for name in ("head", "features", "export", "save_predictions")}
    idle = [name for name, value in given.items() if value is not None]
    if idle:
        raise InputError(option, f"cannot be used together with --{idle[0].replace('_', '-')}")
