"""The runs of an ablation: which there are, how far each is, and how those of a seed are trained and asked together."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from henasy.checkpoint.folder import Checkpoint, read_checkpoint, save_checkpoint
from henasy.checkpoint.space import space_id
from henasy.checkpoint.training_note import TrainingNote
from henasy.errors import UnsupportedError
from henasy.evaluation.ablation.plan import READINGS, ROWS, AblationRow, Reading
from henasy.evaluation.ablation.results import FinishedRun, add_results, packed, read_results, run_name
from henasy.evaluation.ablation.scores import Answers, Exam, TextBook, ask_together, score, texts_of
from henasy.evaluation.ablation.test_set import Sizes, load_test_set
from henasy.evaluation.rendered.questions import RULES_VERSION
from henasy.model.build import build_henasy
from henasy.model.config import HenasyConfig, config_to_dict, tiny
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy
from henasy.scenes.files import sole_writer
from henasy.text.tokenizer import Tokenizer
from henasy.training.clip_cache import archive_digest, build_clip_cache
from henasy.training.config import FREE, TrainConfig
from henasy.training.data import CacheBatches, ClipCache, TrainBatch
from henasy.training.log import read_log
from henasy.training.objectives import HenasyObjective, Words
from henasy.training.recipe import CROP_PX, NUM_MOMENTS, TinyRecipe
from henasy.training.shared_sight import SharedBatches, SharedSight, SharedSightObjective, train_together
from henasy.training.state import load_latest_state
from henasy.training.trainer import Trainer

NUM_QUESTIONS = 10_000
NUM_STEPS = 600
SEEDS = (1, 2, 3)
_CHECKPOINT_EVERY = 50
_LOG_EVERY = 10
TRAINING_VERSION = 2
"""Raised when the same settings train other weights, so that runs of before and after are not compared."""
_UNSEEN = (*FREE, "log_every", "evaluate_every", "checkpoint_every", "seed")
"""Settings of a training that change nothing, and the seed, which each run has for itself."""

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What all runs share."""

    first_stage: Path
    """Checkpoint of kind dual that all rows stand on."""
    train_archive: Path
    test_archive: Path
    folder: Path
    """Where runs, frames and checkpoints lie."""
    clips: Path
    """Clip cache of the training archive, made if it is not there."""
    results: Path
    """The file of finished runs."""
    rows: tuple[str, ...] = tuple(row.key for row in ROWS)
    seeds: tuple[int, ...] = SEEDS
    num_questions: int = NUM_QUESTIONS
    training: TrainConfig
    """Of every run, but for the seed."""

    def wanted(self) -> Iterator[tuple[AblationRow, int]]:
        """Every run of the experiment, seed by seed: those of a seed see the same batches."""
        for seed in self.seeds:
            for row in ROWS:
                if row.key in self.rows:
                    yield row, seed


class Stage(NamedTuple):
    """The first stage, with what decides a run's numbers."""

    checkpoint: Checkpoint
    dual: DualEncoder
    tokenizer: Tokenizer
    complete: HenasyConfig
    shared: dict[str, Any]

    @property
    def experiment(self) -> str:
        """Hash of what all runs share."""
        return _digest(self.shared)

    def settings(self, row: AblationRow, seed: int, reading: Reading | None = None) -> str:
        """Hash of all that decides the numbers of a run, or of a reading of it."""
        own = {"row": row.key, "config": config_to_dict(row.config(self.complete)), "box_weight": row.box_weight}
        own |= {"has_box_nouns": row.has_boxes}
        own |= {} if reading is None else {"reading": reading.key, "global_share": reading.global_share}
        return _digest(self.shared | own | {"weights": vars(row.weights), "seed": seed})


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is."""

    row: AblationRow
    seed: int
    steps: int
    """Done and saved."""
    num_steps: int
    is_finished: bool
    """Whether its result stands in the file."""
    step_s: float | None
    """Seconds a step of it took lately; None where none was logged."""


def default_training(num_steps: int, batch_size: int | None = None) -> TrainConfig:
    """The recipe's last stage, cut to a budget: the schedule ends with it."""
    stage = TinyRecipe().henasy
    size = stage.batch_size if batch_size is None else batch_size
    return replace(
        stage,
        num_steps=num_steps,
        batch_size=size,
        log_every=_LOG_EVERY,
        evaluate_every=0,
        checkpoint_every=_CHECKPOINT_EVERY,
        num_kept=1,
    )


