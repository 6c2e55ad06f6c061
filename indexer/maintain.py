"""Taking videos out of an index. Their files are never touched."""

import os
from collections.abc import Sequence
from pathlib import Path

from henasy.errors import NotFoundError
from henasy.index import IndexWriter, VideoRecord


def remove_videos(index: Path, names: Sequence[str]) -> list[VideoRecord]:
    """Drops videos named by id, by path, or by path below the folder that was indexed; returns them.

    Raises:
        NotFoundError: a name fits no video; nothing is removed then.
    """
    with IndexWriter(index) as writer:
        gone: dict[str, VideoRecord] = {}
        for name in names:
            fitting = [record for record in writer.videos if _answers(record, name)]
            if not fitting:
                raise NotFoundError(f"{name!r}: no such video in {index}; give its id or its path")
            gone.update({record.video_id: record for record in fitting})
        return _drop(writer, list(gone.values()))


def prune_videos(index: Path) -> list[VideoRecord]:
    """Drops the videos none of whose files is there any more; returns them."""
    with IndexWriter(index) as writer:
        gone = [record for record in writer.videos if not any(file.exists() for file in record.files)]
        return _drop(writer, gone)


def _answers(record: VideoRecord, name: str) -> bool:
    return name in (record.video_id, record.path) or Path(os.path.abspath(name)) in record.files


def _drop(writer: IndexWriter, gone: list[VideoRecord]) -> list[VideoRecord]:
    ids = {record.video_id for record in gone}
    videos = [record for record in writer.videos if record.video_id not in ids]
    refused = [record for record in writer.refused if record.clip_rows is None or record.video_id not in ids]
    writer.publish(videos, refused, is_staging_kept=True)
    return gone
