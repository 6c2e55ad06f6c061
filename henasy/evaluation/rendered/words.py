"""Whether a clip's object can be named, and its true narration told from ones with a word swapped, by every method.

N clips of an archive, W nouns, D width of the joint space.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from henasy.errors import AnnotationError
from henasy.evaluation.annotations.egohoi import NUM_SWAPS
from henasy.evaluation.metrics.intervals import Difference, paired_difference
from henasy.evaluation.rendered.baselines import OURS, MethodVectors
from henasy.evaluation.rendered.layouts import RenderedClip
from henasy.scenes.household.swaps import Said, noun_swaps, verb_swaps

OBJECT, OBJECT_HELD_OUT = "object top-1, all clips", "object top-1, held-out combinations"
VERB_SWAPS, NOUN_SWAPS = "verb swaps", "noun swaps"
MEASURES = (OBJECT, OBJECT_HELD_OUT, VERB_SWAPS, NOUN_SWAPS)
_HANDS = ("left hand", "right hand")
_SEED = 0

EmbedTexts = Callable[[Sequence[str]], NDArray[np.floating]]


class WordScore(NamedTuple):
    """One method's accuracy, as a fraction, and by how much HENASY beats it on the same clips."""

    accuracy: float
    """NaN without a clip."""
    num_clips: int
    gain: Difference | None
    """None for HENASY itself, and without a clip."""


def held_out_clips(clips: Sequence[RenderedClip], train: Sequence[RenderedClip]) -> NDArray[np.bool_]:
    """(N,) whether a training archive never shows the clip's verb done to its noun, or its noun in its colour."""
    actions, colours = {clip.action for clip in train}, {(clip.noun, clip.colour) for clip in train}
    return np.array([clip.action not in actions or (clip.noun, clip.colour) not in colours for clip in clips], bool)


def word_scores(
    methods: Mapping[str, MethodVectors],
    embed: EmbedTexts,
    clips: Sequence[RenderedClip],
    *,
    nouns: Sequence[str],
    is_held_out: NDArray[np.bool_],
) -> dict[str, dict[str, WordScore]]:
    """By method and measure; intervals draw whole videos.

    Args:
        methods: their clips are `clips`; HENASY is one of them.
        embed: (M, D) embeddings of texts.
        clips: the narrated clips of an archive.
        nouns: labels of its noun taxonomy, of which an object is to be named; hands are left out.
        is_held_out: (N,) clips whose combination the model never saw.
    """
    things = [noun for noun in nouns if noun not in _HANDS]
    right = {
        OBJECT: _named(methods, embed, clips, things),
        VERB_SWAPS: _told_apart(methods, embed, [[clip.text, *swaps] for clip, swaps in _swapped(clips, verb_swaps)]),
        NOUN_SWAPS: _told_apart(methods, embed, [[clip.text, *swaps] for clip, swaps in _swapped(clips, noun_swaps)]),
    }
    right[OBJECT_HELD_OUT] = right[OBJECT]
    videos = np.unique([clip.span.video_id for clip in clips], return_inverse=True)[1]
    asked = {measure: is_held_out if measure == OBJECT_HELD_OUT else np.ones(len(clips), bool) for measure in MEASURES}
    return {
        name: {measure: _score(name, right[measure], asked[measure], videos) for measure in MEASURES}
        for name in methods
    }


def _named(
    methods: Mapping[str, MethodVectors], embed: EmbedTexts, clips: Sequence[RenderedClip], nouns: list[str]
) -> dict[str, NDArray[np.float64]]:
    """(N,) by method, 1 where the clip's noun is the closest of all."""
    row_of = {noun: row for row, noun in enumerate(nouns)}
    if unknown := sorted({clip.noun for clip in clips} - set(row_of)):
        raise AnnotationError(f"narrations have the nouns {unknown}, which the archive's noun taxonomy lacks")
    truth, words = np.array([row_of[clip.noun] for clip in clips]), embed(nouns)
    return {
        name: ((method.clips @ method.of_texts(words).T).argmax(axis=1) == truth).astype(np.float64)
        for name, method in methods.items()
    }


def _told_apart(
    methods: Mapping[str, MethodVectors], embed: EmbedTexts, captions: list[list[str]]
) -> dict[str, NDArray[np.float64]]:
    """(N,) by method, 1 where the first of a clip's captions is at least as close as all others."""
    owners = np.repeat(np.arange(len(captions)), [len(texts) for texts in captions])
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    texts = embed([text for of_clip in captions for text in of_clip])
    found = {}
    for name, method in methods.items():
        similarity = np.einsum("md,md->m", method.clips[owners], method.of_texts(texts))
        found[name] = (similarity[starts] >= np.maximum.reduceat(similarity, starts)).astype(np.float64)
    return found


def _swapped(
    clips: Sequence[RenderedClip], swap: Callable[[Said, np.random.Generator, int], list[str]]
) -> list[tuple[RenderedClip, list[str]]]:
    drawn = (np.random.default_rng((_SEED, row)) for row in range(len(clips)))
    return [(clip, swap(clip.said, rng, NUM_SWAPS)) for clip, rng in zip(clips, drawn, strict=True)]


def _score(
    name: str, right: Mapping[str, NDArray[np.float64]], asked: NDArray[np.bool_], videos: NDArray[np.int64]
) -> WordScore:
    if not asked.any():
        return WordScore(float("nan"), 0, None)
    own, ours = right[name][asked], right[OURS][asked]
    gain = None if name == OURS else paired_difference(ours, own, groups=videos[asked])
    return WordScore(float(own.mean()), int(asked.sum()), gain)
