"""Ego4D's moment queries: clips of videos, and in each the moments of 110 classes that were annotated as primary.

Two layouts are read: Ego4D's own `moments_{train,val}.json` (videos, clips, annotations, labels) and the flat
`clip_annotations.json` (one object per clip) that the public training and evaluation code makes of it.

Source: PROTOCOLS section 3.5; EGO4D/episodic-memory MQ/Convert_annotation.py.
"""

from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError
from henasy.evaluation.annotations.json_record import JsonRecord, read_json_record
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.metrics.mq import Moments

FLAT_FILE = "clip_annotations.json"
CLASSES_FILE = "moment_classes_idx.json"
BACKGROUND = "Background"
_PAST_END_S = 2.0
"""How far a moment may reach past its clip: Ego4D's clips and videos differ by up to 1.9 s."""
_BEFORE_START_S = 0.1
"""Some published clips start up to 0.04 s before their video, which is taken for its start."""


class Moment(NamedTuple):
    """One annotated moment, in seconds of its clip."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class MomentClip:
    """One annotated clip of a video."""

    clip_uid: str
    span: Span | None
    """Where the clip lies in its video; None in a flat file that does not say."""
    moments: tuple[Moment, ...]

    def part_of_video(self) -> Span:
        """The span, where it is needed.

        Raises:
            AnnotationError: the file does not say.
        """
        if self.span is None:
            raise AnnotationError(
                f"clip {self.clip_uid!r} has no video_id, parent_start_sec and parent_end_sec: only predictions made "
                "elsewhere can be scored with such a file"
            )
        return self.span


@dataclass(frozen=True, kw_only=True)
class EgoMq:
    """The clips of one split, in the order of the file."""

    path: Path
    split: str
    clips: tuple[MomentClip, ...]
    """Those with at least one moment."""
    num_unannotated: int
    """Clips without a primary moment: left out, as the reference does."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that occur, sorted."""
        return tuple(sorted({moment.label for clip in self.clips for moment in clip.moments}))

    def per_clip(self, classes: tuple[str, ...]) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """Of each clip the spans (n, 2) in its seconds and the classes (n,) as they stand in `classes`."""
        number_of = {label: number for number, label in enumerate(classes)}
        return [
            (
                np.array([moment[1:] for moment in clip.moments], np.float64).reshape(-1, 2),
                np.array([number_of[moment.label] for moment in clip.moments], np.int64),
            )
            for clip in self.clips
        ]

    def moments(self, classes: tuple[str, ...]) -> Moments:
        """All moments as numbers: clips as they stand here, classes as they stand in `classes`."""
        parts = self.per_clip(classes)
        return Moments(
            np.repeat(np.arange(len(parts)), [len(labels) for _, labels in parts]),
            np.concatenate([labels for _, labels in parts]),
            np.concatenate([spans for spans, _ in parts]),
        )

    def among(self, clip_uids: Container[str]) -> "EgoMq":
        """The same with these clips alone."""
        return replace(self, clips=tuple(clip for clip in self.clips if clip.clip_uid in clip_uids))


def load_egomq(path: Path, split: str, classes: tuple[str, ...] | None = None) -> EgoMq:
    """The annotated clips of a split.

    Args:
        path: a file of either layout, or a folder that holds `moments_<split>.json` or `clip_annotations.json`.
        split: train or val.
        classes: the labels that are allowed; None allows any.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: the file is of neither layout, has a value out of range, or annotates nothing in this split; it
            names the place, the value and what is allowed.
    """
    file = moments_file(path, split)
    content = read_json_record(file)
    parts = _nested_clips(content, split) if "videos" in content else _flat_clips(content, split)
    clips = _merged(parts)
    annotated = tuple(clip for clip in clips if clip.moments)
    if not annotated:
        raise AnnotationError(f"{file}: not one moment is annotated in split {split!r}")
    result = EgoMq(path=file, split=split, clips=annotated, num_unannotated=len(clips) - len(annotated))
    unknown = sorted(set(result.labels) - set(classes or result.labels))
    if unknown:
        raise AnnotationError(
            f"{file}: labels that are no class: {unknown[:5]}; there are {len(classes or ())} classes"
        )
    return result


