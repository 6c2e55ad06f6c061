"""Deleting what no kept generation needs. Only the writer, which holds the lock, may call this."""

import shutil
from pathlib import Path

from henasy.errors import IndexFormatError, NotFoundError
from henasy.index import layout
from henasy.index.generation import read_current
from henasy.index.manifest import read_manifest

_KEPT_GENERATIONS = 3
"""A reader that was slow to open a generation still finds it after two more were published."""


def sweep(root: Path) -> None:
    """Deletes old generations, parts that no kept one uses, and the leftovers of killed writers.

    Raises:
        IndexFormatError: the live generation is damaged; nothing is deleted then.
    """
    try:
        current = read_current(root)
    except NotFoundError:
        current = None
    numbers = range(0) if current is None else range(max(0, current - _KEPT_GENERATIONS + 1), current + 1)
    kept = {layout.generation_folder(root, number) for number in numbers}
    parts = {layout.part_folder(root, part_id) for folder in kept for part_id in _parts_of(folder, current)}
    _delete_others(root / layout.GENERATIONS, kept)
    _delete_others(root / layout.PARTS, parts)
    for folder in (root, root / layout.STAGING, *parts):
        for leftover in folder.glob(f".*{layout.TEMPORARY_SUFFIX}"):
            leftover.unlink()


def _parts_of(folder: Path, current: int | None) -> list[str]:
    try:
        return [part.part_id for part in read_manifest(folder / layout.MANIFEST).parts]
    except IndexFormatError:
        # An older one may be half deleted by a sweep that was killed; the live one must be whole.
        if current is not None and folder.name == f"{current:06d}":
            raise
        return []


def _delete_others(folder: Path, kept: set[Path]) -> None:
    if folder.is_dir():
        for child in folder.iterdir():
            if child not in kept:
                shutil.rmtree(child)
