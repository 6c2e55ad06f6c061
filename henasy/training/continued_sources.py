"""What continued training runs on: a rendered archive's narrated clips, or EgoClip as it lies on disk."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from henasy.checkpoint.folder import Checkpoint, dual_config
from henasy.errors import ConfigError, NotFoundError
from henasy.scenes.archive import read_config
from henasy.text.stored import AnyTokenizer
from henasy.training.clip_cache import archive_digest, build_clip_cache
from henasy.training.config import TrainConfig
from henasy.training.data import CacheBatches, ClipCache, TrainBatch
from henasy.training.distributed import ALONE, Peers
from henasy.training.egoclip.clips import open_egoclip
from henasy.training.egoclip.config import EgoClipFiles, EgoClipRecipe
from henasy.training.egoclip.refusals import Refusals
from henasy.training.egoclip.source import EgoClipBatches, Sampling
from henasy.training.egoclip_swaps import open_swaps, word_swaps
from henasy.training.egoncepp import CacheCaptions, CacheSwaps, Captions, EgoClipCaptions, Swaps, TaxonomySwaps
from henasy.training.trainer import BatchSource
from henasy.video.preprocess import PreprocessSpec
from henasy.video.view_pool import ViewPool
from henasy.video.views import ViewRule

Report = Callable[[str], None]
_CROP_ROOM = 25 / 24
"""Side of the cached crop over the model's image: the room in which crops are drawn, as for henasy-tiny."""
_MOMENTS_PER_FRAME = 2


class Clips(NamedTuple):
    """Clips with their captions, and the words that captions may be swapped to."""

    source: BatchSource[TrainBatch]
    captions: Captions
    swaps: Swaps
    trained_on: str
    """What the clips are, in words."""
    digests: Mapping[str, str | None]
    """What tells them, and the words, from others."""


@dataclass(frozen=True, kw_only=True)
class EgoClipFolders:
    """Where EgoClip lies and where its columns are kept."""

    annotations: Path
    videos: Path
    taxonomy: Path
    cache: Path
    swaps: Path | None = None
    """Parquet of `henasy-train swaps`; None swaps words by the taxonomy."""
    reading: EgoClipRecipe = field(default_factory=EgoClipRecipe)
    """How clips are read and how many may lack; what it says of HENASY's losses is not looked at."""


def archive_clips(
    archive: Path,
    cache: Path,
    checkpoint: Checkpoint,
    config: TrainConfig,
    *,
    num_workers: int,
    peers: Peers = ALONE,
    report: Report,
) -> Clips:
    """The narrated clips of a rendered archive; they are decoded into `cache` the first time.

    Raises:
        NotFoundError: there is no archive.
        ConfigError: it is one to be judged on, the cache is of another or of other sizes, or the batch is larger than
            the archive.
    """
    if not (archive / "narrations.csv").is_file():
        raise NotFoundError(f"{archive} is no rendered archive: it has no narrations.csv")
    if (split := read_config(archive).split) != "train":
        raise ConfigError(
            f"{archive} is of the split {split!r}, whose scenes and words models are judged on; train on one of 'train'"
        )
    vision = dual_config(checkpoint.config).vision
    crop_px, num_moments = round(vision.image_px * _CROP_ROOM), _MOMENTS_PER_FRAME * vision.num_frames
    peers.main_first(
        lambda: build_clip_cache(archive, cache, crop_px=crop_px, num_moments=num_moments, num_workers=num_workers)
    )
    clips = ClipCache(cache)
    report(f"{len(clips):,} narrated clips of {archive}")
    source = CacheBatches(
        clips,
        _tokenizer(checkpoint),
        config,
        image_px=vision.image_px,
        num_frames=vision.num_frames,
        mean=checkpoint.spec.mean,
        std=checkpoint.spec.std,
        share=peers.share,
    )
    said = f"{len(clips):,} narrated clips of a rendered archive"
    return Clips(source, CacheCaptions(clips), CacheSwaps(clips), said, {"archive": archive_digest(archive)})


@contextmanager
def egoclip_clips(
    folders: EgoClipFolders,
    run: Path,
    checkpoint: Checkpoint,
    config: TrainConfig,
    *,
    num_workers: int,
    peers: Peers = ALONE,
    report: Report,
) -> Iterator[Clips]:
    """The clips of an annotation file in EgoClip's layout, decoded by `num_workers` processes as they are needed.

    Raises:
        NotFoundError, AnnotationError, InputError: as `open_egoclip`.
        ConfigError: a batch needs more clips than there are.
    """
    settings = folders.reading
    run.mkdir(parents=True, exist_ok=True)
    files = EgoClipFiles(folders.annotations, folders.videos, folders.taxonomy)
    clips = peers.main_first(lambda: open_egoclip(files, settings, run, cache=folders.cache, report=report))
    vision, spec = dual_config(checkpoint.config).vision, checkpoint.spec
    pool = ViewPool(num_workers)
    try:
        source = EgoClipBatches(
            clips,
            _tokenizer(checkpoint),
            config,
            spec=spec,
            sampling=Sampling(_views(vision.image_px, settings, spec), vision.num_frames),
            pool=pool,
            refusals=Refusals(run / f"refused-{peers.rank}.jsonl", clips.table, max_share=settings.max_refused_share),
            share=peers.share,
        )
        swaps: Swaps = TaxonomySwaps(word_swaps(clips.taxonomy))
        digests = clips.digests() | {"crop": settings.crop, "numbered_chunk_s": str(settings.numbered_chunk_s)}
        if folders.swaps is not None:
            given = folders.swaps
            stored = peers.main_first(lambda: open_swaps(given, clips.table, folders.cache))
            swaps, digests["swaps"] = stored, stored.digest
        trained_on = f"{len(clips):,} clips of {folders.annotations.name}"
        yield Clips(source, EgoClipCaptions(clips.table), swaps, trained_on, digests)
    finally:
        pool.close()


def _views(image_px: int, settings: EgoClipRecipe, spec: PreprocessSpec) -> ViewRule:
    return ViewRule(image_px, settings.crop, settings.min_area, spec.is_antialiased)


def _tokenizer(checkpoint: Checkpoint) -> AnyTokenizer:
    if checkpoint.tokenizer is None:
        raise ConfigError("the checkpoint has no tokenizer, so it cannot read captions")
    return checkpoint.tokenizer
