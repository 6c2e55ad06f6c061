"""How henasy-tiny is trained on a rendered archive: things, images, clips, then entities.

things   the stem of the dual encoder on cut-out things: what they are called
images   the dual encoder on single frames: what is where
clips    the same on four frames: what is done with it; the first three stand in for LaViLa's pre-training
henasy   the paper's training: local encoder and decoder on the frozen dual encoder
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from henasy.checkpoint.folder import Checkpoint, save_checkpoint
from henasy.checkpoint.training_note import TrainingNote
from henasy.losses.total import LossWeights
from henasy.model.build import build_dual, build_henasy
from henasy.model.config import HenasyConfig, tiny
from henasy.model.conv_stem import ConvStem
from henasy.model.dual import DualEncoder
from henasy.model.henasy import Henasy
from henasy.text.tokenizer import Tokenizer, train_tokenizer
from henasy.training.checkpoints import FOLDER, Checkpoints
from henasy.training.clip_cache import build_clip_cache
from henasy.training.config import TrainConfig
from henasy.training.data import CacheBatches, ClipCache, TrainBatch, bare
from henasy.training.distributed import ALONE, Peers
from henasy.training.objectives import DualObjective, HenasyObjective, Words
from henasy.training.share import WHOLE, Share
from henasy.training.state import require_same_settings
from henasy.training.things import ThingBatch, ThingBatches, ThingNamer, ThingObjective, thing_score
from henasy.training.trainer import Trainer
from henasy.training.validation import Validation
from henasy.video.preprocess import PreprocessSpec

Report = Callable[[str], None]
MEAN = (108.3272985, 116.7460125, 104.09373615)
STD = (68.5005327, 66.6321579, 70.32316305)
CROP_PX = 100
THING_PX = 48
NUM_MOMENTS = 8
ENCODER_STAGES = ("images", "clips", "henasy")
PLAIN_CLIPS = "clips-plain"
"""Folder of a clip stage that narrations alone teach; it shares things and images with the other one."""


def _stage(**settings: Any) -> TrainConfig:
    """What the stages have in common, but for what `settings` say."""
    common = {"precision": "bfloat16", "weight_decay": 0.05, "min_learning_rate_ratio": 0.02}
    return TrainConfig(**{**common, **settings})


@dataclass(frozen=True, kw_only=True)
class TinyRecipe:
    """Settings of the four stages. The defaults are those of henasy-tiny."""

    things: TrainConfig = field(
        default_factory=lambda: _stage(
            num_steps=8000,
            batch_size=32,
            learning_rate=2e-3,
            num_warmup_steps=30,
            recolour=0.9,
            seed=4,
            log_every=100,
            evaluate_every=500,
            checkpoint_every=1000,
        )
    )
    images: TrainConfig = field(
        default_factory=lambda: _stage(
            num_steps=400,
            batch_size=64,
            learning_rate=1e-3,
            num_warmup_steps=60,
            min_learning_rate_ratio=0.3,
            keep_patches=0.5,
            recolour=0.6,
            seed=1,
        )
    )
    clips: TrainConfig = field(
        default_factory=lambda: _stage(
            num_steps=1100,
            batch_size=48,
            learning_rate=8e-4,
            num_warmup_steps=60,
            keep_patches=0.5,
            recolour=0.6,
            backwards=0.5,
            undone_negatives=0.3,
            seed=2,
        )
    )
    henasy: TrainConfig = field(
        default_factory=lambda: _stage(
            num_steps=1200,
            batch_size=40,
            learning_rate=8e-4,
            num_warmup_steps=40,
            weight_decay=0.02,
            recolour=0.3,
            backwards=0.5,
            undone_negatives=0.3,
            seed=3,
        )
    )
    temperature: float = 0.07
    """Of every contrast."""
    word_weight: float = 0.5
    """Weight of the bare nouns and of the bare verbs beside EgoNCE, for images and clips."""
    region_weight: float = 1.0
    """Weight of the nouns of boxes beside EgoNCE in the same stages."""
    has_plain_clips: bool = False
    """Whether clips are taught by narrations alone, as LaViLa was; both weights then count for images alone."""
    loss_weights: LossWeights = field(default_factory=lambda: LossWeights(entity_choice=0.5))
    """Of the last stage."""
    box_weight: float = 2.0
    """Weight of boxes against the cosine when nouns meet entities; 0 is the paper's matching."""
    global_share: float = 0.5
    """How much of a clip's embedding is the first stage's; 0 is the paper. Weights do not depend on it."""
    vocab_size: int = 1000
    """Most rows that the tokenizer may have."""
    num_validation_clips: int = 400
    """Clips of the validation archive that the evaluations during training use."""

    def __post_init__(self) -> None:
        replace(tiny(), global_share=self.global_share)  # refused before anything is trained


