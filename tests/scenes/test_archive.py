"""A small archive, rendered twice: equal files, truth that fits the pixels, splits that keep apart."""

import ast
import csv
import json
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from henasy.errors import ConfigError, InputError, NotFoundError
from henasy.scenes.archive import COLUMNS, ArchiveConfig, read_config, video_path, write_archive
from henasy.scenes.household.combinations import is_held_out_action, is_held_out_colour
from henasy.scenes.truth import Truth, instance_boxes

CONFIG = ArchiveConfig(seed=3, num_videos=2, video_s=8.0, width_px=96, height_px=64, fps=8)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "archive"
    write_archive(CONFIG, folder, workers=2)
    return folder


def _lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "narrations.csv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _frames(path: Path) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def test_archive_is_the_same_for_any_number_of_workers(archive: Path, tmp_path: Path) -> None:
    write_archive(CONFIG, tmp_path, workers=1)
    for path in sorted(archive.rglob("*.*")):
        assert path.read_bytes() == (tmp_path / path.relative_to(archive)).read_bytes(), path.name


def test_archive_goes_on_with_what_is_missing(archive: Path) -> None:
    kept, lost = (video_path(archive, CONFIG.video_uid(number)) for number in (0, 1))
    before, bytes_before = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    rendered: list[str] = []
    write_archive(CONFIG, archive, workers=1, on_video=rendered.append)
    assert rendered == [CONFIG.video_uid(1)]
    assert kept.stat().st_mtime_ns == before
    assert lost.read_bytes() == bytes_before


def test_archive_refuses_a_folder_with_other_settings(archive: Path) -> None:
    other = ArchiveConfig(seed=4, num_videos=2, video_s=8.0, width_px=96, height_px=64, fps=8)
    with pytest.raises(ConfigError, match="other settings"):
        write_archive(other, archive)
    assert read_config(archive) == CONFIG


def test_videos_are_h264_of_the_asked_length(archive: Path) -> None:
    with av.open(str(video_path(archive, CONFIG.video_uid(0)))) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 96, 64)
        assert stream.frames == 64
        assert float(container.duration / av.time_base) == pytest.approx(8.0)


def test_narrations_have_egoclips_columns_and_row_numbers_of_the_taxonomies(archive: Path) -> None:
    lines = _lines(archive)
    assert tuple(lines[0]) == COLUMNS
    for name, label in (("noun", "noun"), ("verb", "verb_label")):
        with (archive / "taxonomy" / f"{name}_taxonomy.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        for line in lines:
            assert rows[ast.literal_eval(line[f"tag_{name}"])[0]]["label"] == line[label]
            words = ast.literal_eval(rows[ast.literal_eval(line[f"tag_{name}"])[0]]["group"])
            assert line[name] in words


def test_masks_lie_on_what_the_video_shows(archive: Path) -> None:
    """Pixels that change instance between truth times must be pixels that change in the decoded video."""
    truth = Truth.open(archive, CONFIG.video_uid(0))
    frames = list(_frames(video_path(archive, CONFIG.video_uid(0))))
    assert len(truth.times_s) == 32
    events = truth.narrations[0]
    rows = np.flatnonzero((truth.times_s >= events.start_s) & (truth.times_s < events.end_s))
    changed, still = [], []
    for row in rows[:-1]:
        differs = truth.ids[row] != truth.ids[row + 1]
        step = np.abs(frames[2 * row].astype(int) - frames[2 * row + 2].astype(int)).sum(axis=2)
        changed.append(step[differs].mean())
        still.append(step[~differs].mean())
    assert np.mean(changed) > 3 * np.mean(still)


def test_every_narrated_object_and_hand_is_seen_during_its_action(archive: Path) -> None:
    for number in range(CONFIG.num_videos):
        truth = Truth.open(archive, CONFIG.video_uid(number))
        assert truth.narrations
        for narration in truth.narrations:
            middle_s = (narration.start_s + narration.end_s) / 2
            for instance in (narration.instance, narration.hand_instance):
                mask = truth.masks_at(middle_s, instance)
                assert mask.mean() > 0.004, (narration.text, instance)
                box = truth.box_at(middle_s, instance)
                assert box is not None
                rows, columns = np.nonzero(mask)
                assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_truth_refuses_unknown_videos_instances_and_times(archive: Path) -> None:
    truth = Truth.open(archive, CONFIG.video_uid(0))
    with pytest.raises(NotFoundError, match="no truth for video"):
        Truth.open(archive, "kitchen-999999-0000")
    with pytest.raises(InputError, match="instance: is 200"):
        truth.masks_at(1.0, 200)
    with pytest.raises(InputError, match="time_s: is 99"):
        truth.masks_at(99.0, 1)


def test_training_scripts_never_show_held_out_combinations_and_test_scripts_do() -> None:
    seen = {"train": 0, "test": 0}
    for split in ("train", "test"):
        config = ArchiveConfig(seed=11, num_videos=12, video_s=120, split=split)  # type: ignore[arg-type]
        for number in range(config.num_videos):
            script = config.story(number).script
            for event in script.events:
                thing = script.things[event.thing]
                seen[split] += is_held_out_action(thing.kind.noun, event.verb)
                seen[split] += is_held_out_colour(thing.kind.noun, thing.colour)
    assert seen["train"] == 0
    assert seen["test"] > 50


def test_boxes_of_a_map_worked_out_by_hand() -> None:
    ids = np.zeros((1, 4, 5), np.uint8)
    ids[0, 1:3, 2:5] = 7
    assert instance_boxes(ids, (7, 9)).tolist() == [[[2, 1, 5, 3], [0, 0, 0, 0]]]


@pytest.mark.parametrize(
    ("field", "value"), [("split", "dev"), ("width_px", 97), ("truth_fps", 20), ("video_s", 1.0), ("seed", -1)]
)
def test_config_names_what_is_not_allowed(field: str, value: object) -> None:
    settings = {"seed": 0, "num_videos": 1, field: value}
    with pytest.raises(ConfigError, match=str(value)):
        ArchiveConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "value"), [("longest_action_s", 3.0), ("video_s", 59.0), ("video_s", 7200.0)])
def test_config_of_long_actions_names_what_is_not_allowed(field: str, value: float) -> None:
    settings = {"seed": 0, "num_videos": 1, "video_s": 600.0, "longest_action_s": 60.0, field: value}
    with pytest.raises(ConfigError, match=f"{field} is {value}"):
        ArchiveConfig(**settings)  # type: ignore[arg-type]


def test_archives_of_the_earlier_repertoire_are_refused(archive: Path, tmp_path: Path) -> None:
    stored = json.loads((archive / "archive.json").read_text())
    del stored["repertoire"]
    (tmp_path / "archive.json").write_text(json.dumps(stored))
    with pytest.raises(ConfigError, match="repertoire is 'worktop', must be 'household': render the archive again"):
        read_config(tmp_path)
    with pytest.raises(ConfigError, match="repertoire is 'worktop'"):
        write_archive(CONFIG, tmp_path)
