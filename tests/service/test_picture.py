"""The drawn frames, against masks painted by hand."""

import numpy as np

from service.picture import _COLOURS, _eroded, _Layer, _overlaid, _resized


def test_overlay_tints_inside_outlines_the_edge_and_leaves_the_rest() -> None:
    frame = np.full((40, 60, 3), 100, np.uint8)
    mask = np.zeros((40, 60), np.bool_)
    mask[10:30, 20:50] = True
    painted = _overlaid(frame, [_Layer(mask, _COLOURS[0])])
    assert (painted[~mask] == 100).all()
    assert (painted[10, 20:50] == _COLOURS[0]).all()
    assert (painted[20, 30] == np.round(0.65 * 100 + 0.35 * np.array(_COLOURS[0]))).all()


def test_eroded_is_two_pixels_smaller_on_each_side() -> None:
    mask = np.zeros((12, 12), np.bool_)
    mask[2:10, 3:9] = True
    expected = np.zeros((12, 12), np.bool_)
    expected[4:8, 5:7] = True
    np.testing.assert_array_equal(_eroded(mask), expected)


def test_resized_takes_the_nearest_pixel() -> None:
    mask = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(_resized(mask, 4, 4), np.kron(mask, np.ones((2, 2), np.bool_)))
