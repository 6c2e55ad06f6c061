"""Moments of one video, against spans worked out by hand, a plain version in loops, and what must not change them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from henasy.errors import ConfigError, InputError
from henasy.search.moments import MomentRule, Moments, best_clip, clip_evidence, find_moment_at, find_moments

HALF = MomentRule(level=0.5)
Spans = list[tuple[float, float]]


def clips(num_clips: int, clip_s: float = 2.0, stride_s: float = 1.0) -> NDArray[np.float64]:
    """(N, 2)"""
    starts_s = np.arange(num_clips) * stride_s
    return np.stack([starts_s, starts_s + clip_s], axis=1)


def covered(spans: NDArray[np.float64], actions: Spans) -> NDArray[np.float64]:
    """(N,) share of each clip that actions cover: what a perfect encoder's scores would be."""
    shares = [
        np.maximum(np.minimum(spans[:, 1], end_s) - np.maximum(spans[:, 0], start_s), 0) for start_s, end_s in actions
    ]
    part: NDArray[np.float64] = np.sum(shares, axis=0) / (spans[:, 1] - spans[:, 0])
    return part


def found(spans: NDArray[np.float64], scores: NDArray[np.float64], **options: object) -> Moments:
    return find_moments(spans[:, 0], spans[:, 1], scores, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("action", [(10.0, 20.0), (10.3, 20.7), (17.9, 23.4), (12.25, 71.5), (0.0, 31.3), (80.2, 121)])
def test_ends_of_a_perfect_curve_are_exact_between_clips(action: tuple[float, float]) -> None:
    spans = clips(120)
    moments = found(spans, 0.2 + 0.5 * covered(spans, [action]), rule=HALF)
    np.testing.assert_allclose(moments.spans[0], action, atol=1e-9)


@pytest.mark.parametrize("action", [(17.9, 21.4), (15.0, 17.5), (15.6, 19.0)])
def test_ends_of_actions_hardly_longer_than_a_clip_are_within_a_quarter_of_the_stride(
    action: tuple[float, float],
) -> None:
    spans = clips(120)
    moments = found(spans, 0.2 + 0.5 * covered(spans, [action]), rule=HALF)
    np.testing.assert_allclose(moments.spans[0], action, atol=0.25)


def test_two_actions_are_two_moments_worked_out_by_hand() -> None:
    spans = clips(60)
    shares = np.maximum(covered(spans, [(10.0, 14.0)]), 0.8 * covered(spans, [(30.0, 33.0)]))
    moments = found(spans, shares, rule=MomentRule(level=0.5, max_moments=2))
    # Clips at 10..12 and 30..31 are full; those at 9, 13, 29 and 32 are half in, which is not most of them.
    np.testing.assert_allclose(moments.spans, [(10.0, 14.0), (30.0, 33.0)], atol=1e-9)
    assert moments.peaks.tolist() == [10, 30]
    np.testing.assert_allclose(moments.scores, [1.0, 0.8])


def test_a_moment_scores_as_its_best_three_clips_worked_out_by_hand() -> None:
    spans, scores = clips(60), np.zeros(60)
    scores[10:15] = 0.7, 1.0, 0.9, 0.6, 0.8
    scores[30] = 0.85
    moments = found(spans, scores, rule=MomentRule(level=0.5, max_moments=2))
    # The median of the five is 0.8, so the level is at 0.4: 4/7 of the way from clip 10 to 9, half way from 14 to 15.
    np.testing.assert_allclose(moments.spans[0], (11 - 3 / 7, 15.5), atol=1e-9)
    np.testing.assert_allclose(moments.scores, [(1.0 + 0.9 + 0.8) / 3, 0.85])
    assert moments.peaks.tolist() == [11, 30]


def test_one_clip_that_is_a_little_better_ranks_behind_neighbours_that_are_good() -> None:
    """Where clips overlap, what one of them shows its neighbours show in part: a peak of one clip is luck."""
    spans, scores = clips(60), np.zeros(60)
    scores[10:16] = 0.8
    scores[29:32] = 0.4, 0.95, 0.5
    moments = found(spans, scores, rule=MomentRule(level=0.4, max_moments=2))
    assert moments.peaks.tolist() == [10, 30]
    np.testing.assert_allclose(moments.scores, [0.8, (0.4 + 0.95 + 0.5) / 3])


def test_a_long_action_that_flickers_is_one_moment_when_its_clips_look_alike() -> None:
    rng = np.random.default_rng(0)
    spans = clips(140)
    shares = covered(spans, [(40.0, 85.0)])
    states = rng.standard_normal((2, 64)) / 8
    vectors = (shares[:, None] * states[1] + (1 - shares[:, None]) * states[0]).astype(np.float32)
    scores = 0.5 * shares + 0.12 * rng.standard_normal(140)
    moments = found(spans, scores, vectors=vectors, rule=MomentRule(max_moments=1))
    np.testing.assert_allclose(moments.spans[0], (40.0, 85.0), atol=0.5)
    alone = found(spans, scores, rule=MomentRule(max_moments=1))
    assert np.ptp(alone.spans[0]) < 40


class Plain:
    """The rule in loops over Python lists, a whole video at a time."""

    def __init__(
        self, spans: NDArray[np.float64], scores: NDArray[np.float64], vectors: NDArray[np.float32] | None
    ) -> None:
        self.spans = [(float(start_s), float(end_s)) for start_s, end_s in spans]
        self.scores: list[float] = scores.tolist()
        self.units = None if vectors is None else vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self.centres = [(start_s + end_s) / 2 for start_s, end_s in self.spans]
        first, last = self.centres[0], self.centres[-1]
        times = [first + (last - first) * k / 31 for k in range(32)]
        rows = range(len(self.scores))
        self.marks = {min([i for i in rows if self.centres[i] >= time - 1e-9] or [rows[-1]]) for time in times}

    def background(self, first: int, last: int, context_s: float) -> list[int]:
        """Rows of the clips around a run, and of the marks, that share no time with it."""
        start_s, end_s = self.spans[first][0], self.spans[last][1]
        rows = []
        for i, (clip_start_s, clip_end_s) in enumerate(self.spans):
            is_apart = clip_end_s <= start_s or clip_start_s >= end_s
            is_close = start_s - context_s < self.centres[i] < end_s + context_s
            if is_apart and (is_close or i in self.marks):
                rows.append(i)
        return rows

    def heights(self, first: int, last: int, rule: MomentRule) -> list[float]:
        """Of every clip: 0 in the background, 1 at the run's median."""
        rows = self.background(first, last, rule.context_s)
        by_text = scaled(self.scores, self.scores[first : last + 1], [self.scores[i] for i in rows])
        if self.units is None:
            return by_text
        mean = self.units[first : last + 1].mean(axis=0)
        alike = [float(unit @ mean) for unit in self.units]
        by_likeness = scaled(alike, alike[first : last + 1], [alike[i] for i in rows])
        return [(1 - rule.likeness) * a + rule.likeness * b for a, b in zip(by_text, by_likeness, strict=True)]

    def grown(self, peak: int, rule: MomentRule) -> tuple[float, float]:
        """The span around a peak, as if nothing else had been found."""
        first = last = peak
        for _ in range(4):
            raised = [height - rule.level for height in self.heights(first, last, rule)]
            padded = [raised[0], *raised, raised[-1]]
            steady = [0.15 * padded[i] + 0.7 * padded[i + 1] + 0.15 * padded[i + 2] for i in range(len(raised))]
            first = last = peak
            while last < len(steady) - 1 and steady[last + 1] > 0:
                last += 1
            while first > 0 and steady[first - 1] > 0:
                first -= 1
        start_s = self.spans[first][0] if first == 0 else self.crossing(raised, first, first - 1)
        end_s = self.spans[last][1] if last == len(raised) - 1 else self.crossing(raised, last, last + 1)
        shortest_s = 0.25 * (self.spans[first][1] - self.spans[first][0])
        middle_s = (start_s + end_s) / 2
        is_long = end_s - start_s >= shortest_s
        return (start_s, end_s) if is_long else (middle_s - shortest_s / 2, middle_s + shortest_s / 2)

    def crossing(self, raised: list[float], inside: int, outside: int) -> float:
        """Where the line between two neighbours' heights is 0."""
        high, low = max(0.0, raised[inside]), min(0.0, raised[outside])
        share = high / (high - low) if high > low else 0.0
        return float(self.centres[inside] + share * (self.centres[outside] - self.centres[inside]))

    def score(self, start_s: float, end_s: float) -> float:
        """The mean of the best three of the clips that the span has most of."""
        seconds = [max(0.0, min(span[1], end_s) - max(span[0], start_s)) for span in self.spans]
        inside = [score for score, s in zip(self.scores, seconds, strict=True) if s > max(seconds) / 2 + 1e-6]
        best = sorted(inside, reverse=True)[:3]
        return float(np.mean(best))

    def moments(self, rule: MomentRule) -> tuple[list[list[float]], list[float]]:
        """Spans and their scores, best first."""
        kept: list[tuple[float, float]] = []
        is_open = [True] * len(self.scores)
        for peak in sorted(range(len(self.scores)), key=lambda i: -self.scores[i]):
            if not is_open[peak] or len(kept) == 2 * rule.max_moments + 6:
                continue
            start_s, end_s = self.grown(peak, rule)
            for other_start_s, other_end_s in kept:
                if other_end_s <= self.centres[peak]:
                    start_s = max(start_s, other_end_s)
                else:
                    end_s = min(end_s, other_start_s)
            for i, (clip_start_s, clip_end_s) in enumerate(self.spans):
                is_open[i] &= not (clip_end_s > start_s and clip_start_s < end_s)
            is_open[peak] = False
            kept.append((start_s, end_s))
        ranked = sorted(kept, key=lambda span: -self.score(*span))[: rule.max_moments]
        return [list(span) for span in ranked], [self.score(*span) for span in ranked]


def scaled(values: list[float], inside: list[float], outside: list[float]) -> list[float]:
    """The values with the usual low one outside at 0 and the median inside at 1; all 1 where that is no way up."""
    top = float(np.median(inside))
    low = [value for value in outside if value < (min(outside) + top) / 2]
    background = float(np.median(low)) if low else min(outside or values)
    height = top - background
    return [(value - background) / height if height > 0 else 1.0 for value in values]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("has_vectors", [False, True])
def test_equals_the_plain_version(seed: int, has_vectors: bool) -> None:
    rng = np.random.default_rng(seed)
    num_clips = int(rng.integers(1, 90))
    starts_s = np.cumsum(rng.uniform(0.2, 2.0, num_clips))
    spans = np.stack([starts_s, starts_s + rng.uniform(1.5, 2.5)], axis=1)
    scores = np.convolve(rng.standard_normal(num_clips + 2), [0.3, 0.4, 0.3], "valid")
    vectors = rng.standard_normal((num_clips, 6)).astype(np.float32) + 1 if has_vectors else None
    rule = MomentRule(max_moments=3, context_s=20.0)
    moments = found(spans, scores, vectors=vectors, rule=rule)
    expected_spans, expected_scores = Plain(spans, scores, vectors).moments(rule)
    # Likeness is computed in float32.
    np.testing.assert_allclose(moments.spans, expected_spans, atol=1e-4)
    np.testing.assert_allclose(moments.scores, expected_scores, atol=1e-4)


def noisy(seed: int = 3, num_clips: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    spans = clips(num_clips)
    shares = covered(spans, [(20.4, 27.1), (60.0, 61.2), (100.7, 140.2)])
    vectors = rng.standard_normal((num_clips, 16)) * 0.3 + shares[:, None]
    return spans, shares + 0.1 * rng.standard_normal(num_clips), vectors.astype(np.float32)


def test_shifted_time_shifts_the_answer() -> None:
    spans, scores, vectors = noisy()
    here, there = found(spans, scores, vectors=vectors), found(spans + 1234.5, scores, vectors=vectors)
    np.testing.assert_allclose(there.spans, here.spans + 1234.5, atol=1e-6)
    np.testing.assert_allclose(there.scores, here.scores)


def test_scaled_and_shifted_scores_leave_the_spans() -> None:
    spans, scores, vectors = noisy()
    for scale, offset in ((7.0, 0.0), (0.01, 0.0), (1.0, -5.0), (0.3, 0.6)):
        other = found(spans, scale * scores + offset, vectors=vectors)
        here = found(spans, scores, vectors=vectors)
        np.testing.assert_allclose(other.spans, here.spans, atol=1e-6)
        np.testing.assert_allclose(other.scores, scale * here.scores + offset, atol=1e-9)


def test_time_run_backwards_mirrors_the_answer() -> None:
    spans, scores, vectors = noisy()
    here = found(spans, scores, vectors=vectors)
    back = found(np.flip(-spans, axis=(0, 1)) + 500, scores[::-1], vectors=vectors[::-1])
    # Landmarks are the clips after evenly spaced times, so backwards others than forwards.
    np.testing.assert_allclose(back.spans, 500 - here.spans[:, ::-1], atol=0.05)


def test_longer_vectors_change_nothing() -> None:
    spans, scores, vectors = noisy()
    lengths = np.random.default_rng(0).uniform(0.1, 9, (len(scores), 1)).astype(np.float32)
    here, other = found(spans, scores, vectors=vectors), found(spans, scores, vectors=vectors * lengths)
    np.testing.assert_allclose(other.spans, here.spans, atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_moments_of_one_video_never_overlap_unless_asked(seed: int) -> None:
    spans, scores, vectors = noisy(seed)
    apart = found(spans, scores, vectors=vectors, rule=MomentRule(max_moments=40)).spans
    ordered = apart[np.argsort(apart[:, 0])]
    assert (ordered[1:, 0] >= ordered[:-1, 1] - 1e-9).all()
    assert (apart[:, 1] > apart[:, 0]).all()
    assert apart.min() >= 0
    assert apart.max() <= spans.max()
    near = found(spans, scores, vectors=vectors, rule=MomentRule(max_moments=40, max_iou=0.5)).spans
    shared = np.maximum(np.minimum(near[:, None, 1], near[:, 1]) - np.maximum(near[:, None, 0], near[:, 0]), 0)
    lengths = np.ptp(near, axis=1)
    iou = shared / (lengths[:, None] + lengths - shared)
    assert (iou[~np.eye(len(near), dtype=bool)] <= 0.5 + 1e-9).all()


def test_a_moment_longer_than_the_first_look_is_found_whole() -> None:
    spans = clips(2000)
    moments = found(spans, covered(spans, [(200.0, 1500.0)]), rule=HALF)
    np.testing.assert_allclose(moments.spans[0], (200.0, 1500.0), atol=1e-9)


def test_a_noisy_moment_longer_than_its_surroundings_is_found_whole() -> None:
    """Ten minutes of it: nothing within reach of its best clip is background."""
    rng = np.random.default_rng(1)
    spans = clips(3000)
    scores = covered(spans, [(700.0, 1300.0)]) + 0.1 * rng.standard_normal(3000)
    np.testing.assert_allclose(found(spans, scores).spans[0], (700.0, 1300.0), atol=1.0)


def test_the_moment_at_a_clip_is_that_of_the_best_clip_uphill() -> None:
    spans, scores, vectors = noisy()
    whole = found(spans, scores, vectors=vectors)
    for span, score, peak in zip(*whole, strict=True):
        near = np.flatnonzero((spans[:, 0] >= span[0]) & (spans[:, 1] <= span[1]))
        if np.ptp(span) < 4:
            continue
        one = find_moment_at(spans[:, 0], spans[:, 1], scores, int(near[len(near) // 2]), vectors=vectors)
        assert one.peaks.tolist() == [peak]
        np.testing.assert_allclose(one.spans[0], span, atol=1e-9)
        assert one.scores[0] == pytest.approx(score)


def test_the_best_clip_of_a_moment_is_not_its_neighbours() -> None:
    """Two moments side by side, the second the better: its clip 4 reaches into the first."""
    spans = clips(10)
    scores = np.array([0.1, 0.4, 0.45, 0.5, 0.7, 0.9, 0.9, 0.9, 0.8, 0.1], np.float32)
    starts_s, ends_s = spans.T
    assert best_clip(starts_s, ends_s, scores, (1.0, 4.9)) == 3
    assert best_clip(starts_s, ends_s, scores, (4.9, 10.0)) == 5
    # Half a second between the middles of two clips of four seconds, most of it in the second.
    starts_s, ends_s = np.array([0.0, 4.0, 8.0]), np.array([4.0, 8.0, 12.0])
    assert best_clip(starts_s, ends_s, np.array([0.9, 0.1, 0.2], np.float32), (3.9, 4.4)) == 1


def test_few_clips_and_flat_scores_give_what_there_is() -> None:
    none = found(np.zeros((0, 2)), np.zeros(0))
    assert (none.spans.shape, none.scores.shape, none.peaks.shape) == ((0, 2), (0,), (0,))
    one = found(np.array([[3.0, 4.5]]), np.array([-0.2]), vectors=np.ones((1, 3), np.float32))
    assert (one.spans.tolist(), one.scores.tolist()) == ([[3.0, 4.5]], [pytest.approx(-0.2)])
    flat = found(clips(50), np.full(50, 0.3))
    assert (flat.spans.tolist(), flat.scores.tolist()) == ([[0.0, 51.0]], [pytest.approx(0.3)])
    unread = found(clips(50), np.zeros(50), vectors=np.zeros((50, 4), np.float32))
    assert unread.spans.tolist() == [[0.0, 51.0]]


def test_a_gap_without_clips_is_no_end() -> None:
    spans = np.delete(clips(60), [24, 25, 26, 27], axis=0)
    moments = found(spans, covered(spans, [(20.0, 34.0)]), rule=HALF)
    np.testing.assert_allclose(moments.spans[0], (20.0, 34.0), atol=1e-9)


def test_evidence_is_two_thirds_clip_and_one_third_best_entity() -> None:
    clip_scores = np.array([0.3, 0.6, -0.3], np.float32)
    entities = np.array([[0.9, 0.1], [-np.inf, 0.0], [-np.inf, -np.inf]], np.float32)
    np.testing.assert_allclose(clip_evidence(clip_scores, entities), [0.5, 0.4, -0.3], rtol=1e-6)
    np.testing.assert_allclose(clip_evidence(clip_scores), clip_scores)
    np.testing.assert_allclose(clip_evidence(clip_scores, np.zeros((3, 0), np.float32)), clip_scores)


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ([[0.1, np.nan], [0.2, 0.3]], "entity_scores: clip 0 has one that is neither finite nor -inf"),
        ([[0.1, -np.inf], [np.inf, 0.3]], "entity_scores: clip 1 has one"),
        ([[0.1, 0.2]], r"entity_scores: have shape \(1, 2\), needed is \(2, E\)"),
        ([0.1, 0.2], r"entity_scores: have shape \(2,\), needed is \(2, E\)"),
    ],
)
def test_bad_entity_scores_are_named(entities: list[list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        clip_evidence(np.array([0.5, 0.4], np.float32), np.array(entities, np.float32))


@pytest.mark.parametrize(("num_clips", "clip"), [(5, 5), (5, -1), (0, 0)])
def test_a_clip_that_is_not_there_leads_nowhere(num_clips: int, clip: int) -> None:
    spans = clips(num_clips)
    with pytest.raises(InputError, match=f"clip: {clip} is not one of the video's {num_clips} clips"):
        find_moment_at(spans[:, 0], spans[:, 1], np.zeros(num_clips), clip)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.zeros(4)}, r"scores: has shape \(4,\), needed is \(5,\)"),
        ({"scores": np.array([0, 1, np.nan, 0, 0])}, "scores: clip 2 is not finite"),
        ({"ends_s": np.array([2, 3, 2.0, 5, 6])}, "ends_s: clip 2 does not end after its start"),
        ({"starts_s": np.arange(5.0)[::-1], "ends_s": np.arange(5.0)[::-1] + 2}, "in the order of time"),
        ({"vectors": np.zeros((4, 3), np.float32)}, r"vectors: have shape \(4, 3\), needed is \(5, D\)"),
        ({"vectors": np.full((5, 3), np.inf, np.float32)}, "vectors: clip 0 is not finite"),
    ],
)
def test_bad_clips_are_named(change: dict[str, NDArray[np.float64]], message: str) -> None:
    given = {"starts_s": np.arange(5.0), "ends_s": np.arange(5.0) + 2, "scores": np.zeros(5), **change}
    with pytest.raises(InputError, match=message):
        find_moments(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"max_moments": 0}, {"max_iou": 1.5}, {"level": 0.0}, {"likeness": -0.1}, {"context_s": float("nan")}]
)
def test_bad_rules_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        MomentRule(**options)  # type: ignore[arg-type]
