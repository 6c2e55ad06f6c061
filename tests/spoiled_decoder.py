"""Decoders that hang or crash in child processes on the files that are marked, for the tests of who survives it."""

from pathlib import Path

import pytest

# Python runs a module of this name at every start: it spoils the decoder in the child, and nowhere else.
_SITE = """
import os, signal, sys, time
def _spoil():
    from henasy.video import decode, pyav_decoder
    honest = pyav_decoder.frames_at
    def frames_at(path, times_s, on_progress):
        mark = path.with_suffix(".fate")
        fate = mark.read_text() if mark.exists() else ""
        if fate == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        while fate == "hang":
            time.sleep(0.1)
        while fate == "endless":
            time.sleep(0.1)
            on_progress()
        yield from honest(path, times_s, on_progress)
    pyav_decoder.frames_at = frames_at
if any("isolated_worker" in each for each in sys.orig_argv):
    _spoil()
"""


def spoil_decoders(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes children that start from now on obey `set_fate`; `site` is a folder that does not exist yet."""
    site.mkdir()
    (site / "sitecustomize.py").write_text(_SITE)
    monkeypatch.setenv("PYTHONPATH", str(site))


def set_fate(video: Path, fate: str) -> None:
    """What decoding a video ends in: "crash", "hang", "endless" (advances for ever), or "" for its frames."""
    video.with_suffix(".fate").write_text(fate)
