"""Outlines worked out by hand, and which narrations a sheet shows."""

import numpy as np

from henasy.scenes.sheet import _chosen, outline


def test_outline_of_a_square_leaves_out_its_inside() -> None:
    mask = np.zeros((5, 6), bool)
    mask[1:4, 1:5] = True
    expected = mask.copy()
    expected[2, 2:4] = False
    np.testing.assert_array_equal(outline(mask), expected)


def test_outline_runs_along_the_picture_where_the_mask_leaves_it() -> None:
    mask = np.ones((4, 4), bool)
    expected = mask.copy()
    expected[1:3, 1:3] = False
    np.testing.assert_array_equal(outline(mask), expected)


def test_a_sheet_shows_each_verb_before_any_twice_then_other_nouns() -> None:
    rows = [("lift", "mug"), ("lift", "pan"), ("put", "mug"), ("put", "jar"), ("stir", "mug")]
    lines = [{"verb_label": verb, "noun": noun, "video_uid": "v", "hand": "left"} for verb, noun in rows]
    shown = [(line["verb_label"], line["noun"]) for line in _chosen(lines, 4)]
    assert shown == [("lift", "mug"), ("put", "jar"), ("stir", "mug"), ("lift", "pan")]
    assert len(_chosen(lines, 9)) == 5
