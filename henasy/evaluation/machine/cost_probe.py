"""Time and peak memory of one model doing one thing, measured in a process of its own.

On a CPU the peak is that of the process's resident memory, Python and torch included; on a GPU that of the tensors.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from henasy.checkpoint.weights import build_empty
from henasy.errors import ConfigError
from henasy.evaluation.machine.encoding_speed import synchronise
from henasy.evaluation.machine.training_probe import RandomBatches, probe_objective
from henasy.model.build import build
from henasy.model.config import DualConfig, ModelConfig, config_from_dict, config_to_dict
from henasy.model.henasy import Henasy
from henasy.training.config import TrainConfig
from henasy.training.optimizer import make_optimizer

INFERENCE, TRAINING = "inference", "training"
_KILLED = -9


class Probe(NamedTuple):
    """What is to be measured."""

    config: ModelConfig
    task: str
    """`inference`: one pass over clips; `training`: one step with its update"""
    batch_size: int
    """Clips of a pass, or anchors of a step, each of which brings a second clip"""
    num_rounds: int
    """Measured times, after one that is not"""
    device: str


class Measured(NamedTuple):
    """What it took."""

    seconds: float
    """Median of the rounds"""
    peak_bytes: int
    """With weights, and in training with gradients and the optimiser's state"""
    idle_bytes: int
    """Before the model was built: what of the peak is Python and torch; 0 on a GPU"""


def run_probe(probe: Probe) -> Measured | str:
    """What a fresh process measures, or why it could not."""
    wanted, there = _least_bytes(probe), _available_bytes()
    if probe.device == "cpu" and there is not None and wanted > there:
        return f"needs more than {wanted / 1e9:.1f} GB, {there / 1e9:.1f} GB are free"
    settings = probe._asdict() | {"config": config_to_dict(probe.config)}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "henasy.evaluation.machine.cost_probe", json.dumps(settings)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode == _KILLED:
        return "killed, probably for want of memory"
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def measure(probe: Probe) -> Measured:
    """What the work takes, in this process; the peak is that of all that this process has done.

    Raises:
        ConfigError: the task is unknown, or the device's peak cannot be read here.
    """
    device = torch.device(probe.device)
    idle_bytes = 0 if device.type == "cuda" else peak_bytes(device)
    torch.manual_seed(0)
    model = build(probe.config).to(device)
    makers = {INFERENCE: _inference, TRAINING: _training}
    if probe.task not in makers:
        raise ConfigError(f"task is {probe.task!r}; allowed: {', '.join(makers)}")
    once = makers[probe.task](model, probe.batch_size, device)
    seconds = []
    for _ in range(1 + probe.num_rounds):
        start_s = time.perf_counter()
        once()
        synchronise(probe.device)
        seconds.append(time.perf_counter() - start_s)
    return Measured(median(seconds[1:]), peak_bytes(device), idle_bytes)


def peak_bytes(device: torch.device) -> int:
    """The most memory so far: of tensors on a GPU, of this process on a CPU.

    Raises:
        ConfigError: this system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Not getrusage: its figure survives exec, so that a child would start from its parent's.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    if not peaks:
        raise ConfigError("peak memory on a CPU is read from /proc/self/status, which this system does not have")
    return 1024 * peaks[0]


def _least_bytes(probe: Probe) -> int:
    """Memory of the weights, and in training of gradients and the optimiser's two moments: activations come on top."""
    sizes = [(value.numel(), value.requires_grad) for value in build_empty(probe.config).parameters()]
    trained = sum(size for size, is_trained in sizes if is_trained) if probe.task == TRAINING else 0
    return 4 * (sum(size for size, _ in sizes) + 3 * trained)


def _available_bytes() -> int | None:
    """Memory that a new process can have; None where the system does not tell."""
    info = Path("/proc/meminfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    free = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return 1024 * free[0] if free else None


def _inference(model: Any, batch_size: int, device: torch.device) -> Callable[[], object]:
    model.eval().requires_grad_(False)
    vision = _dual(model).vision
    frames = torch.randn(batch_size, vision.num_frames, 3, vision.image_px, vision.image_px).to(device)
    encode = model if isinstance(model, Henasy) else model.encode_video

    def once() -> object:
        with torch.inference_mode():
            return encode(frames)

    return once


def _training(model: Any, batch_size: int, device: torch.device) -> Callable[[], object]:
    batch = RandomBatches(_dual(model), batch_size).batch(0, 0, device)
    objective = probe_objective(model, device)
    optimizer = make_optimizer(model, TrainConfig(num_steps=1, batch_size=batch_size))
    model.train()

    def once() -> object:
        objective(batch)["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return None

    return once


def _dual(model: Any) -> DualConfig:
    config = model.config
    return config if isinstance(config, DualConfig) else config.dual


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    found = measure(Probe(**(given | {"config": config_from_dict(given["config"])})))
    print(json.dumps(found._asdict()))
