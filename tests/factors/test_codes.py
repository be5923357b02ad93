"""Anatomies as one code per pixel."""

from __future__ import annotations

import numpy as np

from synthgen.factors.codes import HeartCodes, without_specks

HEART = HeartCodes(lv=(1,), myo=(2,), rv=(3,))


def test_specks_take_the_code_around_them() -> None:
    """A single pixel goes, a pair stays; at a boundary it joins the side that surrounds more of it."""
    codes = np.full((1, 2, 7, 9), 5, np.uint8)
    codes[..., :, 6:] = 7
    clean = codes.copy()
    codes[0, 0, 2, 2] = 6
    codes[0, 1, 3, 6] = 4
    codes[0, 1, 5, 1:3] = clean[0, 1, 5, 1:3] = 6
    np.testing.assert_array_equal(without_specks(codes, HEART), clean)
    np.testing.assert_array_equal(without_specks(clean, HEART), clean)


def test_hearts_neither_lose_nor_gain_a_pixel() -> None:
    """A single pixel of cavity stays, and so does a speck among myocardium, which would become heart."""
    codes = np.full((7, 9), 5, np.uint8)
    codes[1, 1] = 1
    codes[2:7, 4:9] = 2
    codes[4, 6] = 6
    np.testing.assert_array_equal(without_specks(codes, HEART), codes)


def test_the_border_is_left_alone() -> None:
    """What lies outside the picture is unknown: a pixel at the border may be the end of something."""
    codes = np.full((5, 5), 5, np.uint8)
    codes[0, 2] = codes[4, 4] = 6
    np.testing.assert_array_equal(without_specks(codes, HEART), codes)
