"""A small ablation from nothing to its results: interrupted, gone on with, and asked again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import Checkpoint, read_checkpoint, save_checkpoint
from henasy.checkpoint.training_note import TrainingNote
from henasy.errors import ConfigError, InputError, UnsupportedError
from henasy.evaluation.ablation import test_set as ablation_test_set
from henasy.evaluation.ablation.plan import (
    INTRA,
    MAP,
    MASK_MEASURES,
    NDCG,
    NOUN_ORACLE,
    NOUN_TEXT,
    PAPER_MEASURES,
    READINGS,
    TOP1,
    TOP5,
)
from henasy.evaluation.ablation.results import FinishedRun, read_results, unpacked
from henasy.evaluation.ablation.runs import (
    Experiment,
    Runner,
    Stage,
    default_training,
    open_stage,
    progress_of,
    seconds_left,
)
from henasy.evaluation.ablation.scores import Answers, Exam, TextBook, score, texts_of
from henasy.evaluation.ablation.test_set import HeldOutSet, Sizes, load_test_set
from henasy.evaluation.annotations.egomcq import EgoMcq, McqQuestion
from henasy.evaluation.metrics.mir import mir_scores
from henasy.evaluation.metrics.multiple_choice import INTRA as INTRA_TYPE
from henasy.evaluation.rendered.layouts import read_rendered_clips
from henasy.evaluation.rendered.questions import QuestionSet
from henasy.model.build import build_dual
from henasy.model.config import DualConfig, TextConfig, VisionConfig
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy
from henasy.scenes.archive import ArchiveConfig, write_archive
from henasy.scenes.files import sole_writer
from henasy.text.tokenizer import train_tokenizer
from henasy.training.config import TrainConfig
from henasy.video.preprocess import PreprocessSpec

CPU = torch.device("cpu")
NUM_QUESTIONS = 8


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    config = ArchiveConfig(seed=9, num_videos=2, video_s=30.0, width_px=128, height_px=72, fps=8, split="test")
    write_archive(config, folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def first_stage(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = train_tokenizer([clip.text for clip in read_rendered_clips(archive)], vocab_size=560, context_length=32)
    torch.manual_seed(0)
    config = DualConfig(
        vision=VisionConfig(image_px=48, patch_px=8, width=32, depth=3, heads=2),
        text=TextConfig(width=32, heads=2, layers=1, context_length=32, vocab_size=tokenizer.vocab_size),
        joint_dim=24,
    )
    spec = PreprocessSpec(image_px=48, mean=(110.0,) * 3, std=(70.0,) * 3, is_antialiased=True)
    note = TrainingNote(summary="random weights of a test", is_random=True)
    folder = tmp_path_factory.mktemp("first") / "dual"
    save_checkpoint(folder, Checkpoint(model=build_dual(config).eval(), spec=spec, tokenizer=tokenizer, training=note))
    return folder


@pytest.fixture(autouse=True)
def any_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that renders within seconds gives no question whose distractors are alike."""

    def some(archive: Path, num_questions: int) -> QuestionSet:
        clips = read_rendered_clips(archive)
        asked = [
            McqQuestion(
                text=clips[row].text,
                choices=tuple(clips[(row + step) % len(clips)].span for step in range(5)),
                answer=0,
                type=1 + row % 2,
            )
            for row in range(min(NUM_QUESTIONS, num_questions))
        ]
        return QuestionSet(questions=EgoMcq(questions=tuple(asked)), num_asked=num_questions)

    monkeypatch.setattr(ablation_test_set, "archive_questions", some)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips") / "cache"


def _training() -> TrainConfig:
    return replace(default_training(3, 2), precision="float32", checkpoint_every=1, log_every=1)


MakeExperiment = Callable[[str], Experiment]


@pytest.fixture
def experiment(archive: Path, first_stage: Path, clips: Path, tmp_path: Path) -> MakeExperiment:
    def make(name: str) -> Experiment:
        return Experiment(
            first_stage=first_stage,
            train_archive=archive,
            test_archive=archive,
            folder=tmp_path / name,
            clips=clips,
            results=tmp_path / name / "results" / "ablations.jsonl",
            rows=("ego", "no-bootstrap"),
            seeds=(1, 2),
            num_questions=NUM_QUESTIONS,
            training=_training(),
        )

    return make


