"""Where henasy keeps what it can make again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`henasy` in the user's cache folder, which `XDG_CACHE_HOME` moves."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "henasy"
