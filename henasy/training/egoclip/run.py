"""A training run on EgoClip: LaViLa's encoders frozen, the entity encoder and decoder trained, as the paper does.

RUN/settings.json        everything the run was started with
RUN/left_out.parquet     clips that cannot be used, and why
RUN/refused-0.jsonl      clips that could not be decoded, one file per process
RUN/log.jsonl            the log
RUN/step-N/              what the run goes on from
RUN/checkpoints/step-N/  checkpoint folders for `henasy-index`, the newest ones
RUN/checkpoint/          the last of them
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from henasy.checkpoint.folder import Checkpoint, read_checkpoint, save_checkpoint
from henasy.checkpoint.space import space_id
from henasy.checkpoint.training_note import TrainingNote
from henasy.errors import CheckpointError, ConfigError
from henasy.model.build import build_henasy
from henasy.model.config import HenasyConfig, base, base_768, config_to_dict, tiny
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy
from henasy.text.stored import AnyTokenizer
from henasy.training.checkpoints import FOLDER, Checkpoints, FolderScores
from henasy.training.config import FREE, TrainConfig
from henasy.training.data import TrainBatch
from henasy.training.distributed import ALONE, Peers
from henasy.training.egoclip.clips import EgoClips, open_egoclip
from henasy.training.egoclip.config import TOLERANCES, EgoClipFiles, EgoClipRecipe
from henasy.training.egoclip.refusals import Refusals
from henasy.training.egoclip.source import EgoClipBatches, Sampling
from henasy.training.objectives import HenasyObjective, Words
from henasy.training.trainer import Trainer
from henasy.video.view_pool import ViewPool
from henasy.video.views import ViewRule

PRESETS: dict[str, Callable[[], HenasyConfig]] = {"base": base, "base-768": base_768, "tiny": tiny}
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class EgoClipRun:
    """What a run is started with."""

    files: EgoClipFiles
    """The data."""
    recipe: EgoClipRecipe
    """What is learnt from them."""
    train: TrainConfig
    """The optimisation; `num_steps` counts only if it is less than the epochs have."""
    model: Path
    """Checkpoint folder of the dual encoder, LaViLa's imported by `henasy-model`."""
    preset: str
    """Sizes of what is built on it: base (the paper's, 512 wide), base-768 (the paper's 291 M parameters), tiny."""
    out: Path
    """The run's folder."""
    cache: Path
    """Where annotations, boxes and phrases are kept as memory-mapped files; runs may share it."""
    num_workers: int
    """Decoding processes of each training process."""


def train_egoclip(
    run: EgoClipRun,
    *,
    device: torch.device,
    peers: Peers = ALONE,
    evaluate: FolderScores | None = None,
    report: Report = print,
) -> Path:
    """Trains, going on where the run's folder stopped; returns the checkpoint folder.

    Args:
        run: what is trained on what.
        device: of this process.
        peers: the processes that share each batch.
        evaluate: scores a checkpoint folder, each time an evaluation is due.
        report: is given lines to print.

    Raises:
        HenasyError: a file, a setting or the model is not what it should be, or training cannot go on.
    """
    say = report if peers.is_main else _say_nothing
    start = _dual_checkpoint(run.model)
    config = sizes(run.preset, start)
    run.out.mkdir(parents=True, exist_ok=True)
    clips = peers.main_first(lambda: open_egoclip(run.files, run.recipe, run.out, cache=run.cache, report=say))
    num_steps = min(run.train.num_steps, run.recipe.num_steps(len(clips), run.train.batch_size))
    run = replace(run, train=replace(run.train, num_steps=num_steps))
    settings = _settings(run, config, start, clips)
    peers.on_main(lambda: keep_settings(run.out, settings))
    say(json.dumps(settings, indent=2))
    model = _train(run, config, start, clips, device=device, peers=peers, evaluate=evaluate, report=say)
    folder = run.out / "checkpoint"
    peers.on_main(lambda: save_checkpoint(folder, _trained(model, start, run, clips)))
    return folder


