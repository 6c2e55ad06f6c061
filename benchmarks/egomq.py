"""EgoMQ: where are the moments of 110 classes, by detection mAP and recall, with a proposal head of our own.

python benchmarks/egomq.py                                                # rendered scenes, henasy-tiny
python benchmarks/egomq.py --annotations DIR --videos DIR --model M       # trains the head on moments_train.json
python benchmarks/egomq.py --annotations DIR --features DIR               # features made elsewhere, a file per clip
python benchmarks/egomq.py --annotations FILE --predictions FILE          # somebody else's predictions
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from henasy.evaluation.egomq_encoded import MqOptions, run
from henasy.evaluation.egonlq_run import write_results
from henasy.evaluation.report import reported_errors, show_result
from henasy.evaluation.run_report import report_runs
from henasy.evaluation.source import SourceOptions

PATH = click.Path(path_type=Path)


@click.command()
@click.option("--annotations", type=PATH, help="Folder of moments_{train,val}.json, or one file of either layout.")
@click.option("--videos", type=PATH, help="Folder of the annotated videos or clips.")
@click.option("--model", help="Checkpoint folder, hub id, or the name of the shipped one.")
@click.option("--device", default="cpu", show_default=True, help="Where to encode and train: cpu, cuda, cuda:1.")
@click.option("--frames", "num_frames", type=int, help="Frames per feature, if not the checkpoint's own number.")
@click.option("--archive", type=PATH, help="Rendered archive to use instead of the cached one.")
@click.option("--classes", type=PATH, help="moment_classes_idx.json, if not beside the annotations.")
@click.option("--head", type=PATH, help="Folder of the head: read if there, else trained and written.")
@click.option("--steps", "num_steps", type=click.IntRange(min=1), help="Steps of training.")
@click.option("--features", type=PATH, help="Folder of <clip_uid>.npy or .pt, each (T, D), instead of videos.")
@click.option("--predictions", type=PATH, help="Score this JSON file, or folder of the reference's two.")
@click.option("--export", type=PATH, help="Write features and annotations here as VSGN reads them.")
@click.option("--save-predictions", type=PATH, help="Write our predictions into this folder.")
@click.option("--zero-shot", "is_searching", is_flag=True, help="Ask the moment search too; rendered scenes always do.")
@click.option("--allow-missing", "is_allowing_missing", is_flag=True, help="Score what there is.")
@click.option("--no-cache", is_flag=True, help="Encode anew, and keep no features for the next run.")
@click.option("--json", "json_path", type=PATH, help="Write the numbers here, as fractions.")
@click.option(
    "--report", "report_path", type=PATH, help="Write an HTML page with curves and clips here, one per result."
)
def main(json_path: Path | None, report_path: Path | None, no_cache: bool, **given: Any) -> None:
    """Score EgoMQ: rendered scenes, the real clips, features or predictions made elsewhere."""
    own = {field.name: given.pop(field.name) for field in fields(MqOptions)}
    options = SourceOptions(**given, features=None, similarity="cosine", is_cached=not no_cache)
    progress = Console(stderr=True)
    with reported_errors():
        results = run(options, MqOptions(**own), lambda line: progress.print(line, highlight=False, soft_wrap=True))
        for result in results.values():
            show_result(result, None)
        if json_path is not None:
            write_results(json_path, results)
        if report_path is not None:
            report_runs(report_path, results)


if __name__ == "__main__":
    main()
