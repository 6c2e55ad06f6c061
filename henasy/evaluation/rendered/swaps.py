"""A rendered archive in EgoHOIBench's layout: every narration with another verb, and with another noun."""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from henasy.evaluation.annotations.egohoi import COLUMNS, FILE_NAME, NUM_SWAPS
from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.evaluation.encoding.source import AnnotatedVideos
from henasy.evaluation.rendered.archives import TEST_ARCHIVE, cached_archive
from henasy.evaluation.rendered.layouts import RenderedClip, read_rendered_clips
from henasy.evaluation.tasks.report import write_text
from henasy.scenes.household.swaps import noun_swaps, verb_swaps

_SEED = 0


def swap_layout(archive: Path | None) -> AnnotatedVideos:
    """The layout of an archive; None takes the test archive of the cache, rendering it if need be.

    It is written under the cache folder, in a folder named by the archive's narrations.

    Raises:
        NotFoundError, AnnotationError: if the archive's narrations are missing or not of its format.
    """
    archive = cached_archive(TEST_ARCHIVE) if archive is None else archive
    digest = hashlib.sha256((archive / "narrations.csv").read_bytes()).hexdigest()[:16]
    file = cache_folder() / "layouts" / digest / FILE_NAME
    write_swaps(read_rendered_clips(archive), file)
    return AnnotatedVideos(file, archive / "videos")


def write_swaps(clips: Sequence[RenderedClip], path: Path, seed: int = _SEED) -> None:
    """Writes the file; equal narrations and seeds give equal files."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for row, clip in enumerate(clips):
        rng = np.random.default_rng((seed, row))
        verbs = verb_swaps(clip.said, rng, NUM_SWAPS)
        nouns = noun_swaps(clip.said, rng, NUM_SWAPS)
        span = [clip.span.video_id, clip.span.start_s, clip.span.end_s]
        tags = [list(clip.noun_classes), [clip.verb_class]]
        writer.writerow([*span, clip.text, *tags, ",".join(verbs), ",".join(nouns)])
    write_text(path, text.getvalue())
