"""Coherence through the stack: closed forms on simple bodies, and what breaking a stack does to each number."""

import math

import numpy as np
import pytest

from synthgen.evaluation.consistency import measure_consistency
from synthgen.evaluation.distances import separation
from synthgen.labels import HEART, Tissue
from synthgen.seeding import numpy_stream
from synthgen.volumes import Volume, stack_affine

SPACING = (10.0, 1.5, 1.5)


def volume(voxels, spacing=SPACING):
    """Labels on a plain grid."""
    return Volume(voxels, spacing, stack_affine(spacing, voxels.shape))


def heart(size=1.0, shift=(0.0, 0.0), slices=9, pixels=80):
    """A tapering heart of discs."""
    y, x = np.mgrid[:pixels, :pixels].astype(float)
    y, x = (y - pixels / 2) * 1.5 - shift[0], (x - pixels / 2) * 1.5 - shift[1]
    label = np.zeros((slices, pixels, pixels), np.uint8)
    for z in range(slices):
        taper = size * math.sqrt(1 - (z / (slices + 1)) ** 2)
        label[z][np.hypot(y, x + 30 * taper) < 25 * taper] = Tissue.RV
        radius = np.hypot(y, x)
        label[z][radius < 33 * taper] = Tissue.MYO
        label[z][radius < 24 * taper] = Tissue.LV
    return label


def test_a_straight_tube_is_perfectly_consistent():
    """A stack of equal slices has no second differences, Dice 1 and no step between slices."""
    got = measure_consistency(volume(np.repeat(heart()[:1], 6, axis=0)))
    for tissue in HEART:
        assert got.area_second_difference[tissue] == 0
        assert got.centroid_second_difference_mm[tissue] == pytest.approx(0, abs=1e-9)
        assert got.adjacent_dice[tissue] == 1
    assert got.tv_ratio == 0


def test_a_tilted_tube_has_a_straight_centre_line():
    """Slices that move by the same step keep a centroid without second difference; Dice falls."""
    flat = heart()[0]
    got = measure_consistency(volume(np.stack([np.roll(flat, 2 * z, axis=1) for z in range(6)])))
    assert got.centroid_second_difference_mm[Tissue.LV] == pytest.approx(0, abs=1e-9)
    assert got.adjacent_dice[Tissue.LV] < 1


def test_one_displaced_slice_gives_its_closed_form():
    """A middle slice of five moved by 6 mm gives second differences of 6, 12 and 6 mm: 8 mm on average."""
    stack = np.repeat(heart()[:1], 5, axis=0)
    stack[2] = np.roll(stack[2], 4, axis=0)
    got = measure_consistency(volume(stack))
    assert got.centroid_second_difference_mm[Tissue.LV] == pytest.approx(8.0)
    assert got.area_second_difference[Tissue.LV] == 0


def test_area_roughness_has_its_closed_form():
    """Areas 100, 100, 64, 100, 100 give (36 + 72 + 36) / 3 over 100."""
    stack = np.zeros((5, 20, 20), np.uint8)
    stack[:, 2:12, 2:12] = Tissue.LV
    stack[2] = 0
    stack[2, 2:10, 2:10] = Tissue.LV
    assert measure_consistency(volume(stack)).area_second_difference[Tissue.LV] == pytest.approx(0.48)


def test_surface_ratio_has_its_closed_form():
    """A box of 10 x 10 pixels on one of 8 x 10: 20 pixels of 1.5 x 1.5 mm over 40 faces of 1.5 x 10 mm."""
    stack = np.zeros((2, 20, 20), np.uint8)
    stack[0, 2:12, 2:12] = Tissue.MYO
    stack[1, 2:12, 3:11] = Tissue.MYO
    assert measure_consistency(volume(stack)).tv_ratio == pytest.approx(20 * 2.25 / (40 * 15.0))


def test_too_few_slices_give_nan():
    """One slice has no neighbour: every number is NaN, nothing crashes."""
    got = measure_consistency(volume(heart()[:1])).as_dict()
    assert len(got) == 10
    assert all(math.isnan(value) for value in got.values())


def test_exchanged_slices_are_noticed():
    """Stacks mixed from hearts of one population separate from whole ones by every number."""
    stream = numpy_stream(3)
    hearts = [heart(stream.normal(1, 0.12), stream.normal(0, 4, 2), slices=7, pixels=60) for _ in range(16)]
    mixed = [np.stack([hearts[stream.integers(16)][z] for z in range(7)]) for _ in range(16)]
    whole, broken = ([measure_consistency(volume(s)).as_dict() for s in stacks] for stacks in (hearts, mixed))
    for name in whole[0]:
        apart = separation([s[name] for s in whole], [s[name] for s in broken])
        assert (1 - apart if name.startswith("adjacent") else apart) > 0.95, name
