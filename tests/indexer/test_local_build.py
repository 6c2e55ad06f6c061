"""The whole build without Ray: what it takes up, what it drops, what it refuses."""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from local_build import PLAN, SETTINGS, LocalWorkers, build_locally, write_clip

from henasy.errors import AnnotationError, InputError
from henasy.index import logical_digest
from henasy.index.staging import RefusedRows, StagedNote
from henasy.video import fingerprint
from indexer.build import BuildRequest, build, refused_of
from indexer.metadata import read_metadata
from indexer.progress import Silent
from indexer.units import WorkUnit


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    write_clip(folder / "a.mp4", 3.0, seed=1)
    write_clip(folder / "deep" / "er" / "B.MP4", 2.0, seed=2)
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index"


def paths_of(opened) -> dict[str, str]:  # type: ignore[no-untyped-def]
    return {record.path: record.video_id for record in opened.videos}


def test_every_planned_clip_is_there_at_its_time(videos: Path, index: Path) -> None:
    outcome, opened, _ = build_locally(videos, index)
    assert outcome.changes.new == 2
    assert not outcome.refused
    for record in opened.videos:
        stored = opened.stored_rows(record.video_id)
        np.testing.assert_allclose(stored.spans, PLAN.spans(record.duration_s))
    assert opened.num_clips == 5 + 3


def test_second_build_opens_and_encodes_nothing(videos: Path, index: Path) -> None:
    build_locally(videos, index)
    outcome, opened, workers = build_locally(videos, index)
    assert (workers.examined, workers.encoded) == ([], [])
    assert opened.generation == outcome.generation == 1
    assert outcome.changes.unchanged == 2


def test_new_video_is_encoded_alone(videos: Path, index: Path) -> None:
    build_locally(videos, index)
    write_clip(videos / "c.mp4", 1.5, seed=3)
    outcome, opened, workers = build_locally(videos, index)
    assert (outcome.changes.new, outcome.changes.unchanged) == (1, 2)
    assert workers.encoded == [(paths_of(opened)["c.mp4"], 0)]


def test_renamed_video_is_not_encoded_again(videos: Path, index: Path) -> None:
    _, before, _ = build_locally(videos, index)
    (videos / "a.mp4").rename(videos / "renamed.mp4")
    outcome, opened, workers = build_locally(videos, index)
    assert not workers.encoded
    assert (outcome.changes.renamed, outcome.changes.new, outcome.changes.missing) == (1, 0, 0)
    assert paths_of(opened)["renamed.mp4"] == paths_of(before)["a.mp4"]
    assert logical_digest(opened) == logical_digest(before)


def test_touched_video_is_recognised(videos: Path, index: Path) -> None:
    build_locally(videos, index)
    os.utime(videos / "a.mp4", ns=(5, 5))
    _, opened, workers = build_locally(videos, index)
    assert (len(workers.examined), workers.encoded) == (1, [])
    _, _, workers = build_locally(videos, index)
    assert not workers.examined
    assert opened.generation == 2


def test_changed_video_replaces_its_old_content(videos: Path, index: Path) -> None:
    _, before, _ = build_locally(videos, index)
    write_clip(videos / "a.mp4", 2.5, seed=9)
    outcome, opened, workers = build_locally(videos, index)
    assert (outcome.changes.changed, outcome.changes.new) == (1, 0)
    assert len(workers.encoded) == 1
    assert paths_of(before)["a.mp4"] not in opened.videos
    assert opened.num_clips == 4 + 3


def test_video_that_changes_while_it_is_read_is_never_attached_to_its_old_name(videos: Path, index: Path) -> None:
    def exchange(unit: WorkUnit) -> None:
        if unit.file.endswith("a.mp4"):
            write_clip(Path(unit.file), 3.0, seed=9)

    request = BuildRequest(videos=(videos,), index=index, settings=SETTINGS)
    outcome = build(request, LocalWorkers(exchange), Silent())
    assert [Path(one.file).name for one in outcome.refused] == ["a.mp4"]
    assert "changed while it was read" in outcome.refused[0].reason
    assert outcome.num_videos == 1
    outcome, opened, workers = build_locally(videos, index)
    assert not outcome.refused
    assert len(workers.encoded) == 1
    assert fingerprint(videos / "a.mp4") in {record.fingerprint for record in opened.videos}


def test_missing_video_stays_searchable_and_comes_back(videos: Path, index: Path) -> None:
    _, before, _ = build_locally(videos, index)
    shutil.move(videos / "a.mp4", videos.parent / "away.mp4")
    outcome, opened, _ = build_locally(videos, index)
    assert outcome.changes.missing == 1
    assert [record.is_online for record in opened.videos if record.path == "a.mp4"] == [False]
    assert logical_digest(opened) == logical_digest(before)
    shutil.move(videos.parent / "away.mp4", videos / "a.mp4")
    _, opened, workers = build_locally(videos, index)
    assert all(record.is_online for record in opened.videos)
    assert not workers.encoded