def sizes(preset: str, start: Checkpoint) -> HenasyConfig:
    """The sizes of a preset around the encoders of a checkpoint.

    Raises:
        ConfigError: there is no such preset.
        CheckpointError: the encoders have other sizes than the preset's.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset is {preset!r}; allowed: {', '.join(PRESETS)}")
    wanted, held = PRESETS[preset](), config_to_dict(start.config)
    wanted_dual = replace(wanted.dual, text=replace(wanted.dual.text, vocab_size=held["text"]["vocab_size"]))
    asked = config_to_dict(wanted_dual)
    differing = {
        f"{part}.{name}": (value, asked[part].get(name))
        for part in ("vision", "text")
        for name, value in held[part].items()
        if value != asked[part].get(name)
    }
    if held["joint_dim"] != asked["joint_dim"]:
        differing["joint_dim"] = (held["joint_dim"], asked["joint_dim"])
    if differing:
        raise CheckpointError(
            f"the model's encoders are not those of preset {preset!r} (model's, preset's): {differing}"
        )
    assert isinstance(start.model, DualEncoder)
    return replace(wanted, dual=start.model.config)


def keep_settings(run: Path, settings: dict[str, Any]) -> None:
    """Writes what a run is started with; one that is there already must have been started with the same.

    Raises:
        ConfigError: it was started with other settings, data or weights.
    """
    path = run / "settings.json"
    if path.exists():
        stored = json.loads(path.read_text())
        changed = {
            name: (stored.get(name), value)
            for name, value in _fixed(settings).items()
            if _fixed(stored).get(name) != value
        }
        if changed:
            raise ConfigError(f"{run} holds a run with other settings (stored, asked): {changed}")
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(settings, indent=2))
    temporary.replace(path)


def _train(
    run: EgoClipRun,
    config: HenasyConfig,
    start: Checkpoint,
    clips: EgoClips,
    *,
    device: torch.device,
    peers: Peers,
    evaluate: FolderScores | None,
    report: Report,
) -> Henasy:
    assert isinstance(start.model, DualEncoder)
    assert start.tokenizer is not None
    torch.manual_seed(run.train.seed)
    model = build_henasy(config, dual=start.model).to(device)
    objective = HenasyObjective(
        model,
        nouns=_dictionary(clips, start.tokenizer, device),
        temperature=run.recipe.temperature,
        weights=run.recipe.loss_weights,
        box_weight=run.recipe.box_weight,
        synonym_cosine=run.recipe.synonym_cosine,
        peers=peers,
    )
    report(_synonyms(objective))
    path = run.out / f"refused-{peers.rank}.jsonl"
    refusals = Refusals(path, clips.table, max_share=run.recipe.max_refused_share, report=report)
    with ViewPool(run.num_workers) as pool:
        source = EgoClipBatches(
            clips,
            start.tokenizer,
            run.train,
            spec=start.spec,
            sampling=_sampling(run.recipe, start, config.dual.vision.num_frames),
            pool=pool,
            refusals=refusals,
            share=peers.share,
        )
        Trainer[TrainBatch](
            run.train,
            model=model,
            objective=objective,
            source=source,
            folder=run.out,
            device=device,
            checkpoints=Checkpoints(
                run.out / FOLDER,
                lambda folder: save_checkpoint(folder, _trained(model, start, run, clips)),
                evaluate=evaluate,
            ),
            peers=peers,
            report=report,
        ).run()
    report(f"this process decoded {refusals.num_asked:,} clips; {refusals.num_refused:,} could not be")
    return model


def _dual_checkpoint(folder: Path) -> Checkpoint:
    start = read_checkpoint(folder)
    if not isinstance(start.model, DualEncoder):
        raise CheckpointError(f"{folder} holds a model of kind {start.model.kind}; training starts from a dual encoder")
    if start.tokenizer is None:
        raise CheckpointError(f"{folder} has no tokenizer; import it with --vocab")
    return start


def _dictionary(clips: EgoClips, tokenizer: AnyTokenizer, device: torch.device) -> Words:
    words = clips.taxonomy.words
    tokens = torch.from_numpy(tokenizer.encode_batch(words)).to(device)
    return Words(tokens=tokens, is_narrated=torch.ones(len(words), dtype=torch.bool, device=device))


def _synonyms(objective: HenasyObjective) -> str:
    """How many nouns the synonym mask takes out, in words: the text features decide, so it must be looked at."""
    words, cosine = objective.dictionary, objective.synonym_cosine
    if cosine is None:
        return f"{len(words):,} nouns in the dictionary, all of them negatives"
    num_near = int((words @ words.T > cosine).sum()) - len(words)
    share = num_near / max(1, len(words) * (len(words) - 1))
    return (
        f"{len(words):,} nouns in the dictionary; {share:.1%} of the others are nearer than {cosine:g} and no negatives"
    )


def _sampling(recipe: EgoClipRecipe, start: Checkpoint, num_frames: int) -> Sampling:
    rule = ViewRule(start.spec.image_px, recipe.crop, recipe.min_area, start.spec.is_antialiased)
    return Sampling(rule, num_frames, is_middle=recipe.moments == "middle")


def _trained(model: Henasy, start: Checkpoint, run: EgoClipRun, clips: EgoClips) -> Checkpoint:
    """The model as it is now, with what is needed to use it."""
    note = TrainingNote(
        summary=f"Trained by henasy-train egoclip on {len(clips):,} narrated clips, around frozen encoders that say of "
        f"themselves: {start.training.summary}",
        is_rendered_only=start.training.is_rendered_only,
        is_random=start.training.is_random,
        details={"recipe": run.recipe.to_dict(), "train": run.train.to_dict(), "data": clips.digests()},
    )
    return Checkpoint(model=model, spec=start.spec, tokenizer=start.tokenizer, training=note)


def _settings(run: EgoClipRun, config: HenasyConfig, start: Checkpoint, clips: EgoClips) -> dict[str, Any]:
    return {
        "start": space_id(start),
        "recipe": run.recipe.to_dict(),
        "train": run.train.to_dict(),
        "preset": run.preset,
        "sizes": config_to_dict(config),
        "num_clips": len(clips),
        "digests": clips.digests(),
        "places": {
            **{name: None if path is None else str(path) for name, path in run.files._asdict().items()},
            "model": str(run.model),
            "cache": str(run.cache),
            "num_workers": run.num_workers,
        },
    }


def _fixed(settings: dict[str, Any]) -> dict[str, Any]:
    """What a run cannot change on the way: all but where files lie, how fast it goes and what it puts up with.

    Settings that came after a run was begun have their defaults in it.
    """
    whole = TrainConfig.from_dict(settings["train"]).to_dict()
    train = {name: value for name, value in whole.items() if name not in FREE}
    recipe = {name: value for name, value in settings["recipe"].items() if name not in TOLERANCES}
    others = {name: value for name, value in settings.items() if name not in ("places", "train", "recipe")}
    return {"recipe": recipe, **others, **train}


def _say_nothing(_: str) -> None:
    return None
