"""`henasy-train`: trains henasy-tiny from nothing on the rendered archive, and draws a run's log."""

from dataclasses import replace
from pathlib import Path

import click
import torch

from henasy.checkpoint.folder import save_checkpoint
from henasy.commands.train_egoclip import boxes, egoclip
from henasy.commands.train_egoncepp import egoncepp
from henasy.commands.train_evaluations import Evaluations, evaluation_options, folder_scores
from henasy.commands.train_merge import merge
from henasy.commands.train_moments import moments
from henasy.commands.train_phrases import phrases
from henasy.commands.train_swaps import swaps
from henasy.errors import HenasyError
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.training.distributed import join_peers, own_device
from henasy.training.log import plot_log
from henasy.training.recipe import (
    Prepared,
    Team,
    TinyRecipe,
    prepare,
    require_same_stages,
    tiny_checkpoint,
    train_dual,
    train_henasy,
    with_extras,
)
from henasy.training.validation import SCORES

# 40.002 s are the 320 frames of 40 s; henasy-tiny's archive says it so.
_TRAIN_ARCHIVE = ArchiveConfig(seed=1000, num_videos=840, video_s=40.002, width_px=228, height_px=128, fps=8)
_VALIDATION_ARCHIVE = replace(_TRAIN_ARCHIVE, seed=3000, num_videos=15, video_s=120.0, split="test")


@click.group()
@click.version_option(package_name="henasy", message="%(version)s")
def main() -> None:
    """Trains HENASY."""


@main.command()
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@click.option("--archives", type=click.Path(path_type=Path, file_okay=False), help="Where archives lie; RUN/archives.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:N, or auto.")
@click.option("--workers", default=2, show_default=True, help="Processes that render and decode.")
@click.option("--threads", default=0, show_default=True, help="CPU threads of the training itself; 0 takes all.")
@click.option("--tensorboard", "has_tensorboard", is_flag=True, help="Log for TensorBoard too.")
@click.option(
    "--plain-clips",
    "has_plain_clips",
    is_flag=True,
    help="Make the first stage of the ablations instead: its clips are taught by narrations alone, as LaViLa was. "
    "Things and images are shared with the other; writes RUN/checkpoint-plain and trains no entities.",
)
@evaluation_options
def tiny(
    run: Path,
    archives: Path | None,
    device: str,
    workers: int,
    threads: int,
    has_tensorboard: bool,
    has_plain_clips: bool,
    evaluations: Evaluations,
) -> None:
    """Trains henasy-tiny in RUN: renders, caches, trains four stages, writes checkpoint-dual and checkpoint-henasy.

    The same command goes on where it stopped. Started as one of several processes it shares each batch with them.
    """
    if threads:
        torch.set_num_threads(threads)
    try:
        place = own_device(device)
        scores = folder_scores(evaluations, place, own_scores=SCORES, report=click.echo)
        team = Team(join_peers(place), scores)
        extras = evaluations.train_settings()
        recipe = with_extras(TinyRecipe(has_plain_clips=has_plain_clips), has_tensorboard=has_tensorboard, **extras)
        _train_tiny(run, archives or run / "archives", place, workers=workers, recipe=recipe, team=team)
    except HenasyError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("picture", type=click.Path(path_type=Path, dir_okay=False))
def plot(run: Path, picture: Path) -> None:
    """Draws the log of one stage (RUN/things, RUN/images, RUN/clips, RUN/clips-plain, RUN/henasy) as a PNG."""
    log = run / "log.jsonl"
    if not log.exists():
        raise click.ClickException(f"{log}: no such log; give a stage's folder, e.g. RUN/henasy")
    plot_log(log, picture)


def _train_tiny(
    run: Path,
    archives: Path,
    device: torch.device,
    *,
    workers: int,
    recipe: TinyRecipe,
    team: Team,
) -> None:
    peers = team.peers
    peers.on_main(lambda: require_same_stages(run, recipe))
    say = click.echo if peers.is_main else _say_nothing

    def render_and_prepare() -> Prepared:
        for name, size in (("train", _TRAIN_ARCHIVE), ("val", _VALIDATION_ARCHIVE)):
            # An archive that is whole already is checked for its settings, nothing else.
            say(f"{archives / name}: {size.num_videos} videos")
            write_archive(size, archives / name, workers)
        return prepare(archives / "train", archives / "val", run, recipe, num_workers=workers)

    data = peers.main_first(render_and_prepare)
    say(f"{len(data.cache)} clips to train on, {len(data.validation)} to validate on")
    dual = train_dual(data, run, recipe, device=device, report=say, team=team)
    left = run / ("checkpoint-plain" if recipe.has_plain_clips else "checkpoint-dual")
    peers.on_main(lambda: save_checkpoint(left, tiny_checkpoint(dual, data, recipe)))
    if recipe.has_plain_clips:
        say(f"wrote {left}")
        return
    model = train_henasy(data, dual, run, recipe, device=device, report=say, team=team)
    trained = tiny_checkpoint(model, data, recipe)
    peers.on_main(lambda: save_checkpoint(run / "checkpoint-henasy", trained, dtype=torch.float16))
    say(f"wrote {run / 'checkpoint-dual'} and {run / 'checkpoint-henasy'}")


def _say_nothing(line: str) -> None:
    pass


main.add_command(egoclip)
main.add_command(boxes)
main.add_command(egoncepp)
main.add_command(merge)
main.add_command(phrases)
main.add_command(swaps)
main.add_command(moments)


if __name__ == "__main__":
    main()
