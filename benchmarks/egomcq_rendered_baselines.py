"""What of HENASY's answers needs colour, looking, motion, entities: questions, words and masks of a held-out archive.

    python benchmarks/egomcq_rendered_baselines.py                             # archives of the cache, henasy-tiny
    python benchmarks/egomcq_rendered_baselines.py --archive DIR --train-archive DIR --model M --questions 2000

The distractors of a question are alike: between videos they share verb and colour with the answer, within a video the
object and the look of the middle frame. `--distractors any` takes clips of any other action. `text alone` knows the
texts and when each choice lies in its video, but no pixel; a question's choices carry nothing else without pixels. It
and `colour histogram` are ridge maps to text embeddings, learnt on the training archive; combinations that this archive
never shows count as held out. `--stages` asks HENASY and its first stage alone, in a quarter of the time: for a lead
over the first stage on a large archive.
"""

import itertools
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from henasy.checkpoint.shipped import SHIPPED
from henasy.evaluation.annotations.egomcq import EgoMcq, load_egomcq
from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.evaluation.encoding.embed import embed_texts
from henasy.evaluation.encoding.encoded import encoder_facts, progress_bar
from henasy.evaluation.metrics.intervals import Difference
from henasy.evaluation.rendered.archives import TEST_ARCHIVE, TRAIN_ARCHIVE, cached_archive
from henasy.evaluation.rendered.baselines import (
    Encoders,
    MethodRow,
    MethodVectors,
    RenderedArchive,
    compare,
    describe_methods,
    describe_stages,
    load_encoders,
    similarities,
)
from henasy.evaluation.rendered.layouts import RenderedClip, read_rendered_clips, write_layouts
from henasy.evaluation.rendered.mask_evidence import MaskEvidence, mask_evidence, mean_overlap
from henasy.evaluation.rendered.questions import NUM_QUESTIONS, QuestionSet, archive_questions
from henasy.evaluation.rendered.words import (
    MEASURES,
    OBJECT,
    WordScore,
    held_out_clips,
    word_scores,
)
from henasy.evaluation.tasks.report import RENDERED_HEADING, reported_errors, write_json
from henasy.scenes.archive import read_config
from henasy.training.clip_cache import read_taxonomy_labels

_FOLDER = click.Path(path_type=Path, file_okay=False)
ALIKE, ANY = "alike", "any"
WordScores = Mapping[str, Mapping[str, WordScore]]


@click.command()
@click.option("--model", default=SHIPPED, show_default=True, help="A checkpoint of kind henasy.")
@click.option("--archive", type=_FOLDER, help="Held-out rendered archive instead of the cached one.")
@click.option("--train-archive", type=_FOLDER, help="Archive the baselines learn from instead of the cached one.")
@click.option("--questions", "num_questions", type=click.IntRange(min=2), default=NUM_QUESTIONS, show_default=True)
@click.option("--distractors", type=click.Choice((ALIKE, ANY)), default=ALIKE, show_default=True)
@click.option("--train-clips", "num_train_clips", type=click.IntRange(min=50), default=2000, show_default=True)
@click.option("--stages", "is_stages", is_flag=True, help="HENASY and its first stage alone: no baselines, no masks.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the numbers here, as fractions.")
def main(
    model: str,
    archive: Path | None,
    train_archive: Path | None,
    num_questions: int,
    distractors: str,
    num_train_clips: int,
    is_stages: bool,
    device: str,
    json_path: Path | None,
) -> None:
    """Compare HENASY with baselines that see less."""
    with reported_errors():
        encoders = load_encoders(model, device)
        for given in (archive, train_archive):
            if given is not None:
                read_config(given)  # a folder that is no archive is refused before the other one is rendered
        archive = archive or cached_archive(TEST_ARCHIVE)
        train_archive = train_archive or cached_archive(TRAIN_ARCHIVE)
        clips, all_train = read_rendered_clips(archive), read_rendered_clips(train_archive)
        asked = _questions(archive, distractors, num_questions)
        train_clips = _whole_videos(all_train, num_train_clips)
        held_out = RenderedArchive(folder=archive, clips=clips)
        train = RenderedArchive(folder=train_archive, clips=[] if is_stages else train_clips)
        methods, evidence = _described_clips(encoders, held_out, train)
        embed, is_held_out = partial(embed_texts, encoders.henasy), held_out_clips(clips, all_train)
        rows = compare(asked.questions, similarities(methods, asked.questions, clips, embed(asked.questions.texts)))
        words = word_scores(methods, embed, clips, nouns=read_taxonomy_labels(archive, "noun"), is_held_out=is_held_out)
        types = asked.questions.types
        facts = encoder_facts(model, encoders.henasy, is_rendered=True) | {
            "archive": _described(archive),
            **_training_facts(train),
            "questions": f"{(types == 1).sum()} inter, {(types == 2).sum()} intra; distractors: {distractors}",
            "held-out combinations": f"{is_held_out.sum()} of {len(clips)} clips: noun with verb, or noun with colour, "
            "that no narration of the training archive has",
            "intervals": "95 %, paired, bootstrap over whole videos, 10,000 resamples, seed 0",
        }
        if asked.shortfall is not None:
            facts["fewer questions"] = asked.shortfall
        _show(Console(), rows, words, evidence, facts)
        if json_path is not None:
            write_json(json_path, _numbers(rows, words, evidence), facts)


