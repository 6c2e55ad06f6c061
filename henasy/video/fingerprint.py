"""What identifies a video by its content, so that a renamed file is recognised and a changed one too."""

from __future__ import annotations

import hashlib
from pathlib import Path

from henasy.errors import VideoError
from henasy.video.container import check_readable

_BLOCK_BYTES = 64 * 1024
_NUM_BLOCKS = 16
_READ_BYTES = 4 * 1024 * 1024
_FULL = "full-"
_SHORT_DIGITS = 16


def fingerprint(path: Path | str, is_full: bool = False) -> str:
    """32 hexadecimal digits that depend on the size and on the bytes of a file; after "full-" if all are read.

    By default the bytes are 16 blocks of 64 KiB spread evenly from the first to the last, so that hours of video
    cost a megabyte of reading; smaller files, and all of them with `is_full`, are hashed whole. The two forms
    differ even where they read the same bytes.

    Raises:
        VideoError: the path is no readable, non-empty regular file.
    """
    path = Path(path)
    size = check_readable(path)
    digest = hashlib.blake2b(f"{'full' if is_full else 'sampled'}:{size}:".encode(), digest_size=16)
    try:
        with path.open("rb") as file:
            for offset, length in _extents(size, is_full):
                file.seek(offset)
                while length > 0:
                    data = file.read(min(length, _READ_BYTES))
                    if not data:
                        raise VideoError(f"{path}: became shorter while it was read")
                    digest.update(data)
                    length -= len(data)
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _FULL * is_full + digest.hexdigest()


def has_content(path: Path | str, content: str) -> bool:
    """Whether a file has this fingerprint, of whichever form it is.

    Raises:
        VideoError: the path is no readable, non-empty regular file.
    """
    return fingerprint(path, is_full=content.startswith(_FULL)) == content


def short_name(content: str) -> str:
    """The first 16 digits of a fingerprint."""
    return content.removeprefix(_FULL)[:_SHORT_DIGITS]


def _extents(size: int, is_full: bool) -> list[tuple[int, int]]:
    """Offset and length of what is hashed."""
    if is_full or size <= _BLOCK_BYTES * _NUM_BLOCKS:
        return [(0, size)]
    last = size - _BLOCK_BYTES
    return [(last * i // (_NUM_BLOCKS - 1), _BLOCK_BYTES) for i in range(_NUM_BLOCKS)]
