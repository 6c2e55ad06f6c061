"""`henasy-train egoncepp`: teaches a checkpoint to tell captions apart that differ in one word."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import click
import torch

from henasy.checkpoint.folder import Checkpoint, dual_config, read_checkpoint
from henasy.checkpoint.locate import locate_checkpoint
from henasy.commands.option_groups import grouped, parts_of_a_step
from henasy.commands.train_evaluations import Evaluations, evaluation_options, folder_scores
from henasy.errors import ConfigError, HenasyError
from henasy.losses.egoncepp import TEMPERATURE
from henasy.model.adapters import TOWERS, AdapterConfig
from henasy.training.config import PRECISIONS, TrainConfig
from henasy.training.continued import ContinuedRecipe, continue_training
from henasy.training.continued_sources import Clips, EgoClipFolders, archive_clips, egoclip_clips
from henasy.training.distributed import Peers, join_peers, own_device
from henasy.training.egoclip.config import EgoClipRecipe
from henasy.training.egoncepp import SwapConfig
from henasy.video.views import CROPS

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_CHECKPOINTS = 10
_LEARNING_RATE = 3e-5
_ARCHIVE_LEARNING_RATE = 1e-3
"""Of a model of a few million weights and some hundred steps."""
_READING = EgoClipRecipe()
_READING_OPTIONS = {
    "--crop": "crop",
    "--numbered-chunk": "numbered_chunk_s",
    "--max-missing-share": "max_missing_share",
    "--max-refused-share": "max_refused_share",
}
"""How EgoClip is read, by the names of `EgoClipRecipe`."""


@dataclass(frozen=True, kw_only=True)
class _Data:
    """The clips to train on: those of a rendered archive, or EgoClip's."""

    archive: Path | None
    annotations: Path | None
    videos: Path | None
    taxonomy: Path | None
    swaps: Path | None
    crop: Literal["random", "whole", "center"] | None
    numbered_chunk_s: int | None
    max_missing_share: float | None
    max_refused_share: float | None

    def __post_init__(self) -> None:
        needed = {"--annotations": self.annotations, "--videos": self.videos, "--taxonomy": self.taxonomy}
        reading = {option: getattr(self, name) for option, name in _READING_OPTIONS.items()}
        given = [name for name, value in {**needed, "--swaps": self.swaps, **reading}.items() if value is not None]
        if self.archive is not None and given:
            raise ConfigError(f"--archive cannot be used together with {', '.join(given)}")
        missing = [name for name, value in needed.items() if value is None]
        if self.archive is None and missing:
            raise ConfigError(
                f"{', '.join(missing)} missing: give --archive, or --annotations, --videos and --taxonomy"
            )

    def egoclip(self, cache: Path) -> EgoClipFolders:
        """Where EgoClip lies."""
        assert self.annotations is not None
        assert self.videos is not None
        assert self.taxonomy is not None
        reading = {name: getattr(self, name) for name in _READING_OPTIONS.values()}
        return EgoClipFolders(
            annotations=self.annotations,
            videos=self.videos,
            taxonomy=self.taxonomy,
            cache=cache,
            swaps=self.swaps,
            reading=EgoClipRecipe(**{name: value for name, value in reading.items() if value is not None}),
        )


class _Place(NamedTuple):
    """Where a run is written, and this process among those of the run."""

    run: Path
    cache: Path
    workers: int
    peers: Peers
    say: Callable[[str], None]


