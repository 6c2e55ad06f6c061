"""EK100 zero-shot action recognition: top-1 and top-5 over all actions, verbs and nouns, beside the papers' rows.

python benchmarks/ek100_cls.py                                             # rendered scenes, henasy-tiny
python benchmarks/ek100_cls.py --annotations DIR --videos DIR --model M
python benchmarks/ek100_cls.py --annotations DIR --features VIDEO.npy CLASS.npy
"""

from source_options import benchmark_command

from henasy.evaluation.tasks.ek100_cls_run import EK100_CLS

main = benchmark_command(
    EK100_CLS, "Score EK100 action recognition: rendered scenes, the real test set, or embeddings made elsewhere."
)

if __name__ == "__main__":
    main()
