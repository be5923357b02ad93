"""The bootstrap over seeds and subjects: coverage where the truth is known, keys, and what does not count."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen.errors import InputError
from synthgen.evaluation.bootstrap import difference
from synthgen.seeding import numpy_stream


def tables(number: int, seeds: int, subjects: int, truth: float) -> tuple[np.ndarray, np.ndarray]:
    """Two arms of known mean difference: subjects, seeds and single results all vary."""
    stream = numpy_stream(11, number)
    hard = stream.normal(size=(1, subjects))
    arms = [
        hard + 0.5 * stream.normal(size=(1, subjects)) + 0.3 * stream.normal(size=(seeds, 1))
        + 0.5 * stream.normal(size=(seeds, subjects))
        for _ in range(2)
    ]  # fmt: skip
    return arms[0] + truth, arms[1]


def test_the_interval_covers_a_known_difference() -> None:
    """Of 300 experiments with twelve seeds and forty subjects, 90 to 99 in a hundred intervals hold the truth."""
    held = 0
    for number in range(300):
        found = difference(*tables(number, 12, 40, 0.2), draws=400)
        held += found.low <= 0.2 <= found.high
    assert 0.90 <= held / 300 <= 0.99


def test_subjects_alone_would_cover_far_less() -> None:
    """What the seeds add matters: intervals of the mean over seeds, drawn over subjects alone, miss the truth often."""
    held = 0
    for number in range(300):
        treated, control = tables(number, 3, 200, 0.2)
        found = difference(*(table.mean(axis=0, keepdims=True) for table in (treated, control)), draws=400)
        held += found.low <= 0.2 <= found.high
    assert held / 300 < 0.6


def test_chance_is_keyed() -> None:
    """The same seed gives the same interval, another one another of the same mean."""
    pair = tables(0, 3, 20, 0.5)
    first, again, other = (difference(*pair, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert first.difference == other.difference == pytest.approx(float((pair[0] - pair[1]).mean()))


def test_one_number_leaves_no_doubt() -> None:
    """Where every pair differs by as much, the interval has no width."""
    found = difference(np.full((3, 5), 0.75), np.full((3, 5), 0.5))
    assert (found.difference, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert (found.seeds, found.subjects) == (3, 5)
    lone = difference(np.ones((1, 1)), np.zeros((1, 1)))
    assert lone.difference == 1
    assert np.isnan([lone.low, lone.high]).all()  # of one number nobody knows how certain it is


def test_what_was_not_measured_does_not_count() -> None:
    """A pair with a NaN is left out; nothing measured is no difference and no error."""
    treated, control = np.full((2, 4), 1.0), np.zeros((2, 4))
    treated[:, 0], control[1, 1] = np.nan, np.nan
    found = difference(treated, control)
    assert (found.difference, found.subjects) == (1.0, 3)
    none = difference(np.full((2, 4), np.nan), control)
    assert np.isnan([none.difference, none.low, none.high]).all()
    assert none.subjects == 0
    assert difference(np.zeros((2, 0)), np.zeros((2, 0))).subjects == 0


def test_tables_must_fit() -> None:
    """Tables of other shapes are refused."""
    with pytest.raises(InputError, match="bootstrap"):
        difference(np.zeros((2, 4)), np.zeros((2, 5)))