def open_stage(experiment: Experiment) -> Stage:
    """The first stage of an experiment.

    Raises:
        UnsupportedError: the checkpoint is no dual encoder with a tokenizer of its own.
    """
    checkpoint = read_checkpoint(experiment.first_stage)
    if not isinstance(checkpoint.model, DualEncoder) or not isinstance(checkpoint.tokenizer, Tokenizer):
        raise UnsupportedError(f"{experiment.first_stage}: a first stage is a dual encoder with its tokenizer")
    training = {name: value for name, value in experiment.training.to_dict().items() if name not in _UNSEEN}
    shared = {
        "first stage": space_id(checkpoint),
        "train archive": archive_digest(experiment.train_archive),
        "test archive": archive_digest(experiment.test_archive),
        "questions": experiment.num_questions,
        "question rules": RULES_VERSION,
        "training rules": TRAINING_VERSION,
        "temperature": TinyRecipe().temperature,
        "training": training,
    }
    complete = replace(tiny(), dual=checkpoint.model.config)
    return Stage(checkpoint, checkpoint.model, checkpoint.tokenizer, complete, shared)


def progress_of(experiment: Experiment, stage: Stage) -> list[Progress]:
    """How far every wanted run is."""
    finished = {run.settings for run in read_results(experiment.results)}
    found = []
    for row, seed in experiment.wanted():
        folder = _run_folder(experiment, stage, row, seed)
        is_finished = stage.settings(row, seed) in finished
        saved = None if is_finished else load_latest_state(folder, device=torch.device("cpu"))
        num_steps = experiment.training.num_steps
        steps = num_steps if is_finished else 0 if saved is None else saved.step
        found.append(
            Progress(
                row=row,
                seed=seed,
                steps=steps,
                num_steps=num_steps,
                is_finished=is_finished,
                step_s=_step_seconds(folder / "log.jsonl", experiment.training.batch_size),
            )
        )
    return found


def seconds_left(progress: Sequence[Progress]) -> float | None:
    """What the missing steps will take at the pace of those done, asking left out; None where no pace is known."""
    known = {one.row.key: one.step_s for one in progress if one.step_s is not None}
    if not known:
        return None
    usual = sum(known.values()) / len(known)
    return sum((one.num_steps - one.steps) * known.get(one.row.key, usual) for one in progress)


