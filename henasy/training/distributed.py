"""Training in several processes that share the batch of each step. Owner of torch.distributed.

One convention holds everywhere: the loss of the global batch is the mean of what the processes compute, so gradients
and logged values are averaged. What a process computes from gathered rows is the same everywhere and survives the mean;
what it computes from its own rows alone is weighted by its share of what is counted (`Peers.of_all`).

Rows are gathered without communication in the backward pass: each process takes the gradient of its own rows from its
own copy of the whole contrast. No process can then wait for one whose graph lacks a term.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from henasy.errors import ConfigError, TrainingError
from henasy.losses.counted import CountedLoss
from henasy.training.share import Share

Result = TypeVar("Result")

_PATIENCE = timedelta(hours=12)
"""How long processes wait for one that evaluates or renders; whoever started them notices a dead one at once."""
_BUCKET_ELEMENTS = 16_000_000
"""Gradients that are summed at a time: 64 MB, so that the copy stays small."""


class Peers:
    """The processes of a training run as one of them sees them. Without arguments: one process, alone."""

    def __init__(self, rank: int = 0, size: int = 1, control: Any = None) -> None:
        """`control` is a process group of the CPU, which words and counts go through."""
        self.rank, self.size, self._control = rank, size, control

    @property
    def share(self) -> Share:
        """What this process makes of each batch."""
        return Share(self.rank, self.size)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def gather(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """All processes' rows of each tensor, in the order of the processes; gradients reach the own rows.

        Every process must compute the same from the result.

        Args:
            rows: tensors with one number of rows (dim 0), which may differ between processes.
        """
        if self.size == 1:
            return rows
        counts = self._counts(len(rows[0]))
        return tuple(_gathered(tensor, counts, self.rank) for tensor in rows)

    def of_all(self, *losses: CountedLoss) -> tuple[CountedLoss, ...]:
        """Local means over local counts, weighted so that their average over processes is the mean over all counts."""
        if self.size == 1:
            return losses
        counts = self._sum([loss.num_terms for loss in losses])
        return tuple(
            CountedLoss(loss.value * (loss.num_terms * self.size / max(1, count)), count)
            for loss, count in zip(losses, counts, strict=True)
        )

    def average(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean of each value over the processes: NaN everywhere if it is NaN anywhere."""
        if self.size == 1:
            return dict(values)
        totals = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(totals, group=self._control)
        return dict(zip(values, (totals / self.size).tolist(), strict=True))

    def largest(self, value: float) -> float:
        """The largest of the processes' values."""
        if self.size == 1:
            return value
        held = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(held, op=dist.ReduceOp.MAX, group=self._control)
        return float(held)

    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replaces each gradient by its mean over the processes; one that no process has stays None."""
        if self.size == 1:
            return
        num_with = self._sum([p.grad is not None for p in parameters])
        used = [p for p, count in zip(parameters, num_with, strict=True) if count]
        for bucket in _buckets(used):
            flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in bucket])
            dist.all_reduce(flat)
            flat /= self.size
            for parameter, mean in zip(bucket, torch.split(flat, [p.numel() for p in bucket]), strict=True):
                parameter.grad = mean.view_as(parameter)

    def copy_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Overwrites tensors with those of the main process."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def copy_state(self, state: dict[str, Any], device: torch.device) -> dict[str, Any]:
        """The main process's nested state, e.g. an optimiser's; tensors travel one by one, through `device`."""
        if self.size == 1:
            return state
        tensors: list[Tensor] = []
        plan = self.tell(_without_tensors(state, tensors) if self.is_main else None)
        if not self.is_main:
            homes = [torch.device("cpu") if held.is_on_cpu else device for held in _held(plan)]
            tensors = [
                torch.empty(one.shape, dtype=one.dtype, device=home)
                for one, home in zip(_held(plan), homes, strict=True)
            ]
        for tensor in tensors:
            at_hand = tensor.to(device)
            dist.broadcast(at_hand, src=0)
            tensor.copy_(at_hand)
        return state if self.is_main else _with_tensors(plan, tensors)

    def tell(self, value: Result) -> Result:
        """The main process's value, in every process."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, group=self._control)
        told: Result = box[0]
        return told

    def on_main(self, action: Callable[[], Result]) -> Result:
        """What the main process's call returns, in every process; the others wait.

        Raises:
            TrainingError: the call failed, with its message; the main process raises the error itself.
        """
        if self.size == 1:
            return action()
        result, error = _outcome(action) if self.is_main else (None, None)
        told = self.tell((result, None if error is None else _words(error)))
        if error is not None:
            raise error
        if told[1] is not None:
            raise TrainingError(told[1])
        return told[0]  # type: ignore[return-value]

    def together(self, action: Callable[[], Result]) -> Result:
        """What this process's call returns, once the calls of all have succeeded.

        Raises:
            TrainingError: the call of another process failed; its number and message.
        """
        if self.size == 1:
            return action()
        result, error = _outcome(action)
        if self._sum([error is not None])[0]:
            said: list[Any] = [None] * self.size
            dist.all_gather_object(said, None if error is None else _words(error), group=self._control)
            if error is not None:
                raise error
            rank, words = next((rank, words) for rank, words in enumerate(said) if words is not None)
            raise TrainingError(f"process {rank} of {self.size}: {words}")
        return result  # type: ignore[return-value]

    def main_first(self, action: Callable[[], Result]) -> Result:
        """The result of a call that the main process makes before the others do: it finds nothing half done."""
        if self.is_main:
            result = self.together(action)
            self.together(lambda: None)
            return result
        self.together(lambda: None)
        return self.together(action)

    def _counts(self, count: int) -> list[int]:
        counts = torch.zeros(self.size, dtype=torch.int64)
        counts[self.rank] = count
        dist.all_reduce(counts, group=self._control)
        return [int(one) for one in counts]

    def _sum(self, counts: Sequence[int]) -> list[int]:
        totals = torch.tensor(counts, dtype=torch.int64)
        dist.all_reduce(totals, group=self._control)
        return [int(one) for one in totals]


