"""`henasy-archive` as its user runs it: a render, a stop, bad input, a sheet."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from henasy.commands.archive import main
from henasy.scenes.archive import ArchiveConfig, write_archive

_RENDER = ("--seed", "3", "--minutes", "0.1", "--size", "96x64", "--fps", "8")
_ROOT = Path(__file__).resolve().parents[2]


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "henasy.commands.archive", *(str(argument) for argument in arguments)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command") / "archive"
    done = subprocess.run(
        _command("render", folder, *_RENDER, "--videos", 1), cwd=_ROOT, capture_output=True, text=True, check=True
    )
    assert "1 of 1 videos" in done.stdout
    assert "100%" in done.stdout
    assert done.stderr == ""
    return folder


def test_sheet_draws_frames_at_the_asked_width(archive: Path, tmp_path: Path) -> None:
    picture = tmp_path / "sheet.png"
    result = _run("sheet", archive, picture, "--rows", 1, "--frames", 3, "--width", 48)
    assert result.exit_code == 0, result.output
    with Image.open(picture) as drawn:
        assert drawn.size == (3 * 48, 32 + 17)
        colours = np.unique(np.asarray(drawn.convert("RGB")).reshape(-1, 3), axis=0)
    assert len(colours) > 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "456"), "'456' is not a size such as 456x256"),
        (("--size", "²x64"), "is not a size such as 456x256"),
        (("--size", "97x64"), "size is 97x64, must be even and at least 32x32"),
        (("--size", "9000x64"), "must be at most 4096"),
        (("--workers", "0"), "0 is not in the range x>=1"),
        (("--minutes", "nan"), "video_s is nan"),
        (("--videos", "0"), "num_videos 0"),
    ],
)
def test_render_refuses_bad_settings_before_it_makes_a_folder(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    result = _run("render", tmp_path / "new", *_RENDER, "--videos", 1, *arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert not (tmp_path / "new").exists()


def test_minutes_are_seconds_to_the_millisecond(tmp_path: Path) -> None:
    archive = ArchiveConfig(seed=3, num_videos=1, video_s=6.006, width_px=96, height_px=64, fps=8)
    write_archive(archive, tmp_path / "archive", workers=1)
    assert archive.video_s != 60 * 0.1001
    again = _run("render", tmp_path / "archive", *_RENDER, "--minutes", "0.1001", "--videos", 1)
    assert again.exit_code == 0, again.output


def test_render_names_the_settings_that_differ(archive: Path) -> None:
    result = _run("render", archive, *_RENDER, "--videos", 2)
    assert result.exit_code == 1
    assert "num_videos 1 there, 2 asked for" in result.output
    assert "fps" not in result.output.partition("other settings")[2]


def test_render_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = _run("render", tmp_path / "file" / "new", *_RENDER, "--videos", 1)
    assert result.exit_code == 1
    assert f"cannot render into {tmp_path / 'file' / 'new'}: Not a directory" in result.output


def test_render_names_damaged_settings(tmp_path: Path) -> None:
    (tmp_path / "archive.json").write_text('{"seed": 1')
    result = _run("render", tmp_path, *_RENDER, "--videos", 1)
    assert result.exit_code == 1
    assert "does not hold the settings of an archive" in result.output


def test_render_into_a_full_disk_says_so_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A limit on file sizes stands for the disk."""
    done = subprocess.run(
        _command("render", tmp_path / "new", *_RENDER, "--videos", 1),
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 1
    assert done.stderr == f"Error: cannot render into {tmp_path / 'new'}: File too large\n"
    assert not list((tmp_path / "new" / "videos").iterdir())
    assert not (tmp_path / "new" / "narrations.csv").exists()


def test_interrupted_render_goes_on_to_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    arguments = ("render", folder, *_RENDER, "--videos", 1)
    with subprocess.Popen(
        _command(*arguments),
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        while not list(folder.glob("videos/*.unfinished")):
            assert running.poll() is None
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate()
    assert running.returncode == 130
    assert said == "stopped; the same command goes on from here\n"
    subprocess.run(_command(*arguments), cwd=_ROOT, capture_output=True, check=True)
    names = sorted(path.relative_to(archive) for path in archive.rglob("*.*"))
    assert names == sorted(path.relative_to(folder) for path in folder.rglob("*.*"))
    for name in names:
        assert (folder / name).read_bytes() == (archive / name).read_bytes(), name


def test_sheet_refuses_unfinished_archives_and_other_pictures(archive: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((tmp_path, tmp_path / "a.png"), "no narrations.csv"),
        ((archive, tmp_path / "a.gif"), "must end in .png or .jpg"),
        ((archive, tmp_path / "nowhere" / "a.png"), "No such file or directory"),
        ((archive, tmp_path / "a.png", "--rows", "0"), "0 is not in the range"),
    ):
        result = _run("sheet", *arguments)
        assert result.exit_code != 0
        assert message in result.output
