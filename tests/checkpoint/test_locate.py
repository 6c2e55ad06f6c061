"""Names of checkpoints, without network."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from henasy.checkpoint import shipped
from henasy.checkpoint.locate import locate_checkpoint
from henasy.errors import CheckpointError, NotFoundError


def test_locate_takes_a_folder(tmp_path: Path) -> None:
    assert locate_checkpoint(tmp_path) == locate_checkpoint(str(tmp_path)) == tmp_path


def test_locate_refuses_a_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_text("text")
    with pytest.raises(CheckpointError, match=r"weights\.pth is a file.*import-lavila"):
        locate_checkpoint(path)


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "nothing", "", "a/b/c", "models/x.pth"])
def test_locate_says_what_is_allowed(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "":
        assert locate_checkpoint(name) == Path()
        return
    with pytest.raises(NotFoundError, match="allowed: a checkpoint folder, henasy-tiny, or a hub id"):
        locate_checkpoint(name)


def test_locate_finds_the_shipped_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shipped, "_FOLDERS", tmp_path / "absent")
    with pytest.raises(NotFoundError, match="henasy-tiny is not part of this installation"):
        locate_checkpoint("henasy-tiny")
    (tmp_path / "absent" / "henasy-tiny").mkdir(parents=True)
    assert locate_checkpoint("henasy-tiny") == tmp_path / "absent" / "henasy-tiny"


def test_locate_says_that_the_hub_is_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(NotFoundError, match=r"owner/name: no such folder, and the Hugging Face hub does not give it"):
        locate_checkpoint("owner/name")
    with pytest.raises(NotFoundError, match="give a folder on this machine"):
        locate_checkpoint("owner/name@main")
