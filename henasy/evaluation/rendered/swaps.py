"""A rendered archive in EgoHOIBench's layout: every narration with another verb, and with another noun.

A narration is taken apart into wording, object, partner and hand, and worded again as the archive words it.
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
from henasy.evaluation.annotations.egohoi import COLUMNS, FILE_NAME, NUM_SWAPS
from henasy.evaluation.encoding.cache_folder import cache_folder
from henasy.evaluation.encoding.source import AnnotatedVideos
from henasy.evaluation.rendered.archives import TEST_ARCHIVE, cached_archive
from henasy.evaluation.rendered.layouts import RenderedClip, read_rendered_clips
from henasy.evaluation.tasks.report import write_text
from henasy.scenes.household.story import HOUSEHOLD
from henasy.scenes.wording import VerbRow, Wording, with_article

_TAG = "#C C "
_SEED = 0
_HANDS = {"left": "right", "right": "left"}


class _Parts(NamedTuple):
    """What a narration is made of."""

    wording: Wording
    article: str
    colour: str
    """With the blank after it, or nothing."""
    noun: str
    partner_article: str
    partner: str
    """Noun of what the object is related to, or nothing."""
    side: str
    hand: str
    """With the blank before it, or nothing."""

    def worded(self) -> str:
        """The sentence."""
        named = with_article(f"{self.colour}{self.noun}", is_definite=self.article == "the")
        partner = with_article(self.partner, is_definite=self.partner_article == "the")
        told = self.wording.third.format(o=named, p=partner, h=self.side, g=_HANDS[self.side])
        return f"{_TAG}{told}{self.hand}"


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
    name it in place of the hand, as narrations do. Where the narration relates the object to another, so do its swaps.

    Raises:
        AnnotationError: if the narration is worded in no known way.
    """
    verb, parts = _verb(clip), _parts(clip)
    false = [
        other
        for other in HOUSEHOLD.verbs
        if other.label not in {verb.label, *verb.also_true}
        and other.has_partner == verb.has_partner
        # A spoon is not stirred with a spoon.
        and other.tool != clip.noun
    ]
    turns = []
    for other in (false[at] for at in rng.permutation(len(false))):
        turns += [(turn, other, other.wordings[at]) for turn, at in enumerate(rng.permutation(len(other.wordings)))]
    first = sorted(turns, key=lambda choice: choice[0])[:NUM_SWAPS]
    return [
        parts._replace(wording=wording, hand=parts.hand if _may_name_hand(other, wording) else "").worded()
        for _, other, wording in first
    ]


def noun_swaps(clip: RenderedClip, rng: np.random.Generator) -> list[str]:
    """Up to `NUM_SWAPS` sentences that say the same action of an object of another kind, none of them true of the clip.

    Nouns are those that narrations use, never another word of a kind's group: "fruit" is true of a banana too.

    Raises:
        AnnotationError: if the narration is worded in no known way.
    """
    parts = _parts(clip)
    named = (clip.noun, parts.partner, _verb(clip).tool)
    others = [noun.label for noun in HOUSEHOLD.nouns if noun.label not in named]
    return [parts._replace(noun=others[at]).worded() for at in rng.permutation(len(others))[:NUM_SWAPS]]


def _verb(clip: RenderedClip) -> VerbRow:
    verbs = {verb.label: verb for verb in HOUSEHOLD.verbs}
    if clip.verb not in verbs:
        raise AnnotationError(f"narration {clip.text!r}: verb {clip.verb!r} is not one of {sorted(verbs)}")
    return verbs[clip.verb]


def _may_name_hand(verb: VerbRow, wording: Wording) -> bool:
    return verb.tool is None and " hand" not in wording.third


def _parts(clip: RenderedClip) -> _Parts:
    verb = _verb(clip)
    colours, nouns = "|".join(HOUSEHOLD.colours), "|".join(re.escape(noun.label) for noun in HOUSEHOLD.nouns)
    named = {
        "o": rf"(?P<article>the|an?) (?P<colour>(?:(?:{colours}) )?){re.escape(clip.noun)}",
        "p": rf"(?P<partner_article>the|an?) (?P<partner>{nouns})",
        "h": re.escape(clip.hand),
        "g": re.escape(_HANDS[clip.hand]),
    }
    for wording in verb.wordings:
        pieces = re.split(r"\{(\w)\}", wording.third)
        told = "".join(named[piece] if at % 2 else re.escape(piece) for at, piece in enumerate(pieces))
        found = re.fullmatch(rf"{_TAG}{told}(?P<hand>(?: with the (?:left|right) hand)?)", clip.text)
        if found is not None:
            of = found.groupdict(default="")
            return _Parts(
                wording=wording,
                article=of["article"],
                colour=of["colour"],
                noun=clip.noun,
                partner_article=of.get("partner_article", "the"),
                partner=of.get("partner", ""),
                side=clip.hand,
                hand=of["hand"],
            )
    raise AnnotationError(f"narration {clip.text!r} does not say {clip.verb!r} of {clip.noun!r} in a known wording")
