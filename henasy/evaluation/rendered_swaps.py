"""A rendered archive in EgoHOIBench's layout: every narration with another verb, and with another noun.

A narration is taken apart into wording, object and hand, and worded again as `henasy.scenes.narrate` words it.
"""

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from henasy.errors import AnnotationError
from henasy.evaluation.cache_folder import cache_folder
from henasy.evaluation.egohoi import COLUMNS, FILE_NAME, NUM_SWAPS
from henasy.evaluation.rendered import RenderedClip, read_rendered_clips
from henasy.evaluation.rendered_archives import TEST_ARCHIVE, cached_archive
from henasy.evaluation.report import write_text
from henasy.evaluation.source import AnnotatedVideos
from henasy.scenes.actions import VERB_OF, VERBS
from henasy.scenes.combinations import COLOURS
from henasy.scenes.narrate import indefinite_article
from henasy.scenes.shapes import KINDS

_TAG = "#C C "
_SEED = 0
_ALSO_TRUE = {"shake": {"lift", "put"}, "tilt": {"lift", "put", "turn"}}
"""By verb, verbs that one may truly say of its motion too: what is tilted or shaken is raised and set down again."""


class _Parts(NamedTuple):
    """What a narration is made of."""

    third: str
    """The verb's third person with {o} for the object."""
    article: str
    colour: str
    """With the blank after it, or nothing."""
    noun: str
    hand: str
    """With the blank before it, or nothing."""

    def worded(self) -> str:
        """The sentence."""
        named = f"{self.colour}{self.noun}"
        article = "the" if self.article == "the" else indefinite_article(named)
        return f"{_TAG}{self.third.format(o=f'{article} {named}')}{self.hand}"


def swap_layout(archive: Path | None) -> AnnotatedVideos:
    """The layout of an archive; None takes the test archive of the cache, rendering it if need be.

    It is written under the cache folder, in a folder named by the archive's narrations.

    Raises:
        NotFoundError, AnnotationError: if the archive's narrations are missing or not of its format.
    """
    archive = cached_archive(TEST_ARCHIVE) if archive is None else archive
    digest = hashlib.sha256((archive / "narrations.csv").read_bytes()).hexdigest()[:16]
    file = cache_folder() / "layouts" / digest / FILE_NAME
    write_swaps(read_rendered_clips(archive), file)
    return AnnotatedVideos(file, archive / "videos")


def write_swaps(clips: Sequence[RenderedClip], path: Path, seed: int = _SEED) -> None:
    """Writes the file; equal narrations and seeds give equal files."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for row, clip in enumerate(clips):
        rng = np.random.default_rng((seed, row))
        verbs, nouns = verb_swaps(clip, rng), noun_swaps(clip, rng)
        span = [clip.span.video_id, clip.span.start_s, clip.span.end_s]
        tags = [list(clip.noun_classes), [clip.verb_class]]
        writer.writerow([*span, clip.text, *tags, ",".join(verbs), ",".join(nouns)])
    write_text(path, text.getvalue())


def verb_swaps(clip: RenderedClip, rng: np.random.Generator) -> list[str]:
    """Up to `NUM_SWAPS` sentences that say another action of the same object, none of them true of the clip.

    Every other verb that is not true of the motion comes once before any comes in a second wording. Verbs with a tool
    name it in place of the hand, as narrations do.

    Raises:
        AnnotationError: if the narration is worded in no known way.
    """
    parts = _parts(clip)
    false = [verb for verb in VERBS if verb.label not in {clip.verb, *_ALSO_TRUE.get(clip.verb, ())}]
    # A spoon is not stirred with a spoon.
    false = [verb for verb in false if verb.tool != clip.noun]
    turns = []
    for verb in (false[at] for at in rng.permutation(len(false))):
        turns += [(turn, verb, verb.wordings[at][1]) for turn, at in enumerate(rng.permutation(len(verb.wordings)))]
    first = sorted(turns, key=lambda choice: choice[0])[:NUM_SWAPS]
    return [parts._replace(third=third, hand="" if verb.tool else parts.hand).worded() for _, verb, third in first]


def noun_swaps(clip: RenderedClip, rng: np.random.Generator) -> list[str]:
    """Up to `NUM_SWAPS` sentences that say the same action of an object of another kind, none of them true of the clip.

    Nouns are those that narrations use, never another word of a kind's group: "fruit" is true of a banana too.

    Raises:
        AnnotationError: if the narration is worded in no known way.
    """
    parts = _parts(clip)
    others = [kind.noun for kind in KINDS if kind.noun not in (clip.noun, VERB_OF[clip.verb].tool)]
    return [parts._replace(noun=others[at]).worded() for at in rng.permutation(len(others))[:NUM_SWAPS]]


def _parts(clip: RenderedClip) -> _Parts:
    if clip.verb not in VERB_OF:
        raise AnnotationError(f"narration {clip.text!r}: verb {clip.verb!r} is not one of {sorted(VERB_OF)}")
    colours = "|".join(COLOURS)
    named = rf"(?P<article>the|an?) (?P<colour>(?:(?:{colours}) )?){re.escape(clip.noun)}"
    for _, third, _ in VERB_OF[clip.verb].wordings:
        before, after = map(re.escape, third.split("{o}"))
        found = re.fullmatch(rf"{_TAG}{before}{named}{after}(?P<hand>(?: with the (?:left|right) hand)?)", clip.text)
        if found is not None:
            return _Parts(third, found["article"], found["colour"], clip.noun, found["hand"])
    raise AnnotationError(f"narration {clip.text!r} does not say {clip.verb!r} of {clip.noun!r} in a known wording")
