"""Ways to put a query, against a loop over pairs and against tables worked by hand."""

import numpy as np
import pytest

from henasy.errors import InputError
from henasy.evaluation.annotations.egohoi import EgoHoi, HoiItem
from henasy.evaluation.annotations.egomcq import EgoMcq, McqQuestion
from henasy.evaluation.encoding.frame_rules import Span
from henasy.evaluation.queries.forms import as_gerund, as_order, as_sentence
from henasy.evaluation.queries.phrasing import QuestionSet, choose_way, choose_wording, evidence_rows, wording_rows
from henasy.evaluation.queries.questions import question_pairs, question_sets
from henasy.evaluation.queries.scores import (
    PHRASE_KINDS,
    ClipVectors,
    PairScores,
    QueryTexts,
    Way,
    best_entity_scores,
    mixed,
    pair_scores,
    query_texts,
)
from henasy.scenes.household.verbs import VERBS
from henasy.text.phrases import find_phrases
from henasy.text.wording import Wording, as_narration, mean_direction, texts_of

QUERIES = ["open the jar", "lifts a mug with the left hand", "again", "#C C stirs the pan with a spoon"]
NARRATIONS = {QUERIES[0]: "#C C opens the jar", QUERIES[1]: "#C C lifts a mug with the left hand"}


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = rng.standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def clips() -> ClipVectors:
    rng = np.random.default_rng(1)
    is_valid = rng.random((6, 4)) < 0.7
    is_valid[5] = False
    return ClipVectors(unit(rng, 6, 8), unit(rng, 6, 8), unit(rng, 6, 4, 8), is_valid)


def test_texts_of_a_query() -> None:
    assert texts_of("open the jar", Wording.BARE) == ("open the jar",)
    assert texts_of("open the jar", Wording.NARRATION) == ("#C C opens the jar",)
    assert texts_of("open the jar", Wording.BOTH) == ("open the jar", "#C C opens the jar")
    for wording in Wording:
        assert texts_of("#O man X opens the jar", wording) == ("#O man X opens the jar",)
        assert texts_of("the red jar", wording) == ("the red jar",)


def test_mean_direction_is_the_normalised_mean() -> None:
    pair = np.array([[1, 0], [0.6, 0.8]], np.float32)
    assert mean_direction(pair) == pytest.approx(np.array([1.6, 0.8]) / np.hypot(1.6, 0.8), rel=1e-6)
    assert np.array_equal(mean_direction(pair[:1]), pair[0])


def test_best_entity_ignores_entities_without_patches() -> None:
    phrases = np.array([[1, 0], [0, 1]], np.float32)
    entities = np.array([[[0.6, 0.8], [1, 0]], [[0.8, 0.6], [0, 1]]], np.float32)
    is_valid = np.array([[True, False], [False, False]])
    assert best_entity_scores(phrases, entities, is_valid) == pytest.approx(
        np.array([[0.6, 0.8], [-np.inf, -np.inf]]), rel=1e-6
    )


@pytest.mark.parametrize(
    ("narration", "sentence", "order", "gerund"),
    [
        ("#C C picks up the mug", "picks up the mug", "pick up the mug", "picking up the mug"),
        ("#C C closes a box", "closes a box", "close a box", "closing a box"),
        ("#C C drags the box closer", "drags the box closer", "drag the box closer", "dragging the box closer"),
        ("#C C lowers the jar", "lowers the jar", "lower the jar", "lowering the jar"),
        ("the mug", "the mug", "the mug", "the mug"),
        ("#O man X opens the jar", "man X opens the jar", "man X opens the jar", "man X opens the jar"),
    ],
)
def test_forms_of_a_narration(narration: str, sentence: str, order: str, gerund: str) -> None:
    assert (as_sentence(narration), as_order(narration), as_gerund(narration)) == (sentence, order, gerund)


def test_rendered_verbs_take_every_form() -> None:
    for verb in VERBS:
        for _, third, gerund in verb.wordings:
            named = {"o": "the jar", "p": "the bowl", "h": "left", "g": "right"}
            narration = f"#C C {third.format(**named)}"
            typed_ways = [as_sentence(narration), as_gerund(narration), as_order(narration)]
            if third.startswith(("hands over", "knocks on")):  # may name things: a hand, a knock on the door
                assert [as_narration(typed) for typed in typed_ways] == typed_ways
                continue
            assert as_gerund(narration) == gerund.format(**named)
            assert [as_narration(typed) for typed in typed_ways] == [narration] * 3


def naive(query: str, vectors: dict[str, np.ndarray], clips: ClipVectors, clip: int, way: Way) -> float:
    texts = {
        Wording.BARE: [query],
        Wording.NARRATION: [NARRATIONS.get(query, query)],
        Wording.BOTH: [query, NARRATIONS.get(query, query)],
    }[way.wording]
    text = sum(vectors[name].astype(np.float64) for name in texts)
    text = text / np.linalg.norm(text)
    seen = (1 - way.global_weight) * clips.clip[clip].astype(np.float64)
    seen += way.global_weight * clips.global_clip[clip].astype(np.float64)
    score = float(text @ seen) / np.linalg.norm(seen)
    met = []
    for phrase in find_phrases(query):
        valid = clips.entities[clip][clips.is_valid[clip]].astype(np.float64)
        if way.phrase_kind in ("all", phrase.kind) and len(valid):
            met.append(max(float(entity @ vectors[phrase.text]) for entity in valid))
    return (1 - way.phrase_weight) * score + way.phrase_weight * np.mean(met) if met else score


