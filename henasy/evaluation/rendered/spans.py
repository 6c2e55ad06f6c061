"""Rendered archives of long videos in the layouts of Ego4D's NLQ and MQ: files, and one folder of all videos.

Every video is annotated as one clip that lasts as long as it does.

Source: keys of Ego4D's `nlq_val.json` (PROTOCOLS section 3.5) and of its `moments_*.json` as
EGO4D/episodic-memory MQ/Convert_annotation.py reads them.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from henasy.evaluation.annotations.csv_table import TableRow, read_table
from henasy.evaluation.annotations.egomq import BACKGROUND, CLASSES_FILE
from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.evaluation.rendered.archives import long_archive
from henasy.evaluation.tasks.report import write_text
from henasy.scenes.archive import read_config, video_path
from henasy.scenes.household.story import HOUSEHOLD

Json = dict[str, Any]

_COLUMNS = (
    "video_uid",
    "video_dur",
    "clip_start",
    "clip_end",
    "clip_text",
    "noun",
    "colour",
    "verb_label",
    "verb_phrase",
    "hand",
)
_STATE = "Objects: State of an object"
_PLACE = "Place: Where did I put X?"
_BEFORE = "Objects: Where is object X before / after event Y?"
_QUESTIONS = {
    "bring": (_STATE, "Did I bring {o} back?"),
    "carry": (_BEFORE, "Where was {o} before I carried it away?"),
    "clear": (_BEFORE, "Where was {o} before I moved it out of the way?"),
    "close": (_STATE, "Did I close {o}?"),
    "cut": (_STATE, "Did I cut {o} with a knife?"),
    "fetch": (_BEFORE, "Where was {o} before I got it from behind something?"),
    "hide": (_PLACE, "What did I hide {o} behind?"),
    "insert": (_PLACE, "What did I put {o} into?"),
    "inspect": (_STATE, "Did I look at {o} up close?"),
    "lift": (_BEFORE, "Where was {o} before I picked it up?"),
    "open": (_STATE, "Did I open {o}?"),
    "pass": (_STATE, "Did I pass {o} to the other hand?"),
    "pour": (_STATE, "Did I pour from {o}?"),
    "pull": (_STATE, "Did I pull {o} closer?"),
    "push": (_STATE, "Did I push {o} away?"),
    "put": (_PLACE, "Where did I put {o}?"),
    "remove": (_BEFORE, "What was {o} in before I took it out?"),
    "set": (_PLACE, "What did I set {o} in front of?"),
    "shake": (_STATE, "Did I shake {o}?"),
    "stir": (_STATE, "Did I stir {o} with a spoon?"),
    "tap": (_STATE, "Did I tap {o}?"),
    "turn": (_STATE, "Did I turn {o} around?"),
    "wipe": (_STATE, "Did I wipe {o} with a sponge?"),
}
"""By verb, the template of Ego4D that comes closest, and how it is asked."""


class SpanLayout(NamedTuple):
    """Where the files lie, as `--annotations` and `--videos` take them."""

    annotations: Path
    """Folder of `nlq_{train,val}.json`, `moments_{train,val}.json` and `moment_classes_idx.json`"""
    videos: Path
    """Folder of links to the videos of both splits"""


class Action(NamedTuple):
    """One narrated action, in seconds of its video."""

    video_uid: str
    start_s: float
    end_s: float
    noun: str
    colour: str
    verb: str
    """Label of its row in the verb taxonomy"""
    phrase: str
    """The action without its subject: "stirring the mug with a spoon" """
    hand: str
    """left or right"""
    text: str
    """The narration"""


class _Query(NamedTuple):
    template: str | None
    text: str
    thing: str


def rendered_span_layout(archive: Path | None) -> SpanLayout:
    """The layouts with an archive as validation split; None takes the long test archive of the cache.

    The training split is the cache's long training archive, rendered now if need be.
    """
    return write_span_layout(long_archive("train"), archive or long_archive("test"), cache_folder())


def write_span_layout(train: Path, val: Path, cache: Path) -> SpanLayout:
    """The narrations of two archives as NLQ and MQ annotations; equal archives give equal files.

    Raises:
        ConfigError: a folder is no archive.
        NotFoundError, AnnotationError: its narrations are missing or not of its format.
    """
    archives = {"train": train, "val": val}
    digest = hashlib.sha256()
    for archive in archives.values():
        digest.update(str(archive.resolve()).encode() + (archive / "narrations.csv").read_bytes())
    folder = cache / "layouts" / f"spans-{digest.hexdigest()[:16]}"
    for split, archive in archives.items():
        actions, fps = read_actions(archive), read_config(archive).fps
        lengths_s = _lengths(archive)
        for name, annotate in (("nlq", nlq_annotations), ("moments", moments_annotations)):
            text = json.dumps(annotate(actions, lengths_s, fps, split), indent=1) + "\n"
            write_text(folder / f"{name}_{split}.json", text)
        _link_videos(archive, sorted(lengths_s), folder / "videos")
    classes = {BACKGROUND: 0} | {_moment_class(verb.label): 1 + row for row, verb in enumerate(HOUSEHOLD.verbs)}
    write_text(folder / CLASSES_FILE, json.dumps(classes, indent=1) + "\n")
    return SpanLayout(annotations=folder, videos=folder / "videos")


def read_actions(archive: Path) -> list[Action]:
    """Every narrated action of an archive, in the order of its file."""
    return [_action(row) for row in read_table(archive / "narrations.csv", _COLUMNS, delimiter="\t")]


def nlq_annotations(actions: Sequence[Action], lengths_s: dict[str, float], fps: int, split: str) -> Json:
    """The object of `nlq_<split>.json`.

    A clip has two annotations: the first asks questions ("Where did I put the mug?"), the second names the same actions
    plainly ("putting down the mug"). A query has one answer; where the same was done to several things of a kind the
    colour is named, and what that does not settle is not asked.

    Args:
        actions: narrated actions.
        lengths_s: length of each video in seconds, by uid.
        fps: frames per second of the videos.
        split: train or val.
    """
    videos = []
    for uid, length_s in lengths_s.items():
        asked = [
            (action, thing)
            for action in actions
            if action.video_uid == uid and (thing := _thing(action, actions)) is not None
        ]
        annotations = [
            {
                "language_queries": [_language_query(action, word(action, thing), fps) for action, thing in asked],
                "annotation_uid": f"{uid}-{name}",
            }
            for name, word in (("questions", _question), ("plain", _plain))
        ]
        videos.append({"video_uid": uid, "clips": [_clip(uid, length_s, fps, annotations)], "split": split})
    return _file(f"Rendered scenes as NLQ annotations ({split})", videos)


def moments_annotations(actions: Sequence[Action], lengths_s: dict[str, float], fps: int, split: str) -> Json:
    """The object of `moments_<split>.json`: every action is a primary moment of the class of its verb.

    Args:
        actions: narrated actions.
        lengths_s: length of each video in seconds, by uid.
        fps: frames per second of the videos.
        split: train or val.
    """
    videos = []
    for uid, length_s in lengths_s.items():
        labels = [_moment(action, fps) for action in actions if action.video_uid == uid]
        annotations = [{"annotator_uid": f"{uid}-truth", "labels": labels}]
        videos.append({"video_uid": uid, "clips": [_clip(uid, length_s, fps, annotations)], "split": split})
    return _file(f"Rendered scenes as moments annotations ({split})", videos)


def _thing(action: Action, actions: Sequence[Action]) -> str | None:
    """What tells the action from all others of its video: the noun, or colour and noun; None if nothing does."""
    alike = [
        other
        for other in actions
        if (other.video_uid, other.noun, other.verb) == (action.video_uid, action.noun, action.verb)
    ]
    if len(alike) == 1:
        return action.noun
    if Counter(other.colour for other in alike)[action.colour] == 1:
        return f"{action.colour} {action.noun}"
    return None


def _question(action: Action, thing: str) -> _Query:
    template, wording = _QUESTIONS[action.verb]
    return _Query(template, wording.format(o=f"the {thing}"), thing)


def _plain(action: Action, thing: str) -> _Query:
    return _Query(None, action.phrase.replace(f"the {action.noun}", f"the {thing}", 1), thing)


def _language_query(action: Action, query: _Query, fps: int) -> Json:
    ends = {
        f"{of}_{end}_sec": value
        for of in ("clip", "video")
        for end, value in zip(("start", "end"), action[1:3], strict=True)
    }
    frames = {
        f"video_{end}_frame": round(value * fps) for end, value in zip(("start", "end"), action[1:3], strict=True)
    }
    slots = {"template": query.template, "query": query.text, "slot_x": query.thing, "verb_x": action.verb}
    return {**ends, **frames, **slots, "raw_tags": list(slots.values())}


def _moment(action: Action, fps: int) -> Json:
    return {
        "start_time": action.start_s,
        "end_time": action.end_s,
        "label": _moment_class(action.verb),
        "video_start_time": action.start_s,
        "video_end_time": action.end_s,
        "video_start_frame": round(action.start_s * fps),
        "video_end_frame": round(action.end_s * fps),
        "primary": True,
    }


def _moment_class(verb: str) -> str:
    """In the manner of Ego4D's class names."""
    words = next(known.words for known in HOUSEHOLD.verbs if known.label == verb)
    return "_/_".join(words) + "_something"


