"""EgoNLQ: which span of a clip answers a question; by moment search with nothing trained, and by a trained VSLNet.

python benchmarks/egonlq.py                                                 # rendered scenes, henasy-tiny
python benchmarks/egonlq.py --annotations nlq_val.json --videos DIR --model M   # zero-shot
python benchmarks/egonlq.py --annotations nlq_val.json --videos DIR --model M --train-annotations nlq_train.json
python benchmarks/egonlq.py --annotations nlq_val.json --features DIR --model M --train-annotations nlq_train.json
python benchmarks/egonlq.py --annotations nlq_val.json --predictions FILE   # somebody else's predictions
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from henasy.evaluation.egonlq_encoded import NlqOptions, run
from henasy.evaluation.egonlq_run import write_results
from henasy.evaluation.report import reported_errors, show_result
from henasy.evaluation.run_report import report_runs
from henasy.evaluation.source import SourceOptions

PATH = click.Path(path_type=Path)


@click.command()
@click.option("--annotations", type=PATH, help="nlq_val.json, or a folder of nlq_{train,val}.json.")
@click.option("--videos", type=PATH, help="Folder of the annotated videos, or of Ego4D's clips of them.")
@click.option("--model", help="Checkpoint folder, hub id, or the name of the shipped one.")
@click.option("--device", default="cpu", show_default=True, help="Where to encode and train: cpu, cuda, cuda:1.")
@click.option("--frames", "num_frames", type=int, help="Frames per feature, if not the checkpoint's own number.")
@click.option("--archive", type=PATH, help="Rendered archive to use instead of the cached one.")
@click.option("--train-annotations", type=PATH, help="nlq_train.json, if not beside nlq_val.json in a folder.")
@click.option("--head", type=PATH, help="Folder of the head: read if there, else trained and written.")
@click.option("--steps", "num_steps", type=click.IntRange(min=1), help="Steps of training.")
@click.option("--search-only", "is_search_only", is_flag=True, help="Zero-shot alone, no head.")
@click.option("--features", type=PATH, help="Folder of <clip_uid>.npy or .pt, each (N, D), instead of videos.")
@click.option("--predictions", type=PATH, help="Score this JSON file in the challenge's form.")
@click.option("--save-predictions", type=PATH, help="Write our predictions into this folder, in that form.")
@click.option("--allow-missing", "is_allowing_missing", is_flag=True, help="Score what there is.")
@click.option("--no-cache", is_flag=True, help="Encode anew, and keep no features for the next run.")
@click.option("--json", "json_path", type=PATH, help="Write the numbers here, as fractions.")
@click.option(
    "--report", "report_path", type=PATH, help="Write an HTML page with curves and clips here, one per result."
)
def main(json_path: Path | None, report_path: Path | None, no_cache: bool, **given: Any) -> None:
    """Score EgoNLQ: rendered scenes, the real questions, features or predictions made elsewhere."""
    own = {field.name: given.pop(field.name) for field in fields(NlqOptions)}
    options = SourceOptions(**given, features=None, similarity="cosine", is_cached=not no_cache)
    progress = Console(stderr=True)
    with reported_errors():
        results = run(options, NlqOptions(**own), lambda line: progress.print(line, highlight=False))
        for result in results.values():
            show_result(result, None)
        if json_path is not None:
            write_results(json_path, results)
        if report_path is not None:
            report_runs(report_path, results)


if __name__ == "__main__":
    main()
