"""Which convention a label map follows is read from its shapes."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from synthgen.cohorts.conventions import (
    ACDC_CODES,
    MNMS_CODES,
    check_codes,
    check_geometry,
    from_tissue,
    recognise,
    to_tissue,
)
from synthgen.errors import InputError
from synthgen.labels import HEART, Phase, Tissue

FILE = Path("scan_gt.nii.gz")


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))), ids=str)
def test_any_numbering_of_the_three_structures_is_recognised(subject, order):
    """Whatever the codes are, ring, cavity and right ventricle are told apart by their shapes."""
    convention = dict(zip(order, HEART, strict=True))
    voxels = from_tissue(subject().labels[Phase.ED].voxels, convention)
    assert recognise(voxels) == convention


def test_a_swapped_convention_is_named(subject):
    """Labels in the order of M&Ms read as ACDC raise an error that says whose order they look like, and the reverse."""
    tissue = subject().labels[Phase.ED].voxels
    with pytest.raises(InputError, match=r"scan_gt.*1 LV, 2 MYO, 3 RV, as in M&Ms"):
        check_geometry(FILE, from_tissue(tissue, MNMS_CODES), ACDC_CODES)
    with pytest.raises(InputError, match=r"1 RV, 2 MYO, 3 LV, as in ACDC"):
        check_geometry(FILE, from_tissue(tissue, ACDC_CODES), MNMS_CODES)
    check_geometry(FILE, from_tissue(tissue, ACDC_CODES), ACDC_CODES)
    check_geometry(FILE, from_tissue(tissue, MNMS_CODES), MNMS_CODES)


def test_mapping_to_tissue_and_back_is_the_identity(subject):
    """From a convention's codes to tissues and back nothing changes; tissues outside the heart become background."""
    tissue = subject().labels[Phase.ED].voxels
    coded = from_tissue(tissue, ACDC_CODES)
    np.testing.assert_array_equal(to_tissue(coded, ACDC_CODES), tissue)
    assert from_tissue(np.array([4, 8], np.uint8), ACDC_CODES).tolist() == [0, 0]


def test_a_basal_slice_with_an_open_ring_does_not_mislead(subject):
    """Rings that are open at the base leave the recognition as it was: it looks at the middle of the stack."""
    voxels = subject().labels[Phase.ED].voxels.copy()
    voxels[:2, :48] = np.where(voxels[:2, :48] == Tissue.MYO, 0, voxels[:2, :48])
    assert recognise(voxels) == dict(MNMS_CODES)


def test_labels_without_a_ring_are_refused():
    """Three stripes are no heart."""
    voxels = np.zeros((4, 30, 30), np.uint8)
    voxels[:, 5:10], voxels[:, 12:17], voxels[:, 20:25] = 1, 2, 3
    with pytest.raises(InputError, match="ring"):
        check_geometry(FILE, voxels, ACDC_CODES)


def test_codes_outside_the_convention_or_missing_are_refused():
    """A code that the convention does not know, and a structure that is missing, are named."""
    voxels = np.array([[[0, 1, 2, 7]]], np.uint8)
    with pytest.raises(InputError, match=r"labels \[0, 1, 2, 7\]"):
        check_codes(FILE, voxels, range(4), (1,))
    with pytest.raises(InputError, match="label 3"):
        check_codes(FILE, voxels, range(9), (1, 2, 3))
