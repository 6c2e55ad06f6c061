"""Continued training with EgoNCE++: its batches, its objective, a run that is cut and goes on, what it leaves."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from henasy.checkpoint.adapter_folder import apply_adapters
from henasy.checkpoint.encoder import load_encoder
from henasy.checkpoint.folder import Checkpoint, read_checkpoint, save_checkpoint
from henasy.checkpoint.space import space_id
from henasy.checkpoint.training_note import TrainingNote
from henasy.commands.train_merge import merge
from henasy.errors import ConfigError, TrainingError
from henasy.losses.egoncepp import egoncepp, shared_nouns
from henasy.model.build import build_dual, build_henasy
from henasy.model.config import DecoderConfig, DualConfig, HenasyConfig, LocalConfig, TextConfig, VisionConfig
from henasy.model.henasy import Henasy
from henasy.text.tokenizer import train_tokenizer
from henasy.text.word_swaps import WordSwaps
from henasy.training.config import TrainConfig
from henasy.training.data import CacheBatches, ClipCache, TrainBatch
from henasy.training.egoncepp import (
    CacheCaptions,
    Caption,
    EgoNcePlusPlusObjective,
    SwapBatch,
    SwapBatches,
    SwapConfig,
    TaxonomySwaps,
)
from henasy.training.log import read_log
from henasy.training.share import Share
from henasy.video.preprocess import PreprocessSpec

pytest.importorskip("peft")

from henasy.model.adapters import AdapterConfig
from henasy.training import continued
from henasy.training.continued import ContinuedRecipe, continue_training
from henasy.training.continued_sources import Clips

CPU = torch.device("cpu")
NUM_CLIPS, CROP, IMAGE, FRAMES = 12, 20, 16, 2
VERBS = [["lift", "raise"], ["open"], ["stir", "mix"]]
NOUNS = [["mug", "cup"], ["pan"], ["box"]]
THIRD = ("lifts", "opens", "stirs")
VISION = VisionConfig(image_px=IMAGE, patch_px=8, width=16, depth=2, heads=2, num_frames=FRAMES)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> ClipCache:
    """Twelve clips of noise, three verbs of three nouns."""
    folder = tmp_path_factory.mktemp("cache")
    rng, rows = np.random.default_rng(0), np.arange(NUM_CLIPS)
    np.save(folder / "frames.npy", rng.integers(0, 256, (NUM_CLIPS, 4, CROP, CROP, 3)).astype(np.uint8))
    np.save(folder / "boxes.npy", np.zeros((NUM_CLIPS, 4, 4, 4), np.float32))
    np.save(folder / "box_nouns.npy", np.full((NUM_CLIPS, 4, 4), -1, np.int16))
    texts = [f"#C C {THIRD[i % 3]} the {NOUNS[i // 3 % 3][0]}" for i in rows]
    table = {
        "text": texts,
        "verb_phrase": texts,
        "video_uid": [f"v{i // 6}" for i in rows],
        "start_s": [5.0 * i for i in rows],
        "noun_rows": [[i // 3 % 3] for i in range(NUM_CLIPS)],
        "hand": ["left"] * NUM_CLIPS,
        "verb_row": (rows % 3).tolist(),
    }
    pq.write_table(pa.table(table), folder / "clips.parquet")
    about = {"crop_px": CROP, "num_moments": 4, "nouns": ["mug", "pan", "box"], "verbs": ["lift", "open", "stir"]}
    (folder / "cache.json").write_text(json.dumps(about))
    return ClipCache(folder)


@pytest.fixture(scope="module")
def bases(cache: ClipCache, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random checkpoints of both kinds."""
    tokenizer = train_tokenizer(cache.texts * 4, vocab_size=560, context_length=12)
    dual = DualConfig(
        vision=VISION,
        text=TextConfig(width=12, heads=2, layers=1, context_length=12, vocab_size=tokenizer.vocab_size),
        joint_dim=8,
    )
    local = LocalConfig(
        width=16, heads=2, num_group_tokens=4, num_entities=2, num_bootstrap_layers=1, num_segment_blocks=1
    )
    henasy = HenasyConfig(dual=dual, local=local, decoder=DecoderConfig(width=16, heads=2, depth=1))
    torch.manual_seed(0)
    folders = {}
    for kind, model in (("dual", build_dual(dual)), ("henasy", build_henasy(henasy))):
        folders[kind] = tmp_path_factory.mktemp(kind) / "checkpoint"
        spec = PreprocessSpec(image_px=IMAGE, mean=(100.0,) * 3, std=(50.0,) * 3, is_antialiased=True)
        note = TrainingNote(summary="Random.", is_random=True, details={"seed": 0})
        save_checkpoint(folders[kind], Checkpoint(model=model.eval(), spec=spec, tokenizer=tokenizer, training=note))
    return folders


