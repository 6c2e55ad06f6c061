"""A rendered household archive: files, and truth that stays right through occlusion, hand-over and leaving the view."""

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from henasy.commands.archive import main
from henasy.errors import InputError, NotFoundError
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.scenes.film import draw_film
from henasy.scenes.household.motions import contact_span
from henasy.scenes.household.script import Event, Script
from henasy.scenes.household.stage import Stage
from henasy.scenes.inventory import take_inventory
from henasy.scenes.renderer import Renderer, open_renderer
from henasy.scenes.truth import Truth

CONFIG = ArchiveConfig(seed=61, num_videos=2, video_s=30.0, width_px=96, height_px=64, fps=8, split="test")
SCENES = ArchiveConfig(seed=62, num_videos=8, video_s=120.0, fps=8, split="test")
SIZE = (228, 128)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("household") / "archive"
    write_archive(CONFIG, folder, workers=2)
    return folder


def _lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "narrations.csv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_archive_is_the_same_when_rendered_again(archive: Path, tmp_path: Path) -> None:
    one = ArchiveConfig(seed=61, num_videos=1, video_s=30.0, width_px=96, height_px=64, fps=8, split="test")
    write_archive(one, tmp_path, workers=1)
    uid = CONFIG.video_uid(0)
    for name in (f"videos/{uid}.mp4", f"truth/{uid}.npz", "taxonomy/noun_taxonomy.csv", "taxonomy/verb_taxonomy.csv"):
        assert (tmp_path / name).read_bytes() == (archive / name).read_bytes(), name


def test_narrated_things_are_where_their_narration_says(archive: Path) -> None:
    assert {line["video_uid"] for line in _lines(archive)} == {CONFIG.video_uid(number) for number in range(2)}
    for line in _lines(archive):
        truth = Truth.open(archive, line["video_uid"])
        rows = {row.instance: row for row in truth.instances}
        assert (rows[int(line["object_id"])].noun, rows[int(line["object_id"])].colour) == (
            line["noun"],
            line["colour"],
        )
        if line["partner_id"]:
            assert rows[int(line["partner_id"])].noun == line["partner"]
        start_s, end_s = float(line["clip_start"]), float(line["clip_end"])
        shares = (0.2, 0.4, 0.6, 0.8)
        seen = [truth.masks_at(start_s + share * (end_s - start_s), int(line["object_id"])).any() for share in shares]
        if line["verb_label"] == "carry":
            assert seen[0]
            assert not seen[-1]
        elif line["verb_label"] == "bring":
            assert seen[-1]
            assert not seen[0]
        else:
            assert all(seen), line["clip_text"]


def test_a_film_shows_frames_beside_their_truth_and_says_what_happens(archive: Path, tmp_path: Path) -> None:
    uid = CONFIG.video_uid(0)
    film = draw_film(archive, uid, 2.0, 3.0, 120)
    assert (len(film.pictures), film.per_s) == (12, 4.0)
    assert {picture.size for picture in film.pictures} == {(240, 98)}
    truth = Truth.open(archive, uid)
    for number, picture in enumerate(film.pictures):
        time_s = 2.0 + number / 4
        pixels = np.asarray(picture)
        ids = truth.ids[int(4 * time_s)]
        is_grey = np.ptp(pixels[:80, 120:].astype(int), axis=2) < 8
        assert is_grey[np.asarray(Image.fromarray(ids).resize((120, 80), Image.Resampling.NEAREST)) == 0].all()
        is_told = any(narration.start_s <= time_s < narration.end_s for narration in truth.narrations)
        assert pixels[80:].any() == is_told
    with pytest.raises(NotFoundError, match="no truth for video"):
        draw_film(archive, "kitchen-9", 0.0, 1.0, 120)
    with pytest.raises(InputError, match="start_s: is 99"):
        draw_film(archive, uid, 99.0, 1.0, 120)
    with pytest.raises(NotFoundError, match="is no archive"):
        draw_film(tmp_path, uid, 0.0, 1.0, 120)


