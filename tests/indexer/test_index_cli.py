"""`henasy-index` as its user sees it: exit codes, messages, JSON. Work is done in this process instead of on Ray."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
from local_build import PLAN, SETTINGS, ColourEncoder, LocalWorkers, write_clip

import indexer.model
import indexer.ray_workers
import indexer.verify
from henasy.checkpoint.training_note import TrainingNote
from henasy.index import Index, IndexSettings, IndexWriter, StagedUnit, logical_digest
from indexer.cli import cli, run
from indexer.model import Model


class Pool(LocalWorkers):
    """Stands where Ray's workers stand."""

    def __init__(self, config: object, settings: IndexSettings, load: object) -> None:
        super().__init__(is_full_hash=settings.is_full_hash)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class ColourCheckpoint(ColourEncoder):
    space_id = SETTINGS.space_id


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    note = TrainingNote(summary="colours", is_rendered_only=True)

    def describe(
        name: str, *, clip_s: float, stride_s: float, num_frames: int | None, decoder: str, is_full_hash: bool
    ) -> Model:
        settings = dataclasses.replace(SETTINGS, decoder=decoder, is_full_hash=is_full_hash)
        return Model(settings, note, lambda device, threads: ColourEncoder())

    monkeypatch.setattr(indexer.ray_workers, "RayWorkers", Pool)
    monkeypatch.setattr(indexer.model, "describe_model", describe)
    monkeypatch.setattr(indexer.verify, "load_encoder", lambda name, num_frames: ColourCheckpoint())


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    write_clip(folder / "a.mp4", 3.0, seed=1)
    write_clip(folder / "b.mp4", 2.0, seed=2)
    return folder


def call(*arguments: object) -> int:
    return run(lambda: cli.main([str(one) for one in arguments], standalone_mode=False))


