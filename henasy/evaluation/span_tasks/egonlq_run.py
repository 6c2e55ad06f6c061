"""EgoNLQ from annotations and predictions to results."""

import hashlib
import json
from functools import partial
from pathlib import Path

from henasy.errors import InputError
from henasy.evaluation.annotations.egonlq import EgoNlq, answers_of, load_egonlq
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.encoding.source import VideoSource
from henasy.evaluation.metrics.nlq import nlq_scores
from henasy.evaluation.pages.nlq_details import nlq_details
from henasy.evaluation.pages.run_report import draw_in_clips
from henasy.evaluation.span_tasks.nlq_predictions import Predictions, read_nlq_predictions
from henasy.evaluation.tasks.published import EGONLQ_ROWS
from henasy.evaluation.tasks.report import RENDERED_HEADING, file_digest, write_text
from henasy.evaluation.tasks.result import BenchmarkResult, Illustrated

COLUMNS = ("R@1 IoU=0.3", "R@5 IoU=0.3", "R@1 IoU=0.5", "R@5 IoU=0.5", "mIoU")
PUBLISHED_QUESTIONS = "a25d327e28c03b38e3b425255e5b970d505a51ca5412798800b798c19d90ad06"
"""sha256 of keys, texts and answers of the published validation set."""
SEARCHED, TRAINED, GIVEN = "zero_shot", "head", "predictions"
"""How answers were made; keys of the JSON file."""
_TITLES = {
    SEARCHED: "EgoNLQ, zero-shot by moment search, percent; the papers train a head, so no row of theirs compares",
    TRAINED: "EgoNLQ, VSLNet head trained on the features, percent",
    GIVEN: "EgoNLQ, predictions made elsewhere, percent",
}
_RENDERED_TITLES = {SEARCHED: "zero-shot by moment search", TRAINED: "VSLNet head trained on rendered scenes"}

Facts = dict[str, object]


def score_file(annotations: Path, path: Path, *, is_allowing_missing: bool) -> BenchmarkResult:
    """The result for predictions in the challenge's form.

    The reference averages over whatever predictions are given. Here every question with a text must be answered,
    unless what is missing is allowed; then the result says on how many it rests.

    Raises:
        InputError: questions are not answered, and that is not allowed.
        AnnotationError: a file is of another layout, or a value is out of range.
    """
    loaded = load_egonlq(annotations)
    predictions = read_nlq_predictions(path, loaded)
    missing = [query.key for query in loaded.queries if query.key not in predictions]
    if missing and not is_allowing_missing:
        shown = ", ".join(str(tuple(key)) for key in missing[:3])
        raise InputError(
            "predictions",
            f"{path}: {len(missing)} of {len(loaded.queries)} questions have no answer, the first {shown}; "
            "--allow-missing scores the rest",
        )
    facts: Facts = {"predictions": str(path), "predictions sha256": file_digest(path)}
    return scored_result(GIVEN, loaded, predictions, facts, is_rendered=False)


def scored_result(
    made: str,
    annotations: EgoNlq,
    predictions: Predictions,
    facts: Facts,
    *,
    is_rendered: bool,
    source: VideoSource | None = None,
) -> BenchmarkResult:
    """The result of predictions, over the questions with a text that they answer; answers to others are ignored.

    Args:
        made: how the answers were made: one of the keys of the JSON file.
        annotations: the validation split.
        predictions: of its questions.
        facts: what fixes the answers.
        is_rendered: whether the scenes are rendered.
        source: where a report takes its pictures from; None for none.

    Raises:
        InputError: not one question is answered.
    """
    asked = annotations.queries
    scored = [query for query in asked if query.key in predictions]
    if not scored:
        raise InputError("videos", f"not one question of {annotations.path} could be answered")
    scores = nlq_scores([predictions[query.key] for query in scored], answers_of(scored))
    facts = {**facts, "annotations sha256": file_digest(annotations.path)}
    facts["scored"] = f"{len(scored)} of {len(asked)} questions"
    if unasked := sorted(predictions.keys() - {query.key for query in asked}):
        shown = ", ".join(str(tuple(key)) for key in unasked[:3])
        facts["ignored"] = f"{len(unasked)} answers to questions without text, the first {shown}"
    if annotations.num_untexted:
        facts["without text"] = f"{annotations.num_untexted} questions: not asked, as in the reference"
    if scores.num_points:
        facts["instants"] = f"{scores.num_points} answers end where they start: counted, though nothing overlaps them"
    is_published = len(scored) == len(asked) and questions_digest(annotations) == PUBLISHED_QUESTIONS
    places = {clip.clip_uid: Span(clip.video_uid, clip.start_s, clip.end_s) for clip in annotations.clips}
    title = _TITLES[made] if is_published else f"{_TITLES[made]}; not the whole published validation set"
    return BenchmarkResult(
        title=_TITLES[made],
        heading=f"{RENDERED_HEADING}; {_RENDERED_TITLES[made]}" if is_rendered else title,
        columns=COLUMNS,
        scores=scores.as_fractions(),
        facts=facts,
        published=() if is_rendered or made == SEARCHED else EGONLQ_ROWS,
        illustrated=Illustrated(
            partial(nlq_details, scored, predictions),
            None if source is None else partial(draw_in_clips, source, places),
        ),
    )


def questions_digest(annotations: EgoNlq) -> str:
    """sha256 of what is asked and answered, however the file is laid out."""
    rows = sorted([*query.key, query.text, query.start_s, query.end_s] for query in annotations.queries)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def write_results(path: Path, results: dict[str, BenchmarkResult]) -> None:
    """A JSON object with the scores, as fractions, and the facts of each way of answering."""
    content = {made: {**result.scores, "facts": result.facts} for made, result in results.items()}
    write_text(path, json.dumps(content, indent=2, default=str) + "\n")
