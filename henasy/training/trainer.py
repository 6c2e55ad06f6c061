"""The training loop of one process, on a CPU or a GPU, alone or among others that share each batch.

A step: learning rate, micro-batches (forward, loss, backward), average gradients over the processes, clip, optimiser
step, zero, log, evaluate, checkpoint. Everything random in a step comes from (seed, step, process), so a resumed run
repeats an undisturbed one exactly.

Gradients are averaged once per step, after its last micro-batch, rather than by DistributedDataParallel: a step calls
the model through several methods and, under a joint contrast, twice, and weights that no process used have no gradient.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch
from torch import nn

from henasy.errors import ConfigError, TrainingError
from henasy.training.blocks import compile_blocks, recompute_blocks
from henasy.training.checkpoints import Checkpoints
from henasy.training.config import TrainConfig
from henasy.training.distributed import ALONE, Peers
from henasy.training.joint_contrast import JointObjective, backward_jointly
from henasy.training.log import TrainLog
from henasy.training.optimizer import make_optimizer
from henasy.training.run_lock import run_lock
from henasy.training.schedule import learning_rate
from henasy.training.state import load_latest_state, require_same_settings, save_state

Batch = TypeVar("Batch")
BatchIn = TypeVar("BatchIn", contravariant=True)
BatchOut = TypeVar("BatchOut", covariant=True)

_LOCK_PATIENCE_S = 120.0
"""How long a process whose starter was killed may live on, holding its run."""
_SEEDS_PER_PROCESS = 2**40
"""Keeps the random numbers of the processes apart."""


class Objective(Protocol[BatchIn]):
    """Turns a batch into the loss to minimise and the parts worth logging."""

    def __call__(self, batch: BatchIn) -> Mapping[str, torch.Tensor]:
        """Scalars by name; `loss` is the one that is minimised."""
        ...


class BatchSource(Protocol[BatchOut]):
    """Gives the batch of a step: the same one whenever it is asked for the same step.

    Called from `num_prefetched` threads. Of several processes each makes its own `Share` of every batch.
    """

    def batch(self, step: int, part: int, device: torch.device) -> BatchOut:
        """Micro-batch `part` of optimiser step `step`."""
        ...


class Pace:
    """How fast a run goes and what share of the time it waits for batches, since the last line of the log."""

    def __init__(self) -> None:
        self._spent_s = self._waited_s = 0.0
        self._num_steps = 0

    def add(self, waited_s: float, spent_s: float) -> None:
        """Counts a step: what it waited for its batch, and all it took, evaluation and checkpoints left out."""
        self._waited_s, self._spent_s = self._waited_s + waited_s, self._spent_s + spent_s
        self._num_steps += 1

    def take(self, clips_per_step: int) -> dict[str, float]:
        """Rates since the last call: clips of the global batch per second, and the share of waiting."""
        rates = {
            "clips_per_s": clips_per_step * self._num_steps / self._spent_s,
            "waiting_share": self._waited_s / self._spent_s,
        }
        self._spent_s = self._waited_s = 0.0
        self._num_steps = 0
        return rates


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
        checkpoints: Checkpoints | None = None,
        peers: Peers = ALONE,
        report: Callable[[str], None] = print,
    ) -> None:
        """Takes what is trained, on what and where.

        Args:
            evaluate: scores the model as it is; only the main process calls it.
            checkpoints: writes the model as folders for use, and may score these.
            peers: the processes that share each batch.
            report: is given a line now and then by the main process.

        Raises:
            ConfigError: settings that this device, objective or number of processes cannot have.
        """
        _require_possible(config, objective, device, peers)
        self.config = config
        self.model = model
        self.objective = objective
        self.source = source
        self.folder = folder
        self.device = device
        self.evaluate = evaluate
        self.checkpoints = checkpoints
        self.peers = peers
        self.report = report if peers.is_main else _say_nothing
        if config.is_recomputing:
            recompute_blocks(model)
        if config.is_compiled:
            compile_blocks(model)
        self.optimizer = make_optimizer(model, config)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")

    def run(self) -> int:
        """Trains until `num_steps`, going on from the folder's newest checkpoint if there is one.

        Returns:
            The number of steps done by this call.

        Raises:
            TrainingError: a loss or a gradient is not finite, of whose step nothing was applied; or another process
                trains in the folder.
            ConfigError: the folder holds a run with other settings.
        """
        return sum(1 for _ in self.steps())

    def steps(self) -> Iterator[int]:
        """`run`, a step each time it is asked: the steps done so far, counted from the beginning of the run.

        Several runs in one process can take turns this way.
        """
        with ExitStack() as held:
            lock = run_lock(self.folder, patience_s=_LOCK_PATIENCE_S, report=self.report)
            self.peers.on_main(lambda: held.enter_context(lock))
            yield from self._steps()

    def _steps(self) -> Iterator[int]:
        first = self._resume()
        log = self.peers.together(lambda: self._open_log(first))
        if self.peers.on_main(lambda: self._is_evaluation_missing(first)):
            self._evaluate(first, log)
            self._prune()
        pace = Pace()
        started_s = time.monotonic()
        batches = self._prefetched(first)
        for step in range(first, self.config.num_steps):
            asked_s = time.monotonic()
            parts = self.peers.together(lambda: next(batches))
            began_s = time.monotonic()
            values = self._step(step, parts)
            pace.add(began_s - asked_s, time.monotonic() - asked_s)
            done = step + 1
            if done % self.config.log_every == 0 or done == self.config.num_steps:
                rates = pace.take(2 * self.config.batch_size)
                rates["waiting_share"] = self.peers.largest(rates["waiting_share"])
                if log is not None:
                    log.write(step, values | rates)
                self.report(self._line(done, values, rates, (time.monotonic() - started_s) / (done - first)))
            self._evaluate_and_save(done, log)
            yield done
        if log is not None:
            log.close()

    def _open_log(self, first: int) -> TrainLog | None:
        if not self.peers.is_main:
            return None
        path = self.folder / "log.jsonl"
        return TrainLog(path, resume_step=first, has_tensorboard=self.config.has_tensorboard)

    def _resume(self) -> int:
        """The first step to do, every process holding the main one's weights and optimiser."""
        first = self.peers.on_main(self._load)
        self.peers.copy_tensors(self.model.state_dict().values())
        if first:
            optimizer = self.peers.copy_state(self.optimizer.state_dict(), self.device)
            scaler = self.peers.tell(self.scaler.state_dict())
            if not self.peers.is_main:
                self.optimizer.load_state_dict(optimizer)
                self.scaler.load_state_dict(scaler)
        return first

    def _load(self) -> int:
        require_same_settings(self.folder, self.config)
        saved = load_latest_state(self.folder, device=self.device)
        if self.checkpoints is not None:
            if saved is None:
                self.checkpoints.require_none_after(self._first_due())
            self.checkpoints.forget_after(0 if saved is None else saved.step)
        if saved is None:
            return 0
        self.model.load_state_dict(saved.model)
        self.optimizer.load_state_dict(saved.optimizer)
        self.scaler.load_state_dict(saved.scaler)
        self.report(f"going on from step {saved.step} of {self.config.num_steps}")
        if saved.num_processes != self.peers.size:
            self.report(
                f"  {saved.num_processes} processes came so far, {self.peers.size} go on: the same clips, other noise"
            )
        return saved.step

    def _prefetched(self, first: int) -> Iterator[list[Batch]]:
        """The steps' micro-batches; those of the next steps are made while one is computed."""

        def make(step: int) -> list[Batch]:
            parts = range(self.config.num_micro_batches)
            return [self.source.batch(step, part, self.device) for part in parts]

        coming: deque[Future[list[Batch]]] = deque()
        num_asked = first
        with ThreadPoolExecutor(self.config.num_prefetched) as pool:
            for step in range(first, self.config.num_steps):
                # one more than the steps ahead: the step's own
                while num_asked < min(step + 1 + self.config.num_prefetched, self.config.num_steps):
                    coming.append(pool.submit(make, num_asked))
                    num_asked += 1
                yield coming.popleft().result()

    def _step(self, step: int, parts: list[Batch]) -> dict[str, float]:
        torch.manual_seed(self.config.seed * 1_000_003 + step + self.peers.rank * _SEEDS_PER_PROCESS)
        self.model.train()
        rate = learning_rate(step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        totals = self._accumulate_jointly(step, parts) if self._is_joint else self._accumulate(step, parts)
        self.peers.average_gradients(self._trainable())
        self.scaler.unscale_(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(self._trainable(), self.config.max_grad_norm))
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            self.optimizer.zero_grad(set_to_none=True)
            raise TrainingError(f"step {step}: gradient norm is {norm}; the step was not applied")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return totals | {"grad_norm": norm, "lr": rate}

    def _accumulate(self, step: int, parts: list[Batch]) -> dict[str, float]:
        """Adds up the gradients of the parts' losses; returns the means of their values over parts and processes."""
        totals: dict[str, float] = {}
        for part in parts:
            with self._autocast():
                values = self.objective(part)
            shown = self._finite(step, values)
            self.scaler.scale(values["loss"] / len(parts)).backward()  # type: ignore[no-untyped-call]
            for name, value in shown.items():
                totals[name] = totals.get(name, 0.0) + value / len(parts)
        return totals

    def _accumulate_jointly(self, step: int, parts: list[Batch]) -> dict[str, float]:
        assert isinstance(self.objective, JointObjective)
        shown: dict[str, float] = {}
        backward_jointly(
            self.objective,
            parts,
            device=self.device,
            autocast=self._autocast,
            scale=self.scaler.scale,
            check=lambda values: shown.update(self._finite(step, values)),
        )
        return shown

    @property
    def _is_joint(self) -> bool:
        return self.config.is_joint_contrast and self.config.num_micro_batches > 1

    def _autocast(self) -> torch.autocast:
        is_mixed = self.config.precision != "float32"
        dtype = getattr(torch, self.config.precision) if is_mixed else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=is_mixed)

    def _finite(self, step: int, values: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """The values as numbers, averaged over the processes; all of these refuse what is not finite in any."""
        shown = self.peers.average({name: float(value.detach()) for name, value in values.items()})
        bad = {name: value for name, value in shown.items() if not math.isfinite(value)}
        if bad:
            self.optimizer.zero_grad(set_to_none=True)
            raise TrainingError(f"step {step}: not finite: {bad}; the step was not applied")
        return shown

    def _trainable(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def _first_due(self) -> int:
        """The step after which the first checkpoint is written."""
        config = self.config
        evaluate_every = config.evaluate_every if self._has_evaluation else 0
        return min(config.num_steps, config.checkpoint_every, evaluate_every or config.num_steps)

    def _is_due(self, done: int, every: int) -> bool:
        return done == self.config.num_steps or (every > 0 and done % every == 0)

    def _evaluate_and_save(self, done: int, log: TrainLog | None) -> None:
        """The state comes first: an evaluation that fails, or is killed, costs no step."""
        is_evaluating = self._has_evaluation and self._is_due(done, self.config.evaluate_every)
        if not (is_evaluating or self._is_due(done, self.config.checkpoint_every)):
            return
        self.peers.on_main(lambda: self._save(done))
        if is_evaluating:
            self._evaluate(done, log)
        self._prune()

    def _prune(self) -> None:
        if self.checkpoints is not None:
            checkpoints = self.checkpoints
            self.peers.on_main(lambda: checkpoints.prune(self.config.num_kept, self.config.best_metric))

    def _evaluate(self, done: int, log: TrainLog | None) -> None:
        scores = self.peers.on_main(lambda: self._scores(done))
        if log is not None and scores:
            log.write(done - 1, scores)
        if scores:
            self.report("  evaluation  " + "  ".join(f"{k} {v:.4g}" for k, v in scores.items()))

    def _scores(self, done: int) -> dict[str, float]:
        """What the evaluations give for the model, and for the folder that was just written."""
        scores: dict[str, float] = {}
        if self.evaluate is not None:
            scores |= self.evaluate()
        if self.checkpoints is not None:
            if self.checkpoints.evaluate is not None:
                scores |= self.checkpoints.evaluate(self.checkpoints.path(done))
            self.checkpoints.add_scores(done, scores)
        return scores

    @property
    def _has_evaluation(self) -> bool:
        return self.evaluate is not None or (self.checkpoints is not None and self.checkpoints.evaluate is not None)

    def _is_evaluation_missing(self, first: int) -> bool:
        """Whether the run was killed between the state that it goes on from and that step's scores."""
        is_due = first > 0 and self._has_evaluation and self._is_due(first, self.config.evaluate_every)
        if self.checkpoints is None or not is_due:
            return False
        path = self.checkpoints.path(first)
        return path.exists() and path.name not in self.checkpoints.scores()

    def _save(self, done: int) -> None:
        if self.checkpoints is not None:
            self.checkpoints.write(done)
        save_state(
            self.folder,
            step=done,
            config=self.config,
            model=self.model,
            optimizer=self.optimizer,
            scaler=self.scaler,
            num_processes=self.peers.size,
            num_kept=self.config.num_kept,
        )

    def _line(self, done: int, values: Mapping[str, float], rates: Mapping[str, float], step_s: float) -> str:
        left_min = (self.config.num_steps - done) * step_s / 60
        shown = "  ".join(f"{k} {v:.4g}" for k, v in (*values.items(), *rates.items()))
        return f"step {done}/{self.config.num_steps}  {shown}  left {left_min:.0f} min"


def _require_possible(config: TrainConfig, objective: object, device: torch.device, peers: Peers) -> None:
    if config.precision == "float16" and device.type != "cuda":
        raise ConfigError(f"precision is 'float16'; on {device.type} it must be float32 or bfloat16")
    if config.batch_size % (config.num_micro_batches * peers.size):
        raise ConfigError(
            f"batch_size is {config.batch_size}; it must be a multiple of num_micro_batches={config.num_micro_batches} "
            f"times the {peers.size} processes"
        )
    if config.is_joint_contrast and not isinstance(objective, JointObjective):
        raise ConfigError("is_joint_contrast is True; this objective's loss cannot be taken over parts")


def _say_nothing(line: str) -> None:
    pass
