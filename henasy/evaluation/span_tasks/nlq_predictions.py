"""EgoNLQ predictions as files, in the form of the Ego4D challenge."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError
from henasy.evaluation.annotations.egonlq import EgoNlq, QueryKey
from henasy.evaluation.annotations.json_record import JsonRecord, is_number, read_json_record
from henasy.evaluation.tasks.report import write_text

VERSION = "1.0"
CHALLENGE = "ego4d_nlq_challenge"

Predictions = dict[QueryKey, NDArray[np.float64]]
"""Of each question its spans (P, 2) in seconds of the clip, best first."""


def read_nlq_predictions(path: Path, annotations: EgoNlq) -> Predictions:
    """The predictions of a challenge file.

    Raises:
        NotFoundError: there is no such file.
        AnnotationError: it is of another version or challenge, names a question that is not annotated, answers one
            twice, has no span for one, or a span that is not two finite seconds in order.
    """
    content = read_json_record(path)
    for name, wanted in (("version", VERSION), ("challenge", CHALLENGE)):
        if content.text(name) != wanted:
            raise content.error(name, repr(wanted))
    known = {query.key for clip in annotations.clips for query in clip.queries}
    found: Predictions = {}
    for record in content.records("results"):
        key = _key(record)
        if key not in known:
            raise AnnotationError(f"{record.place}: {tuple(key)} is no question of {annotations.path}")
        if key in found:
            raise AnnotationError(f"{record.place}: {tuple(key)} is answered twice")
        found[key] = _spans(record)
    if not found:
        raise AnnotationError(f"{path}: results is empty, must hold an answer for every question")
    return found


def write_nlq_predictions(path: Path, predictions: Mapping[QueryKey, NDArray[np.float64]]) -> None:
    """Writes a challenge file, whole or not at all."""
    results = [
        {**key._asdict(), "predicted_times": [[float(start), float(end)] for start, end in spans]}
        for key, spans in predictions.items()
    ]
    write_text(path, json.dumps({"version": VERSION, "challenge": CHALLENGE, "results": results}) + "\n")


def _key(record: JsonRecord) -> QueryKey:
    index = record.number("query_idx")
    if index != int(index) or index < 0:
        raise record.error("query_idx", "a whole number of at least 0")
    return QueryKey(record.text("clip_uid"), record.text("annotation_uid"), int(index))


def _spans(record: JsonRecord) -> NDArray[np.float64]:
    spans = record.items("predicted_times")
    if not spans:
        raise record.error("predicted_times", "at least one span")
    for row, span in enumerate(spans):
        if not (isinstance(span, list) and len(span) == 2 and all(map(is_number, span)) and span[0] <= span[1]):
            raise AnnotationError(
                f"{record.place}: predicted_times[{row}] is {span!r}, must be [start, end] in seconds, start <= end"
            )
    return np.array(spans, np.float64)