class Runner:
    """Trains and asks what is missing of an experiment."""

    def __init__(self, experiment: Experiment, stage: Stage, *, device: torch.device, report: Report) -> None:
        self._experiment, self._stage, self._device, self._report = experiment, stage, device, report

    def run_missing(self) -> int:
        """Trains and asks every run whose result is missing, those of a seed together; goes on where it was stopped.

        Returns:
            How many results were added.

        Raises:
            InputError: another process is at it.
            ConfigError: the archive gives too few questions, or a folder holds something else.
        """
        experiment = self._experiment
        with ExitStack() as held:
            for folder in {experiment.folder.resolve(), experiment.results.parent.resolve()}:
                folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(sole_writer(folder))
            finished = {run.settings for run in read_results(experiment.results)}
            missing = [one for one in experiment.wanted() if self._stage.settings(*one) not in finished]
            if not missing:
                return 0
            build_clip_cache(experiment.train_archive, experiment.clips, crop_px=CROP_PX, num_moments=NUM_MOMENTS)
            exam = self._exam()
            for seed in dict.fromkeys(seed for _, seed in missing):
                self._run_seed(seed, [row for row, of in missing if of == seed], exam)
        return len(missing)

    def _exam(self) -> Exam:
        stage, experiment = self._stage, self._experiment
        vision = stage.complete.dual.vision
        self._report(f"reading the test set {experiment.test_archive}, once for all runs")
        test = load_test_set(
            experiment.test_archive,
            experiment.folder / f"test-{stage.shared['test archive']}",
            Sizes(stage.checkpoint.spec, vision.num_frames, vision.grid_size),
            num_questions=experiment.num_questions,
        )
        return Exam(test, TextBook(stage.dual.to(self._device).eval(), stage.tokenizer, texts_of(test)))

    def _run_seed(self, seed: int, rows: Sequence[AblationRow], exam: Exam) -> None:
        trainers = self._trainers(rows, seed)
        last = 0
        for done in train_together(trainers):
            if done != last and done % _LOG_EVERY == 0:
                self._report(
                    f"seed {seed}: all {len(rows)} runs have done {done} of {trainers[0].config.num_steps} steps"
                )
            last = done
        models = {row.key: _henasy(trainer) for row, trainer in zip(rows, trainers, strict=True)}
        self._report(f"seed {seed}: asking {len(rows)} models about {len(exam.test.clips)} clips")
        answers = ask_together(models, exam.test, self._stage.checkpoint.spec, self._device)
        for row in rows:
            run = self._keep(row, seed, models[row.key], answers[row.key], exam)
            readings = [reading for reading in READINGS if reading.of == row.key]
            others = [self._read_as(reading, run, row, answers[row.key], exam) for reading in readings]
            add_results(self._experiment.results, [run, *others])
            for state in _run_folder(self._experiment, self._stage, row, seed).glob("step-*"):
                shutil.rmtree(state)  # only resuming needed it
            self._report(f"{run.name}: finished")

    def _trainers(self, rows: Sequence[AblationRow], seed: int) -> list[Trainer[TrainBatch]]:
        """One per row, all on the same batches and the same sight."""
        stage, config = self._stage, replace(self._experiment.training, seed=seed)
        vision, spec, cache = stage.complete.dual.vision, stage.checkpoint.spec, ClipCache(self._experiment.clips)
        batches = CacheBatches(
            cache,
            stage.tokenizer,
            config,
            image_px=vision.image_px,
            num_frames=vision.num_frames,
            mean=spec.mean,
            std=spec.std,
        )
        source, sight = SharedBatches(batches), SharedSight()
        tokens = torch.from_numpy(stage.tokenizer.encode_batch(cache.nouns)).to(self._device)
        words = Words(tokens=tokens, is_narrated=torch.ones(len(cache.nouns), dtype=torch.bool, device=self._device))
        trainers = []
        for row in rows:
            objective = self._objective(row, seed, words)
            trainers.append(
                Trainer[TrainBatch](
                    config,
                    model=objective.model,
                    objective=SharedSightObjective(objective, sight),
                    source=source,
                    folder=_run_folder(self._experiment, stage, row, seed),
                    device=self._device,
                    report=lambda line: None,
                )
            )
        return trainers

    def _objective(self, row: AblationRow, seed: int, words: Words) -> HenasyObjective:
        torch.manual_seed(seed)
        return HenasyObjective(
            build_henasy(row.config(self._stage.complete), dual=self._stage.dual).to(self._device),
            nouns=words,
            temperature=self._stage.shared["temperature"],
            weights=row.weights,
            box_weight=row.box_weight,
            synonym_cosine=None,  # every word of the archive's taxonomy is a kind of its own
            has_box_nouns=row.has_boxes,
        )

    def _keep(self, row: AblationRow, seed: int, model: Henasy, answers: Answers, exam: Exam) -> FinishedRun:
        """Leaves the model as a checkpoint; its scores."""
        stage, num_steps = self._stage, self._experiment.training.num_steps
        folder = _run_folder(self._experiment, stage, row, seed)
        note = TrainingNote(
            summary=f"Ablation {row.label!r}, seed {seed}, {num_steps} steps on rendered kitchens.",
            is_rendered_only=True,
            details={"row": row.key, "weights": vars(row.weights), "box_weight": row.box_weight, **stage.shared},
        )
        checkpoint = Checkpoint(
            model=model.eval(), spec=stage.checkpoint.spec, tokenizer=stage.tokenizer, training=note
        )
        save_checkpoint(folder / "checkpoint", checkpoint)
        step_s = _step_seconds(folder / "log.jsonl", self._experiment.training.batch_size)
        found = score(answers, exam)
        return FinishedRun(
            row=row.key,
            seed=seed,
            settings=stage.settings(row, seed),
            experiment=stage.experiment,
            shared=stage.shared,
            steps=num_steps,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            step_s=None if step_s is None else round(step_s, 3),
            space_id=space_id(checkpoint),
            scores=found.scores,
            videos=exam.test.videos_digest,
            by_video=found.by_video,
            right=packed(found.is_right),
        )

    def _read_as(
        self, reading: Reading, run: FinishedRun, row: AblationRow, answers: Answers, exam: Exam
    ) -> FinishedRun:
        """The line of a reading of a run."""
        found = score(answers.read_as(reading), exam, reading.measures)
        return replace(
            run,
            row=reading.key,
            settings=self._stage.settings(row, run.seed, reading),
            scores=found.scores,
            by_video=found.by_video,
            right=packed(found.is_right),
        )


def _henasy(trainer: Trainer[TrainBatch]) -> Henasy:
    assert isinstance(trainer.model, Henasy)
    return trainer.model


def _run_folder(experiment: Experiment, stage: Stage, row: AblationRow, seed: int) -> Path:
    return experiment.folder / stage.experiment / run_name(row.key, seed)


def _step_seconds(log: Path, batch_size: int) -> float | None:
    """Median over the logged stretches."""
    rates = [line["clips_per_s"] for line in read_log(log) if "clips_per_s" in line] if log.exists() else []
    return 2 * batch_size / median(rates) if rates else None


def _digest(settings: object) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
