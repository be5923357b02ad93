import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from synthgen.engine.tidy import holes, tidy


def ring(size=16, outer=6, inner=3):
    """Return a cavity inside a ring."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    radius = np.hypot(y, x)
    return np.where(radius <= inner, 1, np.where(radius <= outer, 2, 0)).astype(np.uint8)


def test_a_clean_stack_is_returned_as_it_is():
    """Repairing what is whole changes nothing."""
    stack = np.stack([ring(), ring(outer=5), np.zeros((16, 16), np.uint8)])
    out, changed = tidy(stack)
    np.testing.assert_array_equal(out, stack)
    assert changed == 0


def test_a_hole_takes_its_surrounding_label():
    """Background enclosed by the heart becomes the nearest heart label."""
    stack = ring()[None].copy()
    stack[0, 7, 7] = 0
    out, changed = tidy(stack)
    np.testing.assert_array_equal(out[0], ring())
    assert changed == 1


def test_fragments_vanish_into_what_surrounds_them():
    """A second component becomes background when it floats, and cavity when it lies in the cavity."""
    stack = ring()[None].copy()
    stack[0, 0, 0] = 3
    stack[0, 8, 8] = 2
    stack[0, 2, 12:15] = 3
    out, changed = tidy(stack)
    assert out[0, 0, 0] == 0
    assert out[0, 8, 8] == 1
    assert (out[0, 2, 12:15] == 3).all()
    assert changed == 2


def test_slices_are_repaired_one_by_one():
    """The largest component of one slice does not erase the only component of another."""
    small = np.zeros((16, 16), np.uint8)
    small[4:6, 4:6] = 1
    out, _ = tidy(np.stack([ring(), small]))
    np.testing.assert_array_equal(out[1], small)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.bool_, (3, 9, 9), elements=st.booleans()))
def test_holes_are_what_filling_adds(mask):
    """Slice by slice, holes are the pixels that scipy's hole filling would add."""
    expected = np.stack([ndimage.binary_fill_holes(part) & ~part for part in mask])
    np.testing.assert_array_equal(holes(mask), expected)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.uint8, (2, 10, 10), elements=st.integers(0, 3)))
def test_only_labels_that_were_there_come_out(stack):
    """Repair invents no label, and what it reports as changed is what differs."""
    out, changed = tidy(stack)
    for before, after in zip(stack, out, strict=True):
        assert set(np.unique(after)) <= set(np.unique(before))
    assert changed == (out != stack).sum()
