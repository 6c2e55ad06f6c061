"""VSLNet: what padding may not change, which spans it answers with and learns from, and that it learns at all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from henasy.errors import ConfigError, InputError
from henasy.heads.files import StoredHead, fill_head, read_head, save_head
from henasy.heads.vslnet import VslNet, VslNetConfig, VslNetInput
from henasy.heads.vslnet_spans import as_sequence, best_spans, even_spans, highlighted, target_positions
from henasy.heads.vslnet_training import (
    Lesson,
    LessonSource,
    Question,
    VslNetTraining,
    answer,
    highlight_loss,
    padded,
    train_vslnet,
)

CPU = torch.device("cpu")
SMALL = VslNetConfig(video_width=6, text_width=6, hidden=16, num_heads=2, num_positions=20, num_tokens=8)


def question(rng: np.random.Generator, length: int, num_tokens: int = 3, width: int = 6) -> Question:
    features = rng.standard_normal((length, width)).astype(np.float32)
    clip = as_sequence(features, even_spans(length, float(length)), float(length), 20)
    return Question(clip, rng.standard_normal((num_tokens, width)).astype(np.float32))


@pytest.fixture
def head() -> VslNet:
    torch.manual_seed(0)
    return VslNet(SMALL).eval()


def test_padding_changes_nothing(head: VslNet) -> None:
    rng = np.random.default_rng(1)
    asked = [question(rng, 7, 2), question(rng, 15, 5), question(rng, 11, 3)]
    together = head(padded(asked, CPU))
    for row, one in enumerate(asked):
        alone = head(padded([one], CPU))
        length = len(one.clip.features)
        for batched, single in zip(together, alone, strict=True):
            torch.testing.assert_close(batched[row, :length], single[0], rtol=1e-4, atol=1e-5)


def test_ends_are_impossible_in_padding(head: VslNet) -> None:
    rng = np.random.default_rng(2)
    output = head(padded([question(rng, 4), question(rng, 9)], CPU))
    assert torch.isneginf(output.start[0, 4:]).all()
    assert torch.isneginf(output.end[0, 4:]).all()
    assert (output.highlight[0, 4:] == 0).all()


def test_statistics_are_taken_from_the_features(head: VslNet) -> None:
    rng = np.random.default_rng(3)
    given = padded([question(rng, 6)], CPU)
    plain = head(given)
    mean, scale = torch.full((6,), 2.0), torch.full((6,), 3.0)
    head.set_statistics((mean, scale), (mean, scale))
    moved = VslNetInput(given.video * 3 + 2, given.is_video, given.text * 3 + 2, given.is_text)
    torch.testing.assert_close(head(moved).start, plain.start, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("length", "num_tokens", "name"), [(21, 3, "positions"), (5, 30, "tokens")])
def test_too_long_is_refused(head: VslNet, length: int, num_tokens: int, name: str) -> None:
    features = np.zeros((length, 6), np.float32)
    clip = as_sequence(features, even_spans(length, 9.0), 9.0, 99)
    with pytest.raises(InputError, match=name):
        head(padded([Question(clip, np.zeros((num_tokens, 6), np.float32))], CPU))


@pytest.mark.parametrize("wrong", [{"hidden": 15}, {"kernel": 4}, {"dropout": 1.0}, {"num_positions": 0}])
def test_config_refuses(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        replace(SMALL, **wrong)


def test_sequences_share_the_time_between_middles() -> None:
    spans = np.array([[0.0, 2.0], [1.0, 3.0], [2.0, 4.0]])
    sequence = as_sequence(np.eye(3), spans, 4.0, 10)
    assert sequence.edges_s.tolist() == [0.0, 1.5, 2.5, 4.0]


def test_sequences_are_averaged_down() -> None:
    features = np.arange(10, dtype=np.float64)[:, None]
    sequence = as_sequence(features, even_spans(10, 20.0), 20.0, 4)
    # bounds at 0, 2.5 (to even: 2), 5, 7.5 (to even: 8), 10
    assert sequence.features[:, 0].tolist() == [0.5, 3.0, 6.0, 8.5]
    assert sequence.edges_s.tolist() == [0.0, 4.0, 10.0, 16.0, 20.0]


def test_sequences_need_a_feature() -> None:
    with pytest.raises(InputError, match="at least one"):
        as_sequence(np.zeros((0, 3)), np.zeros((0, 2)), 5.0, 4)


@pytest.mark.parametrize(
    ("span", "positions"),
    [((2.0, 4.0), (2, 3)), ((2.4, 2.6), (2, 2)), ((2.9, 5.2), (3, 4)), ((3.0, 3.0), (3, 3)), ((9.5, 9.9), (5, 5))],
)
def test_targets_of_a_hand_worked_table(span: tuple[float, float], positions: tuple[int, int]) -> None:
    assert target_positions(np.arange(7.0), *span) == positions


def test_targets_have_the_largest_overlap_of_all() -> None:
    rng = np.random.default_rng(4)
    edges = np.cumsum(rng.uniform(0.5, 2.0, 9)) - 0.5
    for start, end in rng.uniform(edges[0], edges[-1], (50, 2)):
        start, end = min(start, end), max(start, end)
        best = max(
            (min(edges[j + 1], end) - max(edges[i], start)) / (max(edges[j + 1], end) - min(edges[i], start))
            for i in range(8)
            for j in range(i, 8)
        )
        found = target_positions(edges, start, end)
        shared = min(edges[found.last + 1], end) - max(edges[found.first], start)
        hull = max(edges[found.last + 1], end) - min(edges[found.first], start)
        assert shared / hull == pytest.approx(best)


def test_highlights_reach_a_tenth_beyond() -> None:
    assert highlighted(target_positions(np.arange(31.0), 10.0, 20.0), 30).nonzero()[0].tolist() == list(range(9, 21))
    assert highlighted(target_positions(np.arange(31.0), 10.0, 11.0), 30).nonzero()[0].tolist() == [10]


def test_best_spans_equal_the_exhaustive_search() -> None:
    rng = np.random.default_rng(5)
    start, end = rng.standard_normal((2, 8))
    edges = np.arange(9.0) * 2
    chances = {
        (i, j): float(np.exp(start[i]) / np.exp(start).sum() * np.exp(end[j]) / np.exp(end).sum())
        for i in range(8)
        for j in range(i, 8)
    }
    wanted = sorted(chances, key=lambda pair: (-chances[pair], pair))[:5]
    spans, scores = best_spans(start, end, edges)
    assert spans.tolist() == [[edges[i], edges[j + 1]] for i, j in wanted]
    np.testing.assert_allclose(scores, [chances[pair] for pair in wanted])


def test_best_spans_of_equal_logits_keep_the_order_of_time() -> None:
    spans, _ = best_spans(np.zeros(3), np.zeros(3), np.arange(4.0), count=3)
    assert spans.tolist() == [[0, 1], [0, 2], [0, 3]]


def test_best_spans_are_fewer_in_a_short_clip() -> None:
    spans, _ = best_spans(np.zeros(2), np.zeros(2), np.arange(3.0))
    assert len(spans) == 3


def test_highlight_loss_counts_the_answer_twice() -> None:
    rng = np.random.default_rng(6)
    lessons = [Lesson(question(rng, 4), 1.0, 2.0), Lesson(question(rng, 6), 0.0, 3.0)]
    batch = LessonSource(lessons, batch_size=2, seed=0).batch(0, 0, CPU)
    torch.manual_seed(0)
    output = VslNet(SMALL).eval()(batch.given)
    total = 0.0
    for row in range(2):
        for place in range(int(batch.given.is_video[row].sum())):
            chance = float(output.highlight[row, place].detach().sigmoid())
            is_in = bool(batch.highlight[row, place])
            total += -2 * np.log(chance) if is_in else -np.log(1 - chance)
    assert highlight_loss(output, batch).item() == pytest.approx(total / 10, rel=1e-5)


def test_every_lesson_comes_once_in_a_round() -> None:
    rng = np.random.default_rng(7)
    lessons = [Lesson(question(rng, 3 + row), 0.0, 1.0) for row in range(7)]
    source = LessonSource(lessons, batch_size=3, seed=1)
    lengths = [
        int(length) for step in range(3) for length in source.batch(step, 0, CPU).given.is_video.sum(dim=1).tolist()
    ]
    assert sorted(lengths) == [3, 4, 5, 6, 7, 8, 9]
    again = source.batch(4, 0, CPU)
    torch.testing.assert_close(source.batch(4, 0, CPU).given.video, again.given.video)


def test_cuts_hold_the_answer_where_it_was() -> None:
    rng = np.random.default_rng(11)
    lessons = [Lesson(question(rng, 20), float(row), row + 4.0) for row in range(16)]
    whole = LessonSource(lessons, batch_size=16, seed=2).batch(0, 0, CPU)
    source = LessonSource(lessons, batch_size=16, seed=2, least_cut=3)
    lengths = set()
    for step in range(20):
        cut = source.batch(step, 0, CPU)
        order = np.random.default_rng((2, step, 0)).permutation(16)
        for place, row in enumerate(order):
            lengths.add(int(cut.given.is_video[place].sum()))
            kept = cut.given.video[place, cut.first[place] : cut.last[place] + 1].numpy()
            np.testing.assert_array_equal(kept, lessons[row].question.clip.features[row : row + 4])
    assert min(lengths) == 4
    assert max(lengths) == 20
    assert int(whole.given.is_video.sum()) == 16 * 20


def planted(rng: np.random.Generator, count: int) -> list[Lesson]:
    """Questions whose token lies at the answer's positions, in noise."""
    lessons = []
    for _ in range(count):
        features = 0.3 * rng.standard_normal((16, 8)).astype(np.float32)
        token = rng.standard_normal((1, 8)).astype(np.float32)
        first = int(rng.integers(0, 12))
        last = first + int(rng.integers(1, 4))
        features[first : last + 1] += token
        clip = as_sequence(features, even_spans(16, 32.0), 32.0, 16)
        lessons.append(Lesson(Question(clip, token), first * 2.0, (last + 1) * 2.0))
    return lessons