def config(**changes: object) -> TrainConfig:
    settings: dict[str, object] = {"num_steps": 6, "batch_size": 4, "learning_rate": 0.02, "checkpoint_every": 3}
    return TrainConfig(**(settings | {"log_every": 1, "evaluate_every": 0} | changes))


def source(
    cache: ClipCache, checkpoint: Checkpoint, train: TrainConfig, kind: type[CacheBatches] = CacheBatches
) -> CacheBatches:
    assert checkpoint.tokenizer is not None
    spec = checkpoint.spec
    return kind(cache, checkpoint.tokenizer, train, image_px=IMAGE, num_frames=FRAMES, mean=spec.mean, std=spec.std)


def batches(cache: ClipCache, bases: dict[str, Path], swaps: SwapConfig, **changes: object) -> SwapBatches:
    checkpoint, train = read_checkpoint(bases["dual"]), config(**changes)
    assert checkpoint.tokenizer is not None
    plain = source(cache, checkpoint, train)
    words = TaxonomySwaps(WordSwaps(VERBS, NOUNS))
    return SwapBatches(plain, CacheCaptions(cache), words, checkpoint.tokenizer, swaps, seed=train.seed)


def told(cache: ClipCache, source: CacheBatches, data: str = "noise") -> Clips:
    words = TaxonomySwaps(WordSwaps(VERBS, NOUNS))
    return Clips(source, CacheCaptions(cache), words, "12 clips of noise", {"archive": data})


def run(
    folder: Path,
    out: Path,
    cache: ClipCache,
    recipe: ContinuedRecipe,
    said: list[str] | None = None,
    *,
    data: str = "noise",
) -> Path:
    return continue_training(
        folder,
        out,
        recipe,
        told(cache, source(cache, read_checkpoint(folder), recipe.train), data),
        device=CPU,
        report=(lambda line: None) if said is None else said.append,
    )


def recipe(**changes: object) -> ContinuedRecipe:
    return ContinuedRecipe(
        train=config(**changes),
        adapters=AdapterConfig(rank=2, alpha=2),
        swaps=SwapConfig(num_verb_swaps=2, num_noun_swaps=2),
    )


def test_batches_hold_each_clips_own_swaps(cache: ClipCache, bases: dict[str, Path]) -> None:
    made = batches(cache, bases, SwapConfig(num_verb_swaps=4, num_noun_swaps=3))
    batch = made.batch(0, 0, CPU)
    rows = made.source.batch(0, 0, CPU).rows
    tokens = made.tokenizer.encode_batch([cache.texts[r] for r in rows])
    np.testing.assert_array_equal(batch.tokens.numpy(), tokens)
    # two further verbs of one and two words, and of the nouns one with one word and one or two with two
    assert batch.has_swap[:, :4].sum(dim=1).tolist() == [len(VERBS[a]) + len(VERBS[b]) for a, b in others(cache, rows)]
    assert not batch.swap_tokens[~batch.has_swap][:, 3:].any()
    for own, swaps, has_swap in zip(batch.tokens, batch.swap_tokens, batch.has_swap, strict=True):
        shown = {tuple(swap.tolist()) for swap in swaps[has_swap]}
        assert len(shown) == int(has_swap.sum())
        assert tuple(own.tolist()) not in shown


