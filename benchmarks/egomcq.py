"""EgoMCQ: one narration, five clips, which one; between videos and within one, beside the papers' rows.

python benchmarks/egomcq.py                                                # rendered scenes, henasy-tiny
python benchmarks/egomcq.py --annotations FILE --videos DIR --model M
python benchmarks/egomcq.py --annotations FILE --features VIDEO.npy TEXT.npy
"""

from pathlib import Path

import click
from source_options import source_options

from henasy.evaluation import egomcq_run
from henasy.evaluation.report import show_result
from henasy.evaluation.source import SourceOptions


@click.command()
@source_options
def main(options: SourceOptions, json_path: Path | None) -> None:
    """Score EgoMCQ: rendered scenes, the real questions, or embeddings made elsewhere."""
    show_result(egomcq_run.run(options), ("inter", "intra"), json_path)


if __name__ == "__main__":
    main()
