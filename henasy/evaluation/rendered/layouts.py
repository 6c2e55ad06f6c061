"""A rendered archive in the file layouts of the public benchmarks.

The layouts are written under the cache folder, in a folder named by what they were made from.
"""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from henasy.errors import AnnotationError
from henasy.evaluation.annotations.csv_table import TableRow, read_table
from henasy.evaluation.annotations.egomcq import NUM_CHOICES
from henasy.evaluation.annotations.epic100 import SENTENCE_FILE, TEST_FILE
from henasy.evaluation.annotations.epic100_actions import TRAIN_SENTENCE_FILE
from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.metrics.multiple_choice import INTER, INTRA
from henasy.evaluation.rendered.archives import TEST_ARCHIVE, cached_archive
from henasy.evaluation.tasks.report import write_text
from henasy.scenes.archive import read_config
from henasy.scenes.household.swaps import Said

_COLUMNS = (
    "clip_idx",
    "video_uid",
    "video_dur",
    "clip_start",
    "clip_end",
    "clip_text",
    "tag_verb",
    "tag_noun",
    "noun",
    "hand",
    "colour",
    "object_id",
    "verb_label",
    "verb_phrase",
)
_EPIC_HEADER = [
    "narration_id",
    "participant_id",
    "video_id",
    "narration_timestamp",
    "start_timestamp",
    "stop_timestamp",
    "start_frame",
    "stop_frame",
    "narration",
    "verb",
    "verb_class",
    "noun",
    "noun_class",
    "all_nouns",
    "all_noun_classes",
]
_TRAIN_HEADER = ("narration_id", "narration", "verb_class", "noun_classes", "verb", "nouns")
_WEARER_TAG = "#C C "
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class RenderedClip:
    """One narration of a rendered archive."""

    span: Span
    video_s: float
    text: str
    verb: str
    """Label of its row in the verb taxonomy."""
    noun: str
    verb_class: int
    noun_classes: tuple[int, ...]
    hand: str
    """`left` or `right`."""
    colour: str
    """The handled object's main colour, whether the text says it or not."""
    instance: int
    """The handled object's value in the truth's instance maps."""
    verb_phrase: str
    """What is done in "-ing" form, e.g. `lifting the mug`."""

    @property
    def action(self) -> tuple[str, str]:
        """Verb and noun: clips with equal actions can be described by the same text."""
        return self.verb, self.noun

    @property
    def said(self) -> Said:
        """What its swapped words are made of."""
        return Said(self.text, self.verb, self.noun, self.hand)


@dataclass(frozen=True, kw_only=True)
class RenderedLayout:
    """Where the benchmark files of an archive lie."""

    videos: Path
    egomcq: Path
    epic_annotations: Path


def rendered_layout(archive: Path | None) -> RenderedLayout:
    """The layouts of an archive; None takes the test archive of the cache, rendering it if need be."""
    return write_layouts(cached_archive(TEST_ARCHIVE) if archive is None else archive, cache_folder())


def write_layouts(archive: Path, cache: Path) -> RenderedLayout:
    """The archive's narrations as `egomcq.json` and as EK100's CSV files; equal archives give equal files.

    Raises:
        NotFoundError, AnnotationError: if the archive's narrations are missing or not of its format.
    """
    clips = read_rendered_clips(archive)
    digest = hashlib.sha256((archive / "narrations.csv").read_bytes()).hexdigest()[:16]
    folder = cache / "layouts" / digest
    write_text(folder / "egomcq.json", json.dumps(egomcq_questions(clips), indent=1) + "\n")
    test_rows = [_epic_row(row, clip) for row, clip in enumerate(clips)]
    write_text(folder / TEST_FILE, _csv_text(_EPIC_HEADER, test_rows))
    sentences = [(test_rows[row][0], _untagged(clips[row].text)) for row in sentence_clips(clips)]
    write_text(folder / SENTENCE_FILE, _csv_text(("narration_id", "narration"), sentences))
    write_text(folder / TRAIN_SENTENCE_FILE, _csv_text(_TRAIN_HEADER, _train_sentences(clips)))
    return RenderedLayout(videos=archive / "videos", egomcq=folder / "egomcq.json", epic_annotations=folder)


def read_rendered_clips(archive: Path) -> list[RenderedClip]:
    """Every narration of an archive, in the order of its file.

    Raises:
        ConfigError: the folder is no rendered archive, or one of another kind than is rendered now.
        AnnotationError: a narration cannot be read.
    """
    read_config(archive)
    return [_clip(row) for row in read_table(archive / "narrations.csv", _COLUMNS, delimiter="\t")]


