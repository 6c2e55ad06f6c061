"""Matchings against exhaustive search and tables worked out by hand."""

import itertools

import torch

from henasy.losses.matching import clip_nouns, match_boxes, match_jointly, match_nouns


def best_by_search(gain: torch.Tensor) -> float:
    rows, columns = gain.shape
    if rows > columns:
        return best_by_search(gain.T)
    return max(
        sum(gain[r, c].item() for r, c in enumerate(chosen)) for chosen in itertools.permutations(range(columns), rows)
    )


def test_match_nouns_is_optimal_over_present_nouns_and_valid_entities() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        cosine = torch.rand(1, 4, 5, generator=generator)
        has = torch.rand(1, 4, generator=generator) > 0.3
        valid = torch.rand(1, 5, generator=generator) > 0.4
        match = match_nouns(cosine, torch.where(has, 7, -1), valid)[0]
        used = match[match >= 0]
        assert len(used) == len(set(used.tolist())) == min(has.sum(), valid.sum())
        assert not (match[~has[0]] >= 0).any()
        assert valid[0, used].all()
        if len(used):
            gain = sum(cosine[0, n, match[n]].item() for n in range(4) if match[n] >= 0)
            assert abs(gain - best_by_search(cosine[0][has[0]][:, valid[0]])) < 1e-6


def test_match_boxes_takes_each_frame_by_itself() -> None:
    overlap = torch.tensor([[[[0.9, 0.1, 0.0], [0.8, 0.1, 0.0]], [[0.0, 0.2, 0.3], [0.0, 0.9, 0.4]]]])
    has_box = torch.tensor([[[True, True], [True, False]]])
    # frame 0: 0.9 + 0.1 against 0.1 + 0.8; frame 1: the second box is absent
    assert match_boxes(overlap, has_box).tolist() == [[[0, 1], [2, -1]]]
    no_two = torch.tensor([[True, True, False]])
    assert match_boxes(overlap, has_box, no_two).tolist() == [[[0, 1], [1, -1]]]


def test_match_jointly_gives_a_noun_the_entity_that_covers_its_box() -> None:
    # by cosine "hand" (row 7) meets entity 0, the background; its box is covered by entity 2
    cosine = torch.tensor([[[0.6, 0.1, 0.5]]])
    overlap = torch.tensor([[[[0.05, 0.0, 0.54]], [[0.05, 0.0, 0.50]]]])
    rows, labels = torch.tensor([[7]]), torch.tensor([[[7], [7]]])
    has_box = torch.ones(1, 2, 1, dtype=torch.bool)
    arguments = {"noun_rows": rows, "box_nouns": labels, "has_box": has_box}
    assert match_nouns(cosine, rows).tolist() == [[0]]
    tied = match_jointly(cosine, overlap, box_weight=1.0, **arguments)
    assert tied.noun_entity.tolist() == [[2]]
    assert tied.box_entity.tolist() == [[[2], [2]]]
    untied = match_jointly(cosine, overlap, box_weight=0.0, **arguments)
    assert untied.noun_entity.tolist() == [[0]]
    without = match_jointly(cosine, overlap, box_weight=1.0, is_valid=torch.tensor([[True, True, False]]), **arguments)
    assert without.noun_entity.tolist() == [[0]]


def test_match_jointly_counts_only_frames_with_the_box() -> None:
    cosine = torch.zeros(1, 1, 2)
    # frame 1 has no box: its overlap must not count, and its slot stays unmatched
    overlap = torch.tensor([[[[0.3, 0.4]], [[0.9, 0.0]]]])
    has_box = torch.tensor([[[True], [False]]])
    got = match_jointly(
        cosine,
        overlap,
        noun_rows=torch.tensor([[3]]),
        box_nouns=torch.tensor([[[3], [-1]]]),
        has_box=has_box,
        box_weight=1.0,
    )
    assert got.noun_entity.tolist() == [[1]]
    assert got.box_entity.tolist() == [[[1], [-1]]]


def test_match_jointly_leaves_other_boxes_the_entities_without_a_noun() -> None:
    cosine = torch.tensor([[[0.9, 0.0, 0.0]]])
    overlap = torch.tensor([[[[0.8, 0.1, 0.2], [0.7, 0.3, 0.4]]]])
    got = match_jointly(
        cosine,
        overlap,
        noun_rows=torch.tensor([[5]]),
        box_nouns=torch.tensor([[[5, -1]]]),
        has_box=torch.ones(1, 1, 2, dtype=torch.bool),
        box_weight=1.0,
    )
    assert got.noun_entity.tolist() == [[0]]
    assert got.box_entity.tolist() == [[[0, 2]]]


def test_match_jointly_works_without_nouns_or_boxes() -> None:
    no_nouns = match_jointly(
        torch.zeros(2, 0, 3),
        torch.rand(2, 4, 1, 3),
        noun_rows=torch.zeros(2, 0, dtype=torch.int64),
        box_nouns=torch.full((2, 4, 1), -1),
        has_box=torch.ones(2, 4, 1, dtype=torch.bool),
        box_weight=1.0,
    )
    assert no_nouns.noun_entity.shape == (2, 0)
    assert (no_nouns.box_entity >= 0).all()
    no_boxes = match_jointly(
        torch.rand(2, 1, 3),
        torch.zeros(2, 4, 0, 3),
        noun_rows=torch.tensor([[1], [-1]]),
        box_nouns=torch.zeros(2, 4, 0, dtype=torch.int64),
        has_box=torch.zeros(2, 4, 0, dtype=torch.bool),
        box_weight=1.0,
    )
    assert no_boxes.box_entity.shape == (2, 4, 0)
    assert no_boxes.noun_entity[1].tolist() == [-1]


def test_matching_survives_costs_that_are_not_numbers() -> None:
    assert match_nouns(torch.full((1, 1, 2), torch.nan), torch.tensor([[0]])).tolist() == [[0]]


def test_clip_nouns_lists_each_once() -> None:
    got = clip_nouns(
        torch.tensor([[4, -1], [-1, -1], [2, 2]]),
        torch.tensor([[[4, 9]], [[-1, -1]], [[1, -1]]]),
    )
    assert got.tolist() == [[4, 9], [-1, -1], [2, 1]]
