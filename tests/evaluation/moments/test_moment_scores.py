"""Queries, answers and measures of moments on a small world worked out by hand."""

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from henasy.errors import AnnotationError
from henasy.evaluation.moments.baselines import (
    DenseClips,
    Finder,
    RankedSpans,
    best_clips,
    clip_runs,
    level_crossings,
)
from henasy.evaluation.moments.queries import MomentQuery, narrated_queries
from henasy.evaluation.moments.run import found_by_henasy
from henasy.evaluation.moments.scores import (
    MomentSet,
    found_in_own_video,
    length_buckets,
    measure_all_videos,
    measure_own,
    true_labels,
    tuned_level,
)
from henasy.evaluation.rendered.spans import Action
from henasy.search.moments import clip_evidence


def _action(uid: str, start_s: float, end_s: float, text: str, colour: str = "red", hand: str = "left") -> Action:
    return Action(uid, start_s, end_s, "mug", colour, "lift", "lifting the mug", hand, text)


def _spans(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 2)


def test_a_text_is_true_of_what_it_says_and_no_more() -> None:
    actions = [
        _action("a", 0, 1, "#C C lifts the mug"),
        _action("a", 2, 3, "#C C raises the red mug"),
        _action("a", 4, 5, "#C C lifts the mug with the left hand", colour="blue"),
        _action("a", 6, 7, "#C C lifts the mug", colour="blue", hand="right"),
        _action("b", 8, 9, "#C C lifts the mug", hand="right"),
    ]
    queries = narrated_queries(actions)
    assert [(query.video_uid, query.own_s) for query in queries] == [
        ("a", (0, 1)),
        ("a", (2, 3)),
        ("a", (4, 5)),
        ("b", (8, 9)),
    ]
    assert queries[0].own_answers.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert queries[1].own_answers.tolist() == [[0, 1], [2, 3]]
    assert queries[2].own_answers.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert queries[1].answers["b"].tolist() == [[8, 9]]
    assert "b" not in queries[2].answers
    with pytest.raises(AnnotationError, match="narrates no action"):
        narrated_queries([])


def test_measures_worked_out_by_hand() -> None:
    queries = narrated_queries([_action("a", 0, 4, "one"), _action("b", 10, 12, "two")])
    found = [RankedSpans(_spans((8, 9), (0, 3)), np.ones(2)), RankedSpans(_spans((10.5, 12)), np.ones(1))]
    measures = measure_own(queries, found)
    assert measures.top_iou.tolist() == [0, 0.75]
    assert measures.is_recalled[1, 0.5].tolist() == [0, 1]
    assert measures.is_recalled[5, 0.7].tolist() == [1, 1]
    assert np.isnan(measures.end_errors_s[0]).all()
    assert measures.median_end_error_s() == 0.25
    assert np.isnan(measures.only(np.array([True, False])).median_end_error_s())


def _world() -> MomentSet:
    """Two videos; the vector of a clip says how much of it each of two actions fills."""
    starts = np.arange(60.0)
    queries = [
        MomentQuery("x", "a", (20.3, 41.8), {"a": _spans((20.3, 41.8)), "b": _spans((5, 7))}),
        MomentQuery("y", "b", (30.0, 33.0), {"b": _spans((30.0, 33.0))}),
    ]
    clips = {}
    for uid in ("a", "b"):
        bare = DenseClips(starts, starts + 2, np.zeros((60, 0), np.float32))
        labels = [true_labels(bare, query.answers.get(uid, _spans())) for query in queries]
        clips[uid] = bare._replace(vectors=np.stack(labels, axis=1).astype(np.float32))
    return MomentSet(clips, queries, np.eye(2, dtype=np.float32))


def test_labels_are_shares_of_clips_also_where_answers_overlap() -> None:
    starts = np.array([0.0, 1.0, 2.0])
    clips = DenseClips(starts, starts + 2, np.zeros((3, 0), np.float32))
    assert true_labels(clips, _spans((0.5, 1.5), (1.0, 2.0))).tolist() == [0.75, 0.5, 0]


def test_tuning_finds_the_level_at_which_crossings_are_exact() -> None:
    world = _world()
    level, mean = tuned_level(world, level_crossings)
    assert level.of(world.scores(0, "a")) == pytest.approx(0.5, abs=0.06)
    assert mean > 0.97
    _, run_mean = tuned_level(world, clip_runs)
    assert run_mean < mean