def test_film_command_writes_a_moving_picture(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.webp"
    arguments = [
        "film",
        str(archive),
        CONFIG.video_uid(1),
        str(path),
        "--start",
        "1",
        "--seconds",
        "2",
        "--width",
        "64",
    ]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    with Image.open(path) as picture:
        assert picture.n_frames == 8
    refused = CliRunner().invoke(main, [*arguments[:3], str(tmp_path / "film.mp4")])
    assert refused.exit_code == 2
    assert "must end in .webp" in refused.output


def test_inventory_counts_what_narrations_and_truth_say(archive: Path) -> None:
    found, lines = take_inventory(archive), _lines(archive)
    assert found.verbs.total() == found.nouns.total() == len(lines) == len(found.lengths_s)
    assert found.verbs == Counter(line["verb_label"] for line in lines)
    assert len(found.is_seen) == len(found.covered) == len(found.widths) == 4 * len(lines)
    for number, line in enumerate(lines):
        truth, start_s = Truth.open(archive, line["video_uid"]), float(line["clip_start"])
        for part in range(4):
            time_s = start_s + (2 * part + 1) / 8 * (float(line["clip_end"]) - start_s)
            box = truth.box_at(time_s, int(line["object_id"]))
            assert found.is_seen[4 * number + part] == (box is not None)
            if box is not None:
                assert found.widths[4 * number + part] == pytest.approx((box[2] - box[0]) / 96)
    covered = found.covered[~np.isnan(found.covered)]
    assert covered.min() >= 0
    assert covered.max() <= 1
    assert np.isnan(found.widths).sum() == (~found.is_seen).sum() > 0
    assert len(take_inventory(archive, 1).lengths_s) < len(lines)


def test_about_command_tells_the_inventory(archive: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["about", str(archive), "--videos", "1"])
    assert done.exit_code == 0, done.output
    assert re.search(r"^narrations +\d+, \d+ different texts$", done.output, re.MULTILINE)
    assert re.search(r"^\d+ verbs: \w+ \d+", done.output, re.MULTILINE)
    refused = CliRunner().invoke(main, ["about", str(tmp_path)])
    assert refused.exit_code == 1
    assert "no archive.json" in refused.output


def _scenes() -> list[tuple[Script, Stage]]:
    numbers = range(SCENES.num_videos)
    return [(SCENES.story(number).script, SCENES.stage(number)) for number in numbers]  # type: ignore[attr-defined]


def _events(verbs: tuple[str, ...], num_each: int) -> list[tuple[Script, Stage, list[Event]]]:
    """Videos with their actions of these verbs, up to so many of each."""
    left = dict.fromkeys(verbs, num_each)
    found = []
    for script, stage in _scenes():
        events = []
        for event in script.events:
            if left.get(event.verb, 0):
                left[event.verb] -= 1
                events.append(event)
        found += [(script, stage, events)] if events else []
    assert not any(left.values())
    return found


def _ids(renderer: Renderer, stage: Stage, time_s: float, names: tuple[str, ...] | None = None) -> np.ndarray:
    """The instance map, or that of the bodies whose names start with one of these."""
    poses = stage.poses(time_s)
    if names is not None:
        poses = {name: pose for name, pose in poses.items() if name in names or name.split()[0] in names}
    ids = renderer.render(poses, stage.eye(time_s), has_ids=True).ids
    assert ids is not None
    return ids


def test_masks_are_what_is_left_of_a_thing_behind_others() -> None:
    """A mask is part of the thing drawn alone, and what it lacks belongs to something that is drawn there too."""
    cut = {"hide": [], "pass": [], "insert": [], "set": []}  # type: dict[str, list[float]]
    with open_renderer(*SIZE, Stage.fov_deg) as renderer:
        for script, stage, events in _events(tuple(cut), 4):
            stage.load(renderer)
            for event in events:
                time_s = event.end_s - 0.02
                full = _ids(renderer, stage, time_s)
                alone = _ids(renderer, stage, time_s, (f"thing{event.thing}", f"lid{event.thing}"))
                mask, whole = full == event.thing + 1, alone == event.thing + 1
                assert not (mask & ~whole).any()
                assert set(np.unique(alone)) <= {0, event.thing + 1}
                # A board or the worktop may take some pixels of the foot of a thing.
                assert (whole & (full == 0)).sum() <= 0.1 * whole.sum() + 2
                cut[event.verb].append(1 - mask.sum() / whole.sum())
                assert script.things[event.thing].kind.noun
    assert np.mean(cut["hide"]) > 0.25, "what is hidden is hidden"
    assert max(np.mean(cut[verb]) for verb in ("set", "pass")) < np.mean(cut["hide"])


def test_all_masks_together_are_all_that_is_drawn_of_instances() -> None:
    script, stage = _scenes()[0]
    with open_renderer(*SIZE, Stage.fov_deg) as renderer:
        stage.load(renderer)
        for event in script.events[:10]:
            if event.verb == "pour":
                continue
            time_s = (event.start_s + event.end_s) / 2
            full = _ids(renderer, stage, time_s)
            names = [name for name in stage.poses(time_s) if name.startswith(("thing", "lid", "left", "right", "tool"))]
            union = np.zeros(full.shape, bool)
            for name in names:
                union |= renderer.render({name: stage.poses(time_s)[name]}, stage.eye(time_s), has_ids=True).ids > 0
            assert not ((full > 0) & ~union).any()
            assert ((full == 0) & union).mean() < 0.01, "the room hides hardly anything"


def test_hands_and_thing_are_seen_through_a_hand_over() -> None:
    with open_renderer(*SIZE, Stage.fov_deg) as renderer:
        for _, stage, events in _events(("pass",), 4):
            stage.load(renderer)
            hands = {row.noun: row.instance for row in stage.instances if row.noun.endswith(" hand")}
            for event in events:
                start_s, end_s = contact_span(event)
                for share in np.linspace(0, 0.99, 12).tolist():
                    ids = _ids(renderer, stage, start_s + share * (end_s - start_s))
                    assert (ids == event.thing + 1).mean() > 0.002
                middle = _ids(renderer, stage, start_s + 0.5 * (end_s - start_s))
                assert all((middle == instance).mean() > 0.005 for instance in hands.values())


def test_nothing_of_what_is_away_is_seen_and_it_leaves_and_comes_in_at_the_edge() -> None:
    with open_renderer(*SIZE, Stage.fov_deg) as renderer:
        for _, stage, events in _events(("carry", "bring"), 4):
            stage.load(renderer)
            for event in events:
                start_s, end_s = contact_span(event)
                times_s = np.linspace(start_s + 1e-4, end_s - 1e-4, 30)
                masks = [_ids(renderer, stage, time_s) == event.thing + 1 for time_s in times_s.tolist()]
                seen = [bool(mask.any()) for mask in masks]
                order = masks if event.verb == "carry" else masks[::-1]
                assert seen[0] == (event.verb == "carry")
                assert seen[-1] == (event.verb == "bring")
                last = [mask for mask in order if mask.any()][-1]
                rows, columns = np.nonzero(last)
                at_edge = (rows.max() == SIZE[1] - 1, columns.min() == 0, columns.max() == SIZE[0] - 1)
                assert any(at_edge) or last.sum() < 60
