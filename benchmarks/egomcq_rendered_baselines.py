"""What of HENASY's answers needs looking, motion, entities: one table on held-out rendered questions, and its masks.

    python benchmarks/egomcq_rendered_baselines.py                             # archives of the cache, henasy-tiny
    python benchmarks/egomcq_rendered_baselines.py --archive DIR --train-archive DIR --model M --questions 2000

`text alone` knows the texts and when each choice lies in its video, but no pixel; a question's choices carry nothing
else without pixels. It and `colour histogram` are ridge maps to text embeddings, learnt on the training archive.
"""

import itertools
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from henasy.evaluation.egomcq import EgoMcq, load_egomcq
from henasy.evaluation.encoded import encoder_facts, progress_bar
from henasy.evaluation.intervals import Difference
from henasy.evaluation.mask_evidence import MaskEvidence, mask_evidence, mean_overlap
from henasy.evaluation.rendered import RenderedClip, read_rendered_clips, write_layouts
from henasy.evaluation.rendered_archives import TEST_ARCHIVE, TRAIN_ARCHIVE, cache_folder, cached_archive
from henasy.evaluation.rendered_baselines import MethodRow, RenderedArchive, compare, load_encoders, similarities
from henasy.evaluation.report import RENDERED_HEADING, reported_errors, write_json
from henasy.evaluation.source import SHIPPED_MODEL

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--model", default=SHIPPED_MODEL, show_default=True, help="A checkpoint of kind henasy.")
@click.option("--archive", type=_FOLDER, help="Held-out rendered archive instead of the cached one.")
@click.option("--train-archive", type=_FOLDER, help="Archive the baselines learn from instead of the cached one.")
@click.option("--questions", "num_questions", type=click.IntRange(min=1), help="At most so many; all by default.")
@click.option("--train-clips", "num_train_clips", type=click.IntRange(min=50), default=2000, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the numbers here, as fractions.")
def main(
    model: str,
    archive: Path | None,
    train_archive: Path | None,
    num_questions: int | None,
    num_train_clips: int,
    device: str,
    json_path: Path | None,
) -> None:
    """Compare HENASY with baselines that see less."""
    with reported_errors():
        encoders = load_encoders(model, device)
        archive = archive or cached_archive(TEST_ARCHIVE)
        train_archive = train_archive or cached_archive(TRAIN_ARCHIVE)
        clips = read_rendered_clips(archive)
        questions = _first(load_egomcq(write_layouts(archive, cache_folder()).egomcq), num_questions)
        train_clips = _whole_videos(read_rendered_clips(train_archive), num_train_clips)
        answers = {question.choices[question.answer] for question in questions.questions}
        asked = [clip for clip in clips if clip.span in answers]
        with progress_bar() as progress:
            total = len(questions.distinct_spans()[0]) + len(train_clips) + len(asked)
            task = progress.add_task("clips", total=total)

            def advance(count: int) -> None:
                progress.advance(task, count)

            held_out = RenderedArchive(folder=archive, clips=clips)
            train = RenderedArchive(folder=train_archive, clips=train_clips)
            by_method = similarities(encoders, questions, held_out, train, on_progress=advance)
            evidence = mask_evidence(encoders.henasy, archive, asked, on_progress=advance)
        rows = compare(questions, by_method)
        facts = encoder_facts(model, encoders.henasy, is_rendered=True) | {
            "archives": f"{archive}, baselines learn from {len(train_clips)} clips of {train_archive}",
            "questions": f"{(questions.types == 1).sum()} inter, {(questions.types == 2).sum()} intra",
            "intervals": "95 %, paired, bootstrap over whole videos, 10,000 resamples, seed 0",
        }
        _show(Console(), rows, evidence, facts)
        if json_path is not None:
            write_json(json_path, _numbers(rows, evidence), facts)


def _first(questions: EgoMcq, num_questions: int | None) -> EgoMcq:
    return EgoMcq(questions=questions.questions[:num_questions])


def _whole_videos(clips: list[RenderedClip], num_clips: int) -> list[RenderedClip]:
    """The clips of the first videos that together have so many."""
    chosen: list[RenderedClip] = []
    for _, of_video in itertools.groupby(clips, key=lambda clip: clip.span.video_id):
        if len(chosen) >= num_clips:
            break
        chosen += of_video
    return chosen


def _show(console: Console, rows: list[MethodRow], evidence: MaskEvidence, facts: dict[str, object]) -> None:
    console.print(RENDERED_HEADING, style="bold", soft_wrap=True)
    table = Table("method")
    for column in ("inter %", "HENASY better by", "intra %", "HENASY better by"):
        table.add_column(column, justify="right")
    for row in rows:
        inter, intra = f"{100 * row.inter:.1f}", f"{100 * row.intra:.1f}"
        table.add_row(row.method, inter, _interval(row.inter_gain), intra, _interval(row.intra_gain))
    console.print(table)
    masks = Table("mask IoU of the entity", "text-chosen", "best", "by lot", "grid's ceiling", "best chosen %", "clips")
    for name, things in (("that the noun meets", evidence.noun), ("that the hand's word meets", evidence.hand)):
        mean = mean_overlap(things)
        values = [f"{mean.get(key, float('nan')):.3f}" for key in ("text_chosen", "best", "random", "ceiling")]
        masks.add_row(name, *values, f"{100 * mean.get('is_best_chosen', float('nan')):.0f}", str(len(things)))
    console.print(masks)
    for name, value in {**facts, "not visible in the crop": f"{evidence.num_unseen} things"}.items():
        console.print(f"{name}: {value}", style="dim", highlight=False, markup=False, soft_wrap=True)


def _interval(gain: Difference | None) -> str:
    return "" if gain is None else f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def _numbers(rows: list[MethodRow], evidence: MaskEvidence) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for row in rows:
        numbers |= {f"{row.method}/inter": row.inter, f"{row.method}/intra": row.intra}
        for kind, gain in (("inter", row.inter_gain), ("intra", row.intra_gain)):
            if gain is not None:
                numbers |= {f"{row.method}/{kind} gain {name}": value for name, value in gain._asdict().items()}
    for thing, things in (("noun", evidence.noun), ("hand", evidence.hand)):
        numbers |= {f"masks/{thing}/{name}": value for name, value in mean_overlap(things).items()}
    return numbers


if __name__ == "__main__":
    main()
