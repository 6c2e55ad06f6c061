"""EK100 multi-instance retrieval: mAP and nDCG between clips and sentences, beside the papers' rows.

python benchmarks/ek100_mir.py                                             # rendered scenes, henasy-tiny
python benchmarks/ek100_mir.py --annotations DIR --videos DIR --model M
python benchmarks/ek100_mir.py --annotations DIR --features VIDEO.npy TEXT.npy
"""

from pathlib import Path

import click
from source_options import source_options

from henasy.evaluation import ek100_run
from henasy.evaluation.report import show_result
from henasy.evaluation.source import SourceOptions

COLUMNS = ("mAP V-T", "mAP T-V", "mAP avg", "nDCG V-T", "nDCG T-V", "nDCG avg")


@click.command()
@source_options
def main(options: SourceOptions, json_path: Path | None) -> None:
    """Score EK100 multi-instance retrieval: rendered scenes, the real test set, or embeddings made elsewhere."""
    show_result(ek100_run.run(options), COLUMNS, json_path)


if __name__ == "__main__":
    main()
