"""The comparison of ways to put a query, from annotations and a model to its rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from henasy.errors import InputError
from henasy.evaluation.annotations.egohoi import annotation_file as egohoi_file
from henasy.evaluation.annotations.egohoi import load_egohoi
from henasy.evaluation.annotations.egomcq import annotation_file as egomcq_file
from henasy.evaluation.annotations.egomcq import load_egomcq
from henasy.evaluation.encoding.source import RenderedSource, VideoSource
from henasy.evaluation.queries.forms import as_gerund, as_order, as_sentence
from henasy.evaluation.queries.phrasing import QuestionSet, WayRow, choose_wording, evidence_rows, wording_rows
from henasy.evaluation.queries.questions import question_pairs, question_sets
from henasy.evaluation.queries.scores import ClipVectors, query_texts
from henasy.evaluation.tasks.report import RENDERED_HEADING, file_digest

TITLE = "ways to put a query, percent; weights chosen on every second video, judged on the others"
_FORMS: dict[str, Callable[[str], str]] = {"": as_sentence, "order, ": as_order, "-ing, ": as_gerund}
"""How the narrations are typed, by what opens the names of their rows."""


@dataclass(frozen=True, kw_only=True)
class PhrasingResult:
    """The rows with what is needed to judge them."""

    heading: str
    rows: tuple[WayRow, ...]
    facts: dict[str, object]


class _Measured(NamedTuple):
    """Questions of some videos with their cosines, by the form in which they are typed."""

    forms: dict[str, list[QuestionSet]]
    has_entities: bool
    has_global: bool
    facts: dict[str, object]

    @property
    def sentences(self) -> list[QuestionSet]:
        """Typed as sentences."""
        return self.forms[""]

    def of_videos(self, videos: set[str]) -> "_Measured":
        """The questions of some of the videos."""
        return self._replace(forms={form: _only(sets, videos) for form, sets in self.forms.items()})


def run_rendered(source: RenderedSource, validation: Path | None) -> PhrasingResult:
    """The rows for a rendered archive, with weights chosen on another.

    Args:
        source: the archive to judge by; without one, the cached test archive.
        validation: the archive to choose by; None takes the cached one.
    """
    # Loads the rendering library, which real footage needs not.
    from henasy.evaluation.rendered.archives import VALIDATION_ARCHIVE, cached_archive
    from henasy.evaluation.rendered.layouts import rendered_layout
    from henasy.evaluation.rendered.swaps import swap_layout

    def measured(archive: Path | None) -> _Measured:
        layout = rendered_layout(archive)
        return _measured(source.as_videos(layout.egomcq, layout.videos), swap_layout(archive).annotations)

    chosen_by = measured(cached_archive(VALIDATION_ARCHIVE) if validation is None else validation)
    return _result(RENDERED_HEADING, chosen_by, measured(source.archive))


def run_annotated(source: VideoSource, swaps: Path | None) -> PhrasingResult:
    """The rows for EgoMCQ's questions, and EgoHOIBench's where its file is given.

    Every second video, in the order of their names, is for choosing; a question belongs to the video of its answer.

    Raises:
        InputError: all questions are about one video.
    """
    measured = _measured(source, swaps)
    videos = sorted({str(video) for questions in measured.sentences for video in questions.videos})
    if len(videos) < 2:
        raise InputError("videos", f"all questions are about {len(videos)} video, at least 2 are needed")
    return _result(TITLE, measured.of_videos(set(videos[::2])), measured.of_videos(set(videos[1::2])))


def _measured(source: VideoSource, swaps: Path | None) -> _Measured:
    # Loads torch, which nothing else here needs.
    from henasy.evaluation.encoding.encoded import encode_annotated
    from henasy.evaluation.encoding.frame_rules import EGO4D_FRAMES

    files = [egomcq_file(source.annotations), *([] if swaps is None else [egohoi_file(swaps)])]
    asked = question_pairs(load_egomcq(source.annotations), None if swaps is None else load_egohoi(swaps))
    typed = [query_texts([form(text) for text in asked.narrations]) for form in _FORMS.values()]
    every_text = [text for queries in typed for text in queries.texts]
    encoded = encode_annotated(asked.spans, every_text, EGO4D_FRAMES, source, file_digest(*files), with_entities=True)
    clips = ClipVectors(encoded.clip, encoded.global_clip, encoded.entities, encoded.is_valid)
    parts = np.split(encoded.texts, np.cumsum([len(queries.texts) for queries in typed])[:-1])
    forms = {
        form: question_sets(asked.pairs, queries, vectors, clips, encoded.is_encoded)
        for form, queries, vectors in zip(_FORMS, typed, parts, strict=True)
    }
    return _Measured(
        forms,
        has_entities=bool(encoded.is_valid.any()),
        has_global=not np.array_equal(encoded.clip, encoded.global_clip),
        facts=encoded.facts,
    )


def _result(heading: str, chosen_by: _Measured, judged_by: _Measured) -> PhrasingResult:
    rows = [
        *(row for form, sets in judged_by.forms.items() for row in wording_rows(sets, form)),
        *evidence_rows(
            choose_wording(list(chosen_by.forms.values())),
            chosen_by.sentences,
            judged_by.sentences,
            has_entities=judged_by.has_entities,
            has_global=judged_by.has_global,
        ),
    ]
    facts = {
        **judged_by.facts,
        "judged on": _counts(judged_by.sentences),
        "weights chosen on": f"{_counts(chosen_by.sentences)} of other videos, annotations "
        f"{str(chosen_by.facts['annotations sha256'])[:16]}",
        "intervals": "95 %, paired, bootstrap over whole videos, 10,000 resamples, seed 0",
    }
    return PhrasingResult(heading=heading, rows=tuple(rows), facts=facts)


def _only(sets: Sequence[QuestionSet], videos: set[str]) -> list[QuestionSet]:
    chosen = (questions.only(np.isin(questions.videos, list(videos))) for questions in sets)
    return [questions for questions in chosen if len(questions.answers)]


def _counts(sets: Sequence[QuestionSet]) -> str:
    return ", ".join(f"{len(questions.answers)} {questions.kind}" for questions in sets)