def _run(experiment: Experiment, report: Callable[[str], None] = lambda line: None) -> tuple[int, Stage]:
    stage = open_stage(experiment)
    return Runner(experiment, stage, device=CPU, report=report).run_missing(), stage


def _same(one: FinishedRun, other: FinishedRun) -> bool:
    return replace(one, finished="", step_s=None) == replace(other, finished="", step_s=None)


def test_interrupted_and_gone_on_with_as_if_nothing_had_been(experiment: MakeExperiment) -> None:
    whole, cut = experiment("whole"), experiment("cut")
    added, stage = _run(whole)
    assert added == 4

    def stop_after_the_first(line: str) -> None:
        if line == "ego/seed-1: finished":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(cut, stop_after_the_first)
    states = {(one.row.key, one.seed): (one.is_finished, one.steps) for one in progress_of(cut, stage)}
    assert states[("ego", 1)] == (True, 3)
    assert states[("no-bootstrap", 1)] == (False, 3)
    assert states[("ego", 2)] == (False, 0)
    left_s = seconds_left(progress_of(cut, stage))
    assert left_s is not None
    assert left_s > 0
    assert _run(cut)[0] == 3
    assert _run(cut)[0] == 0
    found = {run.name: run for run in read_results(cut.results)}
    for run in read_results(whole.results):
        assert _same(found[run.name], run), run.name
    assert seconds_left(progress_of(cut, stage)) == 0
    assert len({run.space_id for run in found.values()}) == 4
    encoder = load_encoder(cut.folder / stage.experiment / "no-bootstrap" / "seed-1" / "checkpoint")
    assert encoder.space_id == found["no-bootstrap/seed-1"].space_id
    assert not list((cut.folder / stage.experiment).rglob("step-*"))
    assert len(unpacked(found["ego/seed-1"].right, NUM_QUESTIONS)) == NUM_QUESTIONS


def test_readings_of_the_complete_row_are_asked_beside_it(experiment: MakeExperiment, first_stage: Path) -> None:
    one = experiment("one")
    one = replace(one, rows=("complete",), seeds=(1,), results=one.folder / "ablations.jsonl")
    added, stage = _run(one)
    assert added == 1
    runs = {run.row: run for run in read_results(one.results)}
    complete, first, mean = runs["complete"], runs["first-stage"], runs["complete-mean"]
    assert list(runs) == ["complete", *(reading.key for reading in READINGS)]
    assert set(first.scores) == set(PAPER_MEASURES)
    assert {name: mean.scores[name] for name in MASK_MEASURES} == {
        name: complete.scores[name] for name in MASK_MEASURES
    }
    assert len({run.settings for run in runs.values()}) == 3
    test, texts = _loaded(one.test_archive, first_stage, one.folder / f"test-{stage.shared['test archive']}")
    with torch.inference_mode():
        alone = torch.cat([stage.dual.encode_video(frames) for frames in test.batches(stage.checkpoint.spec, 16)])
        model = read_checkpoint(one.folder / stage.experiment / "complete" / "seed-1" / "checkpoint").model
        assert isinstance(model, Henasy)
        model = model.with_global_share(0.5)
        both = torch.cat([model(frames).video for frames in test.batches(stage.checkpoint.spec, 16)])
    for run, vectors in ((first, alone), (mean, both)):
        similarity = F.normalize(vectors, dim=-1).numpy() @ texts.of(test.retrieval.texts).T
        assert run.scores[MAP] == pytest.approx(mir_scores(similarity.astype(np.float64), test.relevancy).map_avg)


def test_other_settings_are_other_runs(experiment: MakeExperiment) -> None:
    one = experiment("one")
    stage, longer = open_stage(one), open_stage(replace(one, training=replace(_training(), num_steps=4)))
    assert stage.experiment != longer.experiment
    logged = open_stage(replace(one, training=replace(_training(), log_every=2, checkpoint_every=2)))
    assert logged.experiment == stage.experiment
    settings = {stage.settings(row, seed) for row, seed in one.wanted()}
    assert len(settings) == 4
    assert seconds_left(progress_of(one, stage)) is None


