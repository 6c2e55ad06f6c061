"""Files appear whole or not at all; a folder has one writer."""

from pathlib import Path

import pytest

from henasy.errors import InputError
from henasy.scenes.files import drop_unfinished, sole_writer, whole_file, write_text


def test_whole_file_appears_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with whole_file(path) as unfinished:
        unfinished.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_whole_file_keeps_the_old_content_and_no_rest_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old\n")

    def fail_half_way() -> None:
        with whole_file(path) as unfinished:
            unfinished.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail_half_way()
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_sole_writer_refuses_a_second_and_lets_go(tmp_path: Path) -> None:
    with (
        sole_writer(tmp_path),
        pytest.raises(InputError, match="being written by another process"),
        sole_writer(tmp_path),
    ):
        pass
    with sole_writer(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_drop_unfinished_removes_only_what_is_half_written(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    kept, lost = tmp_path / "videos" / "a.mp4", tmp_path / "videos" / "b.mp4.123.unfinished"
    kept.touch()
    lost.touch()
    drop_unfinished(tmp_path)
    assert kept.exists()
    assert not lost.exists()
