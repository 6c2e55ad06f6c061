"""Own queries, judgements and rankings: their files, what counts as found, the measures and the paired test."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from henasy.errors import AnnotationError, InputError, NotFoundError
from henasy.evaluation.metrics.paired_test import paired_test, randomisation_p
from henasy.evaluation.metrics.ranking_measures import DEFAULT_MEASURES, measure_queries
from henasy.evaluation.own.doc_ids import DocSpan, format_doc_id, parse_doc_id
from henasy.evaluation.own.found_spans import FoundSpan, matched_ranking
from henasy.evaluation.own.qrels import Judgement, format_judgements, format_queries, load_qrels, load_queries

QUERIES = {"q1": "open the drawer", "q2": "open the drawer", "q3": "wash a cup"}


@pytest.mark.parametrize(
    ("text", "doc"),
    [
        ("P01_01", DocSpan("P01_01", None)),
        ("0f3a@12-14.5", DocSpan("0f3a", (12.0, 14.5))),
        ("a/my%20film.mp4@0-0.001", DocSpan("a/my film.mp4", (0.0, 0.001))),
        ("me%40home/100%25.mp4@3-5", DocSpan("me@home/100%.mp4", (3.0, 5.0))),
    ],
)
def test_names_of_documents_go_both_ways(text: str, doc: DocSpan) -> None:
    assert parse_doc_id(text) == doc
    assert format_doc_id(doc) == text


def test_any_path_survives_its_name() -> None:
    for path in ("a b", "ü @ %\u00a0", "x\ty", "a%20b", "#1", "-"):
        name = format_doc_id(DocSpan(path, (1.25, 3.0)))
        assert len(name.split()) == 1
        assert parse_doc_id(name) == DocSpan(path, (1.25, 3.0))


@pytest.mark.parametrize(
    "text", ["", "@1-2", "a@", "a@5", "a@5-5", "a@6-5", "a@nan-5", "a@-1-5", "a@1-inf", "me@home/x"]
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="document"):
        parse_doc_id(text)


def test_queries_with_equal_texts_stay_apart(tmp_path: Path) -> None:
    file = tmp_path / "queries.tsv"
    file.write_text("query_id\ttext\n" + format_queries(QUERIES) + "\n# a remark\n")
    assert load_queries(file) == QUERIES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no query"),
        ("query_id\ttext\n", "holds no query"),
        ("q1 open\n", "line 1: 1 tab-separated fields"),
        ("q1\ta\tb\n", "line 1: 3 tab-separated fields"),
        ("q1\ta\nq1\tb\n", "line 2: query_id 'q1' was there before"),
        ("q 1\ta\n", "'q 1', must be one word"),
        ("q1\t \n", "text of query 'q1' is blank"),
    ],
)
def test_bad_queries_are_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "queries.tsv"
    file.write_text(content)
    with pytest.raises(AnnotationError, match=message):
        load_queries(file)


def test_qrels_are_read_as_trec_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "qrels.txt"
    file.write_bytes(b"q1 0 v@1-2 1\r\nq1\tQ0\tv@3-4\t0\r\n\r\nq2 0 w 2")
    found = load_qrels(file, QUERIES)
    assert [(one.query_id, one.doc, one.relevance, one.line) for one in found] == [
        ("q1", DocSpan("v", (1, 2)), 1, 1),
        ("q1", DocSpan("v", (3, 4)), 0, 2),
        ("q2", DocSpan("w", None), 2, 4),
    ]
    file.write_text(format_judgements(found))
    assert [one[:3] for one in load_qrels(file, QUERIES)] == [one[:3] for one in found]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "none of its 0 judgements"),
        ("q1 0 v@1-2 0\n", "none of its 1 judgements has a relevance above 0"),
        ("q1 v@1-2 1\n", "line 1: 3 fields, must be 4"),
        ("q1 0 v@1-2 -1\n", "relevance is '-1', must be a whole number from 0 to 100"),
        ("q1 0 v@1-2 nan\n", "relevance is 'nan'"),
        ("q1 0 v@1-2 1.0\n", "relevance is '1.0'"),
        ("q1 0 v@1-2 999\n", "relevance is '999'"),
        ("q9 0 v@1-2 1\n", "line 1: query 'q9' is not in the queries file"),
        ("q1 0 v@1-2 1\nq1 0 v@1.0-2.00 0\n", "line 2: v@1-2 was judged for 'q1' in line 1"),
        ("q1 0 v@2-1 1\n", "line 1: document: 'v@2-1' ends at 1 s"),
        ("q1 0 v@nan-1 1\n", "is not of the form VIDEO"),
    ],
)
def test_bad_judgements_are_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "qrels.txt"
    file.write_text(content)
    with pytest.raises(AnnotationError, match=message):
        load_qrels(file, QUERIES)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none.tsv: no such file"):
        load_queries(tmp_path / "none.tsv")


def hit(start_s: float, end_s: float, video: str = "v") -> FoundSpan:
    return FoundSpan(video, f"kitchen/{video}.mp4", start_s, end_s, 0.5)


def judged(name: str, relevance: int = 1) -> Judgement:
    return Judgement("q1", parse_doc_id(name), relevance)


@pytest.mark.parametrize(
    ("hits", "judgements", "min_iou", "expected"),
    [
        # Overlap finds, an equal start is not needed, a shared end point is no overlap.
        ([hit(1, 3)], [judged("v@2.5-9")], 0.0, ["v@2.5-9"]),
        ([hit(0, 2)], [judged("v@2-4")], 0.0, ["v@0-2"]),
        ([hit(2, 4)], [judged("v@0-2")], 0.0, ["v@2-4"]),
        ([hit(1, 3, "w")], [judged("v@1-3")], 0.0, ["w@1-3"]),
        # The path names a video as well as its id does.
        ([hit(1, 3)], [judged("kitchen/v.mp4@1-3")], 0.0, ["kitchen/v.mp4@1-3"]),
        # A piece is found once; hits that repeat it are left out, what was not judged stays.
        ([hit(1, 3), hit(2, 4), hit(3, 5), hit(8, 9)], [judged("v@2-5")], 0.0, ["v@2-5", "v@8-9"]),
        # One hit finds one piece, the most relevant first; the next hit finds the other.
        ([hit(0, 9), hit(1, 8)], [judged("v@1-2"), judged("v@5-6", 2)], 0.0, ["v@5-6", "v@1-2"]),
        # Equal relevance: the piece of most overlap.
        ([hit(2, 4)], [judged("v@0-3"), judged("v@2-4")], 0.0, ["v@2-4"]),
        # 1 s of 3 s in common: 1/3.
        ([hit(1, 3)], [judged("v@2-4")], 0.33, ["v@2-4"]),
        ([hit(1, 3)], [judged("v@2-4")], 0.34, ["v@1-3"]),
        # A whole video is found by any hit of it.
        ([hit(7, 9), hit(1, 3)], [judged("v")], 1.0, ["v"]),
        # The same place twice (two entities of one clip) is one document.
        ([hit(1, 3), hit(1, 3)], [], 0.0, ["v@1-3"]),
        ([], [judged("v")], 0.0, []),
    ],
)
def test_what_a_hit_finds(
    hits: list[FoundSpan], judgements: list[Judgement], min_iou: float, expected: list[str]
) -> None:
    assert matched_ranking(hits, judgements, min_iou) == expected


def test_a_hit_of_both_names_counts_once() -> None:
    hits = [FoundSpan("v", "v", 0, 2, 1.0), FoundSpan("v", "v", 1, 3, 0.9)]
    assert matched_ranking(hits, [judged("v@0-3")]) == ["v@0-3"]


def test_measures_by_hand() -> None:
    relevance = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"d": 1}, "q3": {"e": 1}}
    rankings = {"q1": ["c", "a", "x", "b"], "q2": ["y"], "q3": []}
    found = measure_queries(("nDCG@10", "AP", "RR", "P@5", "R@1", "R@10", "Judged@10"), relevance, rankings)
    gain = 2 / np.log2(3) + 1 / np.log2(5)
    np.testing.assert_allclose(found["nDCG@10"], [gain / (2 + 1 / np.log2(3)), 0, 0])
    np.testing.assert_allclose(found["AP"], [(1 / 2 + 2 / 4) / 2, 0, 0])
    np.testing.assert_allclose(found["RR"], [1 / 2, 0, 0])
    np.testing.assert_allclose(found["P@5"], [2 / 5, 0, 0])
    np.testing.assert_allclose(found["R@1"], [0, 0, 0])
    np.testing.assert_allclose(found["R@10"], [1, 0, 0])
    np.testing.assert_allclose(found["Judged@10"], [3 / 4, 0, 0])


def test_measures_keep_the_order_of_long_rankings() -> None:
    docs = [f"d{number}" for number in range(1000)]
    found = measure_queries(("RR",), {"q": {"d999": 1}}, {"q": docs})
    np.testing.assert_allclose(found["RR"], [1 / 1000])


@pytest.mark.parametrize("name", ["P", "P@0", "P@-1", "P@1001", "nDCG@x", "foo", "", "Bpref", "AP(rel=2)"])
def test_other_measures_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="measure"):
        measure_queries((name,), {"q": {"a": 1}}, {"q": ["a"]})
    with pytest.raises(InputError, match="twice"):
        measure_queries((*DEFAULT_MEASURES, "AP"), {"q": {"a": 1}}, {"q": ["a"]})


def test_randomisation_tries_every_pattern_of_few_queries() -> None:
    gains = np.array([0.3, -0.1, 0.2, 0.0, 0.25, 0.05])
    sums = [abs(np.dot(signs, gains)) for signs in itertools.product((-1, 1), repeat=len(gains))]
    assert randomisation_p(gains) == pytest.approx(np.mean([total >= abs(gains.sum()) - 1e-12 for total in sums]))
    assert randomisation_p(np.zeros(5)) == 1.0
    assert randomisation_p(np.full(4, 0.1)) == pytest.approx(2 / 16)


def test_randomisation_of_many_queries_is_close_to_the_exact_one() -> None:
    gains = np.random.default_rng(3).normal(0.15, 0.4, 16)
    bits = (np.arange(2**16)[:, None] >> np.arange(16)) & 1
    exact = np.mean(np.abs((2.0 * bits - 1) @ gains) >= abs(gains.sum()) - 1e-12)
    assert randomisation_p(gains) == pytest.approx(exact, abs=0.015)


def test_randomisation_holds_its_level() -> None:
    rng = np.random.default_rng(0)
    p_values = [randomisation_p(rng.normal(0, 1, 30), num_resamples=500, seed=seed) for seed in range(300)]
    # 300 draws at 5 %: within 4 standard deviations.
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.05)


def test_a_fall_is_a_significant_one_or_one_beyond_the_tolerance() -> None:
    rng = np.random.default_rng(1)
    baseline = rng.uniform(0.3, 0.7, 40)
    worse = paired_test(baseline - rng.uniform(0.05, 0.15, 40), baseline)
    assert worse.is_significantly_worse
    assert worse.has_fallen(None)
    assert worse.num_worse == 40
    assert not paired_test(baseline, baseline).has_fallen(0.0)
    unsure = paired_test(baseline + rng.normal(-0.01, 0.3, 40), baseline)
    assert not unsure.is_significantly_worse
    assert unsure.has_fallen(abs(unsure.difference.mean) / 2) == (unsure.difference.mean < 0)
    assert not unsure.has_fallen(0.5)
    # Four queries that all fell are too few to be sure of.
    assert not paired_test(baseline[:4] - 0.1, baseline[:4]).is_significantly_worse
    with pytest.raises(InputError, match="candidate: query 2"):
        paired_test(np.array([0.1, 0.2, np.nan]), np.zeros(3))
