"""What every ablated model is asked: one held-out archive's frames, questions, retrieval, classes and masks, read once.

All is seen at the truth's times, so that picture and mask show the same instant, and as training sees it: 8-bit crops.

N clips, T frames, S image side, K patches, V videos, Q questions.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from henasy.errors import ConfigError, VideoError
from henasy.evaluation.annotations.egomcq import EgoMcq
from henasy.evaluation.annotations.epic100 import EpicRetrieval, load_epic_retrieval
from henasy.evaluation.annotations.epic100_actions import EpicActions, load_epic_actions
from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.evaluation.encoding.span_frames import RefusedSpans, read_spans
from henasy.evaluation.metrics.masks import covered_pixels, patch_of_pixel, patch_pixels
from henasy.evaluation.metrics.relevancy import relevancy_matrix
from henasy.evaluation.rendered.layouts import RenderedClip, read_rendered_clips, write_layouts
from henasy.evaluation.rendered.questions import archive_questions
from henasy.evaluation.rendered.things import acting_hand, handled_object, thing_masks, truth_selector, truth_times
from henasy.evaluation.tasks.report import write_text
from henasy.scenes.archive import read_config
from henasy.scenes.truth import Truth
from henasy.training.clip_cache import archive_digest
from henasy.video.preprocess import PreprocessSpec, preprocess
from henasy.video.video_files import videos_by_id

_FRAMES, _COVERED, _ABOUT = "frames.npy", "covered.npy", "about.json"
NAMING = (handled_object, acting_hand)
"""Things whose masks are asked for, in the order of `HeldOutSet.covered`."""


@dataclass(frozen=True, kw_only=True)
class HeldOutSet:
    """A held-out archive, ready to be asked about."""

    clips: list[RenderedClip]
    frames: NDArray[np.uint8]
    """(N, T, S, S, 3) as a model sees them, before normalisation"""
    covered: NDArray[np.float32]
    """(N, 2, T, K) pixels of each patch inside the true mask of the handled object and of the acting hand"""
    pixels: NDArray[np.float64]
    """(K,) all pixels of each patch"""
    questions: EgoMcq
    retrieval: EpicRetrieval
    relevancy: NDArray[np.float64]
    actions: EpicActions
    digest: str
    """Of the archive."""

    @property
    def video_ids(self) -> list[str]:
        """V names in order."""
        return sorted({clip.span.video_id for clip in self.clips})

    @property
    def videos_digest(self) -> str:
        """What tells the order and the names of the videos from others."""
        return hashlib.sha256("\n".join(self.video_ids).encode()).hexdigest()[:16]

    def video_rows(self) -> NDArray[np.int64]:
        """(N,) the video of each clip."""
        row_of = {name: row for row, name in enumerate(self.video_ids)}
        return np.array([row_of[clip.span.video_id] for clip in self.clips], np.int64)

    def batches(self, spec: PreprocessSpec, size: int) -> Iterator[torch.Tensor]:
        """(n, T, 3, S, S) normalised frames, `size` clips at a time."""
        mean, std = (torch.tensor(values).view(1, 1, 3, 1, 1) for values in (spec.mean, spec.std))
        for first in range(0, len(self.frames), size):
            part = torch.from_numpy(self.frames[first : first + size].copy())
            yield (part.permute(0, 1, 4, 2, 3).float() - mean) / std


class Sizes(NamedTuple):
    """How a model looks at a clip."""

    spec: PreprocessSpec
    num_frames: int
    grid: int
    """Patches along a side."""


def load_test_set(
    archive: Path,
    folder: Path,
    sizes: Sizes,
    *,
    num_questions: int,
) -> HeldOutSet:
    """The test set of an archive; frames and masks are kept in `folder`, and what is there already is used.

    Raises:
        ConfigError: the archive gives fewer questions, or the folder holds the frames of other clips or sizes.
        VideoError: a clip cannot be read.
    """
    clips = read_rendered_clips(archive)
    asked = archive_questions(archive, num_questions)
    if asked.shortfall is not None:
        raise ConfigError(f"{archive}: {asked.shortfall}; ask fewer, or render more videos")
    digest = archive_digest(archive)
    about = {"archive": digest, "spec": sizes.spec.to_dict(), "num_frames": sizes.num_frames, "grid": sizes.grid}
    if not _is_complete(folder, about):
        _read_pictures(archive, clips, folder, sizes)
        write_text(folder / _ABOUT, json.dumps(about, indent=2))
    layout = write_layouts(archive, cache_folder())
    retrieval = load_epic_retrieval(layout.epic_annotations)
    return HeldOutSet(
        clips=clips,
        frames=np.load(folder / _FRAMES, mmap_mode="r"),
        covered=np.load(folder / _COVERED, mmap_mode="r"),
        pixels=patch_pixels(_cells(archive, sizes), sizes.grid**2),
        questions=asked.questions,
        retrieval=retrieval,
        relevancy=relevancy_matrix(retrieval),
        actions=load_epic_actions(layout.epic_annotations),
        digest=digest,
    )


def _is_complete(folder: Path, about: dict[str, object]) -> bool:
    path = folder / _ABOUT
    if not path.exists():
        return False
    stored = json.loads(path.read_text())
    if stored != json.loads(json.dumps(about)):
        raise ConfigError(f"{folder} holds the frames of other clips or sizes ({stored}, asked {about}); remove it")
    return True


def _read_pictures(archive: Path, clips: list[RenderedClip], folder: Path, sizes: Sizes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config, side = read_config(archive), sizes.spec.image_px
    shape = (len(clips), sizes.num_frames, side, side, 3)
    frames = np.lib.format.open_memmap(folder / _FRAMES, mode="w+", dtype="uint8", shape=shape)
    covered = np.zeros((len(clips), len(NAMING), sizes.num_frames, sizes.grid**2), np.float32)
    # Whole numbers of colour, as in the clip cache that models train on: normalised only when they are looked at.
    plain = replace(sizes.spec, mean=(0.0,) * 3, std=(1.0,) * 3)
    masks = _Masks(archive, sizes)
    spans, files = [clip.span for clip in clips], videos_by_id(archive / "videos")
    for batch in read_spans(spans, files, truth_selector(config), sizes.num_frames):
        if isinstance(batch, RefusedSpans):
            raise VideoError(f"{archive}: {batch.reason}")
        flat = preprocess(batch.frames.reshape(-1, *batch.frames.shape[2:]), plain)
        small = flat.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        frames[batch.rows] = small.reshape(len(batch.rows), *shape[1:])
        covered[batch.rows] = [masks.covered(clips[row]) for row in batch.rows]
    frames.flush()
    np.save(folder / _COVERED, covered)


class _Masks:
    """How many pixels of each patch the true masks cover; the clips of a video one after the other."""

    def __init__(self, archive: Path, sizes: Sizes) -> None:
        self._archive, self._sizes = archive, sizes
        self._config, self._cells = read_config(archive), _cells(archive, sizes)
        self._truth: Truth | None = None

    def covered(self, clip: RenderedClip) -> NDArray[np.float64]:
        """(2, T, K) of the handled object and of the acting hand."""
        if self._truth is None or self._truth.video_uid != clip.span.video_id:
            self._truth = Truth.open(self._archive, clip.span.video_id)
        truth, times_s = self._truth, truth_times(clip.span, self._sizes.num_frames, self._config)
        things = [thing_masks(truth, clip, naming(clip), times_s) for naming in NAMING]
        return np.stack([covered_pixels(masks, self._cells, self._sizes.grid**2) for masks in things])


def _cells(archive: Path, sizes: Sizes) -> NDArray[np.int64]:
    config = read_config(archive)
    return patch_of_pixel(sizes.spec.crop_to_frame(config.height_px, config.width_px), (sizes.grid, sizes.grid))
