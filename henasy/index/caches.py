"""The FAISS files beside a part: made at publishing, made again when missing or damaged."""

from pathlib import Path

from henasy.index import layout
from henasy.index.live_part import clip_targets, entity_targets
from henasy.index.manifest import PartEntry
from henasy.index.nearest import has_cache, write_cache
from henasy.index.part import Part
from henasy.index.settings import IndexSettings


def write_caches(root: Path, entry: PartEntry, settings: IndexSettings) -> None:
    """Makes the FAISS files of a part that are worth having and not there, or not as they were written."""
    part = Part(root, entry, settings, is_checked=False)
    targets = {layout.CLIP_CACHE: clip_targets(part)}
    if settings.num_entities:
        targets[layout.ENTITY_CACHE] = entity_targets(part)
    for name, (vectors, members) in targets.items():
        if not has_cache(part.folder / name, vectors, members):
            write_cache(part.folder / name, vectors, members)
