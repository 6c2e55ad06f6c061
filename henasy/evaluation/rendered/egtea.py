"""A rendered archive as an EGTEA test split, in the layout of sessions."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from henasy.evaluation.annotations.egtea import SESSION_ACTION_FILE, SESSION_FPS, SESSION_SPLIT_FILE
from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.evaluation.encoding.source import AnnotatedVideos
from henasy.evaluation.rendered.archives import TEST_ARCHIVE, cached_archive
from henasy.evaluation.rendered.layouts import RenderedClip, read_rendered_clips
from henasy.evaluation.tasks.report import write_text

MAX_CLIPS = 60
"""Each is encoded in 30 views: more would take longer than a look at the benchmark is worth."""


def rendered_egtea(archive: Path | None) -> AnnotatedVideos:
    """The split and the videos of an archive; None takes the test archive of the cache, rendering it if need be."""
    archive = cached_archive(TEST_ARCHIVE) if archive is None else archive
    digest = hashlib.sha256((archive / "narrations.csv").read_bytes()).hexdigest()[:16]
    folder = cache_folder() / "layouts" / f"egtea-{digest}"
    write_egtea_layout(read_rendered_clips(archive), folder)
    return AnnotatedVideos(folder, archive / "videos")


def write_egtea_layout(clips: Sequence[RenderedClip], folder: Path) -> None:
    """`actions.csv` and `validation1.csv` of at most `MAX_CLIPS` clips, evenly drawn, and of their actions."""
    rows = np.unique(np.linspace(0, len(clips) - 1, min(len(clips), MAX_CLIPS)).astype(int))
    chosen = [clips[row] for row in rows]
    actions = sorted({clip.action for clip in chosen})
    row_of = {action: row for row, action in enumerate(actions)}
    verbs = sorted({verb for verb, _ in actions})
    nouns = sorted({noun for _, noun in actions})
    names = [
        f"{row}, {verbs.index(verb)}_{nouns.index(noun)}, {verb}_{noun}" for row, (verb, noun) in enumerate(actions)
    ]
    lines = [
        f"{number},{clip.span.video_id},{round(clip.span.start_s * SESSION_FPS)},{round(clip.span.end_s * SESSION_FPS)}"
        f",{verbs.index(clip.verb)},{nouns.index(clip.noun)},{row_of[clip.action]}"
        for number, clip in enumerate(chosen)
    ]
    write_text(folder / SESSION_ACTION_FILE, "\n".join(names) + "\n")
    write_text(folder / SESSION_SPLIT_FILE, "\n".join(lines) + "\n")