def with_extras(recipe: TinyRecipe, *, has_tensorboard: bool, **changes: Any) -> TinyRecipe:
    """The recipe with logs for TensorBoard or without, and settings changed in every stage that trains an encoder."""
    things = replace(recipe.things, has_tensorboard=has_tensorboard)
    encoders = {
        name: replace(getattr(recipe, name), has_tensorboard=has_tensorboard, **changes) for name in ENCODER_STAGES
    }
    return replace(recipe, things=things, **encoders)


def require_same_stages(run: Path, recipe: TinyRecipe) -> None:
    """Refuses the folder of a run whose stages had other settings, before anything is rendered or trained in it.

    What the stages share (`TinyRecipe.temperature` and so on) is not looked at: no command changes it, but for
    `has_plain_clips`, whose stage has a folder of its own.

    Raises:
        ConfigError: a stage there was begun with other settings.
    """
    for stage in ("things", *ENCODER_STAGES):
        require_same_settings(run / stage, getattr(recipe, stage))
    require_same_settings(run / PLAIN_CLIPS, recipe.clips)


class Team(NamedTuple):
    """Who trains, and how the checkpoint folders of a run are scored."""

    peers: Peers = ALONE
    """The processes that share each batch."""
    score_folder: Callable[[Path], Mapping[str, float]] | None = None
    """Scores a checkpoint folder, beside the evaluation on the validation clips."""


BY_ONESELF = Team()


class Prepared(NamedTuple):
    """What the stages share."""

    cache: ClipCache
    validation: ClipCache
    tokenizer: Tokenizer


def prepare(archive: Path, validation: Path, run: Path, recipe: TinyRecipe, *, num_workers: int = 2) -> Prepared:
    """Caches the clips of both archives and trains the tokenizer; what is there already is kept."""
    caches = []
    for name, source in (("train", archive), ("validation", validation)):
        folder = run / f"cache-{name}"
        build_clip_cache(source, folder, crop_px=CROP_PX, num_moments=NUM_MOMENTS, num_workers=num_workers)
        caches.append(ClipCache(folder))
    cache, held_out = caches
    said = cache.told
    texts = said.texts + [bare(text) for text in said.texts] + said.verb_phrases + cache.nouns + cache.verbs
    tokenizer = train_tokenizer(texts, vocab_size=recipe.vocab_size, context_length=tiny().dual.text.context_length)
    return Prepared(cache, held_out, tokenizer)


def tiny_config(vocab_size: int) -> HenasyConfig:
    """Sizes of henasy-tiny for a vocabulary."""
    return tiny(vocab_size=vocab_size)


def train_dual(
    data: Prepared,
    run: Path,
    recipe: TinyRecipe,
    *,
    device: torch.device,
    report: Report,
    team: Team = BY_ONESELF,
) -> DualEncoder:
    """The stages before entities; goes on where an earlier call stopped."""
    config = tiny_config(data.tokenizer.vocab_size).dual
    torch.manual_seed(recipe.images.seed)
    model = build_dual(config).to(device)
    stem = model.visual.patch_embed
    assert isinstance(stem, ConvStem)
    # In one process: the stem's norms are of a batch, which several would each see a part of.
    team.peers.on_main(lambda: _train_stem(stem, data, run / "things", recipe, device=device, report=report))
    for name, stage, num_frames in (("images", recipe.images, 1), ("clips", recipe.clips, config.vision.num_frames)):
        is_plain = recipe.has_plain_clips and name == "clips"
        objective = DualObjective(
            model,
            nouns=_words(data, data.cache.nouns, device),
            verbs=_words(data, data.cache.verbs, device),
            temperature=recipe.temperature,
            word_weight=0.0 if is_plain else recipe.word_weight,
            region_weight=0.0 if is_plain else recipe.region_weight,
            keep_patches=stage.keep_patches,
            peers=team.peers,
        )
        stem.requires_grad_(name == "images")  # it is most of the cost of a clip whose patches are left out by half
        place = _Place(run / (PLAIN_CLIPS if is_plain else name), num_frames, device, report, team)
        _run_stage(model, objective, data, stage, recipe, place)
    return model


def _train_stem(
    stem: ConvStem,
    data: Prepared,
    folder: Path,
    recipe: TinyRecipe,
    *,
    device: torch.device,
    report: Report,
) -> None:
    namer = ThingNamer(stem, len(data.cache.nouns)).to(device)
    asked = _things(data.validation, recipe.things).plain(recipe.num_validation_clips, seed=0, device=device)
    Trainer[ThingBatch](
        recipe.things,
        model=namer,
        objective=ThingObjective(namer),
        source=_things(data.cache, recipe.things),
        folder=folder,
        device=device,
        evaluate=lambda: thing_score(namer, asked),
        report=report,
    ).run()


