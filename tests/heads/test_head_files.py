"""Heads on disk: what is written is read, and nothing else is taken for a head."""

from pathlib import Path

import pytest
import torch
from torch import nn

from henasy.errors import CheckpointError, NotFoundError
from henasy.heads.files import SETTINGS, WEIGHTS, StoredHead, fill_head, has_head, read_head, save_head


def stored(module: nn.Module) -> StoredHead:
    return StoredHead("line", {"width": 3}, {"space": "abc"}, dict(module.state_dict()))


def test_a_head_survives_writing_and_reading(tmp_path: Path) -> None:
    module, other = nn.Linear(3, 2), nn.Linear(3, 2)
    for _ in range(2):  # the second replaces the first
        save_head(tmp_path / "new" / "head", stored(module))
    read = read_head(tmp_path / "new" / "head", "line")
    assert (read.config, read.facts) == ({"width": 3}, {"space": "abc"})
    fill_head(other, read, "head")
    torch.testing.assert_close(other.weight, module.weight, rtol=0, atol=0)
    assert not other.training
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["head"]


def test_what_is_no_head_of_this_kind_is_refused(tmp_path: Path) -> None:
    assert not has_head(tmp_path)
    with pytest.raises(NotFoundError, match="no head here"):
        read_head(tmp_path, "line")
    folder = tmp_path / "head"
    save_head(folder, stored(nn.Linear(3, 2)))
    with pytest.raises(CheckpointError, match="of kind 'line', must be 'curve'"):
        read_head(folder, "curve")
    with pytest.raises(CheckpointError, match="do not fit the config"):
        fill_head(nn.Linear(4, 2), read_head(folder, "line"), "head")
    (folder / WEIGHTS).write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="weights cannot be read"):
        read_head(folder, "line")
    (folder / SETTINGS).write_text("{}")
    with pytest.raises(CheckpointError, match="not the settings of a head"):
        read_head(folder, "line")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"holds something else \(notes.txt\)"):
        save_head(tmp_path, stored(nn.Linear(3, 2)))
    assert (tmp_path / "notes.txt").read_text() == "mine"
