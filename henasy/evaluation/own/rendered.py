"""A rendered archive as an archive of one's own: queries and judgements from its narrations, and an index of it.

Everything lies under the cache folder, in folders named by what it was made from.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

from henasy.checkpoint.encoder import load_encoder
from henasy.errors import VideoError
from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.evaluation.encoding.encoded import progress_bar
from henasy.evaluation.encoding.index_folder import index_settings, write_index
from henasy.evaluation.own.doc_ids import DocSpan
from henasy.evaluation.own.qrels import Judgement, format_judgements, format_queries
from henasy.evaluation.rendered.archives import TEST_ARCHIVE, cached_archive
from henasy.evaluation.rendered.layouts import RenderedClip, read_rendered_clips
from henasy.evaluation.tasks.report import write_text
from henasy.index.layout import CURRENT
from henasy.video import ClipPlan, find_videos

_WEARER_TAG = "#C C "


class RenderedOwn(NamedTuple):
    """Where the files lie."""

    queries: Path
    qrels: Path
    index_folder: Path


def rendered_own_archive(archive: Path | None, model: str, device: str) -> RenderedOwn:
    """The files and the index of an archive; None takes the test archive of the cache, rendering it if need be.

    Raises:
        NotFoundError, AnnotationError: if the archive's narrations are missing or not of its format.
        VideoError: if one of its videos cannot be read.
    """
    archive = cached_archive(TEST_ARCHIVE) if archive is None else archive
    digest = hashlib.sha256((archive / "narrations.csv").read_bytes()).hexdigest()[:16]
    folder = cache_folder() / "own_archives" / digest
    queries, judgements = narrated_judgements(read_rendered_clips(archive))
    write_text(folder / "queries.tsv", format_queries(queries))
    write_text(folder / "qrels.txt", format_judgements(judgements))
    index = _indexed(archive / "videos", folder, model, device)
    return RenderedOwn(folder / "queries.tsv", folder / "qrels.txt", index)


def narrated_judgements(clips: list[RenderedClip]) -> tuple[dict[str, str], list[Judgement]]:
    """A query per action of the archive, worded as its shortest narration, which names no colour where another does;
    every narration of the same action is relevant, and nothing else is."""
    by_action: dict[tuple[str, str], list[RenderedClip]] = {}
    for clip in clips:
        by_action.setdefault(clip.action, []).append(clip)
    queries, judgements = {}, []
    for number, (_, found) in enumerate(sorted(by_action.items()), 1):
        query_id = f"q{number:03d}"
        queries[query_id] = min((clip.text for clip in found), key=len).removeprefix(_WEARER_TAG)
        docs = {DocSpan(f"{clip.span.video_id}.mp4", (clip.span.start_s, clip.span.end_s)) for clip in found}
        judgements += [Judgement(query_id, doc, 1) for doc in sorted(docs)]
    return queries, judgements


def _indexed(videos: Path, folder: Path, model: str, device: str) -> Path:
    encoder = load_encoder(model, device=device)
    settings = index_settings(encoder, model, ClipPlan(num_frames=encoder.num_frames))
    index = folder / f"index-{encoder.space_id[:16]}-{settings.plan.plan_id}"
    if (index / CURRENT).exists():
        return index
    found = find_videos([videos])
    if found.refused or not found.videos:
        raise VideoError(f"{videos}: {found.refused[0].reason if found.refused else 'holds no video'}")
    with progress_bar() as progress:
        task = progress.add_task("indexing", total=len(found.videos))
        write_index(index, found.videos, encoder, settings, on_video=lambda: progress.advance(task))
    return index
