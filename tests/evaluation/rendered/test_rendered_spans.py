"""Rendered actions as NLQ and MQ files: Ego4D's keys, answers that are the only ones, times of the narrations."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from henasy.errors import AnnotationError, NotFoundError
from henasy.evaluation.annotations.egomq import load_classes, load_egomq
from henasy.evaluation.rendered.spans import (
    Action,
    moments_annotations,
    nlq_annotations,
    read_actions,
    write_span_layout,
)
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.video.video_files import videos_by_id

ACTIONS = [
    Action("a", 1.0, 3.0, "mug", "red", "put", "putting down the mug", "left", ""),
    Action("a", 4.0, 44.5, "mug", "red", "stir", "stirring the mug with a spoon", "left", ""),
    Action("a", 50.0, 51.0, "mug", "blue", "stir", "mixing the mug with a spoon", "left", ""),
    Action("a", 52.0, 53.0, "jar", "red", "open", "uncovering the jar", "left", ""),
    Action("a", 54.0, 55.0, "jar", "red", "open", "opening the jar", "left", ""),
    Action("b", 0.5, 1.0, "mug", "red", "put", "placing the mug on the worktop", "left", ""),
]
LENGTHS = {"a": 60.0, "b": 5.0}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("spans")
    for split in ("train", "test"):
        settings = {"seed": 9, "num_videos": 1, "video_s": 6.0, "width_px": 64, "height_px": 48, "fps": 4}
        write_archive(ArchiveConfig(split=split, **settings), folder / split, workers=1)  # type: ignore[arg-type]
    return folder / "train", folder / "test"


def _queries(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for video in content["videos"]:
        for clip in video["clips"]:
            for annotation in clip["annotations"]:
                for query in annotation["language_queries"]:
                    yield video["video_uid"], query


def test_questions_worked_out_by_hand() -> None:
    content = nlq_annotations(ACTIONS, LENGTHS, 8, "val")
    asked = [(uid, query["query"], query["clip_start_sec"], query["clip_end_sec"]) for uid, query in _queries(content)]
    assert asked == [
        ("a", "Where did I put the mug?", 1.0, 3.0),
        ("a", "Did I stir the red mug with a spoon?", 4.0, 44.5),
        ("a", "Did I stir the blue mug with a spoon?", 50.0, 51.0),
        ("a", "putting down the mug", 1.0, 3.0),
        ("a", "stirring the red mug with a spoon", 4.0, 44.5),
        ("a", "mixing the blue mug with a spoon", 50.0, 51.0),
        ("b", "Where did I put the mug?", 0.5, 1.0),
        ("b", "placing the mug on the worktop", 0.5, 1.0),
    ]


def test_moments_are_all_actions_under_the_class_of_their_verb() -> None:
    content = moments_annotations(ACTIONS, LENGTHS, 8, "val")
    labels = content["videos"][0]["clips"][0]["annotations"][0]["labels"]
    assert [(label["label"], label["start_time"]) for label in labels[:2]] == [
        ("put_/_lower_/_rest_something", 1.0),
        ("stir_/_mix_something", 4.0),
    ]
    assert len(labels) == 5
    assert labels[1]["video_end_frame"] == 356
    assert all(label["primary"] for label in labels)


def test_nlq_has_the_keys_of_the_real_file(shared_dir: Path) -> None:
    real = json.loads((shared_dir / "data" / "ego4d" / "nlq_val.json").read_text())
    ours = nlq_annotations(ACTIONS, LENGTHS, 8, "val")
    assert list(ours) == list(real)
    real_video, our_video = real["videos"][0], ours["videos"][0]
    assert list(our_video) == list(real_video)
    assert list(our_video["clips"][0]) == list(real_video["clips"][0])
    real_annotation, our_annotation = (video["clips"][0]["annotations"][0] for video in (real_video, our_video))
    assert list(our_annotation) == list(real_annotation)
    assert list(our_annotation["language_queries"][0]) == list(real_annotation["language_queries"][0])
    known = {query["template"] for _, query in _queries(real) if "template" in query}
    assert {query["template"] for _, query in _queries(ours)} <= known


def test_layout_of_two_archives_is_read_by_the_loaders(archives: tuple[Path, Path], tmp_path: Path) -> None:
    train, val = archives
    layout = write_span_layout(train, val, tmp_path)
    classes = load_classes(layout.annotations / "moment_classes_idx.json")
    assert len(classes) == 23
    found = videos_by_id(layout.videos)
    for split, archive in (("train", train), ("val", val)):
        actions = read_actions(archive)
        moments = load_egomq(layout.annotations, split, classes)
        assert sum(len(clip.moments) for clip in moments.clips) == len(actions)
        content = json.loads((layout.annotations / f"nlq_{split}.json").read_text())
        assert {video["video_uid"] for video in content["videos"]} <= set(found)
        spans = {(action.video_uid, action.start_s, action.end_s) for action in actions}
        for uid, query in _queries(content):
            assert (uid, query["video_start_sec"], query["video_end_sec"]) in spans


def test_equal_archives_give_equal_files_and_a_second_run_changes_nothing(
    archives: tuple[Path, Path], tmp_path: Path
) -> None:
    first = write_span_layout(*archives, tmp_path)
    before = {path.name: path.read_bytes() for path in first.annotations.glob("*.json")}
    assert write_span_layout(*archives, tmp_path) == first
    assert {path.name: path.read_bytes() for path in first.annotations.glob("*.json")} == before


def test_queries_of_a_video_are_never_the_same() -> None:
    content = nlq_annotations(
        read_actions_of(ArchiveConfig(seed=5, num_videos=1, video_s=600.0, longest_action_s=60.0)),
        {"v": 600.0},
        8,
        "val",
    )
    texts = [query["query"] for _, query in _queries(content)]
    assert len(texts) > 20
    assert len(set(texts)) == len(texts)


def read_actions_of(config: ArchiveConfig) -> list[Action]:
    script = config.story(0).script
    actions = []
    for event in script.events:
        thing = script.things[event.thing]
        phrase = f"{event.verb} the {thing.kind.noun}"
        actions.append(
            Action("v", event.start_s, event.end_s, thing.kind.noun, thing.colour, event.verb, phrase, event.side, "")
        )
    return actions


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("clip_end", "0.0", "clip_end is '0.0', must be after clip_start"),
        ("clip_end", "6.5", "clip_end is '6.5', must be at most video_dur"),
        ("clip_start", "nan", "clip_start is 'nan', must be a finite number"),
        ("verb_label", "juggle", "verb_label is 'juggle', must be one of"),
        ("noun", " ", "noun is ' ', must be a non-blank text"),
    ],
)
def test_wrong_narrations_are_refused_by_line_and_value(
    archives: tuple[Path, Path], tmp_path: Path, column: str, value: str, message: str
) -> None:
    header, first, *rest = (archives[1] / "narrations.csv").read_text().splitlines()
    fields = first.split("\t")
    fields[header.split("\t").index(column)] = value
    (tmp_path / "narrations.csv").write_text("\n".join([header, "\t".join(fields), *rest]) + "\n")
    with pytest.raises(AnnotationError, match=f"line 2: {message}"):
        read_actions(tmp_path)


def test_missing_narrations_and_renamed_columns_are_refused(archives: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"narrations\.csv"):
        read_actions(tmp_path)
    text = (archives[1] / "narrations.csv").read_text().replace("verb_phrase", "phrase")
    (tmp_path / "narrations.csv").write_text(text)
    with pytest.raises(AnnotationError, match="lacks the columns"):
        read_actions(tmp_path)
