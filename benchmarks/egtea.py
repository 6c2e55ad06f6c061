"""EGTEA action recognition in 3 crops x 10 clips: top-1 and mean class accuracy, beside the papers' rows.

python benchmarks/egtea.py                                                 # rendered scenes, henasy-tiny
python benchmarks/egtea.py --annotations DIR --videos DIR --model M        # 16 frames, unless --frames
python benchmarks/egtea.py --annotations DIR --features VIEWS.npy CLASS.npy
"""

from source_options import benchmark_command

from henasy.evaluation.tasks.egtea_run import EGTEA

main = benchmark_command(
    EGTEA, "Score EGTEA action recognition: rendered scenes, the real test split, or embeddings made elsewhere."
)

if __name__ == "__main__":
    main()