def egomcq_questions(
    clips: Sequence[RenderedClip], num_questions: int | None = None, seed: int = _SEED
) -> dict[str, dict[str, object]]:
    """EgoMCQ's object of questions: for each narration one between videos and one within its own, where there are
    enough clips of other actions for exactly one choice to be right.

    Args:
        clips: the narrations of an archive.
        num_questions: how many at most, drawn evenly; None for all.
        seed: of the distractors and of the position of the answer.
    """
    rng = np.random.default_rng(seed)
    questions = []
    for row in rng.permutation(len(clips)):
        for kind, pick in ((INTER, _other_videos), (INTRA, _same_video)):
            distractors = pick(clips, int(row), rng)
            if len(distractors) == NUM_CHOICES - 1:
                questions.append(_question(clips, int(row), distractors, kind, rng))
    if not questions:
        raise AnnotationError(f"{len(clips)} narrations give no question: each needs 5 clips of different actions")
    return {str(index): question for index, question in enumerate(questions[:num_questions])}


def sentence_clips(clips: Sequence[RenderedClip]) -> list[int]:
    """The clip of every EK100 sentence: first occurrences of each narration, then of each action still uncovered."""
    first_of_text: dict[str, int] = {}
    for row, clip in enumerate(clips):
        first_of_text.setdefault(_untagged(clip.text), row)
    rows = list(first_of_text.values())
    covered = {_classes(clips[row]) for row in rows}
    for row, clip in enumerate(clips):
        if _classes(clip) not in covered:
            covered.add(_classes(clip))
            rows.append(row)
    return rows


def _classes(clip: RenderedClip) -> tuple[int, frozenset[int]]:
    return clip.verb_class, frozenset(clip.noun_classes)


def _other_videos(clips: Sequence[RenderedClip], row: int, rng: np.random.Generator) -> list[int]:
    """Up to four clips of other actions, each from another video."""
    chosen: dict[str, int] = {}
    for other in rng.permutation(len(clips)):
        clip = clips[other]
        is_new = clip.span.video_id != clips[row].span.video_id and clip.span.video_id not in chosen
        if is_new and clip.action != clips[row].action:
            chosen[clip.span.video_id] = int(other)
        if len(chosen) == NUM_CHOICES - 1:
            break
    return list(chosen.values())


def _same_video(clips: Sequence[RenderedClip], row: int, rng: np.random.Generator) -> list[int]:
    """Up to four clips of other actions from the same video."""
    others = [
        other
        for other, clip in enumerate(clips)
        if clip.span.video_id == clips[row].span.video_id and clip.action != clips[row].action
    ]
    return [int(other) for other in rng.permutation(others)[: NUM_CHOICES - 1]]


def _question(
    clips: Sequence[RenderedClip], row: int, distractors: list[int], kind: int, rng: np.random.Generator
) -> dict[str, object]:
    answer = int(rng.integers(NUM_CHOICES))
    order = [*distractors[:answer], row, *distractors[answer:]]
    return {
        "answer": answer,
        "types": kind,
        "query": _mcq_clip(clips[row]),
        "choices": {str(position): _mcq_clip(clips[choice]) for position, choice in enumerate(order)},
    }


def _mcq_clip(clip: RenderedClip) -> dict[str, object]:
    return {
        "video_uid": clip.span.video_id,
        "clip_start": clip.span.start_s,
        "clip_end": clip.span.end_s,
        "narration_time": (clip.span.start_s + clip.span.end_s) / 2,
        "clip_text": clip.text,
        "tag_verb": [clip.verb_class],
        "tag_noun": list(clip.noun_classes),
    }


def _epic_row(row: int, clip: RenderedClip) -> list[object]:
    start, stop = _timestamp(clip.span.start_s), _timestamp(clip.span.end_s)
    nouns = list(clip.noun_classes)
    names = [f"P01_{row}", "P01", clip.span.video_id, start, start, stop, "", "", _untagged(clip.text)]
    return [*names, clip.verb, clip.verb_class, clip.noun, nouns[0], [clip.noun], nouns]


def _train_sentences(clips: Sequence[RenderedClip]) -> list[list[object]]:
    """The archive's own wordings, since no other archive has its classes."""
    first_of_text: dict[str, int] = {}
    for row, clip in enumerate(clips):
        first_of_text.setdefault(_untagged(clip.text), row)
    return [
        [f"P01_{row}", text, clips[row].verb_class, list(clips[row].noun_classes), clips[row].verb, [clips[row].noun]]
        for text, row in first_of_text.items()
    ]


def _untagged(text: str) -> str:
    """EK100 narrations do not name the wearer."""
    return text.removeprefix(_WEARER_TAG)


def _timestamp(time_s: float) -> str:
    hundredths = round(100 * time_s)
    minutes, hundredths = divmod(hundredths, 6000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}"


def _csv_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _clip(row: TableRow) -> RenderedClip:
    start_s, end_s, video_s = (row.number(column) for column in ("clip_start", "clip_end", "video_dur"))
    if end_s <= start_s:
        raise row.error("clip_end", f"after clip_start {start_s}")
    return RenderedClip(
        span=Span(row.text("video_uid"), start_s, end_s),
        video_s=video_s,
        text=row.text("clip_text"),
        verb=row.text("verb_label"),
        noun=row.text("noun"),
        verb_class=row.class_numbers("tag_verb")[0],
        noun_classes=row.class_numbers("tag_noun"),
        hand=row.text("hand"),
        colour=row.text("colour"),
        instance=row.integer("object_id"),
        verb_phrase=row.text("verb_phrase"),
    )
