"""Slices in memory and the order in which they come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_cases import slices

from synthgen.errors import InputError
from synthgen.seeding import numpy_stream
from synthgen.training.data import batch_rows, companions


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 9), st.integers(0, 99))
def test_every_slice_comes_once_per_epoch(count: int, batch: int, seed: int) -> None:
    """Consecutive batches, cut into stretches of `count`, are permutations, also when a batch spans several epochs."""
    rows = np.concatenate([batch_rows(count, batch, step, seed) for step in range(count * 2)])
    for epoch in range(2):
        assert sorted(rows[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_order_depends_on_seed_and_epoch() -> None:
    """Another seed, epoch or lane gives another order; the same key the same."""
    first = batch_rows(50, 50, 0, 0)
    assert np.array_equal(first, batch_rows(50, 50, 0, 0))
    assert not np.array_equal(first, batch_rows(50, 50, 1, 0))
    assert not np.array_equal(first, batch_rows(50, 50, 0, 1))
    assert not np.array_equal(first, batch_rows(50, 50, 0, 0, lane=1))


def test_companions_are_of_the_same_subject() -> None:
    """The style image belongs to the slice's own subject, and every slice of the subject can be it."""
    subjects = np.array([4, 1, 1, 4, 4, 7], np.int64)
    rows = np.tile(np.arange(6), 50)
    found = companions(subjects, rows, numpy_stream(0))
    assert np.array_equal(subjects[found], subjects[rows])
    assert set(found[rows == 0]) == {0, 3, 4}
    assert set(found[rows == 5]) == {5}


def test_digest_tells_data_apart() -> None:
    """The digest changes with any of the arrays and is otherwise the same."""
    data = slices()
    assert data.digest() == slices().digest()
    for field in ("labels", "images", "subjects", "positions"):
        changed = getattr(data, field).copy()
        changed.flat[0] = 0 if changed.flat[0] else 1
        assert replace(data, **{field: changed}).digest() != data.digest(), field


def test_select_keeps_rows_together() -> None:
    """A mask picks the same rows of every array."""
    data = slices()
    part = data.select(data.subjects == 1)
    assert len(part) == 4
    assert np.array_equal(part.labels, data.labels[4:8])
    assert set(part.subjects) == {1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": np.full((12, 32, 32), 9, np.uint8)},
        {"images": np.full((12, 32, 32), 1.5, np.float32)},
        {"images": np.full((12, 32, 32), np.nan, np.float32)},
        {"images": np.zeros((12, 32, 31), np.float32)},
        {"subjects": np.zeros(11, np.int64)},
    ],
)
def test_unusable_data_is_refused(wrong: dict) -> None:
    """Labels, grey values and lengths that cannot be trained on are input errors."""
    with pytest.raises(InputError):
        replace(slices(), **wrong)
