"""Benchmarks as evaluation during training: on the checkpoint folder of a step, as a user would run them on it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from henasy.errors import ConfigError
from henasy.evaluation.encoding.source import SourceOptions
from henasy.evaluation.tasks.benchmark import Benchmark, run_benchmark
from henasy.evaluation.tasks.egohoi_run import EGOHOI
from henasy.evaluation.tasks.egomcq_run import EGOMCQ
from henasy.evaluation.tasks.egtea_run import EGTEA
from henasy.evaluation.tasks.ek100_cls_run import EK100_CLS
from henasy.evaluation.tasks.ek100_mir_run import EK100_MIR

BENCHMARKS: Mapping[str, Benchmark] = {
    "egomcq": EGOMCQ,
    "egohoibench": EGOHOI,
    "ek100_mir": EK100_MIR,
    "ek100_cls": EK100_CLS,
    "egtea": EGTEA,
}
FolderScores = Callable[[Path], dict[str, float]]


class Asked(NamedTuple):
    """A benchmark and its files."""

    name: str
    annotations: Path | None
    """With `videos`; None for rendered scenes."""
    videos: Path | None


def evaluation_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that ask for benchmarks during training: `evaluate`, `evaluate_every` and `best`."""
    options = (
        click.option(
            "--evaluate",
            multiple=True,
            metavar="NAME[=ANNOTATIONS,VIDEOS]",
            help=f"Benchmark to run on the checkpoint now and then: {', '.join(BENCHMARKS)}. Without files, on "
            "rendered scenes. May be given again.",
        ),
        click.option("--every", "evaluate_every", type=click.IntRange(0), help="Steps between two evaluations."),
        click.option("--best", default="", help="Keep the best checkpoint by this score too, e.g. egomcq_inter."),
    )
    for option in reversed(options):
        command = option(command)
    return command


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


def folder_scores(asked: tuple[str, ...], device: torch.device) -> FolderScores | None:
    """What scores a checkpoint folder by the benchmarks asked for, under `<benchmark>_<score>`; None when none is.

    Raises:
        ConfigError: a benchmark or a path does not exist.
    """
    benchmarks = [parse_asked(text) for text in asked]

    def scores(folder: Path) -> dict[str, float]:
        return {name: value for one in benchmarks for name, value in _scores(one, folder, device).items()}

    return scores if benchmarks else None


def _scores(asked: Asked, folder: Path, device: torch.device) -> dict[str, float]:
    options = SourceOptions(
        annotations=asked.annotations,
        videos=asked.videos,
        model=str(folder),
        device=str(device),
        num_frames=None,
        features=None,
        similarity="cosine",
        archive=None,
        is_allowing_missing=False,
        is_cached=False,  # the embeddings of a folder that is soon deleted
    )
    result = run_benchmark(BENCHMARKS[asked.name], options)
    return {f"{asked.name}_{name}": value for name, value in result.scores.items()}
