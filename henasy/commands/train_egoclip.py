"""`henasy-train egoclip` and `henasy-train boxes`: the paper's training on Ego4D, and the boxes it is given."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from henasy.commands.option_groups import grouped, parts_of_a_step
from henasy.commands.train_evaluations import Evaluations, evaluation_options, folder_scores
from henasy.errors import HenasyError
from henasy.training.config import PRECISIONS, TrainConfig
from henasy.training.distributed import join_peers, own_device
from henasy.training.egoclip.boxes import convert_boxes
from henasy.training.egoclip.config import MOMENTS, EgoClipFiles, EgoClipRecipe
from henasy.training.egoclip.run import PRESETS, EgoClipRun, train_egoclip
from henasy.video.views import CROPS

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_NEW = click.Path(path_type=Path, file_okay=False)


def _training(*, num_steps: int | None, **settings: Any) -> TrainConfig:
    """The paper's fixed learning rate; the epochs end a run without `num_steps`."""
    end = num_steps or 10**9
    return TrainConfig(num_steps=end, min_learning_rate_ratio=1.0, beta2=0.999, evaluate_every=0, **settings)


_files = grouped(
    "files",
    EgoClipFiles,
    click.option("--annotations", type=_FILE, required=True, help="egoclip.csv."),
    click.option(
        "--videos", type=_FOLDER, required=True, help="Whole files, <uid>.mp4/<second>.mp4 or <uid>/<number>.mp4."
    ),
    click.option("--taxonomy", type=_FOLDER, required=True, help="Folder of narration_{noun,verb}_taxonomy.csv."),
    click.option("--boxes", type=_FILE, help="Parquet of `henasy-train boxes`; none trains without boxes."),
    click.option(
        "--phrases", type=_FILE, help="Parquet of `henasy-train phrases`; none takes the taxonomy's verb and object."
    ),
)
_recipe = grouped(
    "recipe",
    EgoClipRecipe,
    click.option("--epochs", "num_epochs", default=5.0, show_default=True, help="Times that every clip is an anchor."),
    click.option("--crop", type=click.Choice(CROPS), default="random", show_default=True),
    click.option("--moments", type=click.Choice(MOMENTS), default="random", show_default=True),
    click.option("--segment", "segment_s", default=60.0, show_default=True, help="Seconds that hold a hard negative."),
    click.option(
        "--numbered-chunk", "numbered_chunk_s", default=600, show_default=True, help="Seconds of <uid>/<number>.mp4."
    ),
    click.option("--hand-word", help="Names boxes of hands by this word of the taxonomy; the paper's have no names."),
    click.option("--box-weight", default=0.0, show_default=True, help="Of named boxes in the matching with nouns."),
    click.option(
        "--max-missing-share", default=0.01, show_default=True, help="Share of clips that may lack a file or a span."
    ),
    click.option("--max-refused-share", default=0.01, show_default=True, help="Share of clips that may not decode."),
)
_train = grouped(
    "train",
    _training,
    click.option("--steps", "num_steps", type=click.IntRange(min=1), help="At most so many steps, to try things out."),
    click.option("--batch-size", default=128, show_default=True, help="Anchors per step of all processes."),
    *parts_of_a_step,
    click.option("--recompute", "is_recomputing", is_flag=True, help="Activation checkpointing."),
    click.option("--compile", "is_compiled", is_flag=True, help="torch.compile."),
    click.option("--precision", type=click.Choice(PRECISIONS), default="float32", show_default=True),
    click.option("--learning-rate", default=3e-5, show_default=True, help="Fixed."),
    click.option("--weight-decay", default=0.01, show_default=True),
    click.option("--seed", default=0, show_default=True),
    click.option("--ahead", "num_prefetched", default=2, show_default=True, help="Steps that are decoded ahead."),
    click.option("--log-every", default=10, show_default=True, help="Steps."),
    click.option("--checkpoint-every", default=1000, show_default=True, help="Steps."),
    click.option("--keep", "num_kept", default=2, show_default=True, help="Newest checkpoints to keep."),
    click.option("--tensorboard", "has_tensorboard", is_flag=True, help="Log for TensorBoard too."),
)


@click.command("egoclip")
@_files
@click.option("--model", type=_FOLDER, required=True, help="Dual encoder, from `henasy-model import-lavila`.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="base", show_default=True, help="Sizes.")
@click.option("--out", type=_NEW, required=True, help="The run's folder; the same command goes on there.")
@click.option("--cache", type=_NEW, help="Memory-mapped copies of the annotations; OUT/cache.")
@_recipe
@_train
@click.option("--workers", default=8, show_default=True, help="Decoding processes of each training process.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:N, or auto.")
@evaluation_options
def egoclip(
    files: EgoClipFiles,
    model: Path,
    preset: str,
    out: Path,
    cache: Path | None,
    recipe: EgoClipRecipe,
    train: TrainConfig,
    workers: int,
    device: str,
    evaluations: Evaluations,
) -> None:
    """Trains HENASY on EgoClip around the encoders of MODEL; the defaults are the paper's.

    The same command goes on where it stopped. Started by torchrun, its processes share each batch.
    """
    try:
        run = EgoClipRun(
            files=files,
            recipe=recipe,
            train=replace(train, **evaluations.train_settings()),
            model=model,
            preset=preset,
            out=out,
            cache=cache or out / "cache",
            num_workers=workers,
        )
        place = own_device(device)
        scores = folder_scores(evaluations, place, report=click.echo)
        peers = join_peers(place)
        folder = train_egoclip(run, device=place, peers=peers, evaluate=scores, report=click.echo)
    except HenasyError as error:
        raise click.ClickException(str(error)) from error
    if peers.is_main:
        click.echo(f"wrote {folder}")


@click.command("boxes")
@click.argument("folder", type=_FOLDER)
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--workers", default=4, show_default=True, help="Processes that read.")
def boxes(folder: Path, out: Path, workers: int) -> None:
    """Turns HelpingHands' FOLDER of <video_uid>/<chunk>.handobj.pkl into the Parquet file OUT.

    Nothing that the pickles name is run: anything but dicts, lists, numbers and arrays of numbers is refused.
    """
    try:
        done = convert_boxes(folder, out, num_workers=workers, report=click.echo)
    except HenasyError as error:
        raise click.ClickException(str(error)) from error
    for reason in done.refused:
        click.echo(f"left out: {reason}", err=True)
    click.echo(f"{out}: {done.num_clips:,} clips of {done.num_files:,} files, {len(done.refused)} files left out")