@pytest.mark.parametrize(
    "way",
    [
        Way(),
        Way(wording=Wording.NARRATION, global_weight=0.3),
        Way(wording=Wording.BOTH, phrase_kind="noun", phrase_weight=0.4),
        Way(wording=Wording.BOTH, phrase_kind="verb", phrase_weight=1.0, global_weight=1.0),
        Way(phrase_kind="all", phrase_weight=0.25, global_weight=0.5),
    ],
)
def test_mixed_scores_equal_a_loop(clips: ClipVectors, way: Way) -> None:
    queries = query_texts(QUERIES)
    assert len(set(queries.texts)) == len(queries.texts)
    vectors = unit(np.random.default_rng(2), len(queries.texts), 8)
    vector_of = dict(zip(queries.texts, vectors, strict=True))
    query_rows = np.array([[0, 1, 2], [3, 3, 3], [1, 0, 2]])
    clip_rows = np.array([[0, 0, 0], [1, 4, 5], [5, 2, 3]])
    scores = mixed(pair_scores(queries, vectors, clips, query_rows, clip_rows), way)
    expected = [
        [naive(QUERIES[query], vector_of, clips, clip, way) for query, clip in zip(*pair, strict=True)]
        for pair in zip(query_rows.tolist(), clip_rows.tolist(), strict=True)
    ]
    assert scores == pytest.approx(np.array(expected), rel=1e-5, abs=1e-6)


def test_pair_scores_of_many_questions_equal_those_of_single_ones(clips: ClipVectors) -> None:
    queries = query_texts(QUERIES)
    vectors = unit(np.random.default_rng(3), len(queries.texts), 8)
    rng = np.random.default_rng(4)
    query_rows, clip_rows = rng.integers(0, 4, (5000, 3)), rng.integers(0, 6, (5000, 3))
    together = pair_scores(queries, vectors, clips, query_rows, clip_rows)
    way = Way(wording=Wording.BOTH, phrase_weight=0.5, global_weight=0.5)
    for row in (0, 1364, 1365, 4999):
        alone = pair_scores(queries, vectors, clips, query_rows[row : row + 1], clip_rows[row : row + 1])
        assert mixed(alone, way)[0] == pytest.approx(mixed(together, way)[row], rel=1e-9)


def test_a_model_without_entities_scores_by_clip_alone(clips: ClipVectors) -> None:
    bare = clips._replace(entities=clips.entities[:, :0], is_valid=clips.is_valid[:, :0])
    queries = query_texts(QUERIES)
    vectors = unit(np.random.default_rng(5), len(queries.texts), 8)
    rows = np.array([[0, 1, 3]]), np.array([[0, 1, 2]])
    scores = pair_scores(queries, vectors, bare, *rows)
    assert np.array_equal(mixed(scores, Way(phrase_weight=0.5)), mixed(scores, Way()))


def questions(kind: str, clip: list[list[float]], phrases: list[list[float]], answers: list[int]) -> QuestionSet:
    """Questions of which each is about a video of its own, worded alike in every way."""
    wordings = dict.fromkeys(Wording, np.array(clip))
    by_kind = {kind: np.array(phrases) for kind in PHRASE_KINDS}
    scores = PairScores(wordings, wordings, np.ones(np.shape(clip)), by_kind)
    videos = np.array([f"video {row}" for row in range(len(clip))])
    return QuestionSet(kind, np.array(answers), scores, videos)  # type: ignore[arg-type]


def test_weight_is_chosen_on_validation_and_judged_on_test() -> None:
    # Clip scores miss the second question by 0.1; phrases find it and lose neither of the others.
    validation = [questions("intra", [[0.5, 0.1], [0.4, 0.5]], [[0.3, 0.1], [0.9, 0.1]], [0, 0])]
    test = [questions("intra", [[0.5, 0.6], [0.4, 0.1], [0.5, 0.1]], [[0.9, 0.1], [0.9, 0.1], [0.1, 0.5]], [0, 0, 1])]
    rows = {row.name: row for row in evidence_rows(Wording.BARE, validation, test, has_entities=True, has_global=True)}
    chosen = rows["bare + phrases"]
    # (1 - p) (0.4 - 0.5) + p (0.9 - 0.1) > 0 from p = 1/9 on; the first weight above it
    assert chosen.way.phrase_weight == 0.15
    assert chosen.accuracy == {"intra": pytest.approx(2 / 3)}
    assert chosen.gain["intra"].mean == pytest.approx(1 / 3)
    assert chosen.against == "bare"
    # of equal ways the first, which adds nothing
    assert rows["bare + global"].way.global_weight == 0
    assert rows["bare + global"].gain["intra"] == (0, 0, 0)