def test_videos_outside_the_folders_given_stay_online(videos: Path, index: Path, tmp_path: Path) -> None:
    build_locally(videos, index)
    write_clip(tmp_path / "more" / "d.mp4", 1.5, seed=4)
    outcome, opened, _ = build_locally(tmp_path / "more", index)
    assert outcome.changes.missing == 0
    assert len(opened.videos) == 3
    assert all(record.is_online for record in opened.videos)


def test_duplicates_share_rows(videos: Path, index: Path) -> None:
    shutil.copy(videos / "a.mp4", videos / "z copy.mp4")
    outcome, opened, workers = build_locally(videos, index)
    assert outcome.changes.duplicates == 1
    assert len(workers.encoded) == len(opened.videos) == 2
    record = next(record for record in opened.videos if record.copies)
    assert [file.name for file in record.files] == ["a.mp4", "z copy.mp4"]
    outcome, opened, workers = build_locally(videos, index)
    assert (workers.examined, opened.generation, outcome.changes.duplicates) == ([], 1, 1)
    os.utime(videos / "z copy.mp4", ns=(1, 1))
    _, opened, workers = build_locally(videos, index)
    assert [Path(file).name for file in workers.examined] == ["z copy.mp4"]
    _, opened, workers = build_locally(videos, index)
    assert (workers.examined, opened.generation) == ([], 2)
    (videos / "a.mp4").unlink()
    outcome, opened, workers = build_locally(videos, index)
    assert not workers.encoded
    assert sorted(paths_of(opened)) == ["deep/er/B.MP4", "z copy.mp4"]
    assert all(record.is_online for record in opened.videos)


def test_odd_names_and_list_files(tmp_path: Path, index: Path) -> None:
    names = ["two  spaces.mp4", "line\nbreak.mp4", "ünï 🍳.mp4", "-dash.mp4", "quote'\".mp4"]
    for seed, name in enumerate(names):
        write_clip(tmp_path / "videos" / name, 1.0, seed=seed)
    (tmp_path / "some.txt").write_text("videos/ünï 🍳.mp4\nvideos/-dash.mp4\n", encoding="utf-8")
    outcome, opened, _ = build_locally(tmp_path / "some.txt", index)
    assert sorted(record.file.name for record in opened.videos) == ["-dash.mp4", "ünï 🍳.mp4"]
    outcome, opened, _ = build_locally(tmp_path / "videos", index)
    assert outcome.changes.new == 3
    assert sorted(record.path for record in opened.videos) == sorted(names)


def test_unreadable_files_cost_themselves_alone(videos: Path, index: Path) -> None:
    (videos / "zero.mp4").touch()
    (videos / "text.mp4").write_text("not a video", encoding="utf-8")
    content = (videos / "a.mp4").read_bytes()
    (videos / "no moov.mp4").write_bytes(content[:1500])
    os.mkfifo(videos / "pipe.mp4")
    (videos / "loop").symlink_to(videos)
    (videos / "gone.mp4").symlink_to(videos / "nowhere")
    (videos / b"latin-\xe9.mp4".decode("utf-8", "surrogateescape")).write_bytes(content)
    outcome, opened, _ = build_locally(videos, index)
    refused = {Path(one.file).name: one.reason for one in outcome.refused}
    assert set(refused) == {"zero.mp4", "text.mp4", "no moov.mp4", "pipe.mp4", "gone.mp4", "latin-\ufffd.mp4"}
    assert all(refused.values())
    assert refused["latin-\ufffd.mp4"] == "its name is not UTF-8"
    assert sorted(paths_of(opened)) == ["a.mp4", "deep/er/B.MP4"]
    assert opened.refused == outcome.refused


def test_refused_files_are_tried_again_only_when_changed_or_asked(videos: Path, index: Path) -> None:
    bad = videos / "bad.mp4"
    bad.write_text("not a video", encoding="utf-8")
    build_locally(videos, index)
    outcome, _, workers = build_locally(videos, index)
    assert not workers.examined
    assert [one.file for one in outcome.refused] == [str(bad)]
    _, _, workers = build_locally(videos, index, is_retrying=True)
    assert workers.examined == [str(bad)]
    write_clip(bad, 1.0, seed=5)
    outcome, opened, _ = build_locally(videos, index)
    assert not outcome.refused
    assert "bad.mp4" in paths_of(opened)


