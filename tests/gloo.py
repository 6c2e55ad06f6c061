"""Runs a function in several processes of one gloo group, for tests of training on many processes."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from henasy.training.distributed import Peers, join_peers


def in_processes(function: Callable[..., Any], meeting: Path, *arguments: Any, size: int = 2) -> list[Any]:
    """What `function(peers, *arguments)` returns in each process; `meeting` is a new file's path."""
    with ProcessPoolExecutor(size, mp_context=multiprocessing.get_context("spawn")) as pool:
        calls = [pool.submit(_member, function, meeting, rank, size, arguments) for rank in range(size)]
        return [call.result(timeout=280) for call in calls]


def _member(function: Callable[..., Any], meeting: Path, rank: int, size: int, arguments: tuple[Any, ...]) -> Any:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    peers: Peers = join_peers(torch.device("cpu"))
    try:
        return function(peers, *arguments)
    finally:
        dist.destroy_process_group()