def others(cache: ClipCache, rows: torch.Tensor) -> list[tuple[int, int]]:
    return [tuple(sorted({0, 1, 2} - {int(cache.verb_rows[r])})) for r in rows]  # type: ignore[misc]


def test_batches_of_a_step_are_the_same_whenever_they_are_made(cache: ClipCache, bases: dict[str, Path]) -> None:
    swaps = SwapConfig(num_verb_swaps=1, num_noun_swaps=1)
    first, again = (batches(cache, bases, swaps).batch(3, 0, CPU) for _ in range(2))
    other = batches(cache, bases, swaps).batch(4, 0, CPU)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.swap_tokens, other.swap_tokens)


class Nameless:
    """Captions in which no word of a class is found."""

    def captions(self, rows: NDArray[np.int64]) -> list[Caption]:
        no_classes: Sequence[int] = []
        return [Caption("#C C stares", no_classes, no_classes) for _ in rows]


@pytest.mark.parametrize("num_swaps", [0, 2])
def test_clips_without_swaps_are_contrasted_with_the_batch_alone(
    cache: ClipCache, bases: dict[str, Path], num_swaps: int
) -> None:
    made = batches(cache, bases, SwapConfig(num_verb_swaps=num_swaps, num_noun_swaps=0))
    made.captions = Nameless()
    batch = made.batch(0, 0, CPU)
    assert batch.swap_tokens.shape == (8, num_swaps, 12)
    assert not batch.has_swap.any()
    model = read_checkpoint(bases["dual"]).model
    values = EgoNcePlusPlusObjective(model)(batch._replace(nouns=torch.zeros_like(batch.nouns)))
    assert torch.isfinite(values["loss"])
    assert values["swaps_per_clip"] == 0


@pytest.mark.parametrize("kind", ["dual", "henasy"])
def test_objective_is_the_loss_of_the_embeddings(cache: ClipCache, bases: dict[str, Path], kind: str) -> None:
    batch = batches(cache, bases, SwapConfig(num_verb_swaps=2, num_noun_swaps=2)).batch(0, 0, CPU)
    model = read_checkpoint(bases[kind]).model
    with torch.no_grad():
        values = EgoNcePlusPlusObjective(model, temperature=0.1)(batch)
        video = model.encode_video(batch.frames) if kind == "dual" else model(batch.frames).video
        swapped = torch.stack([model.encode_text(tokens) for tokens in batch.swap_tokens])
        text = model.encode_text(batch.tokens)
        positives = shared_nouns(batch.nouns)
        loss = egoncepp(video, text, swapped, positives, has_swap=batch.has_swap, temperature=0.1)
    assert values["loss"].item() == pytest.approx(loss.total.item(), rel=1e-5)
    nearest = torch.cosine_similarity(video, text) >= torch.cosine_similarity(
        video[:, None].expand_as(swapped), swapped, dim=-1
    ).masked_fill(~batch.has_swap, -torch.inf).amax(dim=1)
    assert values["own_first"].item() == pytest.approx(nearest.float().mean().item())