def test_video_cut_in_the_middle_keeps_its_good_clips(videos: Path, index: Path) -> None:
    whole = write_clip(videos / "cut.mp4", 8.0, seed=6)
    content = bytearray(whole.read_bytes())
    start = content.index(b"mdat") + 4
    stop = content.index(b"moov") - 4
    middle = (start + stop) // 2
    content[middle:stop] = bytes(stop - middle)
    whole.write_bytes(content)
    outcome, opened, _ = build_locally(videos, index)
    video_id = paths_of(opened)["cut.mp4"]
    refused = [one for one in outcome.refused if one.video_id == video_id]
    lost = {row for one in refused if one.clip_rows for row in range(*one.clip_rows)}
    stored = set(opened.stored_rows(video_id).clip_rows.tolist())
    assert stored
    assert lost
    assert not stored & lost
    assert stored | lost == set(range(opened.videos.get(video_id).num_clips))
    again, _, workers = build_locally(videos, index)
    assert not workers.examined
    assert again.refused == outcome.refused
    again, _, workers = build_locally(videos, index, is_retrying=True)
    assert workers.encoded == [(video_id, 0)]
    assert again.refused == outcome.refused


def test_a_gap_that_batches_cut_is_one_refusal(videos: Path, index: Path) -> None:
    _, opened, _ = build_locally(videos, index)
    runs = [(0, 4, "no picture at 1.5 s"), (4, 8, "no picture at 4 s"), (8, 9, "lost"), (10, 12, "lost")]
    notes = [StagedNote(3, tuple(RefusedRows(*run) for run in part)) for part in (runs[:1], runs[1:])]
    found = [(one.clip_rows, one.reason) for one in refused_of(next(iter(opened.videos)), notes)]
    assert found == [((0, 8), "no picture at 1.5 s"), ((8, 9), "lost"), ((10, 12), "lost")]


@pytest.mark.parametrize("content", ["nothing", "other files", "no folder"])
def test_no_video_is_an_error_that_names_the_place(tmp_path: Path, index: Path, content: str) -> None:
    folder = tmp_path / "folder"
    if content != "no folder":
        folder.mkdir()
    if content == "other files":
        (folder / "notes.txt").write_text("hello", encoding="utf-8")
    with pytest.raises(InputError, match=f"VIDEOS: .*{folder}"):
        build_locally(folder, index)
    assert not index.exists()


def test_metadata_reaches_the_videos_it_names(videos: Path, index: Path, tmp_path: Path) -> None:
    table = tmp_path / "meta.csv"
    table.write_text("video,who,take\na.mp4,P01,3\ndeep/er/B.MP4,P02,4\nother,P03,5\n", encoding="utf-8")
    outcome, opened, _ = build_locally(videos, index, metadata=read_metadata(table))
    assert outcome.unmatched_metadata == ("other",)
    assert {record.path: dict(record.metadata) for record in opened.videos} == {
        "a.mp4": {"who": "P01", "take": 3},
        "deep/er/B.MP4": {"who": "P02", "take": 4},
    }
    _, opened, _ = build_locally(videos, index)
    assert all(record.metadata for record in opened.videos)


def test_metadata_that_is_not_a_number_is_missing(videos: Path, index: Path, tmp_path: Path) -> None:
    table = tmp_path / "rooms.parquet"
    pq.write_table(pa.table({"path": ["a.mp4", "B.MP4"], "score": [1.5, float("nan")]}), table)
    for _ in range(2):
        _, opened, _ = build_locally(videos, index, metadata=read_metadata(table))
    assert opened.generation == 1
    assert {record.path: dict(record.metadata) for record in opened.videos} == {
        "a.mp4": {"score": 1.5},
        "deep/er/B.MP4": {"score": None},
    }


def test_metadata_problems_are_named(videos: Path, index: Path, tmp_path: Path) -> None:
    table = tmp_path / "meta.csv"
    table.write_text("who,take\nP01,3\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match="has columns who, take; one must be called path or video or file"):
        read_metadata(table)
    table.write_text("video,take\na,3\na,4\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match="names 'a' for the second time"):
        read_metadata(table)
    write_clip(videos / "x" / "a.mp4", 1.0, seed=8)
    table.write_text("video,take\na,3\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match="'a' fits 2 videos"):
        build_locally(videos, index, metadata=read_metadata(table))


def test_clip_vectors_are_those_of_their_own_frames(videos: Path, index: Path) -> None:
    """Each video has its own colours: a row attached to the wrong video would point elsewhere."""
    _, opened, _ = build_locally(videos, index)
    for record in opened.videos:
        rows = opened.rows_of_video(record.video_id)
        others = np.setdiff1d(np.arange(opened.num_clips), np.arange(rows.start, rows.stop))
        own = opened.clip_vectors(np.arange(rows.start, rows.stop))
        found = opened.search_clips(own, len(rows)).rows
        assert not np.isin(found, others).any()
    assert SETTINGS.plan == opened.plan
