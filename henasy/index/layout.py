"""Every file name of the index format, and nothing else.

CURRENT                       number of the live generation, replaced last
LOCK                          held (flock) by the one writer
generations/000042/           manifest.json, videos.parquet, quarantine.parquet, tombstones-<part>.npy
parts/<id>/                   clips.npy, entities.npy, assignment.npy, clips.parquet, entities.parquet;
                              clips.faiss, entities.faiss with their .json are caches: readers pass over a missing or
                              damaged one and search exactly, only slower; the next build makes it again
staging/<unit>.unit           finished work units that no generation holds yet
"""

from pathlib import Path

FORMAT_VERSION = 1
"""Raised when older readers could no longer read what is written."""

MAX_UNIT_CLIPS = 512
"""Clips of one work unit: what a kill can cost at most."""

MAX_PART_CLIPS = 250_000
"""Clips of one part. A video is never split, so a longer video makes a larger part."""

CURRENT = "CURRENT"
LOCK = "LOCK"
GENERATIONS = "generations"
PARTS = "parts"
STAGING = "staging"

MANIFEST = "manifest.json"
VIDEOS = "videos.parquet"
QUARANTINE = "quarantine.parquet"

CLIP_VECTORS = "clips.npy"
ENTITY_VECTORS = "entities.npy"
ASSIGNMENT = "assignment.npy"
CLIP_COLUMNS = "clips.parquet"
ENTITY_COLUMNS = "entities.parquet"
CLIP_CACHE = "clips.faiss"
ENTITY_CACHE = "entities.faiss"

UNIT_SUFFIX = ".unit"
TEMPORARY_SUFFIX = ".tmp"


def generation_folder(root: Path, generation: int) -> Path:
    """Where the state numbered `generation` lies."""
    return root / GENERATIONS / f"{generation:06d}"


def part_folder(root: Path, part_id: str) -> Path:
    """Where one immutable part lies."""
    return root / PARTS / part_id


def tombstones_name(part_id: str) -> str:
    """The bitmap, inside a generation, of the part's rows that this generation no longer holds."""
    return f"tombstones-{part_id}.npy"


def unit_name(video_id: str, space_key: str, unit: int) -> str:
    """The staging file of one work unit; `space_key` names the space and the plan it was made in."""
    return f"{video_id}-{space_key}-{unit:06d}{UNIT_SUFFIX}"
