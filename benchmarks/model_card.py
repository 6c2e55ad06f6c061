"""Writes a checkpoint's model card from measured numbers.

python benchmarks/egomcq_rendered_baselines.py --model DIR --json baselines.json
python benchmarks/ek100_mir.py --model DIR --json mir.json
python benchmarks/egomcq_rendered_baselines.py --model DIR --stages --archive LARGER --json stages.json
python benchmarks/model_card.py DIR --baselines baselines.json --mir mir.json --stages stages.json
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from henasy.checkpoint.folder import CARD, MOMENT_ENDS, Checkpoint, read_checkpoint
from henasy.errors import AnnotationError
from henasy.evaluation.rendered.baselines import (
    CHANCE,
    DECODER_ALONE,
    FIRST_STAGE,
    HISTOGRAM,
    ONE_FRAME,
    OURS,
    SHUFFLED,
    TEXT_ALONE,
)
from henasy.evaluation.rendered.words import MEASURES
from henasy.evaluation.tasks.report import reported_errors, write_text
from henasy.heads.files import has_head, read_head
from henasy.heads.moment_ends_file import KIND
from henasy.training.config import FREE

SHORTCUT_BAR = 0.35
METHODS = (CHANCE, TEXT_ALONE, HISTOGRAM, ONE_FRAME, SHUFFLED, FIRST_STAGE, DECODER_ALONE, OURS)
Numbers = Mapping[str, Any]

INTRODUCTION = """---
library_name: henasy
license: apache-2.0
tags: [video-retrieval, egocentric-video]
---

# {name}

A small HENASY model for **rendered kitchen scenes only**. It makes every henasy command work on a fresh
machine and lets tests judge results; it does not understand real footage, and a build on real footage with it warns.

{summary}
{parameters:.2f} M parameters, {image_px} px, patches of {patch_px} px, {num_frames} frames, {num_entities} entities.
"""
USE = """
    henasy-archive render ARCHIVE --seed 1 --videos 6
    henasy-index build ARCHIVE/videos --index INDEX --model {name}
    henasy-search "stirs the jug with a spoon" --index INDEX --explain
