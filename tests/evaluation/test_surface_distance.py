"""The 95th percentile of the surface distance against every pair of surface voxels, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from synthgen.errors import InputError
from synthgen.evaluation.surface_distance import hd95, hd95_of_subject
from synthgen.labels import Phase, Tissue
from synthgen.seeding import numpy_stream

SPACING = (9.0, 1.5, 2.0)


def brute_force(one: np.ndarray, other: np.ndarray) -> float:
    """The definition, without transforms and boxes."""

    def surface(mask: np.ndarray) -> np.ndarray:
        found = []
        for place in np.argwhere(mask):
            for axis, step in itertools.product(range(3), (-1, 1)):
                beside = place.copy()
                beside[axis] += step
                outside = not 0 <= beside[axis] < mask.shape[axis]
                if outside or not mask[tuple(beside)]:
                    found.append(place * SPACING)
                    break
        return np.array(found)

    first, second = surface(one), surface(other)
    between = np.linalg.norm(first[:, None] - second[None], axis=2)
    return max(np.percentile(between.min(axis=1), 95), np.percentile(between.min(axis=0), 95))


@pytest.mark.parametrize("number", range(4))
def test_it_is_what_brute_force_finds(number: int) -> None:
    """Ragged blobs that touch edges and lie apart have the distance of the definition, either way round."""
    stream = numpy_stream(3, number)
    z, y, x = np.indices((5, 14, 12))
    maps = []
    for _ in range(2):
        centre, noise = stream.uniform((1, 3, 3), (4, 11, 9)), stream.normal(0, 0.6, z.shape)
        far = np.hypot(np.hypot((z - centre[0]) * 2, y - centre[1]), x - centre[2]) + noise
        maps.append(np.where(far < 3.2, Tissue.RV, Tissue.BACKGROUND).astype(np.uint8))
    expected = brute_force(*(m == Tissue.RV for m in maps))
    assert expected > 0
    assert hd95(maps[0], maps[1], Tissue.RV, SPACING) == pytest.approx(expected)
    assert hd95(maps[1], maps[0], Tissue.RV, SPACING) == pytest.approx(expected)


def test_a_shift_is_as_far_as_it_is() -> None:
    """A rod moved by two slices is two slice distances away; the same rod is none."""
    truth = np.zeros((6, 8, 8), np.uint8)
    truth[1, 2:6, 3] = Tissue.LV
    assert hd95(np.roll(truth, 2, axis=0), truth, Tissue.LV, SPACING) == pytest.approx(18.0)
    assert hd95(truth, truth, Tissue.LV, SPACING) == 0.0


def test_what_is_missed_costs_the_whole_stack() -> None:
    """Nothing found, or found where nothing is, is the diagonal; neither there nor found does not count."""
    empty, full = np.zeros((3, 4, 5), np.uint8), np.full((3, 4, 5), Tissue.MYO, np.uint8)
    diagonal = np.linalg.norm([2 * 9.0, 3 * 1.5, 4 * 2.0])
    assert hd95(empty, full, Tissue.MYO, SPACING) == hd95(full, empty, Tissue.MYO, SPACING) == pytest.approx(diagonal)
    assert np.isnan(hd95(empty, full, Tissue.RV, SPACING))
    found = hd95_of_subject(dict.fromkeys(Phase, full), dict(zip(Phase, (full, empty), strict=True)), SPACING)
    assert found["myo"] == found["mean"] == pytest.approx(diagonal / 2)
    assert np.isnan(found["lv"])


def test_shapes_must_agree() -> None:
    """Maps of other shapes are refused."""
    with pytest.raises(InputError, match="segmentation"):
        hd95(np.zeros((2, 4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8), Tissue.LV, SPACING)
