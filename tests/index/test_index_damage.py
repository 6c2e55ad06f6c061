import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from henasy.errors import IndexFormatError
from henasy.index import Index, IndexWriter

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
