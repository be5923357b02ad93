"""Names of SDNet's channels, and arithmetic with them."""

from __future__ import annotations

import numpy as np
import pytest
from heart_phantoms import heart_slices

from synthgen.errors import InputError
from synthgen.factors.channels import channels_of, exchange, mask_of, match_channels, merge, with_whole_heart
from synthgen.labels import Tissue
from synthgen.seeding import numpy_stream

LABELS = heart_slices(4).labels
TISSUES = (Tissue.LV, Tissue.MYO, Tissue.RV, Tissue.LUNG, Tissue.MUSCLE)


def factors_of(order: np.ndarray) -> np.ndarray:
    """One channel per tissue of `TISSUES` and an empty one, in `order`."""
    planes = [tissue == LABELS for tissue in TISSUES] + [np.zeros_like(LABELS, bool)]
    return np.stack([planes[i] for i in order], axis=1).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_channels_are_named_by_what_they_show_in_any_order(seed: int) -> None:
    """Every permutation of the channels gets the same names, permuted: nothing is found by index."""
    order = numpy_stream(seed).permutation(6)
    match = match_channels(factors_of(order), LABELS)
    expected = ("lv", "myo", "rv", "lung", "muscle", "empty")
    assert match.names == tuple(expected[i] for i in order)
    assert match.dice == {"lv": 1.0, "myo": 1.0, "rv": 1.0}
    assert [match.shares[i] for i in np.argsort(order)] == [1.0] * 5 + [0.0]


def test_one_structure_may_own_two_channels_and_a_channel_nothing() -> None:
    """A divided cavity keeps both parts; a channel without a majority is mixed; a lost structure says so."""
    parts = np.zeros((4, 4, 32, 32), np.uint8)
    upper = np.arange(32)[:, None] < 16
    parts[:, 0] = (LABELS == Tissue.LV) & upper
    parts[:, 1] = (LABELS == Tissue.LV) & ~upper
    parts[:, 2] = LABELS == Tissue.MYO
    parts[:, 3] = 1 - parts[:, :3].sum(axis=1)
    match = match_channels(parts, LABELS)
    assert match.names == ("lv", "lv", "myo", "muscle")
    assert match.dice["lv"] == 1.0
    assert match.dice["rv"] == 0.0
    assert np.array_equal(mask_of(parts, match.names, "LV"), LABELS == Tissue.LV)
    with pytest.raises(InputError, match="RV"):
        channels_of(match.names, "RV")
    everything = np.ones((4, 1, 32, 32), np.uint8)
    even = np.tile(np.repeat(np.array([1, 2], np.uint8), 16), (4, 32, 1))
    assert match_channels(everything, even).names == ("mixed",)


def test_what_one_channel_holds_around_the_heart_is_all_the_same() -> None:
    """Lung and muscle apart: the larger one's share; in one channel: all of it, however the heart is divided."""
    parts = factors_of(np.arange(6))
    lung, muscle = ((tissue == LABELS).sum() for tissue in (Tissue.LUNG, Tissue.MUSCLE))
    assert match_channels(parts, LABELS).sameness == max(lung, muscle) / (lung + muscle)
    parts[:, 4] |= parts[:, 3]
    parts[:, 3] = 0
    assert match_channels(parts, LABELS).sameness == 1.0


def test_a_structure_without_a_channel_is_given_the_one_that_shows_most_of_it() -> None:
    """A cavity that hides in the channel of the lung takes it over; channels of the heart keep their names."""
    parts = factors_of(np.arange(6))
    parts[:, 3] |= parts[:, 2]
    parts[:, 2] = 0
    names = ("lv", "myo", "empty", "lung", "muscle", "empty")
    assert with_whole_heart(names, parts, LABELS) == ("lv", "myo", "empty", "rv", "muscle", "empty")
    whole = ("lv", "myo", "rv", "lung", "muscle", "empty")
    assert with_whole_heart(whole, factors_of(np.arange(6)), LABELS) == whole


def test_unnamed_channels_cannot_be_asked_for() -> None:
    """Before channels are named the message says that."""
    with pytest.raises(InputError, match="not named yet"):
        channels_of((), "LV")


def test_exchange_swaps_two_structures_and_twice_returns_the_start() -> None:
    """LV and MYO change places, everything else stays, no pixel is lost or doubled; twice is the identity."""
    factors = factors_of(np.arange(6))
    names = match_channels(factors, LABELS).names
    swapped = exchange(factors, names, "LV", "MYO")
    assert np.array_equal(mask_of(swapped, names, "LV"), LABELS == Tissue.MYO)
    assert np.array_equal(mask_of(swapped, names, "MYO"), LABELS == Tissue.LV)
    assert (swapped.sum(axis=1) == 1).all()
    assert np.array_equal(swapped[:, 2:], factors[:, 2:])
    assert np.array_equal(exchange(swapped, names, "MYO", "LV"), factors)
    assert np.array_equal(exchange(factors, names, "LV", "lv"), factors)


def test_merge_moves_one_structure_into_another() -> None:
    """The wall counts as cavity, its own channel is empty, and every pixel is still somebody's."""
    factors = factors_of(np.arange(6))
    names = match_channels(factors, LABELS).names
    merged = merge(factors, names, "MYO", "LV")
    assert np.array_equal(mask_of(merged, names, "LV"), np.isin(LABELS, (Tissue.LV, Tissue.MYO)))
    assert not mask_of(merged, names, "MYO").any()
    assert (merged.sum(axis=1) == 1).all()


def test_labels_of_other_slices_are_refused() -> None:
    """Factors and labels must be of the same slices."""
    with pytest.raises(InputError, match="factors"):
        match_channels(factors_of(np.arange(6)), LABELS[:2])
