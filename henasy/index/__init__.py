"""The index on disk: versioned, safe to read while one writer works. Imports no torch."""

from henasy.index.digest import logical_digest
from henasy.index.reader import ClipColumns, EntityColumns, Index, Rows
from henasy.index.rows import ClipRows
from henasy.index.select import EVERYTHING, Filters, Selection
from henasy.index.settings import IndexSettings
from henasy.index.staging import StagedUnit
from henasy.index.videos import RefusedRecord, VideoRecord, VideoTable
from henasy.index.writer import IndexWriter

__all__ = [
    "EVERYTHING",
    "ClipColumns",
    "ClipRows",
    "EntityColumns",
    "Filters",
    "Index",
    "IndexSettings",
    "IndexWriter",
    "RefusedRecord",
    "Rows",
    "Selection",
    "StagedUnit",
    "VideoRecord",
    "VideoTable",
    "logical_digest",
]