"""
MEANING: Mapping[str, str] = {
    TEXT_ALONE: "guesses what is said from how long a clip is and where in its video; learnt on training clips",
    HISTOGRAM: "the same from the colours of its frames",
    ONE_FRAME: "HENASY, the middle frame in place of all",
    SHUFFLED: "HENASY, each clip's frames in another order",
    FIRST_STAGE: "the dual encoder that HENASY stands on",
    DECODER_ALONE: "HENASY without the first stage's share of a clip's embedding",
}
MEAN = "A clip's embedding is the mean of two directions: {decoder:.0%} the decoder's, {whole:.0%} the first stage's.\n"


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--baselines", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--mir", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--stages", type=click.Path(path_type=Path, exists=True), help="The lead over the first stage alone.")
def main(checkpoint: Path, baselines: Path, mir: Path, stages: Path | None) -> None:
    """Write CHECKPOINT/README.md from the JSON that the benchmarks wrote."""
    with reported_errors():
        lead = None if stages is None else _read(stages)
        card = model_card(read_checkpoint(checkpoint), checkpoint.name, _read(baselines), _read(mir), lead)
        write_text(checkpoint / CARD, card + moment_ends(checkpoint / MOMENT_ENDS))


def model_card(
    checkpoint: Checkpoint, name: str, baselines: Numbers, mir: Numbers, stages: Numbers | None = None
) -> str:
    """The card's text.

    Args:
        checkpoint: what it is of.
        name: of the checkpoint.
        baselines: what every method reaches.
        mir: retrieval.
        stages: HENASY and its first stage on a larger archive.

    Raises:
        AnnotationError: a number is missing.
    """
    vision = checkpoint.config.dual.vision if hasattr(checkpoint.config, "dual") else checkpoint.config.vision
    share = getattr(checkpoint.config, "global_share", 0.0)
    introduction = INTRODUCTION.format(
        name=name,
        summary=checkpoint.training.summary,
        parameters=sum(p.numel() for p in checkpoint.model.parameters()) / 1e6,
        image_px=vision.image_px,
        patch_px=vision.patch_px,
        num_frames=vision.num_frames,
        num_entities=checkpoint.config.local.num_entities if hasattr(checkpoint.config, "local") else 0,
    )
    if share:
        introduction += MEAN.format(decoder=1 - share, whole=share)
    introduction += USE.format(name=name)
    methods = [method for method in METHODS if share or method != DECODER_ALONE]
    parts = [
        introduction,
        _questions(baselines, methods),
        _words(baselines, methods),
        *([] if stages is None else [_lead(stages)]),
        _masks(baselines),
        _retrieval(mir),
    ]
    parts.append(_training(checkpoint))
    return "\n".join(parts)


def moment_ends(folder: Path) -> str:
    """The card's section on the head for the ends of moments; nothing where there is none.

    Raises:
        CheckpointError: the head is damaged.
    """
    if not has_head(folder):
        return ""
    head = read_head(folder, KIND)
    config, archives = head.config, head.facts["trained on"]
    lines = [
        "",
        "## Ends of moments",
        "",
        f"`{folder.name}/` says where moments start and end; made by `henasy-train moments` for clips of "
        f"{config['clip_s']:g} s every {config['stride_s']:g} s. Trained on:",
        "",
        *(f"- {archive}" for archive in archives),
    ]
    return "\n".join([*lines, ""])


def _questions(numbers: Numbers, methods: Sequence[str]) -> str:
    lines = [
        "## Held-out questions in EgoMCQ form",
        "",
        "Seeds, and combinations of noun with verb and with colour, that training never saw. One text, five clips;",
        "`inter`: of different videos, alike in colour and verb; `intra`: of the same video, and of the same object.",
        "Intervals: 95 %, paired, bootstrap over videos.",
        "",
        *(f"- {method}: {meaning}" for method, meaning in MEANING.items() if method in methods),
        "",
        "| method | inter % | HENASY better by | intra % | HENASY better by |",
        "|---|---|---|---|---|",
    ]
    for method in methods:
        cells = [f"{100 * _get(numbers, f'{method}/{kind}'):.1f}" for kind in ("inter", "intra")]
        gains = [_gain(numbers, method, kind) for kind in ("inter", "intra")]
        lines.append(f"| {method} | {cells[0]} | {gains[0]} | {cells[1]} | {gains[1]} |")
    return "\n".join([*lines, "", *_shortcuts(numbers), *_undecided(numbers, methods), *_facts(numbers)])


def _shortcuts(numbers: Numbers) -> list[str]:
    """A sentence that names what sees less and still answers more than the questions were to let it."""
    found = []
    for method in (TEXT_ALONE, HISTOGRAM, ONE_FRAME, SHUFFLED):
        shares = {kind: _get(numbers, f"{method}/{kind}") for kind in ("inter", "intra")}
        if max(shares.values()) > SHORTCUT_BAR:
            found.append(f"{method} ({', '.join(f'{kind} {100 * share:.1f}' for kind, share in shares.items())})")
    bar = f"Above the {SHORTCUT_BAR:.0%} that the questions were to leave what sees less"
    return [f"{bar}: {'; '.join(found)}.", ""] if found else []


def _undecided(numbers: Numbers, methods: Sequence[str]) -> list[str]:
    """A sentence that names every comparison whose interval does not lie above zero."""
    rows = [(method, kind) for method in methods if method != OURS for kind in ("inter", "intra")]
    open_rows = [f"{m} ({k})" for m, k in rows if _get(numbers, f"{m}/{k} gain low") <= 0]
    return [f"Not shown to be better than: {', '.join(open_rows)}.", ""] if open_rows else []


def _gain(numbers: Numbers, method: str, kind: str) -> str:
    if method == OURS:
        return ""
    mean, low, high = (100 * _get(numbers, f"{method}/{kind} gain {part}") for part in ("mean", "low", "high"))
    return f"{mean:+.1f} [{_end(low)}, {_end(high)}]"


def _end(value: float) -> str:
    """An end of an interval, so fine that its side of zero is seen."""
    return f"{value:+.1f}" if abs(value) >= 0.05 else f"{value:+.2f}"


def _words(numbers: Numbers, methods: Sequence[str]) -> str:
    lines = [
        "## Names and swapped words",
        "",
        "Top-1 of the handled object's noun among all nouns; the true narration among ten more with its verb, or noun,",
        "swapped. In percent, with HENASY's lead as above.",
        "",
        f"| method | {' | '.join(MEASURES)} |",
        f"|---|{'---|' * len(MEASURES)}",
    ]
    for method in methods[1:]:
        cells = [
            f"{100 * _get(numbers, f'{method}/{measure}'):.1f} {_gain(numbers, method, measure)}".rstrip()
            for measure in MEASURES
        ]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _lead(numbers: Numbers) -> str:
    measures = ("inter", "intra", *MEASURES)
    rows = [(FIRST_STAGE, [f"{100 * _get(numbers, f'{FIRST_STAGE}/{measure}'):.1f}" for measure in measures])]
    ours = [f"{100 * _get(numbers, f'{OURS}/{measure}'):.1f}" for measure in measures]
    gains = [_gain(numbers, FIRST_STAGE, measure) for measure in measures]
    rows.append((OURS, [f"{value} {gain}" for value, gain in zip(ours, gains, strict=True)]))
    open_measures = [measure for measure in measures if _get(numbers, f"{FIRST_STAGE}/{measure} gain low") <= 0]
    lines = [
        "## The lead over the first stage, on more videos",
        "",
        "The same kinds of questions, asked of a larger archive of another seed; in percent, with HENASY's lead.",
        "",
        f"| method | {' | '.join(measures)} |",
        f"|---|{'---|' * len(measures)}",
        *(f"| {method} | {' | '.join(cells)} |" for method, cells in rows),
        "",
        *([f"Not shown to be better in: {'; '.join(open_measures)}.", ""] if open_measures else []),
    ]
    return "\n".join([*lines, *_facts(numbers)])


def _masks(numbers: Numbers) -> str:
    lines = [
        "## Masks",
        "",
        "IoU with the full-resolution mask of the thing, pooled over a clip's frames: of the entity whose embedding is",
        "nearest to the thing's word, of the best of the clip's entities, and of any one. The ceiling is what the best",
        "choice of whole patches would reach.",
        "",
        "| thing | entity that its word meets | best entity | entity by lot | ceiling of the patch grid |",
        "|---|---|---|---|---|",
    ]
    for thing, title in (("noun", "handled object"), ("hand", "acting hand")):
        columns = ("text_chosen", "best", "random", "ceiling")
        values = " | ".join(f"{_get(numbers, f'masks/{thing}/{name}'):.3f}" for name in columns)
        lines.append(f"| {title} | {values} |")
    return "\n".join([*lines, ""])


def _retrieval(numbers: Numbers) -> str:
    keys = ("mAP_v2t", "mAP_t2v", "mAP_avg", "nDCG_v2t", "nDCG_t2v", "nDCG_avg")
    values = " | ".join(f"{100 * _get(numbers, key):.1f}" for key in keys)
    head = [
        "## EK100-MIR's metrics on rendered scenes",
        "",
        "Asked of another test archive than the questions above; not comparable with the papers.",
        "",
    ]
    return "\n".join(
        [*head, f"| {' | '.join(keys)} |", "|---|---|---|---|---|---|", f"| {values} |", "", *_facts(numbers)]
    )


def _training(checkpoint: Checkpoint) -> str:
    details = checkpoint.training.details
    stages = [stage for stage, settings in details.items() if "num_steps" in settings]
    lines = [
        "## Training",
        "",
        "`henasy-train tiny RUN`, from nothing, on two CPU cores. What the stages are: docs/training.md.",
        "",
        f"| setting | {' | '.join(stages)} |",
        f"|---|{'---|' * len(stages)}",
    ]
    for name in dict.fromkeys(name for stage in stages for name in details[stage] if name not in FREE):
        cells = [str(details[stage].get(name, "")) for stage in stages]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append("")
    for group in (group for group in details if group not in stages):
        lines.append(f"- {group}: " + ", ".join(f"{name} {value}" for name, value in details[group].items()))
    return "\n".join([*lines, ""])


def _facts(numbers: Numbers) -> list[str]:
    return [f"- {name}: {value}" for name, value in numbers.get("facts", {}).items()] + [""]


def _get(numbers: Numbers, key: str) -> float:
    value = numbers.get(key)
    if not isinstance(value, int | float):
        raise AnnotationError(f"the results have no number {key!r}; run the benchmark that writes it again")
    return float(value)


def _read(path: Path) -> Numbers:
    try:
        numbers: Numbers = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise AnnotationError(f"{path} is not JSON: {error}") from error
    return numbers


if __name__ == "__main__":
    main()
