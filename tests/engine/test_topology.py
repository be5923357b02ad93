import numpy as np
import pytest

from synthgen.engine.topology import CRITERIA, violations
from synthgen.labels import Phase

SIZE = 40


def heart(*, slices=8):
    """Rings with a right ventricle beside them: nothing to object to."""
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    radius = np.hypot(y, x)
    one = np.where(np.hypot(y, x + 11) <= 7, 3, 0)
    one = np.where(radius <= 9, 2, one)
    one = np.where(radius <= 6, 1, one).astype(np.uint8)
    return np.repeat(one[None], slices, axis=0)


def count(change, name):
    """Return how often a criterion is broken after one change at ED."""
    ed, es = heart(), heart()
    change(ed)
    return violations({Phase.ED: ed, Phase.ES: es})[name]


def test_a_sound_heart_breaks_nothing():
    """Every criterion counts zero on a plain heart, also with other tissues around it."""
    around = np.where(heart() == 0, 6, heart()).astype(np.uint8)
    assert set(violations({Phase.ED: heart(), Phase.ES: around}).values()) == {0}
    assert set(violations({Phase.ED: heart(), Phase.ES: around})) == set(CRITERIA)


def paint(where, value):
    """Return a change that paints a part of a stack."""

    def change(stack):
        stack[where] = value

    return change


centre = (4, slice(19, 21), slice(19, 21))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (paint(centre, 2), "lv_holes"),
        (paint((4, slice(18, 21), 12), 0), "myo_holes"),
        (paint((4, 20, 6), 0), "rv_holes"),
        (paint((4, 0, 0), 1), "lv_components"),
        (paint((4, 0, 0), 2), "myo_components"),
        (paint((4, 0, 0), 3), "rv_components"),
        (paint((4, 20, 6), 0), "gaps"),
        (paint((4, slice(17, 23), slice(10, 14)), 3), "lv_touches_rv"),
        (paint((5, 20, slice(25, 30)), 0), "lv_open"),
        (paint((4, slice(None), slice(None)), 0), "lv_interrupted"),
        (paint((4, slice(None), slice(None)), 0), "rv_interrupted"),
    ],
)
def test_each_fault_is_counted_where_it_is(change, name):
    """One slice with one fault counts one for its criterion."""
    assert count(change, name) == 1


def test_a_right_ventricle_on_its_own_is_detached():
    """A right ventricle that touches no myocardium counts."""

    def change(stack):
        stack[stack == 3] = 0
        stack[3, 30:34, 0:3] = 3

    assert count(change, "rv_detached") == 1


def test_the_ring_may_be_open_at_the_base():
    """At the outflow tract, in the basal quarter, an open ring is anatomy and not a fault."""
    assert count(paint((1, 20, slice(25, 30)), 0), "lv_open") == 0


def test_a_thread_is_not_round():
    """A cavity drawn out into a line is counted."""

    def change(stack):
        stack[2] = 0
        stack[2, 20, 2:38] = 1

    assert count(change, "lv_roundness") == 1


def test_nothing_at_all_breaks_nothing():
    """An empty stack has no structure that could be at fault."""
    empty = np.zeros((4, SIZE, SIZE), np.uint8)
    assert set(violations({Phase.ED: empty, Phase.ES: empty}).values()) == {0}