def training(num_steps: int) -> VslNetTraining:
    default = VslNetTraining(num_positions=16, hidden=32)
    return replace(
        default, train=replace(default.train, num_steps=num_steps, learning_rate=3e-3, checkpoint_every=num_steps)
    )


def test_training_finds_what_the_token_names_in_clips_never_seen() -> None:
    lessons = planted(np.random.default_rng(8), 400)
    head = train_vslnet(lessons, training(150), device=CPU, report=lambda _: None)
    asked = planted(np.random.default_rng(9), 60)
    found = answer(head, [lesson.question for lesson in asked], device=CPU)
    ious = []
    for spans, lesson in zip(found, asked, strict=True):
        shared = min(spans[0, 1], lesson.end_s) - max(spans[0, 0], lesson.start_s)
        ious.append(max(shared, 0.0) / (max(spans[0, 1], lesson.end_s) - min(spans[0, 0], lesson.start_s)))
    # a span drawn by lot meets a planted one at about 0.1
    assert np.mean(ious) > 0.5


def test_training_repeats_itself_and_is_read_back(tmp_path: Path) -> None:
    lessons = planted(np.random.default_rng(10), 40)
    first, second = (train_vslnet(lessons, training(3), device=CPU, report=lambda _: None) for _ in range(2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    save_head(tmp_path / "head", StoredHead("vslnet", first.config.to_dict(), {}, dict(first.state_dict())))
    stored = read_head(tmp_path / "head", "vslnet")
    read = VslNet(VslNetConfig(**stored.config))
    fill_head(read, stored, "here")
    asked = [lesson.question for lesson in lessons[:5]]
    for ours, theirs in zip(answer(read, asked, device=CPU), answer(first, asked, device=CPU), strict=True):
        assert np.array_equal(ours, theirs)


def test_training_needs_a_lesson() -> None:
    with pytest.raises(InputError, match="not one question"):
        train_vslnet([], training(1), device=CPU, report=lambda _: None)