def _described_clips(
    encoders: Encoders, held_out: RenderedArchive, train: RenderedArchive
) -> tuple[dict[str, MethodVectors], MaskEvidence | None]:
    """The clips by every method, and masks; by HENASY and its first stage alone where `train` has no clips."""
    num_clips = len(held_out.clips)
    with progress_bar() as progress:
        task = progress.add_task("clips", total=2 * num_clips + len(train.clips) if train.clips else num_clips)

        def advance(count: int) -> None:
            progress.advance(task, count)

        if not train.clips:
            return describe_stages(encoders, held_out, on_progress=advance), None
        methods = describe_methods(encoders, held_out, train, on_progress=advance)
        return methods, mask_evidence(encoders.henasy, held_out.folder, held_out.clips, on_progress=advance)


def _questions(archive: Path, distractors: str, num_questions: int) -> QuestionSet:
    if distractors == ALIKE:
        return archive_questions(archive, num_questions)
    everything = load_egomcq(write_layouts(archive, cache_folder()).egomcq).questions
    return QuestionSet(
        questions=EgoMcq(questions=everything[:num_questions]), num_asked=len(everything[:num_questions])
    )


def _training_facts(train: RenderedArchive) -> dict[str, object]:
    made = _described(train.folder)
    if not train.clips:
        return {"training archive": made}
    return {"baselines learn from": f"{len(train.clips)} clips of the training archive: {made}"}


def _described(archive: Path) -> str:
    """What `henasy-archive render` needs to make it again."""
    made = read_config(archive)
    size = f"{made.width_px}x{made.height_px}"
    return f"seed {made.seed}, {made.num_videos} {made.split} videos of {made.video_s:g} s, {size}, {made.fps} frames/s"


def _whole_videos(clips: list[RenderedClip], num_clips: int) -> list[RenderedClip]:
    """The clips of the first videos that together have so many."""
    chosen: list[RenderedClip] = []
    for _, of_video in itertools.groupby(clips, key=lambda clip: clip.span.video_id):
        if len(chosen) >= num_clips:
            break
        chosen += of_video
    return chosen


def _show(
    console: Console, rows: list[MethodRow], words: WordScores, evidence: MaskEvidence | None, facts: dict[str, object]
) -> None:
    console.print(RENDERED_HEADING, style="bold", soft_wrap=True)
    console.print(_question_table(rows))
    console.print(_word_table(words))
    if evidence is not None:
        console.print(_mask_table(evidence))
        facts = {**facts, "not visible in the crop": f"{evidence.num_unseen} things"}
    for name, value in facts.items():
        console.print(f"{name}: {value}", style="dim", highlight=False, markup=False, soft_wrap=True)


def _question_table(rows: list[MethodRow]) -> Table:
    table = Table("method")
    for column in ("inter %", "HENASY better by", "intra %", "HENASY better by"):
        table.add_column(column, justify="right")
    for row in rows:
        inter, intra = f"{100 * row.inter:.1f}", f"{100 * row.intra:.1f}"
        table.add_row(row.method, inter, _interval(row.inter_gain), intra, _interval(row.intra_gain))
    return table


def _word_table(words: WordScores) -> Table:
    shown = [measure for measure in MEASURES if measure != OBJECT]
    table = Table("method", f"{OBJECT} %")
    for measure in shown:
        table.add_column(f"{measure} %", justify="right")
        table.add_column("HENASY better by", justify="right")
    for method, scores in words.items():
        cells = [f"{100 * scores[OBJECT].accuracy:.1f}"]
        for measure in shown:
            cells += [f"{100 * scores[measure].accuracy:.1f}", _interval(scores[measure].gain)]
        table.add_row(method, *cells)
    return table


def _mask_table(evidence: MaskEvidence) -> Table:
    masks = Table(
        "mask IoU of the entity",
        "text-chosen",
        "best",
        "chosen / best %",
        "by lot",
        "grid's ceiling",
        "best chosen %",
        "clips",
    )
    for name, things in (("that the noun meets", evidence.noun), ("that the hand's word meets", evidence.hand)):
        mean = mean_overlap(things)
        values = [f"{mean.get(key, float('nan')):.3f}" for key in ("text_chosen", "best", "random", "ceiling")]
        values.insert(2, f"{100 * mean['text_chosen'] / mean['best']:.0f}" if mean.get("best") else "-")
        masks.add_row(name, *values, f"{100 * mean.get('is_best_chosen', float('nan')):.0f}", str(len(things)))
    return masks


def _interval(gain: Difference | None) -> str:
    return "" if gain is None else f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def _numbers(rows: list[MethodRow], words: WordScores, evidence: MaskEvidence | None) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for row in rows:
        numbers |= {f"{row.method}/inter": row.inter, f"{row.method}/intra": row.intra}
        for kind, gain in (("inter", row.inter_gain), ("intra", row.intra_gain)):
            if gain is not None:
                numbers |= {f"{row.method}/{kind} gain {name}": value for name, value in gain._asdict().items()}
    for method, scores in words.items():
        for measure, score in scores.items():
            numbers[f"{method}/{measure}"] = score.accuracy
            if score.gain is not None:
                numbers |= {f"{method}/{measure} gain {name}": value for name, value in score.gain._asdict().items()}
    masks = {} if evidence is None else {"noun": evidence.noun, "hand": evidence.hand}
    for thing, things in masks.items():
        numbers |= {f"masks/{thing}/{name}": value for name, value in mean_overlap(things).items()}
    return numbers


if __name__ == "__main__":
    main()