def test_among_all_videos_the_better_score_comes_first() -> None:
    world = _world()
    level, _ = tuned_level(world, level_crossings)
    find = partial(level_crossings, level=level)
    own = measure_own(world.queries, found_in_own_video(world, find, world.scores))
    everywhere = measure_all_videos(world, find, world.scores)
    assert everywhere.top_iou.tolist() == own.top_iou.tolist()
    mistaken = world._replace(queries=[world.queries[0]._replace(answers={"b": _spans((5, 7))}), world.queries[1]])
    top = measure_all_videos(mistaken, find, mistaken.scores)
    assert top.top_iou[0] == 0
    assert top.best_iou[0] > 0.9
    assert top.is_recalled[5, 0.3][0] == 1


@pytest.mark.parametrize("find", [best_clips, found_by_henasy])
def test_among_all_videos_only_those_are_looked_at_that_can_hold_the_best_ten(find: Finder) -> None:
    rng = np.random.default_rng(0)
    starts = np.arange(80.0)
    uids = [f"video{number:02d}" for number in range(30)]
    clips = {uid: DenseClips(starts, starts + 2, np.zeros((80, 0), np.float32)) for uid in uids}
    scores = {uid: np.round(rng.uniform(0.2, 1.0) * rng.uniform(0, 1, 80), 1) for uid in uids}
    truth = {uid: np.cumsum(rng.uniform(1, 15, (5, 2))).reshape(5, 2) for uid in uids}
    world = MomentSet(clips, [MomentQuery("x", uids[0], (3.0, 9.0), truth)], np.zeros((1, 0), np.float32))
    looked_at: list[int] = []

    def counted(some: DenseClips, of_video: NDArray[np.float64]) -> RankedSpans:
        looked_at.append(1)
        return find(some, of_video)

    measures = measure_all_videos(world, counted, lambda _, uid: scores[uid])
    every: list[tuple[float, float]] = []
    for uid in uids:
        found = find(clips[uid], scores[uid])
        for span, score in zip(found.spans, found.scores.tolist(), strict=True):
            shared = np.minimum(span[1], truth[uid][:, 1]) - np.maximum(span[0], truth[uid][:, 0])
            joined = np.ptp(span) + np.ptp(truth[uid], axis=1) - shared
            every.append((score, float(np.maximum(shared / joined, 0).max())))
    best = [overlap for _, overlap in sorted(every, key=lambda pair: -pair[0])[:10]]
    assert measures.top_iou[0] == pytest.approx(best[0])
    assert measures.best_iou[0] == pytest.approx(max(best))
    assert len(looked_at) < len(uids)


def test_evidence_joins_clips_with_their_best_entity() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    entities = np.array([[[0.6, 0.8], [0.0, 1.0]], [[0.8, 0.6], [1.0, 0.0]]], np.float32)
    is_valid = np.array([[True, True], [True, False]])
    clips = DenseClips(np.array([0.0, 1.0]), np.array([2.0, 3.0]), vectors, entities, is_valid)
    query = MomentQuery("x", "a", (0.0, 1.0), {"a": _spans((0, 1))})
    world = MomentSet({"a": clips}, [query], np.array([[1.0, 0.0]], np.float32))
    expected = clip_evidence(np.array([1.0, 0.0], np.float32), np.array([[0.6, 0.0], [0.8, -np.inf]], np.float32))
    np.testing.assert_allclose(world.evidence(0, "a"), expected, rtol=1e-6)
    bare = world._replace(clips={"a": clips._replace(entities=None)})
    np.testing.assert_allclose(bare.evidence(0, "a"), world.scores(0, "a"))


def test_buckets_go_by_the_length_of_the_narrated_action() -> None:
    queries = [MomentQuery("", "a", (0.0, length), {}) for length in (0.5, 2.0, 2.1, 60.0)]
    buckets = length_buckets(queries)
    assert {name: kept.tolist() for name, kept in buckets.items()} == {
        "up to 2 s": [True, True, False, False],
        "2 to 4 s": [False, False, True, False],
        "over 12 s": [False, False, False, True],
    }