def _clip(uid: str, length_s: float, fps: int, annotations: list[Json]) -> Json:
    ends: Json = {}
    for of in ("video", "clip"):
        ends |= {f"{of}_start_sec": 0.0, f"{of}_end_sec": length_s}
        ends |= {f"{of}_start_frame": 0, f"{of}_end_frame": round(length_s * fps)}
    return {"clip_uid": f"{uid}-clip", **ends, "source_clip_uid": f"{uid}-clip", "annotations": annotations}


def _file(description: str, videos: list[Json]) -> Json:
    return {"version": "1", "date": "", "description": description, "manifest": "", "videos": videos}


def _lengths(archive: Path) -> dict[str, float]:
    config = read_config(archive)
    return {config.video_uid(number): config.num_frames / config.fps for number in range(config.num_videos)}


def _link_videos(archive: Path, uids: Sequence[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for uid in uids:
        target = video_path(archive.resolve(), uid)
        link = folder / target.name
        if not link.is_symlink():
            try:
                os.symlink(target, link)
            except FileExistsError:
                # Another process wrote the same link in this moment.
                continue


def _action(row: TableRow) -> Action:
    start_s, end_s = row.number("clip_start"), row.number("clip_end")
    if end_s <= start_s:
        raise row.error("clip_end", f"after clip_start {start_s}")
    if end_s > (length_s := row.number("video_dur")):
        raise row.error("clip_end", f"at most video_dur {length_s}")
    if row.text("verb_label") not in _QUESTIONS:
        raise row.error("verb_label", f"one of {sorted(_QUESTIONS)}")
    return Action(
        video_uid=row.text("video_uid"),
        start_s=start_s,
        end_s=end_s,
        noun=row.text("noun"),
        colour=row.text("colour"),
        verb=row.text("verb_label"),
        phrase=row.text("verb_phrase"),
        hand=row.text("hand"),
        text=row.text("clip_text"),
    )
