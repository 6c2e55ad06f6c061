"""EgoHOIBench: one clip, its caption among captions with one word swapped, beside the papers' rows.

python benchmarks/egohoibench.py                                           # rendered scenes, henasy-tiny
python benchmarks/egohoibench.py --annotations FILE --videos DIR --model M # LaViLa's own evaluation: --similarity dot
python benchmarks/egohoibench.py --annotations FILE --features VIDEO.npy TEXT.npy
"""

from source_options import benchmark_command

from henasy.evaluation.tasks.egohoi_run import EGOHOI

main = benchmark_command(EGOHOI, "Score EgoHOIBench: rendered word swaps, the real ones, or embeddings made elsewhere.")

if __name__ == "__main__":
    main()
