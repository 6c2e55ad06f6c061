"""What each run fixes of its protocol: frames, ranks, thresholds and rates, each with a number that tells it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from henasy.evaluation.annotations.egohoi import NUM_SWAPS, EgoHoi, HoiItem
from henasy.evaluation.annotations.egomcq import EgoMcq, McqQuestion
from henasy.evaluation.annotations.egomq import EgoMq, Moment, MomentClip
from henasy.evaluation.annotations.egonlq import EgoNlq, NlqClip, NlqQuery, QueryKey
from henasy.evaluation.annotations.egtea import EgteaTest
from henasy.evaluation.annotations.epic100 import EpicClip, EpicRetrieval
from henasy.evaluation.annotations.epic100_actions import Action, ActionFiles, EpicActions
from henasy.evaluation.encoding import encoded
from henasy.evaluation.encoding.dense import DenseRule, PlanRule, RateRule
from henasy.evaluation.encoding.encoded import Encoded
from henasy.evaluation.encoding.frame_rules import EGO4D_FRAMES, EGTEA_FRAMES, EK100_FRAMES, Span
from henasy.evaluation.encoding.source import VideoSource
from henasy.evaluation.metrics.grounding import GroundedThing, grounding_score
from henasy.evaluation.span_tasks import egomq_encoded, egomq_run, egonlq_run
from henasy.evaluation.span_tasks.egomq_run import MqAnnotations, score_predictions
from henasy.evaluation.span_tasks.mq_predictions import PredictedMoment, PredictionFile
from henasy.evaluation.tasks import egohoi_run, egomcq_run, egtea_run, ek100_cls_run, ek100_mir_run
from henasy.evaluation.tasks.benchmark import Scored

SPAN = Span("v", 1.0, 2.0)
CLIP = EpicClip(
    narration_id="v_1",
    video_id="v",
    start_s=1.0,
    stop_s=2.0,
    narration="open jar",
    verb_class=0,
    noun_classes=(0,),
)
ACTIONS = EpicActions(clips=(CLIP,), classes=(Action(0, 0),), texts_of=(("open jar",),), targets=np.array([0]))
RETRIEVAL = EpicRetrieval(clips=(CLIP,), sentence_rows=np.array([0]), num_other_wordings=0)
SWAPS = tuple(f"#C C {word}" for word in range(NUM_SWAPS))
ITEM = HoiItem(span=SPAN, text="#C C opens the jar", verb_swaps=SWAPS, noun_swaps=SWAPS)
QUESTION = McqQuestion(text="#C C opens the jar", choices=(SPAN,) * 5, answer=0, type=1)
EGTEA_TEST = EgteaTest(spans=(SPAN,), names=("open jar",), targets=np.array([0]))
FILES = ActionFiles(test=Path("t"), train=Path("t"))


class Asked(Exception):  # noqa: N818  # ends a run where it would need a model
    """What a run wants to have encoded."""

    def __init__(self, selector: Any, source: VideoSource, options: dict[str, Any]) -> None:
        super().__init__()
        self.selector, self.source, self.options = selector, source, options


def source_of(**changes: Any) -> VideoSource:
    given: dict[str, Any] = {
        "annotations": Path("a"),
        "videos": Path("v"),
        "model": "m",
        "device": "cpu",
        "num_frames": None,
        "is_allowing_missing": False,
    }
    return VideoSource(**given | changes)


def asked_by(run: Any, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Asked:
    def ask(_spans: Any, _texts: Any, selector: Any, source: VideoSource, _digest: str, **options: Any) -> None:
        raise Asked(selector, source, options)

    for name in ("encode_annotated", "encode_many_views"):
        monkeypatch.setattr(encoded, name, ask)
    monkeypatch.setattr(run, "file_digest", lambda *_: "d")
    with pytest.raises(Asked) as caught:
        run.score_videos(source_of(**changes))
    return caught.value


@pytest.mark.parametrize(
    ("run", "loaded", "selector"),
    [
        (egomcq_run, {"load_egomcq": EgoMcq(questions=(QUESTION,)), "annotation_file": Path("a")}, EGO4D_FRAMES),
        (egohoi_run, {"load_egohoi": EgoHoi(items=(ITEM,)), "annotation_file": Path("a")}, EGO4D_FRAMES),
        (ek100_mir_run, {"load_epic_retrieval": RETRIEVAL, "annotation_files": (Path("a"), Path("b"))}, EK100_FRAMES),
        (ek100_cls_run, {"load_epic_actions": ACTIONS, "action_files": FILES}, EK100_FRAMES),
        (egtea_run, {"load_egtea": EGTEA_TEST, "annotation_files": (Path("a"), Path("b"))}, EGTEA_FRAMES),
    ],
)
def test_each_benchmark_takes_the_frames_of_its_protocol(
    monkeypatch: pytest.MonkeyPatch, run: Any, loaded: dict[str, Any], selector: Any
) -> None:
    for name, value in loaded.items():
        monkeypatch.setattr(run, name, lambda _, value=value: value)
    asked = asked_by(run, monkeypatch)
    assert asked.selector is selector
    drawn = {benchmark.selector for benchmark in vars(run).values() if hasattr(benchmark, "score_videos")}
    assert drawn <= {selector, None}


def test_a_question_is_scored_only_with_all_its_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = tuple(Span(f"v{number}", 0.0, 1.0) for number in range(10))
    questions = tuple(replace(QUESTION, choices=spans[first : first + 5]) for first in (0, 5))
    monkeypatch.setattr(egomcq_run, "load_egomcq", lambda _: EgoMcq(questions=questions))
    monkeypatch.setattr(egomcq_run, "annotation_file", lambda path: path)
    monkeypatch.setattr(egomcq_run, "file_digest", lambda *_: "d")

    def encode(spans: Any, *_: Any) -> Encoded:
        clip = np.eye(len(spans), dtype=np.float32)
        count = len(spans)
        nothing = np.zeros((count, 0, 0), np.float32), np.zeros((count, 0), bool), np.zeros((count, 0, 0), np.uint8)
        is_encoded = np.array([span.video_id != "v7" for span in spans])
        return Encoded(clip, is_encoded, clip[[0, 5]], {}, clip, *nothing)

    monkeypatch.setattr(encoded, "encode_annotated", encode)
    scored = egomcq_run.score_videos(source_of())
    assert scored.facts["scored"] == "1 of 2 questions"
    assert scored.facts["questions"] == "1 inter, 0 intra"
    assert scored.scores["inter"] == 1.0


def test_egtea_takes_16_frames_of_ten_clips_unless_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egtea_run, "load_egtea", lambda _: EGTEA_TEST)
    monkeypatch.setattr(egtea_run, "annotation_files", lambda _: (Path("a"), Path("b")))
    asked = asked_by(egtea_run, monkeypatch)
    assert asked.source.num_frames == 16
    assert asked.options == {"num_clips": 10}
    assert asked_by(egtea_run, monkeypatch, num_frames=8).source.num_frames == 8
    assert asked_by(egtea_run, monkeypatch, is_rendered=True).source.num_frames is None


def test_ek100_actions_count_among_the_first_one_and_five() -> None:
    # Eight verbs with one noun each; clip k has its own class k places from the front.
    classes = tuple(Action(number, number) for number in range(8))
    actions = EpicActions(
        clips=(CLIP,) * 8, classes=classes, texts_of=(("x",),) * 8, targets=np.array([7, 6, 5, 4, 3, 2, 1, 0])
    )
    scores = np.tile(np.arange(8.0), (8, 1))
    found = ek100_cls_run.score_similarity(actions, scores, {}).scores
    assert found == {f"{name}_top{k}": k / 8 for name in ("action", "verb", "noun") for k in (1, 5)}


def test_ek100_verbs_and_nouns_take_their_closest_action() -> None:
    # Verb 0 has the closest action although the clip's own, with noun 0, is farther away.
    actions = EpicActions(
        clips=(CLIP,), classes=(Action(0, 0), Action(0, 1), Action(1, 0)), texts_of=(("x",),) * 3, targets=np.array([0])
    )
    found = ek100_cls_run.score_similarity(actions, np.array([[0.1, 0.9, 0.5]]), {}).scores
    assert found["action_top1"] == 0
    assert found["verb_top1"] == 1
    assert found["noun_top1"] == 0


@pytest.mark.parametrize(
    ("iou", "recalls", "num_detected"),
    [(0.55, 1.0, 5), (0.5, 0.0, 5), (0.45, 0.0, 4), (0.35, 0.0, 3), (0.05, 0.0, 0)],
)
def test_egomq_recalls_above_half_and_detects_from_a_tenth(iou: float, recalls: float, num_detected: int) -> None:
    clip = MomentClip(clip_uid="c", span=SPAN, moments=(Moment("wash", 0.0, 100.0),))
    val = EgoMq(path=Path("m"), split="val", clips=(clip,), num_unannotated=0)
    found = {"c": [PredictedMoment("wash", 0.0, 100.0 * iou, score=1.0)]}
    scores = score_predictions(PredictionFile(detection=found, retrieval=found), val, ("wash",)).by_key
    assert scores["R@1x"] == scores["R@5x"] == recalls
    assert [scores[f"mAP@0.{tiou}"] for tiou in range(1, 6)] == [1.0] * num_detected + [0.0] * (5 - num_detected)
    assert scores["mAP"] == pytest.approx(num_detected / 5)
    assert MqAnnotations(val=val, classes=None, facts={}).labels == ("wash",)


def test_egomq_recall_counts_as_many_answers_as_moments() -> None:
    clip = MomentClip(clip_uid="c", span=SPAN, moments=(Moment("wash", 0.0, 10.0), Moment("wash", 20.0, 30.0)))
    val = EgoMq(path=Path("m"), split="val", clips=(clip,), num_unannotated=0)
    wrong = PredictedMoment("wash", 50.0, 60.0, score=1.0)
    right = [PredictedMoment("wash", 0.0, 10.0, score=0.5), PredictedMoment("wash", 20.0, 30.0, score=0.4)]

    def recalls(num_wrong: int) -> tuple[float, float]:
        found = {"c": [*([wrong] * num_wrong), *right]}
        scores = score_predictions(PredictionFile(detection=found, retrieval=found), val, ("wash",)).by_key
        return scores["R@1x"], scores["R@5x"]

    assert [recalls(count) for count in (0, 1, 2, 8, 9, 10)] == [
        (1.0, 1.0), (0.5, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 0.5), (0.0, 0.0),
    ]  # fmt: skip


@pytest.mark.parametrize(("made", "has_rows"), [("zero_shot", False), ("head", True), ("predictions", True)])
def test_no_row_of_the_papers_stands_beside_zero_shot_spans(tmp_path: Path, made: str, has_rows: bool) -> None:
    (tmp_path / "a.json").write_text("{}")
    query = NlqQuery(key=QueryKey("c", "a", 0), text="where", start_s=0.0, end_s=1.0)
    clip = NlqClip(clip_uid="c", video_uid="v", start_s=0.0, end_s=9.0, queries=(query,))
    asked = EgoNlq(path=tmp_path / "a.json", clips=(clip,))
    answers = {query.key: np.array([[0.0, 1.0]])}
    nlq = egonlq_run.scored_result(made, asked, answers, {}, is_rendered=False)
    moments = MomentClip(clip_uid="c", span=SPAN, moments=(Moment("wash", 0.0, 1.0),))
    found = {"c": [PredictedMoment("wash", 0.0, 1.0, score=1.0)]}
    annotated = MqAnnotations(
        val=EgoMq(path=Path("m"), split="val", clips=(moments,), num_unannotated=0), classes=None, facts={}
    )
    mq = egomq_run.scored_result(
        made, PredictionFile(detection=found, retrieval=found), annotated, {}, is_rendered=False
    )
    assert (bool(nlq.published), bool(mq.published)) == (has_rows, has_rows)
    # One class and one question are not the published sets.
    assert "not the whole published task" in mq.heading
    assert "not the whole published validation set" in nlq.heading


def test_gains_in_egomq_are_drawn_as_whole_videos() -> None:
    # Three clips of each of two videos: all of the first gain, none of the second.
    spans = [Span(f"v{number // 3}", 60.0 * number, 60.0 * number + 60) for number in range(6)]
    clips = tuple(
        MomentClip(clip_uid=f"c{number}", span=span, moments=(Moment("wash", 0.0, 1.0),))
        for number, span in enumerate(spans)
    )
    val = EgoMq(path=Path("m"), split="val", clips=clips, num_unannotated=0)
    right = [PredictedMoment("wash", 0.0, 1.0, score=1.0)]
    nothing: dict[str, list[PredictedMoment]] = {clip.clip_uid: [] for clip in clips}
    ours = nothing | {f"c{number}": right for number in range(3)}
    files = [PredictionFile(detection=each, retrieval=each) for each in (ours, nothing)]
    said = egomq_run.gain_facts(files[0], files[1], MqAnnotations(val=val, classes=None, facts={}))
    # Of two videos drawn twice, one in four draws has both times the same one.
    assert "R@1x +50.0 [+0.0, +100.0]" in str(said["above zero-shot"])
    assert "over 2 videos" in str(said["above zero-shot"])


def test_grounding_is_drawn_as_whole_videos() -> None:
    def thing(label: str, video: str, iou: float) -> GroundedThing:
        same = np.full(4, iou)
        return GroundedThing(label, video, text_chosen=same, oracle=same, by_lot=0 * same, ceiling=0 * same + 1)

    things = [thing(label, video, iou) for label in ("mug", "pan") for video, iou in (("a", 0.2), ("b", 0.6))]
    score = grounding_score(things)
    assert score is not None
    assert tuple(score.text_chosen) == pytest.approx((0.4, 0.2, 0.6))
    assert tuple(score.gain) == pytest.approx((0.4, 0.2, 0.6))
    assert (score.num_labels, score.num_frames, score.num_videos) == (2, 16, 2)


@pytest.mark.parametrize(("is_rendered", "rule"), [(True, PlanRule()), (False, RateRule())])
def test_egomq_encodes_real_videos_at_the_rate_of_the_papers(is_rendered: bool, rule: DenseRule) -> None:
    maker = egomq_encoded._encoding(source_of(model="henasy-tiny", is_rendered=is_rendered))
    assert maker.rule == rule
    assert rule.name in maker.space


Run = Callable[[], Scored]


@pytest.mark.parametrize(
    "run",
    [
        lambda: egomcq_run.score_similarity(EgoMcq(questions=(QUESTION,) * 3), np.eye(5)[:3], {}, kept=KEPT),
        lambda: egohoi_run.score_similarity(EgoHoi(items=(ITEM,) * 3), np.eye(3, 1 + 2 * NUM_SWAPS), {}, kept=KEPT),
        lambda: ek100_cls_run.score_similarity(THREE_ACTIONS, np.eye(3), {}, kept=KEPT),
        lambda: egtea_run.score_similarity(THREE_CLIPS, np.eye(3), {}, kept=KEPT),
        lambda: ek100_mir_run.score_similarity(THREE_SENTENCES, np.eye(3), {}, kept_clips=KEPT),
    ],
)
def test_what_could_not_be_read_counts_nowhere_and_is_said(run: Run) -> None:
    scored = run()
    assert str(scored.facts["scored"]).startswith("1 of 3 ")
    # Of all three, two would be wrong.
    assert {value for value in scored.scores.values() if not np.isnan(value)} <= {1.0, 1 / 3}
    assert scored.remark is not None


KEPT = np.array([True, False, False])
THREE_ACTIONS = EpicActions(
    clips=(CLIP,) * 3,
    classes=tuple(Action(number, number) for number in range(3)),
    texts_of=(("x",),) * 3,
    targets=np.array([0, 0, 0]),
)
THREE_CLIPS = EgteaTest(
    spans=tuple(Span(f"v{number}", 0.0, 1.0) for number in range(3)), names=("a", "b", "c"), targets=np.array([0, 0, 0])
)
THREE_SENTENCES = EpicRetrieval(clips=(CLIP,) * 3, sentence_rows=np.array([0, 1, 2]), num_other_wordings=0)
