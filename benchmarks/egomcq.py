"""EgoMCQ: one narration, five clips, which one; between videos and within one, beside the papers' rows.

python benchmarks/egomcq.py                                                # rendered scenes, henasy-tiny
python benchmarks/egomcq.py --annotations FILE --videos DIR --model M      # LaViLa's own evaluation: --similarity dot
python benchmarks/egomcq.py --annotations FILE --features VIDEO.npy TEXT.npy
"""

from source_options import benchmark_command

from henasy.evaluation.tasks.egomcq_run import EGOMCQ

main = benchmark_command(EGOMCQ, "Score EgoMCQ: rendered scenes, the real questions, or embeddings made elsewhere.")

if __name__ == "__main__":
    main()
