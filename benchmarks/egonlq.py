"""EgoNLQ: which span of a clip answers a question; by moment search with nothing trained, and by a trained VSLNet.

python benchmarks/egonlq.py                                                 # rendered scenes, henasy-tiny
python benchmarks/egonlq.py --annotations nlq_val.json --videos DIR --model M   # zero-shot
python benchmarks/egonlq.py --annotations nlq_val.json --videos DIR --model M --train-annotations nlq_train.json
python benchmarks/egonlq.py --annotations nlq_val.json --features DIR --model M --train-annotations nlq_train.json
python benchmarks/egonlq.py --annotations nlq_val.json --predictions FILE   # somebody else's predictions
"""

import click
from span_options import PATH, span_command

from henasy.evaluation.span_tasks.egonlq_encoded import NlqOptions, run

main = span_command(
    run,
    NlqOptions,
    "nlq_val.json, or a folder of nlq_{train,val}.json.",
    (
        click.option("--train-annotations", type=PATH, help="nlq_train.json, if not beside nlq_val.json in a folder."),
        click.option("--search-only", "is_search_only", is_flag=True, help="Zero-shot alone, no head."),
        click.option("--predictions", type=PATH, help="Score this JSON file in the challenge's form."),
        click.option("--save-predictions", type=PATH, help="Write our predictions into this folder, in that form."),
    ),
    "Score EgoNLQ: rendered scenes, the real questions, features or predictions made elsewhere.",
)

if __name__ == "__main__":
    main()
