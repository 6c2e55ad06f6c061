"""Visual grounding from options to a result: on a rendered archive with its truth, or on hand-made masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from henasy.checkpoint.encoder import Encoder, load_encoder
from henasy.errors import InputError
from henasy.evaluation.annotations.mask_annotations import NOUN, PHRASE, load_masks
from henasy.evaluation.encoding.encoded import available_videos, encoder_facts, progress_bar, refusal_facts
from henasy.evaluation.encoding.encoded_entities import encoded_entities
from henasy.evaluation.encoding.source import FeatureSource, RenderedSource, SourceOptions, VideoSource, choose_source
from henasy.evaluation.metrics.grounding import GroundedThing, GroundingScore, grounded, grounding_score
from henasy.evaluation.pages.grounding_views import draw_views, grounding_details
from henasy.evaluation.tasks.annotated_overlaps import PICTURE_FRAMES, annotated_overlaps, clip_around, require_fit
from henasy.evaluation.tasks.published import GROUNDING_ROWS, PublishedRow
from henasy.evaluation.tasks.report import RENDERED_HEADING, file_digest
from henasy.evaluation.tasks.result import Illustrated
from henasy.video.video_files import videos_by_id

TITLE = "Visual grounding on masks of your own, mean IoU in percent"
RENDERED_TITLE = "Visual grounding, mean IoU in percent"
_PAPERS_MASKS = (
    "from HENASY, Table 6, on the authors' own masks of 200 Ego4D videos, which are not published, nor which texts, "
    "frames and averages they used: context, no comparison"
)
_NAMES = {NOUN: "noun", PHRASE: "verb phrase"}
_RULES: dict[str, object] = {
    "averaged": "IoU in every frame that shows the thing, over the frames of a label, then over labels",
    "cropped": "what the model's crop cuts off counts nowhere, neither in masks nor in frames that show a thing",
    "intervals": "95 %, bootstrap over whole videos, 10,000 resamples, seed 0",
}


@dataclass(frozen=True, kw_only=True)
class GroundingResult:
    """Scores by kind of text, with what is needed to judge them."""

    title: str
    """What was measured."""
    heading: str
    rows: dict[str, GroundingScore]
    facts: dict[str, object]
    published: tuple[PublishedRow, ...]
    """Rows of the papers; none where they do not compare."""
    illustrated: Illustrated
    """What a report shows beside them."""


def run(options: SourceOptions) -> GroundingResult:
    """The result for whatever the command line asks to be scored.

    Raises:
        InputError: options exclude each other, or ask for features, which have no masks.
        NotFoundError, VideoError: videos are missing or cannot be read, and that is not allowed.
    """
    source = choose_source(options)
    if isinstance(source, FeatureSource):
        raise InputError("--features", "have no masks; give --videos and --model")
    return score_rendered(source) if isinstance(source, RenderedSource) else score_annotated(source)


def score_rendered(source: RenderedSource) -> GroundingResult:
    """The result on a rendered archive, the cached one by default."""
    # Loads the rendering library, which real footage needs not.
    from henasy.evaluation.rendered.archives import TEST_ARCHIVE, cached_archive
    from henasy.evaluation.rendered.layouts import read_rendered_clips
    from henasy.evaluation.rendered.overlaps import rendered_overlaps, rendered_view
    from henasy.evaluation.rendered.things import acting_hand, action, handled_object, truth_selector
    from henasy.scenes.archive import read_config

    archive = cached_archive(TEST_ARCHIVE) if source.archive is None else source.archive
    encoder = load_encoder(source.model, device=source.device, num_frames=source.num_frames)
    clips = read_rendered_clips(archive)
    naming = {"noun, object": handled_object, "noun, hand": acting_hand, "verb phrase": action}
    with progress_bar() as progress:
        task = progress.add_task("clips", total=len(clips))
        found = rendered_overlaps(
            encoder,
            archive,
            clips,
            list(naming.values()),
            similarity=source.similarity,
            is_cached=source.is_cached,
            on_progress=lambda count: progress.advance(task, count),
        )
    things = {
        kind: [
            grounded(one.thing.label, one.clip.span.video_id, one.ious, one.chosen, one.entities.is_valid)
            for one in of_kind
            if one.ious is not None
        ]
        for kind, of_kind in zip(naming, found, strict=True)
    }
    num_things = len(naming) * len(clips)
    facts = _facts(source, encoder, archive / "narrations.csv") | {
        "archive": archive,
        "verb phrase": "names the acting hand and the handled object together; its label is its verb",
        "not visible in the crop": f"{num_things - sum(map(len, things.values()))} of {num_things} things of a clip",
    }
    config = read_config(archive)
    views = {
        kind: [view for one in of_kind if (view := rendered_view(archive, one, config)) is not None]
        for kind, of_kind in zip(naming, found, strict=True)
    }
    drawing = partial(draw_views, views, encoder, truth_selector(config), videos_by_id(archive / "videos"))
    return GroundingResult(
        title=RENDERED_TITLE,
        heading=RENDERED_HEADING,
        rows=_rows(things),
        facts=facts,
        published=(),
        illustrated=Illustrated(partial(grounding_details, views), drawing),
    )


def score_annotated(source: VideoSource) -> GroundingResult:
    """The result on hand-made masks."""
    masks = load_masks(source.annotations)
    spans = list(dict.fromkeys(clip_around(mask) for mask in masks))
    files = available_videos(spans, source.videos, is_allowing_missing=source.is_allowing_missing)
    require_fit(masks, files)
    encoder = load_encoder(source.model, device=source.device, num_frames=source.num_frames)
    with progress_bar() as progress:
        task = progress.add_task("pictures", total=len(spans))
        encoded = encoded_entities(
            encoder,
            spans,
            [mask.text for mask in masks],
            PICTURE_FRAMES,
            files,
            similarity=source.similarity,
            is_cached=source.is_cached,
            is_partial_welcome=source.is_allowing_missing,
            on_progress=lambda count: progress.advance(task, count),
        )
    facts = _facts(source, encoder, source.annotations)
    facts |= refusal_facts(encoded.refused, num_spans=len(spans), is_allowed=source.is_allowing_missing)
    found = annotated_overlaps(encoder, masks, spans, encoded)
    facts["masks"] = f"scored on {len(masks) - found.num_refused - found.num_unseen} of {len(masks)}"
    facts["not visible in the crop"] = f"{found.num_unseen} masks"
    facts["papers' rows"] = _PAPERS_MASKS
    return GroundingResult(
        title=TITLE,
        heading=f"{TITLE}; not all of them" if found.num_refused else TITLE,
        rows=_rows(found.things),
        facts=facts,
        published=GROUNDING_ROWS,
        illustrated=Illustrated(
            partial(grounding_details, {_NAMES[kind]: views for kind, views in found.views.items()}),
            partial(draw_views, found.views, encoder, PICTURE_FRAMES, files),
        ),
    )


def _facts(source: VideoSource | RenderedSource, encoder: Encoder, annotations: Path) -> dict[str, object]:
    facts = encoder_facts(source.model, encoder, is_rendered=isinstance(source, RenderedSource))
    return facts | {"similarity": source.similarity, "annotations sha256": file_digest(annotations)} | _RULES


def _rows(things: Mapping[str, list[GroundedThing]]) -> dict[str, GroundingScore]:
    scores = {_NAMES.get(kind, kind): grounding_score(of_kind) for kind, of_kind in things.items()}
    rows = {kind: score for kind, score in scores.items() if score is not None}
    if not rows:
        raise InputError("videos", "not one frame shows an annotated thing inside the model's crop")
    return rows
