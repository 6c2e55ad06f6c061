"""The training loop for one process, on a CPU or a GPU.

A step: learning rate, micro-batches (forward, loss, backward), clip, optimiser step, zero, log, evaluate, checkpoint.
Everything random in a step comes from (seed, step), so a resumed run repeats an undisturbed one exactly.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch
from torch import nn

from henasy.errors import ConfigError, TrainingError
from henasy.training.config import TrainConfig
from henasy.training.log import TrainLog
from henasy.training.schedule import learning_rate
from henasy.training.state import load_latest_state, save_state

Batch = TypeVar("Batch")
BatchIn = TypeVar("BatchIn", contravariant=True)
BatchOut = TypeVar("BatchOut", covariant=True)


class Objective(Protocol[BatchIn]):
    """Turns a batch into the loss to minimise and the parts worth logging."""

    def __call__(self, batch: BatchIn) -> Mapping[str, torch.Tensor]:
        """Scalars by name; `loss` is the one that is minimised."""
        ...


class BatchSource(Protocol[BatchOut]):
    """Gives the batch of a step: the same one whenever it is asked for the same step."""

    def batch(self, step: int, part: int, device: torch.device) -> BatchOut:
        """Micro-batch `part` of optimiser step `step`."""
        ...


class Trainer(Generic[Batch]):
    """Trains a module; see `run`."""

    def __init__(
        self,
        config: TrainConfig,
        *,
        model: nn.Module,
        objective: Objective[Batch],
        source: BatchSource[Batch],
        folder: Path,
        device: torch.device,
        evaluate: Callable[[], Mapping[str, float]] | None = None,
        report: Callable[[str], None] = print,
    ) -> None:
        if config.precision == "float16" and device.type != "cuda":
            raise ConfigError(f"precision is 'float16'; on {device.type} it must be float32 or bfloat16")
        self.config = config
        self.model = model
        self.objective = objective
        self.source = source
        self.folder = folder
        self.device = device
        self.evaluate = evaluate
        self.report = report
        self.optimizer = make_optimizer(model, config)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")

    def run(self) -> int:
        """Trains until `num_steps`, going on from the folder's newest checkpoint if there is one.

        Returns:
            The number of steps done by this call.

        Raises:
            TrainingError: a loss or a gradient is not finite; nothing of that step was applied.
            ConfigError: the folder holds a run with other settings.
        """
        first = self._resume()
        log = TrainLog(self.folder / "log.jsonl", resume_step=first)
        started_s, waited_s = time.monotonic(), 0.0
        batches = self._prefetched(first)
        for step in range(first, self.config.num_steps):
            asked_s = time.monotonic()
            parts = next(batches)
            waited_s += time.monotonic() - asked_s
            values = self._step(step, parts)
            done = step + 1
            if done % self.config.log_every == 0 or done == self.config.num_steps:
                elapsed_s = time.monotonic() - started_s
                rates = {
                    "clips_per_s": 2 * self.config.batch_size * (done - first) / elapsed_s,
                    "waiting_share": waited_s / elapsed_s,
                }
                log.write(step, values | rates)
                self.report(self._line(done, values, rates, elapsed_s / (done - first)))
            if self._is_due(done, self.config.evaluate_every) and self.evaluate is not None:
                scores = self.evaluate()
                log.write(step, scores)
                self.report("  evaluation  " + "  ".join(f"{k} {v:.4g}" for k, v in scores.items()))
            if self._is_due(done, self.config.checkpoint_every):
                self._save(done)
        return self.config.num_steps - first

    def _resume(self) -> int:
        saved = load_latest_state(self.folder, device=self.device)
        if saved is None:
            return 0
        if saved.config != self.config:
            ours, theirs = self.config.to_dict(), saved.config.to_dict()
            changed = {name: (theirs[name], ours[name]) for name in ours if ours[name] != theirs[name]}
            raise ConfigError(f"{self.folder} holds a run with other settings (stored, asked): {changed}")
        self.model.load_state_dict(saved.model)
        self.optimizer.load_state_dict(saved.optimizer)
        self.scaler.load_state_dict(saved.scaler)
        self.report(f"going on from step {saved.step} of {self.config.num_steps}")
        return saved.step

    def _prefetched(self, first: int) -> Iterator[list[Batch]]:
        """The steps' micro-batches; the next step's are made while this one is computed."""

        def make(step: int) -> list[Batch]:
            parts = range(self.config.num_micro_batches)
            return [self.source.batch(step, part, self.device) for part in parts]

        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(make, first)
            for step in range(first, self.config.num_steps):
                parts = coming.result()
                if step + 1 < self.config.num_steps:
                    coming = pool.submit(make, step + 1)
                yield parts

    def _step(self, step: int, parts: list[Batch]) -> dict[str, float]:
        torch.manual_seed(self.config.seed * 1_000_003 + step)
        self.model.train()
        rate = learning_rate(step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        totals: dict[str, float] = {}
        for part in parts:
            with self._autocast():
                values = self.objective(part)
            self._refuse_non_finite(step, values)
            self.scaler.scale(values["loss"] / len(parts)).backward()  # type: ignore[no-untyped-call]
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach()) / len(parts)
        self.scaler.unscale_(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(self._trainable(), self.config.max_grad_norm))
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            self.optimizer.zero_grad(set_to_none=True)
            raise TrainingError(f"step {step}: gradient norm is {norm}; the step was not applied")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return totals | {"grad_norm": norm, "lr": rate}

    def _autocast(self) -> torch.autocast:
        is_mixed = self.config.precision != "float32"
        dtype = getattr(torch, self.config.precision) if is_mixed else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=is_mixed)

    def _refuse_non_finite(self, step: int, values: Mapping[str, torch.Tensor]) -> None:
        shown = {name: float(value.detach()) for name, value in values.items()}
        bad = {name: value for name, value in shown.items() if not math.isfinite(value)}
        if bad:
            self.optimizer.zero_grad(set_to_none=True)
            raise TrainingError(f"step {step}: not finite: {bad}; the step was not applied")

    def _trainable(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def _is_due(self, done: int, every: int) -> bool:
        return done == self.config.num_steps or (every > 0 and done % every == 0)

    def _save(self, done: int) -> None:
        save_state(
            self.folder,
            step=done,
            config=self.config,
            model=self.model,
            optimizer=self.optimizer,
            scaler=self.scaler,
        )

    def _line(self, done: int, values: Mapping[str, float], rates: Mapping[str, float], step_s: float) -> str:
        left_min = (self.config.num_steps - done) * step_s / 60
        shown = "  ".join(f"{k} {v:.4g}" for k, v in (*values.items(), *rates.items()))
        return f"step {done}/{self.config.num_steps}  {shown}  left {left_min:.0f} min"


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; matrices decay, but for the patch map, embeddings and tokens."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_matrix = parameter.ndim >= 2 and not any(w in name for w in ("embed", "token", "embedding"))
        (decayed if is_matrix else plain).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2))
