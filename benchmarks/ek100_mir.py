"""EK100 multi-instance retrieval: mAP and nDCG between clips and sentences, beside the papers' rows.

python benchmarks/ek100_mir.py                                             # rendered scenes, henasy-tiny
python benchmarks/ek100_mir.py --annotations DIR --videos DIR --model M
python benchmarks/ek100_mir.py --annotations DIR --features VIDEO.npy TEXT.npy
"""

from source_options import benchmark_command

from henasy.evaluation.tasks.ek100_mir_run import EK100_MIR

main = benchmark_command(
    EK100_MIR, "Score EK100 multi-instance retrieval: rendered scenes, the real test set, or embeddings made elsewhere."
)

if __name__ == "__main__":
    main()
