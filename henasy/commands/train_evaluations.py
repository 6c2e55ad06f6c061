"""Benchmarks as evaluation during training: on the checkpoint folder of a step, as a user would run them on it.

What can be known to be wrong is refused before the first step. What goes wrong later is told, and training goes on: a
day of it is worth more than one score.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from henasy.commands.option_groups import grouped
from henasy.errors import ConfigError
from henasy.evaluation.annotations.mask_annotations import load_masks
from henasy.evaluation.encoding.encoded import available_videos
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.encoding.source import SourceOptions
from henasy.evaluation.tasks import grounding_run
from henasy.evaluation.tasks.annotated_overlaps import clip_around
from henasy.evaluation.tasks.benchmark import Benchmark, run_benchmark
from henasy.evaluation.tasks.egohoi_run import EGOHOI
from henasy.evaluation.tasks.egomcq_run import EGOMCQ
from henasy.evaluation.tasks.egtea_run import EGTEA
from henasy.evaluation.tasks.ek100_cls_run import EK100_CLS
from henasy.evaluation.tasks.ek100_mir_run import EK100_MIR
from henasy.model.config import HenasyConfig, ModelConfig
from henasy.training.checkpoints import FolderScores

Report = Callable[[str], None]


class Asking(NamedTuple):
    """How a training asks a benchmark."""

    rendered_scores: tuple[str, ...]
    """What it may give on rendered scenes."""
    annotated_scores: tuple[str, ...]
    """What it may give on annotated videos."""
    spans: Callable[[Path], Sequence[Span]]
    """What its annotations cut from their videos."""
    score: Callable[[SourceOptions], Mapping[str, float]]
    needs_entities: bool = False


def _answers(benchmark: Benchmark) -> Asking:
    return Asking(
        benchmark.scores, benchmark.scores, benchmark.spans, lambda options: run_benchmark(benchmark, options).scores
    )


_GROUNDED = {"noun, object": "object", "noun, hand": "hand", "noun": "noun", "verb phrase": "verb_phrase"}
"""Short names of what is grounded."""


def _grounding_scores(options: SourceOptions) -> dict[str, float]:
    """Mean IoU of the masks that texts choose."""
    return {_GROUNDED[kind]: score.text_chosen.mean for kind, score in grounding_run.run(options).rows.items()}


BENCHMARKS: Mapping[str, Asking] = {
    "egomcq": _answers(EGOMCQ),
    "egohoibench": _answers(EGOHOI),
    "ek100_mir": _answers(EK100_MIR),
    "ek100_cls": _answers(EK100_CLS),
    "egtea": _answers(EGTEA),
    "grounding": Asking(
        ("object", "hand", "verb_phrase"),
        ("noun", "verb_phrase"),
        lambda annotations: [clip_around(mask) for mask in load_masks(annotations)],
        _grounding_scores,
        needs_entities=True,
    ),
}


class Asked(NamedTuple):
    """A benchmark and its files."""

    name: str
    annotations: Path | None
    """With `videos`; None for rendered scenes."""
    videos: Path | None

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of what it may give."""
        benchmark = BENCHMARKS[self.name]
        return benchmark.rendered_scores if self.annotations is None else benchmark.annotated_scores


@dataclass(frozen=True, kw_only=True)
class Evaluations:
    """What is asked for of benchmarks during training, as the user gave it."""

    evaluate: tuple[str, ...]
    """Each NAME or NAME=ANNOTATIONS,VIDEOS."""
    evaluate_every: int | None
    """Steps between two evaluations; None for the training's own."""
    best: str
    """The score by which the best checkpoint is kept too; empty for none."""
    is_allowing_missing: bool
    """Whether clips without a readable video may be left out, and questions that name them."""

    def train_settings(self) -> dict[str, Any]:
        """What they say of a `TrainConfig`."""
        every = {} if self.evaluate_every is None else {"evaluate_every": self.evaluate_every}
        return {"best_metric": self.best, **every}

    def require_kind(self, config: ModelConfig) -> None:
        """Passes when checkpoints of this kind can be asked.

        Raises:
            ConfigError: a benchmark asks for entities, and there are none.
        """
        asked = [parse_asked(text).name for text in self.evaluate]
        lacking = [name for name in asked if BENCHMARKS[name].needs_entities and config.kind != HenasyConfig.kind]
        if lacking:
            raise ConfigError(
                f"--evaluate {', '.join(lacking)}: needs entities, which a model of kind {config.kind} lacks"
            )