ALONE = Peers()


def is_launched() -> bool:
    """Whether this process is one of several, by torchrun's variables or by a process group that is already there."""
    has_group = dist.is_available() and dist.is_initialized()
    return has_group or int(os.environ.get("WORLD_SIZE", "1")) > 1


def join_peers(device: torch.device) -> Peers:
    """This process among those that it was started with; alone when it was started by itself.

    Takes the process group that is there, else makes one from the variables that torchrun sets (RANK, WORLD_SIZE,
    MASTER_ADDR, MASTER_PORT): NCCL for GPUs, gloo for CPUs.

    Raises:
        TrainingError: the other processes cannot be reached.
    """
    if not is_launched():
        return ALONE
    try:
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
        control = dist.new_group(backend="gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"the other processes cannot be reached: {error}") from error
    return Peers(dist.get_rank(), dist.get_world_size(), control)


def own_device(name: str) -> torch.device:
    """The device of this process: of several on a machine each takes the GPU of its LOCAL_RANK.

    Raises:
        ConfigError: the name is not a device's, or there are fewer GPUs than processes.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device is {name!r}; allowed: cpu, cuda, cuda:N, auto") from error
    if device.type != "cuda" or ":" in name or not is_launched():
        return device
    local, num_gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= num_gpus:
        raise ConfigError(f"process {local} of this machine has no GPU; it has {num_gpus}: start no more processes")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


class _Gather(torch.autograd.Function):
    """All processes' rows; the gradient of the own ones, times the processes that the mean divides by."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int], rank: int) -> Tensor:
        first = sum(counts[:rank])
        ctx.own, ctx.size = slice(first, first + counts[rank]), len(counts)
        return _all_rows(rows, counts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad[ctx.own] * ctx.size, None, None


def _gathered(rows: Tensor, counts: list[int], rank: int) -> Tensor:
    if not rows.is_floating_point():
        return _all_rows(rows, counts)
    out: Tensor = _Gather.apply(rows, counts, rank)  # type: ignore[no-untyped-call]
    return out


def _all_rows(rows: Tensor, counts: list[int]) -> Tensor:
    sent = rows.detach().to(torch.uint8) if rows.dtype == torch.bool else rows.detach()
    padded = sent.new_zeros(max(counts), *sent.shape[1:])  # backends want equal shapes
    padded[: len(sent)] = sent
    received = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(received, padded)
    return torch.cat([part[:count] for part, count in zip(received, counts, strict=True)]).to(rows.dtype)


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Neighbouring parameters of one type and device."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        is_alike = not bucket or (bucket[0].dtype, bucket[0].device) == (parameter.dtype, parameter.device)
        if bucket and (not is_alike or sum(p.numel() for p in bucket) >= _BUCKET_ELEMENTS):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


class _Held(NamedTuple):
    """Stands for a tensor in a state that travels without it."""

    position: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    is_on_cpu: bool
    """Some counters of an optimiser stay there whatever the device."""

    def empty(self, device: torch.device) -> Tensor:
        """A tensor to be filled."""
        return torch.empty(self.shape, dtype=self.dtype, device="cpu" if self.is_on_cpu else device)


def _without_tensors(value: Any, tensors: list[Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors.append(value)
        return _Held(len(tensors) - 1, tuple(value.shape), value.dtype, value.device.type == "cpu")
    if isinstance(value, dict):
        return {key: _without_tensors(one, tensors) for key, one in value.items()}
    return [_without_tensors(one, tensors) for one in value] if isinstance(value, list) else value


def _with_tensors(value: Any, tensors: list[Tensor]) -> Any:
    if isinstance(value, _Held):
        return tensors[value.position]
    if isinstance(value, dict):
        return {key: _with_tensors(one, tensors) for key, one in value.items()}
    return [_with_tensors(one, tensors) for one in value] if isinstance(value, list) else value


def _held(value: Any) -> list[_Held]:
    """The stand-ins of a state, in the order of their tensors."""
    if isinstance(value, _Held):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [held for one in inside for held in _held(one)]


def _outcome(action: Callable[[], Result]) -> tuple[Result | None, Exception | None]:
    """A call's result, or the error that the other processes must hear of before it goes on."""
    try:
        return action(), None
    except Exception as error:
        return None, error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