@pytest.mark.parametrize("kind", ["dual", "henasy"])
def test_run_leaves_a_checkpoint_with_a_space_of_its_own(
    cache: ClipCache, bases: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    merged = run(bases[kind], tmp_path / "run", cache, recipe())
    base, encoder = read_checkpoint(bases[kind]), load_encoder(merged)
    assert encoder.kind == kind
    assert encoder.space_id != space_id(base)
    assert "EgoNCE++ on 12 clips of noise" in encoder.card.summary
    assert encoder.card.details["egoncepp"]["base space"] == space_id(base)
    assert encoder.card.details["seed"] == 0
    newest = load_encoder(tmp_path / "run" / "checkpoints" / "step-00000006")
    again = replace(base, model=apply_adapters(tmp_path / "run" / "adapters", base).merge())
    assert newest.space_id == space_id(again) == encoder.space_id
    losses = [line["loss"] for line in read_log(tmp_path / "run" / "log.jsonl") if "loss" in line]
    assert len(losses) == 6
    given = [str(tmp_path / "run" / "adapters"), "--out", str(tmp_path / "merged")]
    called = CliRunner().invoke(merge, [str(bases[kind]), *given])
    assert called.exit_code == 0, called.output
    assert load_encoder(tmp_path / "merged").space_id == encoder.space_id
    called = CliRunner().invoke(merge, [str(merged), *given])
    assert called.exit_code == 1
    assert "adapters for the checkpoint of space" in called.output


def test_run_learns_the_swaps_of_its_clips(cache: ClipCache, bases: dict[str, Path], tmp_path: Path) -> None:
    run(bases["dual"], tmp_path / "run", cache, recipe(num_steps=40, batch_size=12, checkpoint_every=40))
    lines = read_log(tmp_path / "run" / "log.jsonl")
    assert np.mean([line["loss"] for line in lines[-5:]]) < 0.8 * np.mean([line["loss"] for line in lines[:5]])


def test_run_that_is_cut_goes_on_exactly(cache: ClipCache, bases: dict[str, Path], tmp_path: Path) -> None:
    whole = run(bases["dual"], tmp_path / "whole", cache, recipe())

    class CutError(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("step 5"):
            raise CutError

    with pytest.raises(CutError):
        continue_training(
            bases["dual"],
            tmp_path / "cut",
            recipe(),
            told(cache, source(cache, read_checkpoint(bases["dual"]), recipe().train)),
            device=CPU,
            report=stop,
        )
    said: list[str] = []
    again = run(bases["dual"], tmp_path / "cut", cache, recipe(), said)
    assert any("from step 3" in line for line in said)
    assert space_id(read_checkpoint(again)) == space_id(read_checkpoint(whole))


def test_run_with_other_settings_or_another_base_is_refused(
    cache: ClipCache, bases: dict[str, Path], tmp_path: Path
) -> None:
    run(bases["dual"], tmp_path / "run", cache, recipe(num_steps=1))
    other = replace(recipe(num_steps=1), temperature=0.07)
    with pytest.raises(ConfigError, match=r"other settings .*'temperature': \(0.05, 0.07\)"):
        run(bases["dual"], tmp_path / "run", cache, other)
    with pytest.raises(ConfigError, match=r"other settings .*'data': \({'archive': 'noise'}, {'archive': 'snow'}\)"):
        run(bases["dual"], tmp_path / "run", cache, recipe(num_steps=1), data="snow")
    with pytest.raises(ConfigError, match=r"other settings .*base_space_id"):
        run(bases["henasy"], tmp_path / "run", cache, recipe(num_steps=1))
    stored = json.loads((tmp_path / "run" / "run.json").read_text())
    del stored["train"]["backwards"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(stored))
    run(bases["dual"], tmp_path / "run", cache, recipe(num_steps=1))  # what came later has its default


@pytest.mark.parametrize("kind", ["dual", "henasy"])
def test_recomputing_changes_no_weight_and_keeps_less(
    cache: ClipCache, bases: dict[str, Path], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(bases[kind], tmp_path / "whole", cache, recipe(num_steps=2))
    counts: list[int] = []
    recompute = continued.recompute_blocks
    monkeypatch.setattr(continued, "recompute_blocks", lambda model: counts.append(recompute(model)))
    short = recipe(num_steps=2)
    again = run(bases[kind], tmp_path / "again", cache, replace(short, train=replace(short.train, is_recomputing=True)))
    assert counts[0] >= VISION.depth
    for name, value in read_checkpoint(whole).model.state_dict().items():
        torch.testing.assert_close(read_checkpoint(again).model.state_dict()[name], value, atol=1e-6, rtol=1e-5)
    run(bases[kind], tmp_path / "again", cache, short)  # how it is computed may change


def test_objective_is_of_the_embedding_that_is_searched_with(cache: ClipCache, bases: dict[str, Path]) -> None:
    batch = batches(cache, bases, SwapConfig(num_verb_swaps=1, num_noun_swaps=1)).batch(0, 0, CPU)
    model = read_checkpoint(bases["henasy"]).model.eval()
    assert isinstance(model, Henasy)
    shared = model.with_global_share(0.5)
    with torch.no_grad():
        contrasted, out = EgoNcePlusPlusObjective(shared).embed(batch).video, shared(batch.frames)
    assert torch.equal(contrasted, out.video)
    assert not torch.allclose(contrasted, out.decoded)


def test_captions_that_are_true_of_a_clip_are_spared(cache: ClipCache, bases: dict[str, Path]) -> None:
    batch = batches(cache, bases, SwapConfig(num_verb_swaps=1, num_noun_swaps=1)).batch(0, 0, CPU)
    same = torch.tensor([[0, 0], [1, 0], [0, 0], [0, 1]])  # verb and noun of the first four rows; two are one deed
    batch = SwapBatch(*(tensor[:4] for tensor in batch))._replace(
        verbs=torch.eye(3)[same[:, 0]], nouns=torch.eye(3)[same[:, 1]]
    )
    model = read_checkpoint(bases["dual"]).model
    with torch.no_grad():
        spared = EgoNcePlusPlusObjective(model, spares_same_action=True)
        embedded = spared.embed(batch)
        is_same_action = torch.eye(4, dtype=torch.bool)
        is_same_action[0, 2] = is_same_action[2, 0] = True
        told = {"has_swap": batch.has_swap, "is_same_action": is_same_action}
        loss = egoncepp(*embedded, shared_nouns(batch.nouns), **told)
    assert spared(batch)["loss"].item() == pytest.approx(loss.total.item(), rel=1e-5)
    assert EgoNcePlusPlusObjective(model)(batch)["loss"] > spared(batch)["loss"]


def test_loss_that_is_not_finite_stops_the_run(cache: ClipCache, bases: dict[str, Path], tmp_path: Path) -> None:
    class Broken(CacheBatches):
        def batch(self, step: int, part: int, device: torch.device) -> TrainBatch:
            made = super().batch(step, part, device)
            return made._replace(frames=made.frames * torch.nan) if step == 4 else made

    with pytest.raises(TrainingError, match=r"step 4: not finite: .*'loss': nan"):
        continue_training(
            bases["dual"],
            tmp_path / "run",
            recipe(),
            told(cache, source(cache, read_checkpoint(bases["dual"]), recipe().train, Broken)),
            device=CPU,
            report=lambda line: None,
        )
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_shares_of_a_batch_are_parts_of_the_whole(cache: ClipCache, bases: dict[str, Path]) -> None:
    whole = batches(cache, bases, SwapConfig(num_verb_swaps=2, num_noun_swaps=1)).batch(2, 0, CPU)
    checkpoint, train = read_checkpoint(bases["dual"]), config()
    assert checkpoint.tokenizer is not None
    parts = []
    for rank in range(2):
        spec = checkpoint.spec
        plain = CacheBatches(
            cache,
            checkpoint.tokenizer,
            train,
            image_px=IMAGE,
            num_frames=FRAMES,
            mean=spec.mean,
            std=spec.std,
            share=Share(rank, 2),
        )
        words, swaps = TaxonomySwaps(WordSwaps(VERBS, NOUNS)), SwapConfig(num_verb_swaps=2, num_noun_swaps=1)
        own = SwapBatches(plain, CacheCaptions(cache), words, checkpoint.tokenizer, swaps, seed=train.seed)
        parts.append((Share(rank, 2).rows(4), own.batch(2, 0, CPU)))
    assert sorted(row for rows, _ in parts for row in rows) == list(range(8))
    for rows, part in parts:
        for ours, all_rows in zip(part, whole, strict=True):
            assert torch.equal(ours, all_rows[torch.from_numpy(rows)])
