"""The base of a heart: readers stop where muscle no longer closes around the cavity."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen.engine.base_plane import below_base, below_septum, below_tricuspid, enclosure
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import HEART, Phase, Tissue


def ring(closed: float, radius: int = 6) -> np.ndarray:
    """A slice with a round cavity, of whose outline a part is muscle and the rest lung."""
    y, x = np.mgrid[-12:13, -12:13]
    distance, turn = np.hypot(y, x), (np.arctan2(y, x) + np.pi) / (2 * np.pi)
    wall = np.where(turn < closed, Tissue.MYO, Tissue.BACKGROUND)
    return np.select([distance < radius, distance < radius + 4], [Tissue.LV, wall], 0).astype(np.uint8)


@pytest.mark.parametrize("closed", [0.0, 0.25, 0.6, 1.0])
def test_the_part_that_is_enclosed(closed: float) -> None:
    """The share of the outline that touches muscle is that of the muscle."""
    assert enclosure(ring(closed)) == pytest.approx(closed, abs=0.06)


def test_slices_above_the_base_are_emptied() -> None:
    """From the larger end on, slices go until muscle closes around the cavity; the open apex stays."""
    stack = np.stack([ring(0.2, 8), ring(0.4, 8), ring(0.9, 7), ring(1.0, 6), ring(1.0, 4), ring(0.0, 2)])
    for turned in (stack, stack[::-1]):
        kept = below_base(turned)[:: -1 if turned is not stack else 1]
        assert not kept[:2].any()
        np.testing.assert_array_equal(kept[2:], stack[2:])


def test_what_has_no_ventricle_stays() -> None:
    """Nothing is taken from an empty stack, or from one in which no slice is enclosed."""
    empty, open_ = np.zeros((3, 8, 8), np.uint8), np.stack([ring(0.2), ring(0.1)])
    assert not below_base(empty).any()
    np.testing.assert_array_equal(below_base(open_), open_)


def test_whole_hearts_lose_no_more_than_their_first_slice() -> None:
    """Labels of virtual hearts begin near their base already."""
    for subject in VirtualHearts(4, seed=5, pixels=96, spacing_mm=2.0):
        for phase in Phase:
            voxels = subject.labels[phase].voxels
            heart = np.where(np.isin(voxels, HEART), voxels, 0).astype(np.uint8)
            first = np.flatnonzero(heart.any(axis=(1, 2)))[0]
            np.testing.assert_array_equal(below_base(heart)[first + 1 :], heart[first + 1 :])


@pytest.mark.parametrize(("spacing_mm", "slices"), [(20.0, 0), (10.0, 1), (5.0, 2), (2.0, 4)])
def test_the_right_ventricle_begins_below_the_left_at_end_systole(spacing_mm: float, slices: int) -> None:
    """By 8 mm to the nearest slice, from the base's end; the left ventricle and what lies below stay."""
    stack = np.stack([ring(1.0, radius) for radius in (8, 8, 7, 6, 5, 4)])
    stack[:, 12, 23:] = Tissue.RV
    for turned in (stack, stack[::-1]):
        kept = below_tricuspid(turned, spacing_mm)[:: -1 if turned is not stack else 1]
        assert [bool((z == Tissue.RV).any()) for z in kept] == [number >= slices for number in range(6)]
        np.testing.assert_array_equal(np.where(stack == Tissue.RV, 0, stack), np.where(kept == Tissue.RV, 0, kept))
    assert not below_tricuspid(np.zeros((3, 8, 8), np.uint8), spacing_mm).any()


def test_it_is_below_the_left_in_most_virtual_hearts() -> None:
    """The population, whose valve planes descend as in health and in disease, says so too."""
    below = []
    for subject in VirtualHearts(20, seed=5, pixels=64, spacing_mm=3.0):
        label = subject.labels[Phase.ES]
        first = [np.flatnonzero((label.voxels == t).any(axis=(1, 2)))[0] for t in (Tissue.LV, Tissue.RV)]
        below.append((first[1] - first[0]) * label.spacing_mm[0])
    assert np.mean(below) == pytest.approx(8.0, abs=3.0)


def beside(radius: float, near: int) -> np.ndarray:
    """A ring with a right cavity beside it, the nearer the more of its outline is septum."""
    y, x = np.mgrid[-12:13, -12:13]
    out = ring(1.0, 4)
    right = (np.hypot(y, x + near) < radius) & (out == 0)
    return np.where(right, Tissue.RV, out).astype(np.uint8)


def test_the_right_ventricle_begins_where_it_has_the_septum_for_a_wall() -> None:
    """From the base's end on slices lose what only touches a corner of the wall, until one is walled by it."""
    stack = np.stack([beside(3, 11), beside(3, 11), beside(5, 7), beside(5, 7), beside(3, 11), ring(1.0, 3)])
    for turned in (stack, stack[::-1]):
        kept = below_septum(turned)[:: -1 if turned is not stack else 1]
        assert not (kept[:2] == Tissue.RV).any()
        np.testing.assert_array_equal(kept[:2] == Tissue.MYO, stack[:2] == Tissue.MYO)
        np.testing.assert_array_equal(kept[2:], stack[2:])


def test_right_ventricles_of_virtual_hearts_have_a_septum() -> None:
    """Of whole hearts no more than the first slice is taken."""
    for subject in VirtualHearts(4, seed=5, pixels=96, spacing_mm=2.0):
        for phase in Phase:
            voxels = subject.labels[phase].voxels
            heart = np.where(np.isin(voxels, HEART), voxels, 0).astype(np.uint8)
            first = np.flatnonzero((heart == Tissue.RV).any(axis=(1, 2)))[0]
            np.testing.assert_array_equal(below_septum(heart)[first + 1 :], heart[first + 1 :])