def train_henasy(
    data: Prepared,
    dual: DualEncoder,
    run: Path,
    recipe: TinyRecipe,
    *,
    device: torch.device,
    report: Report,
    team: Team = BY_ONESELF,
) -> Henasy:
    """The last stage on a trained dual encoder; goes on where an earlier call stopped."""
    config = replace(tiny_config(data.tokenizer.vocab_size), global_share=recipe.global_share)
    torch.manual_seed(recipe.henasy.seed)
    model = build_henasy(config, dual=dual).to(device)
    objective = HenasyObjective(
        model,
        nouns=_words(data, data.cache.nouns, device),
        verbs=_words(data, data.cache.verbs, device),
        temperature=recipe.temperature,
        weights=recipe.loss_weights,
        box_weight=recipe.box_weight,
        synonym_cosine=None,  # every word of the archive's taxonomy is a kind of its own
        peers=team.peers,
    )
    place = _Place(run / "henasy", config.dual.vision.num_frames, device, report, team)
    _run_stage(model, objective, data, recipe.henasy, recipe, place)
    return model


def tiny_checkpoint(model: DualEncoder | Henasy, data: Prepared, recipe: TinyRecipe) -> Checkpoint:
    """A trained model with what is needed to use and to judge it."""
    note = TrainingNote(
        summary=f"Trained with henasy-train on {len(data.cache):,} narrated clips of rendered kitchens.",
        is_rendered_only=True,
        details=_details(recipe, has_entities=isinstance(model, Henasy)),
    )
    spec = PreprocessSpec(image_px=tiny().dual.vision.image_px, mean=MEAN, std=STD, is_antialiased=True)
    return Checkpoint(model=model.eval(), spec=spec, tokenizer=data.tokenizer, training=note)


def _details(recipe: TinyRecipe, *, has_entities: bool) -> dict[str, dict[str, Any]]:
    """All that a checkpoint depends on, by stage, and what the stages share."""
    settings = asdict(recipe)
    own = {
        "henasy": {"loss_weights", "box_weight", "global_share"},
        "images and clips": {"word_weight", "region_weight", "has_plain_clips"},
    }
    stages = ("things", *ENCODER_STAGES) if has_entities else ("things", *ENCODER_STAGES[:-1])
    shared = set(settings) - {"things", *ENCODER_STAGES} - own["henasy"] - own["images and clips"]
    details = {stage: settings[stage] for stage in stages}
    details["images and clips"] = {name: settings[name] for name in sorted(own["images and clips"])}
    if has_entities:
        details["henasy"] |= {name: settings[name] for name in sorted(own["henasy"])}
    return details | {"all stages": {name: settings[name] for name in sorted(shared)}}


class _Place(NamedTuple):
    """Where a stage is trained, and by whom."""

    folder: Path
    num_frames: int
    device: torch.device
    report: Report
    team: Team


def _run_stage(
    model: DualEncoder | Henasy,
    objective: DualObjective | HenasyObjective,
    data: Prepared,
    config: TrainConfig,
    recipe: TinyRecipe,
    place: _Place,
) -> None:
    peers, num_frames = place.team.peers, place.num_frames
    source = _batches(data.cache, data.tokenizer, config, num_frames, peers.share)
    held_out = replace(config, batch_size=1, num_micro_batches=1)
    validation = Validation(
        _batches(data.validation, data.tokenizer, held_out, num_frames),
        data.tokenizer,
        num_clips=recipe.num_validation_clips,
    )

    def evaluate() -> dict[str, float]:
        model.eval()
        return validation.scores(_video_embedder(model), model.encode_text, device=place.device)

    Trainer[TrainBatch](
        config,
        model=model,
        objective=objective,
        source=source,
        folder=place.folder,
        device=place.device,
        evaluate=evaluate,
        checkpoints=Checkpoints(
            place.folder / FOLDER,
            lambda folder: save_checkpoint(folder, tiny_checkpoint(model, data, recipe)),
            evaluate=place.team.score_folder,
        ),
        peers=peers,
        report=place.report,
    ).run()
    model.eval()


def _video_embedder(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    if isinstance(model, DualEncoder):
        return model.encode_video
    return lambda frames: model(frames).video


def _batches(
    cache: ClipCache, tokenizer: Tokenizer, config: TrainConfig, num_frames: int, share: Share = WHOLE
) -> CacheBatches:
    return CacheBatches(
        cache,
        tokenizer,
        config,
        image_px=tiny().dual.vision.image_px,
        num_frames=num_frames,
        mean=MEAN,
        std=STD,
        share=share,
    )


def _things(cache: ClipCache, config: TrainConfig) -> ThingBatches:
    return ThingBatches(cache, config, crop_px=THING_PX, mean=MEAN, std=STD)


def _words(data: Prepared, words: list[str], device: torch.device) -> Words:
    said = data.cache.told
    narrated = set(said.handled_rows if words is data.cache.nouns else said.verb_rows)
    return Words(
        tokens=torch.from_numpy(data.tokenizer.encode_batch(words)).to(device),
        is_narrated=torch.tensor([row in narrated for row in range(len(words))], device=device),
    )