def test_models_lack_what_they_lack() -> None:
    sets = [questions("intra", [[0.5, 0.1]], [[np.nan, np.nan]], [0])]
    assert evidence_rows(Wording.BARE, sets, sets, has_entities=False, has_global=False) == []
    names = [row.name for row in evidence_rows(Wording.BARE, sets, sets, has_entities=True, has_global=False)]
    assert names == ["bare + noun phrases", "bare + verb phrases", "bare + phrases"]


def test_wordings_are_compared_with_the_bare_query() -> None:
    worse, better = np.array([[0.1, 0.2], [0.3, 0.1]]), np.array([[0.3, 0.2], [0.3, 0.1]])
    by_wording = {Wording.BARE: worse, Wording.NARRATION: better, Wording.BOTH: worse}
    nothing = {kind: np.full((2, 2), np.nan) for kind in PHRASE_KINDS}
    scores = PairScores(by_wording, by_wording, np.ones((2, 2)), nothing)
    rows = wording_rows([QuestionSet("inter", np.array([0, 0]), scores, np.array(["a", "b"]))], "order, ")
    assert [(row.name, row.against, row.accuracy["inter"]) for row in rows] == [
        ("order, bare", "", 0.5),
        ("order, narration", "order, bare", 1.0),
        ("order, both", "order, bare", 0.5),
    ]
    assert rows[1].gain["inter"].mean == 0.5


def test_wording_is_chosen_over_all_forms() -> None:
    right, wrong = np.array([[0.3, 0.2]]), np.array([[0.1, 0.2]])
    sets = []
    for bare, narration in ((right, right), (wrong, right)):
        by_wording = {Wording.BARE: bare, Wording.NARRATION: narration, Wording.BOTH: bare}
        nothing = {kind: np.full((1, 2), np.nan) for kind in PHRASE_KINDS}
        scores = PairScores(by_wording, by_wording, np.ones((1, 2)), nothing)
        sets.append([QuestionSet("intra", np.array([0]), scores, np.array(["a"]))])
    assert choose_wording(sets[:1]) is Wording.BARE
    assert choose_wording(sets) is Wording.NARRATION


def test_word_swaps_are_judged_by_verb_noun_and_action() -> None:
    similarity = [[0.5, 0.4, 0.6], [0.5, 0.1, 0.2]]
    right = questions("swaps", similarity, similarity, [0, 0]).right(Way())
    assert {name: values.tolist() for name, values in right.items()} == {
        "verb": [1, 1],
        "noun": [0, 1],
        "action": [0, 1],
    }


def test_choosing_needs_a_question_that_decides() -> None:
    with pytest.raises(InputError, match="none is of a kind that decides: intra, action"):
        choose_way([Way()], [questions("inter", [[0.5, 0.1]], [[0, 0]], [0])])


def test_questions_become_pairs_of_texts_and_clips(clips: ClipVectors) -> None:
    spans = [Span(f"video {row}", row, row + 1.0) for row in range(6)]
    mcq = EgoMcq(
        questions=(
            McqQuestion(text="opens", choices=tuple(spans[:5]), answer=3, type=1),
            McqQuestion(text="shuts", choices=tuple(spans[1:]), answer=0, type=2),
            McqQuestion(text="opens", choices=tuple(spans[1:]), answer=4, type=2),
        )
    )
    captions = [f"caption {at}" for at in range(20)]
    item = HoiItem(span=spans[2], text="opens", verb_swaps=tuple(captions[:10]), noun_swaps=tuple(captions[10:]))
    asked = question_pairs(mcq, EgoHoi(items=(item,)))
    assert asked.narrations == ["opens", "shuts", *captions]
    inter, intra, swaps = asked.pairs
    assert [asked.spans[row] for row in inter.clip_rows[0]] == spans[:5]
    assert (inter.query_rows.tolist(), intra.query_rows.tolist()) == ([[0] * 5], [[1] * 5, [0] * 5])
    assert intra.videos.tolist() == ["video 1", "video 5"]
    assert [asked.narrations[row] for row in swaps.query_rows[0]] == ["opens", *captions]
    assert {asked.spans[row] for row in swaps.clip_rows[0]} == {spans[2]}

    queries = query_texts(asked.narrations)
    vectors = unit(np.random.default_rng(6), len(queries.texts), 8)
    is_encoded = np.array([span.video_id != "video 5" for span in asked.spans])
    sets = question_sets(asked.pairs, queries, vectors, clips, is_encoded)
    assert [(kind.kind, len(kind.answers)) for kind in sets] == [("inter", 1), ("swaps", 1)]


def test_query_texts_list_each_text_once() -> None:
    queries: QueryTexts = query_texts(["opens the jar", "opens the jar", "jar"])
    assert queries.texts == ["opens the jar", "jar", "#C C opens the jar"]
    assert queries.phrases["noun"].tolist() == [[1], [1], [1]]
    assert queries.phrases["verb"].tolist() == [[0], [0], [-1]]