def _recipe(
    *,
    num_steps: int,
    batch_size: int,
    num_micro_batches: int,
    is_joint_contrast: bool,
    precision: str,
    is_recomputing: bool,
    checkpoint_every: int | None,
    num_kept: int,
    has_tensorboard: bool,
    seed: int,
    rank: int,
    towers: str,
    num_verb_swaps: int,
    num_noun_swaps: int,
    temperature: float,
) -> ContinuedRecipe:
    return ContinuedRecipe(
        train=TrainConfig(
            num_steps=num_steps,
            batch_size=batch_size,
            num_micro_batches=num_micro_batches,
            is_joint_contrast=is_joint_contrast,
            num_warmup_steps=num_steps // 10,
            min_learning_rate_ratio=0.02,
            precision=precision,
            seed=seed,
            is_recomputing=is_recomputing,
            evaluate_every=0,
            checkpoint_every=checkpoint_every or max(1, num_steps // _CHECKPOINTS),
            num_kept=num_kept,
            has_tensorboard=has_tensorboard,
        ),
        adapters=AdapterConfig(rank=rank, alpha=rank, towers=towers),
        swaps=SwapConfig(num_verb_swaps=num_verb_swaps, num_noun_swaps=num_noun_swaps),
        temperature=temperature,
    )


_recipe_options = grouped(
    "recipe",
    _recipe,
    click.option("--steps", "num_steps", default=400, show_default=True, help="Optimiser steps."),
    click.option(
        "--batch-size", default=16, show_default=True, help="Anchors per step; each brings a clip from nearby."
    ),
    *parts_of_a_step,
    click.option("--rank", default=16, show_default=True, help="Rank of the adapters."),
    click.option("--towers", type=click.Choice(TOWERS), default="both", show_default=True, help="What is adapted."),
    click.option(
        "--verb-swaps", "num_verb_swaps", default=10, show_default=True, help="Captions with another verb per clip."
    ),
    click.option(
        "--noun-swaps", "num_noun_swaps", default=10, show_default=True, help="Captions with another noun per clip."
    ),
    click.option("--temperature", default=TEMPERATURE, show_default=True, help="Of the contrast."),
    click.option("--precision", type=click.Choice(PRECISIONS), default="bfloat16", show_default=True),
    click.option("--recompute", "is_recomputing", is_flag=True, help="Activation checkpointing."),
    click.option("--checkpoint-every", type=click.IntRange(min=1), help="Steps; a tenth of them all."),
    click.option("--keep", "num_kept", default=2, show_default=True, help="Newest checkpoints to keep."),
    click.option("--tensorboard", "has_tensorboard", is_flag=True, help="Log for TensorBoard too."),
    click.option("--seed", default=0, show_default=True, help="Fixes batches, swaps and the adapters' start."),
)
_data_options = grouped(
    "data",
    _Data,
    click.option("--archive", type=_FOLDER, help="Rendered archive to train on."),
    click.option("--annotations", type=_FILE, help="egoclip.csv to train on, in place of --archive."),
    click.option("--videos", type=_FOLDER, help="Folder of its videos."),
    click.option("--taxonomy", type=_FOLDER, help="Folder of its noun and verb taxonomy."),
    click.option("--swaps", type=_FILE, help="Parquet of `henasy-train swaps`; none swaps words by the taxonomy."),
    click.option("--crop", type=click.Choice(CROPS), help=f"Of EgoClip's frames; {_READING.crop}."),
    click.option(
        "--numbered-chunk",
        "numbered_chunk_s",
        type=int,
        help=f"Seconds of <uid>/<number>.mp4; {_READING.numbered_chunk_s}.",
    ),
    click.option(
        "--max-missing-share",
        type=float,
        help=f"Share of EgoClip's clips that may lack a file or a span; {_READING.max_missing_share}.",
    ),
    click.option("--max-refused-share", type=float, help=f"Share that may not decode; {_READING.max_refused_share}."),
)


@click.command()
@click.argument("checkpoint")
@click.option("--out", "run", type=_FOLDER, required=True, help="Folder of the run; the same command goes on there.")
@_data_options
@click.option("--cache", type=_FOLDER, help="Where its decoded clips, or EgoClip's columns, are kept; RUN/cache.")
@_recipe_options
@click.option(
    "--learning-rate",
    type=float,
    help=f"Peak; {_LEARNING_RATE:g}, EgoNCE++'s own, and {_ARCHIVE_LEARNING_RATE:g} with --archive.",
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:N, or auto.")
@click.option("--workers", default=2, show_default=True, help="Processes that decode.")
@click.option("--threads", default=0, show_default=True, help="CPU threads of the training itself; 0 takes all.")
@evaluation_options
def egoncepp(
    checkpoint: str,
    run: Path,
    data: _Data,
    cache: Path | None,
    recipe: ContinuedRecipe,
    learning_rate: float | None,
    device: str,
    workers: int,
    threads: int,
    evaluations: Evaluations,
) -> None:
    """Trains low-rank adapters around CHECKPOINT with EgoNCE++ and merges them into RUN/checkpoint.

    CHECKPOINT is a folder, a hub id or henasy-tiny. The clips are those of a rendered --archive, or EgoClip's:
    --annotations, --videos and --taxonomy.
    """
    if threads:
        torch.set_num_threads(threads)
    try:
        place, folder = own_device(device), locate_checkpoint(checkpoint)
        base = read_checkpoint(folder)
        recipe = replace(recipe, train=replace(recipe.train, **evaluations.train_settings()))
        recipe = _suited(recipe, learning_rate, base, is_rendered=data.archive is not None)
        evaluations.require_kind(base.config)
        scores = folder_scores(evaluations, place, report=click.echo)
        peers = join_peers(place)
        say = click.echo if peers.is_main else _say_nothing
        own = _Place(run, cache or run / "cache", workers, peers, say)
        with _open(data, base, recipe.train, own) as clips:
            merged = continue_training(
                folder,
                run,
                recipe,
                clips,
                device=place,
                peers=peers,
                evaluate=scores,
                report=click.echo,
            )
    except (HenasyError, OSError) as error:
        raise click.ClickException(str(error)) from error
    say(f"wrote {merged}: henasy-index build VIDEOS --model {merged}")


def _suited(
    recipe: ContinuedRecipe, learning_rate: float | None, base: Checkpoint, *, is_rendered: bool
) -> ContinuedRecipe:
    """The recipe for rendered clips, changed as in henasy-tiny's last stage, or for real ones, left as they are."""
    rate = _ARCHIVE_LEARNING_RATE if is_rendered else _LEARNING_RATE
    train = replace(recipe.train, learning_rate=rate if learning_rate is None else learning_rate)
    if is_rendered:
        train = replace(train, recolour=0.3)
    if is_rendered and dual_config(base.config).vision.num_frames > 1:
        train = replace(train, backwards=0.5, undone_negatives=0.3)
    return replace(recipe, train=train, spares_same_action=is_rendered)


def _open(data: _Data, checkpoint: Checkpoint, config: TrainConfig, place: _Place) -> AbstractContextManager[Clips]:
    """The clips of a rendered archive's folder, or of EgoClip's."""
    workers, peers, say = place.workers, place.peers, place.say
    if data.archive is None:
        folders = data.egoclip(place.cache)
        return egoclip_clips(folders, place.run, checkpoint, config, num_workers=workers, peers=peers, report=say)
    return nullcontext(
        archive_clips(data.archive, place.cache, checkpoint, config, num_workers=workers, peers=peers, report=say)
    )


def _say_nothing(line: str) -> None:
    """What the other processes do with a line."""
