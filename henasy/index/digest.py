"""One number for what an index holds, however it came to hold it."""

import hashlib

import numpy as np

from henasy.index.reader import Index
from henasy.index.rows import COLUMN_NAMES


def logical_digest(index: Index) -> str:
    """The sha256 over space, plan and all rows, sorted by video and time, with their vectors' bytes.

    Times of writing, file order, parts, paths and FAISS files have no part in it: two builds of the same
    videos with the same settings on the same kind of device give the same digest.
    """
    settings = index.settings
    digest = hashlib.sha256()
    for item in (settings.kind, settings.space_id, settings.plan.plan_id, settings.width, settings.grid):
        digest.update(f"{item}\n".encode())
    for record in index.videos:
        rows = index.stored_rows(record.video_id)
        digest.update(f"{record.video_id} {len(rows)}\n".encode())
        for name in COLUMN_NAMES:
            digest.update(np.ascontiguousarray(getattr(rows, name)).tobytes())
    return digest.hexdigest()
