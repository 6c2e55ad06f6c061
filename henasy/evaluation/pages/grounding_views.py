"""The things of a grounding run, one by one, with pictures of the masks, for a report.

T frames of a clip, M masks of a thing, E entities, H x W pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.checkpoint.encoder import Encoder
from henasy.evaluation.encoding.frame_rules import FrameSelector, Span
from henasy.evaluation.encoding.span_frames import RefusedSpans, read_spans
from henasy.evaluation.metrics.entity_overlap import ClipEntities, ThingIous
from henasy.evaluation.pages.details import (
    COLOURS,
    Candidate,
    Chart,
    Details,
    ItemPicture,
    Met,
    QueryItem,
    Wanted,
    sorted_scores,
)
from henasy.evaluation.pages.item_pictures import entity_pixels, outline, paint, side_by_side
from henasy.video.video_files import VideoFiles

Views = Mapping[str, Sequence["GroundedView"]]
"""By kind of text."""


class GroundedView(NamedTuple):
    """One thing of one clip, and what is needed to show it."""

    span: Span
    text: str
    entities: ClipEntities
    chosen: int
    """The entity that the text meets."""
    ious: ThingIous
    masks: Callable[[], NDArray[np.bool_]]
    """Makes the true masks, (M, H, W)."""
    frames: NDArray[np.int64]
    """(M,) which frame of the clip each mask describes."""

    @property
    def best(self) -> int:
        """The entity that covers the thing best."""
        return int(self.ious.by_frame.mean(axis=0).argmax())

    def iou(self, entity: int) -> float:
        """Of an entity, over the frames that show the thing."""
        return float(self.ious.by_frame[:, entity].mean())


def grounding_details(views: Views) -> Details:
    """The things by the IoU of the entity that their text meets."""
    every = [view for of_kind in views.values() for view in of_kind]
    items = tuple(_item(kind, view) for kind, of_kind in views.items() for view in of_kind)
    curves = {
        "text's entity": [view.iou(view.chosen) for view in every],
        "best entity": [view.iou(view.best) for view in every],
        "ceiling": [float(view.ious.ceilings.mean()) for view in every],
    }
    kinds = {kind: [view.iou(view.chosen) for view in of_kind] for kind, of_kind in views.items()}
    charts = tuple(
        Chart(
            title=title,
            x_label="things, %, best first",
            y_label="mean IoU over frames, %",
            lines=tuple(sorted_scores(name, values) for name, values in lines.items() if values),
        )
        for title, lines in (("all things", curves), ("text's entity, by kind", kinds))
    )
    return Details(score_name="IoU of the text's entity", items=items, charts=charts)


def draw_views(
    views: Views,
    encoder: Encoder,
    selector: FrameSelector,
    found: Mapping[str, VideoFiles],
    wanted: Sequence[Wanted],
) -> Sequence[ItemPicture]:
    """A picture of each wanted thing: the text's entity, the best one where it is another, the true mask's outline.

    Args:
        views: all things.
        encoder: whose patches the entities own.
        selector: which frames stand for a clip.
        found: the files of each video.
        wanted: spans and texts of things.
    """
    view_of = {Wanted(view.span, view.text): view for of_kind in views.values() for view in of_kind}
    pictures = [ItemPicture("", (), "no frame")] * len(wanted)
    spans = [one.span for one in wanted]
    for batch in read_spans(spans, dict(found), selector, encoder.num_frames, batch_spans=8):
        for at, row in enumerate(batch.rows.tolist()):
            if isinstance(batch, RefusedSpans):
                pictures[row] = ItemPicture("", (), batch.reason)
            else:
                pictures[row] = _picture(view_of[wanted[row]], batch.frames[at], encoder)
    return pictures


def _item(kind: str, view: GroundedView) -> QueryItem:
    label = f"{view.span.video_id} {view.span.start_s:.1f}-{view.span.end_s:.1f} s, IoU"
    score = view.iou(view.chosen)
    candidate = Candidate(label=label, similarity=score, is_right=view.chosen == view.best, span=view.span)
    return QueryItem(text=view.text, kind=kind, score=score, candidates=(candidate,))


def _picture(view: GroundedView, frames: NDArray[np.uint8], encoder: Encoder) -> ItemPicture:
    painted = frames[view.frames].astype(np.float32)
    size = painted.shape[1:3]
    met = [Met("text's entity", view.iou(view.chosen))]
    entities = [view.chosen]
    if view.best != view.chosen:
        met.append(Met("best entity", view.iou(view.best)))
        entities.append(view.best)
    for entity, colour in zip(entities, COLOURS, strict=False):
        patches = view.entities.assignment[view.frames] == entity
        paint(painted, entity_pixels(patches, encoder, size), colour)
    outline(painted, _scaled(view.masks(), size), COLOURS[len(entities)])
    met.append(Met("true mask; the patch grid allows", float(view.ious.ceilings.mean())))
    return ItemPicture(side_by_side(painted), tuple(met))


def _scaled(masks: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """The masks (M, H, W) at another size, each pixel that of its place."""
    rows = np.arange(size[0]) * masks.shape[1] // size[0]
    columns = np.arange(size[1]) * masks.shape[2] // size[1]
    scaled: NDArray[np.bool_] = masks[:, rows[:, None], columns]
    return scaled