def test_build_then_status(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("build", videos) == 0
    out, err = capsys.readouterr()
    index = videos / ".henasy-index"
    assert f"{index}: generation 1, 2 videos (2 new)" in out
    assert "8 clips encoded, 0 refusals" in out
    assert "trained on rendered scenes only" in err
    assert call("status", "--index", index) == 0
    out = capsys.readouterr().out
    assert "videos    2 (0.00 hours), 0 offline" in out
    assert "clips     8" in out
    assert f"space {SETTINGS.space_id}" in out
    assert PLAN.plan_id in out


def test_an_index_stays_with_its_decoder(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("build", videos) == 0
    assert call("build", videos, "--decoder", "decord") == 1
    message = "holds clips decoded by pyav, this run decodes with decord; use --decoder pyav or another --index"
    assert message in capsys.readouterr().err


def test_full_hash_is_a_property_of_the_index(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that differ only between the sampled blocks are two videos to it, and a renamed one is recognised."""
    whole = (videos / "a.mp4").read_bytes()
    for name, filling in (("a", 0), ("b", 1)):
        padding = bytes(400_000) + bytes([filling]) + bytes(4_000_000)
        free_box = (len(padding) + 8).to_bytes(4, "big") + b"free" + padding
        (videos / f"{name}.mp4").write_bytes(whole + free_box)
    sampled = videos.parent / "sampled"
    assert call("build", videos, "--index", sampled) == 0
    assert "1 videos" in capsys.readouterr().out
    assert call("build", videos, "--full-hash") == 0
    assert "2 videos" in capsys.readouterr().out
    (videos / "b.mp4").rename(videos / "d.mp4")
    assert call("build", videos, "--full-hash") == 0
    assert "1 renamed" in capsys.readouterr().out
    assert call("build", videos) == 1
    assert "the index knows its videos by all bytes (--full-hash)" in capsys.readouterr().err
    assert call("verify", "--index", videos / ".henasy-index") == 0


def test_status_passes_over_files_that_vanish_while_it_looks(
    videos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("build", videos) == 0
    index = videos / ".henasy-index"
    (index / "staging" / "moved.unit").write_bytes(b"x" * 1000)
    assert call("status", "--index", index, "--json") == 0
    before = json.loads(capsys.readouterr().out.splitlines()[-1])["size_bytes"]
    walk = os.walk

    def walk_while_a_build_publishes(*arguments: object, **options: object) -> object:
        for place, folders, names in walk(*arguments, **options):  # type: ignore[call-overload]
            if "moved.unit" in names:
                (index / "staging" / "moved.unit").unlink()
            yield place, folders, names

    monkeypatch.setattr(os, "walk", walk_while_a_build_publishes)
    (index / "staging" / "moved.unit").write_bytes(b"x" * 1000)
    assert call("status", "--index", index, "--json") == 0
    assert json.loads(capsys.readouterr().out)["size_bytes"] == before - 1000


def test_the_index_is_not_taken_for_footage(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("build", videos) == 0
    assert call("build", videos) == 0
    assert "2 videos (2 unchanged)" in capsys.readouterr().out


def test_rendered_archive_gets_no_warning(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (videos.parent / "archive.json").write_text("{}", encoding="utf-8")
    assert call("build", videos) == 0
    assert capsys.readouterr().err == ""


def test_refused_file_gives_exit_code_3_and_its_reason(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (videos / "zero.mp4").touch()
    assert call("build", videos, "--index", videos.parent / "i", "--json") == 3
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "warning"
    assert names[-2:] == ["refused", "done"]
    assert events[-2]["file"] == str(videos / "zero.mp4")
    assert events[-2]["reason"]
    assert events[-1] == {
        "event": "done",
        "index": str(videos.parent / "i"),
        "generation": 1,
        "num_videos": 2,
        "num_clips": 8,
        "num_refused": 1,
        "new": 2,
        "changed": 0,
        "renamed": 0,
        "missing": 0,
        "duplicates": 0,
        "unchanged": 0,
    }
    progress = [event for event in events if event["event"] == "progress"][-1]
    assert (progress["clips"], progress["num_clips"], progress["left_s"]) == (8, 8, 0.0)
    assert call("status", "--index", videos.parent / "i", "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["num_videos"], status["num_clips"], len(status["refused"])) == (2, 8, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["build"], 2, "Missing argument"),
        (["build", "{tmp}/none"], 2, "VIDEOS: {tmp}/none: does not exist"),
        (["build", "{tmp}"], 2, "VIDEOS: no video in {tmp}"),
        (["build", "{tmp}", "--stride", "1"], 2, "No such option"),
        (["build", "{tmp}", "--workers", "0"], 2, "0 is not in the range"),
        (["build", "{tmp}", "--metadata", "{tmp}/none.csv"], 1, "{tmp}/none.csv: does not exist"),
        (["status", "--index", "{tmp}/none"], 1, "{tmp}/none: no index is here"),
        (["verify", "--index", "{tmp}/none"], 1, "{tmp}/none: no index is here"),
        (["remove", "--index", "{tmp}/none", "v1"], 1, "{tmp}/none: no index is here"),
    ],
)
def test_mistakes_are_named_without_a_traceback(
    tmp_path: Path, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*(one.format(tmp=tmp_path) for one in arguments)) == code
    err = capsys.readouterr().err
    assert message.format(tmp=tmp_path) in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["absent", "corrupt"])
def test_nothing_readable_publishes_nothing(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "corrupt":
        (tmp_path / "corrupt.mp4").write_text("not a video", encoding="utf-8")
    listed = tmp_path / "list.txt"
    listed.write_text(f"{name}.mp4\n", encoding="utf-8")
    assert call("build", listed, "--index", tmp_path / "i") == 2
    out, err = capsys.readouterr()
    assert f"{tmp_path / name}.mp4: " in err
    assert "()" not in out + err
    assert not (tmp_path / "i" / "CURRENT").exists()
    assert (tmp_path / "i").exists() == (name == "corrupt")


def test_a_failing_build_ends_its_events_with_the_error(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with IndexWriter(tmp_path / "i", SETTINGS):
        assert call("build", videos, "--index", tmp_path / "i", "--json") == 1
    out, err = capsys.readouterr()
    last = json.loads(out.splitlines()[-1])
    assert last["event"] == "error"
    assert "another writer holds the index" in last["message"]
    assert err == f"henasy-index: {last['message']}\n"


def test_read_only_folder_asks_for_another_place(videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos.chmod(0o555)
    try:
        assert call("build", videos) == 2
    finally:
        videos.chmod(0o755)
    assert "is read-only, so the index cannot lie in it; choose a folder with --index DIR" in capsys.readouterr().err


def test_busy_index_is_refused(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with IndexWriter(tmp_path / "i", SETTINGS):
        assert call("build", videos, "--index", tmp_path / "i") == 1
    assert f"another writer holds the index (process {os.getpid()}" in capsys.readouterr().err


def test_full_disk_says_what_to_do(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    assert call("build", videos, "--index", tmp_path / "i") == 1
    assert "No space left on device; the index is as it was. Make room" in capsys.readouterr().err


def test_remove_takes_a_path_or_an_id(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = tmp_path / "i"
    assert call("build", videos, "--index", index) == 0
    assert call("remove", "--index", index, "c.mp4") == 1
    assert "'c.mp4': no such video" in capsys.readouterr().err
    assert call("remove", "--index", index, "a.mp4") == 0
    (record,) = Index.open(index).videos
    assert record.path == "b.mp4"
    assert call("remove", "--index", index, record.video_id) == 0
    assert Index.open(index).num_clips == 0
    assert call("build", videos, "--index", index) == 0
    assert Index.open(index).num_clips == 8


def test_prune_drops_only_what_is_gone(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = tmp_path / "i"
    assert call("build", videos, "--index", index) == 0
    (videos / "a.mp4").unlink()
    assert call("build", videos, "--index", index) == 0
    assert "(1 missing, 1 unchanged)" in capsys.readouterr().out
    assert Index.open(index).num_clips == 8
    assert call("prune", "--index", index) == 0
    assert Index.open(index).num_clips == 3


def test_remove_keeps_what_an_unfinished_build_has_staged(videos: Path, tmp_path: Path) -> None:
    index = tmp_path / "i"
    assert call("build", videos, "--index", index) == 0
    with IndexWriter(index) as writer:
        rows = Index.open(index).stored_rows(writer.videos[0].video_id)
    with IndexWriter(index) as writer:
        writer.stage(StagedUnit(video_id="v-pending", unit=0, rows=rows))
    assert call("remove", "--index", index, "a.mp4") == 0
    with IndexWriter(index) as writer:
        assert set(writer.staged()) == {("v-pending", 0)}


def test_verify_compares_with_the_videos(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = tmp_path / "i"
    assert call("build", videos, "--index", index) == 0
    capsys.readouterr()
    assert call("verify", "--index", index, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["num_compared"], report["num_different"], report["num_unavailable"]) == (8, 0, 0)
    assert report["smallest_cosine"] > 0.9999
    assert report["digest"] == logical_digest(Index.open(index))


def test_verify_finds_rows_of_the_wrong_video(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two records with their contents exchanged, as an index that mixed up its videos would have."""
    index = tmp_path / "i"
    assert call("build", videos, "--index", index) == 0
    with IndexWriter(index) as writer:
        one, two = writer.videos
        swapped = [
            dataclasses.replace(one, path=two.path, fingerprint=two.fingerprint),
            dataclasses.replace(two, path=one.path, fingerprint=one.fingerprint),
        ]
        writer.publish(swapped, [])
    capsys.readouterr()
    assert call("verify", "--index", index, "--json") == 1
    assert json.loads(capsys.readouterr().out)["num_different"] > 0


def test_verify_says_what_it_could_not_compare(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "i"
    assert call("build", videos, "--index", index) == 0
    shutil.rmtree(videos)
    capsys.readouterr()
    assert call("verify", "--index", index, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["num_compared"], report["num_unavailable"]) == (0, 2)
