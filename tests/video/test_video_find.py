"""Finding videos among everything else that lies in folders, and knowing them by their content."""

import os
from pathlib import Path

import pytest

from henasy.errors import VideoError
from henasy.video import find_videos, fingerprint, has_content, short_name


def _make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"video " + os.fsencode(name))


def _names(found_in: Path, *paths: Path) -> list[str]:
    return [video.path.relative_to(found_in).as_posix() for video in find_videos(paths).videos]


def test_find_searches_any_depth_and_any_case_of_suffix(tmp_path: Path) -> None:
    _make(tmp_path, "b.MP4", "a/x.mkv", "a/deep/er/y.WebM", "notes.txt", "a/z.jpg", "c d/\n🎥.mov")
    found = find_videos([tmp_path])
    assert [video.relative for video in found.videos] == ["a/deep/er/y.WebM", "a/x.mkv", "b.MP4", "c d/\n🎥.mov"]
    assert {video.root for video in found.videos} == {tmp_path}
    assert found.refused == ()
    assert found.num_other == 2


def test_find_follows_links_once_and_ends_in_loops(tmp_path: Path) -> None:
    _make(tmp_path, "in/a.mp4", "elsewhere/b.mp4")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/same.mp4").symlink_to(tmp_path / "in/a.mp4")
    found = find_videos([tmp_path / "in", tmp_path / "in/loop/loop"])
    assert len(found.videos) == 2
    assert {video.path.name for video in found.videos} <= {"a.mp4", "b.mp4", "same.mp4"}


def test_find_reports_what_it_must_refuse(tmp_path: Path) -> None:
    _make(tmp_path, "good.mp4")
    (tmp_path / "empty.mp4").touch()
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere")
    found = find_videos([tmp_path, tmp_path / "missing"])
    assert [video.path.name for video in found.videos] == ["good.mp4"]
    reasons = {each.path.name: each.reason for each in found.refused}
    assert reasons.keys() == {"empty.mp4", "pipe.mp4", "loop.mp4", "gone.mp4", "missing"}
    assert reasons["empty.mp4"] == "is empty (0 bytes)"
    assert reasons["pipe.mp4"] == "is a pipe, not a regular file"
    assert reasons["missing"] == "does not exist"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_find_reports_folders_without_permission(tmp_path: Path) -> None:
    _make(tmp_path, "good.mp4", "closed/a.mp4")
    (tmp_path / "closed").chmod(0)
    try:
        found = find_videos([tmp_path])
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert [video.path.name for video in found.videos] == ["good.mp4"]
    assert [each.path.name for each in found.refused] == ["closed"]


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_list_files_name_videos_and_folders(tmp_path: Path, separator: str) -> None:
    _make(tmp_path, "v/a.mp4", "v/sub/b.mp4", "c.data", "not listed.mp4")
    entries = ["v", "c.data", str(tmp_path / "v/a.mp4"), "", "missing.mp4"]
    (tmp_path / "videos.TXT").write_bytes(separator.join(entries).encode())
    found = find_videos([tmp_path / "videos.TXT"])
    assert [video.relative for video in found.videos] == ["c.data", "a.mp4", "sub/b.mp4"]
    assert [each.path.name for each in found.refused] == ["missing.mp4"]


def test_nothing_to_find_is_an_empty_answer(tmp_path: Path) -> None:
    assert find_videos([tmp_path]) == ((), (), 0)
    assert _names(tmp_path) == []


def test_fingerprint_knows_content_and_not_names(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    changed = bytearray(data)
    changed[-1] ^= 1
    for name, content in {"a": data, "b": data, "c": bytes(changed), "d": data + b"\0"}.items():
        (tmp_path / name).write_bytes(content)
    prints = {name: fingerprint(tmp_path / name) for name in "abcd"}
    assert prints["a"] == prints["b"]
    assert len(set(prints.values())) == 3
    assert fingerprint(tmp_path / "a", is_full=True) != prints["a"]


def test_full_fingerprint_sees_every_byte(tmp_path: Path) -> None:
    data = bytearray(os.urandom(3_000_000))
    (tmp_path / "a").write_bytes(data)
    for place in range(100_000, 3_000_000, 700_001):
        data[place] ^= 255
    (tmp_path / "b").write_bytes(data)
    assert fingerprint(tmp_path / "a", is_full=True) != fingerprint(tmp_path / "b", is_full=True)


@pytest.mark.parametrize("is_full", [False, True])
def test_has_content_compares_in_the_form_of_the_fingerprint(tmp_path: Path, *, is_full: bool) -> None:
    (tmp_path / "a").write_bytes(b"video")
    (tmp_path / "b").write_bytes(b"Video")
    content = fingerprint(tmp_path / "a", is_full=is_full)
    assert has_content(tmp_path / "a", content)
    assert not has_content(tmp_path / "b", content)
    assert len(bytes.fromhex(short_name(content))) == 8


def test_fingerprint_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(VideoError, match="is empty"):
        fingerprint(tmp_path / "empty")
    with pytest.raises(VideoError, match="does not exist"):
        fingerprint(tmp_path / "missing")
