import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.errors import IndexFormatError
from henasy.index import ClipRows, Index, IndexWriter, StagedUnit, VideoRecord, logical_digest

FILES = [
    "parts/*/clips.npy",
    "parts/*/entities.npy",
    "parts/*/assignment.npy",
    "parts/*/clips.parquet",
    "parts/*/entities.parquet",
    "generations/000002/manifest.json",
    "generations/000002/videos.parquet",
    "generations/000002/quarantine.parquet",
    "generations/000002/tombstones-*.npy",
]


@pytest.fixture
def root(filled: Callable[[dict[int, int]], Path]) -> Path:
    root = filled({1: 9, 2: 3})
    with IndexWriter(root, fold_clips=0) as writer:
        writer.publish([record for record in writer.videos if record.video_id == "video01"], [])
    assert Index.open(root).num_clips == 9
    return root


@pytest.mark.parametrize("pattern", FILES)
@pytest.mark.parametrize("harm", ["flip a byte", "cut", "empty", "delete"])
def test_any_damage_is_named(root: Path, pattern: str, harm: str) -> None:
    (file,) = root.glob(pattern)
    content = bytearray(file.read_bytes())
    if harm == "flip a byte":
        content[len(content) // 2] ^= 0x10
    elif harm == "cut":
        content = content[:-7]
    elif harm == "empty":
        content = bytearray()
    file.unlink()
    if harm != "delete":
        file.write_bytes(content)
    with pytest.raises(IndexFormatError) as caught:
        Index.open(root)
    assert str(file) in str(caught.value)
    if file.name != "manifest.json":
        assert "sha256" in str(caught.value)


@pytest.mark.parametrize("pattern", ["CURRENT", "generations/000002/manifest.json"])
def test_what_cannot_be_read_is_named(root: Path, pattern: str) -> None:
    file = root / pattern
    file.unlink()
    file.mkdir()
    with pytest.raises(IndexFormatError, match=f"{file}: cannot be read: Is a directory"):
        Index.open(root)


@pytest.mark.parametrize("pattern", FILES[:1] + FILES[-3:])
def test_a_file_that_may_not_be_read_is_named(root: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (forbidden,) = root.glob(pattern)
    honest = Path.open

    # Permissions do not bind the user that may run the tests, root.
    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == forbidden:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return honest(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(IndexFormatError, match=rf"{forbidden}: cannot be read: Permission denied \(sha256 "):
        Index.open(root)


def test_reopening_shares_and_trusts_the_parts_that_are_open(
    root: Path, record_of: Callable[..., VideoRecord], rows_of: Callable[[int, int], ClipRows]
) -> None:
    def publish(records: list[VideoRecord], rows: ClipRows | None = None) -> None:
        with IndexWriter(root, fold_clips=0) as writer:
            if rows is not None:
                writer.stage(StagedUnit(video_id=records[-1].video_id, unit=0, rows=rows))
            writer.publish(records, [])

    opened = Index.open(root)
    (old_part,) = (root / "parts").iterdir()
    publish([record_of(1, 9), record_of(3, 4)], rows_of(3, 4))
    (new_part,) = set((root / "parts").iterdir()) - {old_part}
    for part in (old_part, new_part):
        _flip_last_byte(part / "clips.npy")
    with pytest.raises(IndexFormatError, match=f"{new_part.name}/clips.npy: damaged"):
        Index.open(root, opened=opened)
    _flip_last_byte(new_part / "clips.npy")
    newer = Index.open(root, opened=opened)
    assert (newer.generation, newer.num_clips) == (3, 13)
    with pytest.raises(IndexFormatError, match=f"{old_part.name}/clips.npy: damaged"):
        Index.open(root)
    _flip_last_byte(old_part / "clips.npy")
    assert logical_digest(newer) == logical_digest(Index.open(root))


def test_reopening_leaves_out_rows_that_were_dropped(filled: Callable[[dict[int, int]], Path]) -> None:
    root = filled({1: 9, 2: 3})
    opened = Index.open(root)
    before = logical_digest(opened)
    with IndexWriter(root, fold_clips=0) as writer:
        writer.publish([record for record in writer.videos if record.video_id == "video01"], [])
    assert len(list((root / "parts").iterdir())) == 1
    newer = Index.open(root, opened=opened)
    assert (newer.num_clips, opened.num_clips) == (9, 12)
    assert logical_digest(newer) == logical_digest(Index.open(root))
    query = opened.clip_vectors(np.array([11]))
    assert opened.search_clips(query, 1).rows.tolist() == [[11]]
    assert newer.search_clips(query, 9).rows.max() == 8
    assert logical_digest(opened) == before


def _flip_last_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_damaged_index_is_not_built_upon(root: Path) -> None:
    (file,) = root.glob("parts/*/clips.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with IndexWriter(root, fold_clips=100) as writer, pytest.raises(IndexFormatError, match=r"clips\.npy: damaged"):
        writer.publish([], [])


@pytest.mark.parametrize("content", ["", "two", "-1", "0x2", "٢"])
def test_bad_current_is_named(root: Path, content: str) -> None:
    (root / "CURRENT").write_text(content, encoding="utf-8")
    with pytest.raises(IndexFormatError, match="CURRENT: damaged"):
        Index.open(root)


def test_index_of_a_later_format_is_refused(root: Path) -> None:
    file = root / "generations" / "000002" / "manifest.json"
    body = json.loads(file.read_bytes())
    file.write_text(json.dumps({**body, "format_version": 99}), encoding="utf-8")
    with pytest.raises(IndexFormatError, match="format version 99, this program reads 1"):
        Index.open(root)


def test_a_copy_is_an_index(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    copy = Index.open(tmp_path / "copy")
    np.testing.assert_array_equal(copy.clip_vectors(np.arange(9)), Index.open(root).clip_vectors(np.arange(9)))