def test_what_cannot_be_run(experiment: MakeExperiment, first_stage: Path) -> None:
    one = experiment("one")
    stage = open_stage(one)
    with pytest.raises(UnsupportedError, match="a first stage is a dual encoder with its tokenizer"):
        open_stage(replace(one, first_stage=Path("henasy/weights/henasy-tiny").resolve()))
    with pytest.raises(ConfigError, match=r"too small: it gives 4 of 50 inter, 4 of 50 intra questions; ask fewer"):
        Runner(replace(one, num_questions=100), stage, device=CPU, report=lambda line: None).run_missing()
    with sole_writer(one.folder), pytest.raises(InputError, match="is being written by another process"):
        _run(one)


def _loaded(archive: Path, first_stage: Path, folder: Path) -> tuple[HeldOutSet, TextBook]:
    encoder = load_encoder(first_stage)
    test = load_test_set(archive, folder, Sizes(encoder.spec, 4, 6), num_questions=NUM_QUESTIONS)
    checkpoint = read_checkpoint(first_stage)
    assert isinstance(checkpoint.model, DualEncoder)
    assert checkpoint.tokenizer is not None
    return test, TextBook(checkpoint.model, checkpoint.tokenizer, texts_of(test))


def test_scores_against_each_measure_by_itself(archive: Path, first_stage: Path, tmp_path: Path) -> None:
    test, texts = _loaded(archive, first_stage, tmp_path / "test")
    again, _ = _loaded(archive, first_stage, tmp_path / "test")
    np.testing.assert_array_equal(test.frames, again.frames)
    rng, count = np.random.default_rng(0), len(test.clips)
    unit = rng.normal(size=(count, 5, 24))
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    answers = Answers(
        clip=unit[:, 0].astype(np.float32),
        first_stage=unit[:, 1].astype(np.float32),
        entities=unit[:, 1:].astype(np.float32),
        is_valid=np.ones((count, 4), bool),
        assignment=rng.integers(4, size=(count, 4, 36)).astype(np.uint8),
    )
    found = score(answers, Exam(test, texts))
    rows = {clip.span: row for row, clip in enumerate(test.clips)}
    right = []
    for question in test.questions.questions:
        closeness = [answers.clip[rows[span]] @ texts.of([question.text])[0] for span in question.choices]
        right.append(int(np.argmax(closeness)) == question.answer)
    assert found.is_right.tolist() == right
    intra = [one for one, question in zip(right, test.questions.questions, strict=True) if question.type == INTRA_TYPE]
    assert found.scores[INTRA] == pytest.approx(np.mean(intra))
    similarity = answers.clip.astype(np.float64) @ texts.of(test.retrieval.texts).astype(np.float64).T
    mir = mir_scores(similarity, test.relevancy)
    assert [found.scores[MAP], found.scores[NDCG]] == pytest.approx([mir.map_avg, mir.ndcg_avg])
    assert 0 <= found.scores[TOP1] <= found.scores[TOP5] <= 1
    assert found.scores[NOUN_TEXT] <= found.scores[NOUN_ORACLE]
    for name in (INTRA, TOP1, NOUN_TEXT):
        sums = np.array(found.by_video[name])
        assert sums[:, 0].sum() / sums[:, 1].sum() == pytest.approx(found.scores[name], abs=1e-6)
    assert len(found.by_video[TOP1]) == len(test.video_ids) == 2


def test_frames_and_masks_of_another_archive_are_refused(archive: Path, first_stage: Path, tmp_path: Path) -> None:
    _loaded(archive, first_stage, tmp_path / "test")
    spec = load_encoder(first_stage).spec
    with pytest.raises(ConfigError, match="holds the frames of other clips or sizes"):
        load_test_set(archive, tmp_path / "test", Sizes(spec, 4, 12), num_questions=NUM_QUESTIONS)
