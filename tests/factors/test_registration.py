"""Registration: centres, shifts, levels."""

from __future__ import annotations

import numpy as np
import pytest
from heart_cases import heart
from hypothesis import given
from hypothesis import strategies as st

from synthgen.errors import InputError
from synthgen.factors.codes import LABELS, NOBODY, HeartCodes, codes_of, factors_of, largest_component, window
from synthgen.factors.registration import at_places, axis_of, centre, places, shift_between, shifted, signed_distance
from synthgen.labels import Tissue


def test_the_centre_is_that_of_the_left_ventricle_in_the_largest_component() -> None:
    """Neither the right ventricle nor a far speck of muscle moves it."""
    stacks = heart(at=(29.0, 35.0))
    stacks[0, 2, 60, 60] = Tissue.MYO
    np.testing.assert_allclose(centre(stacks, LABELS), [29.0, 35.0], atol=0.05)
    with pytest.raises(InputError, match="left ventricle"):
        centre(np.zeros((2, 3, 8, 8), np.uint8), LABELS)


@given(st.floats(-20, 20), st.floats(-20, 20))
def test_the_way_back_is_the_way_there(recipient: float, donor: float) -> None:
    """After a swap each heart sits at the other's rounded place, and registering again gives the same shift."""
    a, b = np.array([recipient, 0.5]), np.array([donor, 3.0])
    there = np.array(shift_between(a, b))
    assert tuple(np.array(shift_between(b, a)) + there) == (0, 0)
    assert shift_between(b + there, a - there) == tuple(there)


@given(st.integers(-70, 70), st.integers(-70, 70))
def test_a_shift_moves_and_counts_what_leaves(dy: int, dx: int) -> None:
    """What stays in the frame moved by exactly the shift; the rest is counted."""
    own = np.where(heart()[0] > 0, heart()[0], np.uint8(NOBODY))
    out, lost = shifted(own, (dy, dx))
    z, y, x = np.nonzero(own != NOBODY)
    inside = (y + dy >= 0) & (y + dy < 64) & (x + dx >= 0) & (x + dx < 64)
    assert lost == (~inside).sum()
    np.testing.assert_array_equal(out[z[inside], y[inside] + dy, x[inside] + dx], own[z[inside], y[inside], x[inside]])
    assert (out != NOBODY).sum() == inside.sum()


def test_levels_meet_from_base_to_apex() -> None:
    """First meets first, last meets last, the middle the middle; beyond the axis slices go on at the same rate."""
    np.testing.assert_allclose(places(7, (1, 5), (2, 10)), [0, 2, 4, 6, 8, 10, 12])
    assert axis_of(heart(5)[0], LABELS) == (1, 5)


def test_whole_places_are_slices_and_others_lie_between() -> None:
    """A whole number returns the slice, half-way the outline lies half-way, beyond the stack there is nothing."""
    y, x = np.indices((64, 64)) - 32
    discs = np.stack([np.where(np.hypot(y, x) < r, 1, NOBODY) for r in (8, 14)]).astype(np.uint8)
    out = at_places(discs, np.array([-1.0, 0.0, 0.5, 1.0, 2.0]))
    np.testing.assert_array_equal(out[1], discs[0])
    np.testing.assert_array_equal(out[3], discs[1])
    assert (out[[0, 4]] == NOBODY).all()
    assert (out[2] == 1).sum() == pytest.approx(np.pi * 11**2, rel=0.03)


def test_distances_are_signed_and_meet_at_the_outline() -> None:
    """Negative inside, positive outside, half a pixel on either side of the outline."""
    mask = np.zeros((9, 9), bool)
    mask[3:6, 3:6] = True
    distance = signed_distance(mask)
    assert (distance[4, 4], distance[4, 3], distance[4, 2]) == (-1.5, -0.5, 0.5)
    assert signed_distance(~np.zeros((3, 3), bool)).max() == -np.inf


def test_factors_and_codes_are_the_same_thing() -> None:
    """One-hot and back is the identity; a pixel with no channel or two is refused."""
    codes = heart()
    factors = factors_of(codes, 8)
    assert factors.shape == (2, 10, 8, 64, 64)
    np.testing.assert_array_equal(codes_of(factors), codes)
    for wrong in (0, 1):
        bad = factors.copy()
        bad[0, 0, :2, 0, 0] = wrong
        with pytest.raises(InputError, match="one active channel"):
            codes_of(bad)


@pytest.mark.parametrize("names", [["lv", "myo", "fat"], ["lv", "rv"]])
def test_a_missing_structure_is_refused(names: list[str]) -> None:
    """Factors without a channel for every structure cannot be mixed."""
    with pytest.raises(InputError, match="LV, MYO and RV"):
        HeartCodes.of_channels(names)


def test_the_largest_component_is_found_in_space() -> None:
    """Pieces that meet in a neighbouring slice are one."""
    mask = np.zeros((2, 8, 8), bool)
    mask[0, 1, 1] = mask[0, 5, 5] = True
    mask[1, 4:7, 4:7] = True
    assert largest_component(mask).sum() == 10


def test_a_window_has_a_rim_where_the_frame_has_one() -> None:
    """The window of a mask is its bounding box and a margin, cut off at the frame; nothing is everywhere."""
    mask = np.zeros((8, 9), dtype=bool)
    assert window(mask) == (slice(None), slice(None))
    mask[0, 4] = mask[5, 7] = True
    assert window(mask) == (slice(0, 7), slice(3, 9))
    assert mask[window(mask, 0)].shape == (6, 4)