evaluation_options = grouped(
    "evaluations",
    Evaluations,
    click.option(
        "--evaluate",
        multiple=True,
        metavar="NAME[=ANNOTATIONS,VIDEOS]",
        help=f"Benchmark to run on the checkpoint now and then: {', '.join(BENCHMARKS)}. Without files, on rendered "
        "scenes. May be given again. Grounding needs entities: it has no scores in stages before them.",
    ),
    click.option("--every", "evaluate_every", type=click.IntRange(0), help="Steps between two evaluations."),
    click.option("--best", default="", help="Keep the best checkpoint by this score too, e.g. egomcq_inter."),
    click.option(
        "--allow-missing", "is_allowing_missing", is_flag=True, help="Evaluate on the clips that there are videos for."
    ),
)
"""Adds the options that ask for benchmarks during training, as the argument `evaluations`."""


def parse_asked(text: str) -> Asked:
    """NAME, or NAME=ANNOTATIONS,VIDEOS.

    Raises:
        ConfigError: there is no such benchmark, or not two paths.
    """
    name, has_files, files = text.partition("=")
    if name not in BENCHMARKS:
        raise ConfigError(f"--evaluate {text}: no benchmark {name!r}; allowed: {', '.join(BENCHMARKS)}")
    if not has_files:
        return Asked(name, None, None)
    annotations, _, videos = files.partition(",")
    for path in (annotations, videos):
        if not path or not Path(path).exists():
            raise ConfigError(f"--evaluate {text}: {path!r} does not exist; give {name}=ANNOTATIONS,VIDEOS")
    return Asked(name, Path(annotations), Path(videos))


def folder_scores(
    evaluations: Evaluations, device: torch.device, *, own_scores: Sequence[str] = (), report: Report
) -> FolderScores | None:
    """What scores a checkpoint folder by the benchmarks asked for, under `<benchmark>_<score>`; None when none is.

    Args:
        evaluations: which, on what files.
        device: where they encode.
        own_scores: of the training itself, by which the best checkpoint may be chosen as well.
        report: is told of a benchmark that fails; it has no scores then.

    Raises:
        ConfigError: a benchmark, a path or the score of the best checkpoint does not exist.
        HenasyError: annotations or videos are not what they should be.
    """
    asked = [parse_asked(text) for text in evaluations.evaluate]
    given = [*own_scores, *(f"{one.name}_{score}" for one in asked for score in one.scores)]
    if evaluations.best and evaluations.best not in given:
        raise ConfigError(f"--best {evaluations.best}: the evaluations give {', '.join(given) or 'no scores'}")
    for one in asked:
        _require_files(one, is_allowing_missing=evaluations.is_allowing_missing)

    def scores(folder: Path) -> dict[str, float]:
        found: dict[str, float] = {}
        for one in asked:
            try:
                found |= _scores(one, folder, device, is_allowing_missing=evaluations.is_allowing_missing)
            except Exception as error:  # whatever it is: the training is worth more
                report(f"  evaluation {one.name} of {folder.name} failed: {type(error).__name__}: {error}")
        return found

    return scores if asked else None


def _require_files(asked: Asked, *, is_allowing_missing: bool) -> None:
    """Passes when the annotations can be read, and the videos that they name are there or may be missing."""
    if asked.annotations is None or asked.videos is None:
        return
    spans = BENCHMARKS[asked.name].spans(asked.annotations)
    found = available_videos(spans, asked.videos, is_allowing_missing=is_allowing_missing)
    if not any(span.video_id in found for span in spans):
        raise ConfigError(f"--evaluate {asked.name}: {asked.videos} has not one of the annotated videos")


def _scores(asked: Asked, folder: Path, device: torch.device, *, is_allowing_missing: bool) -> dict[str, float]:
    options = SourceOptions(
        annotations=asked.annotations,
        videos=asked.videos,
        model=str(folder),
        device=str(device),
        num_frames=None,
        features=None,
        similarity="cosine",
        archive=None,
        is_allowing_missing=is_allowing_missing and asked.annotations is not None,
        is_cached=False,  # the embeddings of a folder that is soon deleted
    )
    found = BENCHMARKS[asked.name].score(options)
    return {f"{asked.name}_{name}": value for name, value in found.items()}