def moments_file(path: Path, split: str) -> Path:
    """The annotation file itself: `path`, or the one of a split in that folder."""
    if not path.is_dir():
        return path
    nested = path / f"moments_{split}.json"
    return nested if nested.is_file() or not (path / FLAT_FILE).is_file() else path / FLAT_FILE


def load_classes(path: Path) -> tuple[str, ...]:
    """The classes of a `moment_classes_idx.json` in the order of their numbers, Background (0) left out.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: the numbers are not 0, 1, 2, ..., or 0 is not Background.
    """
    content = read_json_record(path)
    numbers = {name: content.number(name) for name in content.values}
    names = sorted(numbers, key=lambda name: numbers[name])
    if [numbers[name] for name in names] != list(range(len(names))) or not names or names[0] != BACKGROUND:
        raise AnnotationError(
            f"{path}: numbers are {sorted(numbers.values())[:5]}..., must be 0 ({BACKGROUND}), 1, 2, ..."
        )
    if len(names) == 1:
        raise AnnotationError(f"{path}: names no class beside {BACKGROUND}")
    return tuple(names[1:])


def _nested_clips(content: JsonRecord, split: str) -> list[MomentClip]:
    clips = []
    for video in content.records("videos"):
        video_uid = video.text("video_uid")
        if "split" in video and video.text("split") != split:
            raise video.error("split", f"{split!r}: this is the file of another split")
        clips += [_nested_clip(video_uid, clip) for clip in video.records("clips")]
    return clips


def _nested_clip(video_uid: str, clip: JsonRecord) -> MomentClip:
    start_s, end_s = _ordered(clip, "video_start_sec", "video_end_sec")
    if end_s == start_s:
        raise clip.error("video_end_sec", f"after video_start_sec {start_s}")
    labels = [label for annotation in clip.records("annotations") for label in annotation.records("labels")]
    moments = [_moment(label, end_s - start_s) for label in labels if label.flag("primary")]
    return MomentClip(clip_uid=clip.text("clip_uid"), span=Span(video_uid, start_s, end_s), moments=tuple(moments))


def _flat_clips(content: JsonRecord, split: str) -> list[MomentClip]:
    clips = [content.record(clip_uid) for clip_uid in content.values]
    wanted = [(uid, clip) for uid, clip in zip(content.values, clips, strict=True) if clip.text("subset") == split]
    return [_flat_clip(clip_uid, clip) for clip_uid, clip in wanted]


def _flat_clip(clip_uid: str, clip: JsonRecord) -> MomentClip:
    span = None
    if any(name in clip for name in ("parent_start_sec", "parent_end_sec")):
        span = Span(clip.text("video_id"), *_ordered(clip, "parent_start_sec", "parent_end_sec"))
    length_s = None if span is None else span.end_s - span.start_s
    moments = tuple(_moment(label, length_s) for label in clip.records("annotations"))
    return MomentClip(clip_uid=clip_uid, span=span, moments=moments)


def _moment(label: JsonRecord, clip_s: float | None) -> Moment:
    start_s, end_s = _ordered(label, "start_time", "end_time")
    if clip_s is not None and end_s > clip_s + _PAST_END_S:
        raise label.error("end_time", f"at most {clip_s:g}, the length of the clip (and {_PAST_END_S:g} s)")
    return Moment(label.text("label"), start_s, end_s)


def _ordered(record: JsonRecord, start: str, end: str) -> tuple[float, float]:
    """The seconds of a start and an end, which may be equal: such a moment counts, though nothing can find it."""
    start_s, end_s = record.number(start), record.number(end)
    if start_s < -_BEFORE_START_S:
        raise record.error(start, "at least 0")
    start_s = max(start_s, 0.0)
    if end_s < start_s:
        raise record.error(end, f"at least {start} {start_s:g}")
    return start_s, end_s


def _merged(parts: list[MomentClip]) -> list[MomentClip]:
    """Each clip once; one that occurs twice has the moments of both places, as in the reference."""
    clips: dict[str, MomentClip] = {}
    for part in parts:
        known = clips.get(part.clip_uid)
        if known is not None and known.span != part.span:
            raise AnnotationError(f"clip {part.clip_uid!r} occurs twice, as {known.span} and as {part.span}")
        moments = (known.moments if known else ()) + part.moments
        clips[part.clip_uid] = MomentClip(clip_uid=part.clip_uid, span=part.span, moments=moments)
    return list(clips.values())
