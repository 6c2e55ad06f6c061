"""`henasy-train moments`: teaches a checkpoint where actions start and end, so that moments end exactly."""

from pathlib import Path

import click

from henasy.checkpoint.encoder import load_encoder
from henasy.errors import HenasyError, UnsupportedError
from henasy.evaluation.tasks.report import file_digest
from henasy.heads.moment_ends import EndsConfig
from henasy.heads.moment_ends_file import SPACE, require_place, save_ends_head
from henasy.heads.moment_ends_training import EndsTraining, plan_pieces, train_ends
from henasy.heads.moment_ends_videos import narrated_videos, require_narrations
from henasy.video.plan import ClipPlan

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("checkpoint", type=_FOLDER)
@click.argument("archives", type=_FOLDER, nargs=-1, required=True)
@click.option("--videos", "most", type=click.IntRange(min=1), help="At most so many of each archive; all.")
@click.option("--clip-s", default=ClipPlan.clip_s, show_default=True, help="Length of the index's clips.")
@click.option("--stride-s", default=ClipPlan.stride_s, show_default=True, help="From one clip's start to the next.")
@click.option("--device", default="cpu", show_default=True, help="Where clips are encoded: cpu, cuda, cuda:1.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the training.")
def moments(
    checkpoint: Path,
    archives: tuple[Path, ...],
    most: int | None,
    clip_s: float,
    stride_s: float,
    device: str,
    seed: int,
) -> None:
    """Trains the head for the ends of moments on ARCHIVES and writes it to CHECKPOINT/moment_ends.

    An archive is a folder with narrations.csv and videos/. Judge the head on other archives than these.
    """
    try:
        _train(checkpoint, archives, most, ClipPlan(clip_s=clip_s, stride_s=stride_s), device, seed)
    except HenasyError as error:
        raise click.ClickException(str(error)) from error


def _train(
    checkpoint: Path, archives: tuple[Path, ...], most: int | None, plan: ClipPlan, device: str, seed: int
) -> None:
    # Encoding takes minutes; what would waste them shows before.
    require_place(checkpoint)
    for archive in archives:
        require_narrations(archive, most)
    encoder = load_encoder(checkpoint, device=device)
    if not encoder.num_entities:
        raise UnsupportedError(f"{checkpoint}: a checkpoint of kind {encoder.kind} has no entities to read ends from")
    plan = ClipPlan(clip_s=plan.clip_s, stride_s=plan.stride_s, num_frames=encoder.num_frames)
    config = EndsConfig(
        num_frames=encoder.num_frames,
        grid=encoder.grid,
        num_entities=encoder.num_entities,
        clip_s=plan.clip_s,
        stride_s=plan.stride_s,
    )
    found = {archive: narrated_videos(encoder, archive, plan, most=most, report=click.echo) for archive in archives}
    videos = [video for of_archive in found.values() for video in of_archive]
    training = EndsTraining(seed=seed)
    network = train_ends(config, videos, training, click.echo)
    learnt = [videos[row] for row in plan_pieces(videos, training).rows]
    facts = {
        SPACE: encoder.space_id,
        "trained on": [
            f"{len(of_archive)} videos of {archive.name}, narrations sha256 {file_digest(archive / 'narrations.csv')}"
            for archive, of_archive in found.items()
        ],
        "num_actions": sum(len(video.spans) for video in learnt),
        "num_videos_left_out": len(videos) - len(learnt),
        "seed": seed,
    }
    click.echo(f"wrote {save_ends_head(checkpoint, config, network.state_dict(), facts)}")
