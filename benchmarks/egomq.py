"""EgoMQ: where are the moments of 110 classes, by detection mAP and recall, with a proposal head of our own.

python benchmarks/egomq.py                                                # rendered scenes, henasy-tiny
python benchmarks/egomq.py --annotations DIR --videos DIR --model M       # trains the head on moments_train.json
python benchmarks/egomq.py --annotations DIR --features DIR               # features made elsewhere, a file per clip
python benchmarks/egomq.py --annotations FILE --predictions FILE          # somebody else's predictions
"""

import click
from span_options import PATH, span_command

from henasy.evaluation.span_tasks.egomq_encoded import MqOptions, run

main = span_command(
    run,
    MqOptions,
    "Folder of moments_{train,val}.json, or one file of either layout.",
    (
        click.option("--classes", type=PATH, help="moment_classes_idx.json, if not beside the annotations."),
        click.option("--predictions", type=PATH, help="Score this JSON file, or folder of the reference's two."),
        click.option("--export", type=PATH, help="Write features and annotations here as VSGN reads them."),
        click.option("--save-predictions", type=PATH, help="Write our predictions into this folder."),
        click.option(
            "--zero-shot", "is_searching", is_flag=True, help="Ask the moment search too; rendered scenes always do."
        ),
    ),
    "Score EgoMQ: rendered scenes, the real clips, features or predictions made elsewhere.",
)

if __name__ == "__main__":
    main()
