"""A run of training that takes a moment, for tests that kill its processes.

python line_training.py RUN STEPS NAN_AT                                       on Ray
python -m torch.distributed.run --nproc-per-node 2 line_training.py ...        under torchrun
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
import torch
from torch import Tensor, nn

from henasy.errors import HenasyError
from henasy.training.config import TrainConfig
from henasy.training.distributed import is_launched, join_peers
from henasy.training.share import Share
from henasy.training.trainer import Trainer
from indexer.ray_training import Scale, train_on_ray

NUM_WORKERS, HELD_AT = 2, 30
CPU = torch.device("cpu")


class Shares:
    """A process's rows of batches that depend on the step; the step of NAN_AT holds a NaN for the last process.

    While RUN/hold exists, nobody gets beyond the step HELD_AT.
    """

    def __init__(self, share: Share, run: Path, nan_at: int) -> None:
        self.share, self.hold, self.nan_at = share, run / "hold", nan_at

    def batch(self, step: int, part: int, device: torch.device) -> Tensor:
        time.sleep(0.02)
        while step == HELD_AT and self.hold.exists():
            time.sleep(0.02)
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))[self.share.rows(4)]
        return x * float("nan") if step == self.nan_at and self.share.rank else x


def train_line(arguments: Sequence[str]) -> int:
    """Trains a linear map behind dropout in RUN; leaves the final weights in RUN/weights.txt."""
    run, num_steps, nan_at = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    peers = join_peers(CPU)
    run.mkdir(parents=True, exist_ok=True)
    (run / f"pid-{peers.rank}-{os.getpid()}").touch()
    torch.manual_seed(peers.rank)
    model = nn.Sequential(nn.Dropout(0.3), nn.Linear(4, 1))
    trainer = Trainer(
        TrainConfig(num_steps=num_steps, batch_size=4, learning_rate=0.05, checkpoint_every=4, log_every=1),
        model=model,
        objective=lambda x: {"loss": (model(x) - x.sum(1, keepdim=True)).square().mean()},
        source=Shares(peers.share, run, nan_at),
        folder=run,
        device=CPU,
        peers=peers,
        report=click.echo,
    )
    try:
        trainer.run()
    except HenasyError as error:
        print(f"process {peers.rank}: {error}", flush=True)
        return 1
    if peers.is_main:
        (run / "weights.txt").write_text(repr(model[1].weight.tolist()))
    return 0


if __name__ == "__main__":
    if is_launched():
        sys.exit(train_line(sys.argv[1:]))
    scale = Scale(num_workers=NUM_WORKERS, gpus_per_worker=0, address=os.environ.get("TEST_RAY_ADDRESS"))
    sys.exit(train_on_ray(train_line, sys.argv[1:], scale))
