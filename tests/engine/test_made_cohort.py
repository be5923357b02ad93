"""Known subjects with new images: anatomy kept or varied, tissues labelled where nobody did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import SIZE, SPACING, make_bundle, shared_bundle

from synthgen.cohorts.acdc import Acdc
from synthgen.cohorts.preprocess import prepare
from synthgen.engine.made_cohort import RerenderedCohort
from synthgen.engine.styles import vendors_of
from synthgen.engine.tissue_maps import SEGMENTOR
from synthgen.errors import InputError
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import HEART, Phase, Vendor
from synthgen.networks.bundle import load_bundle, save_bundle
from synthgen.simulate import simulate

WANTED = [(0, Vendor.A), (0, Vendor.D), (1, None)]


@pytest.fixture(scope="module")
def hearts() -> VirtualHearts:
    """Two small virtual hearts."""
    return VirtualHearts(2, seed=3, pixels=64, spacing_mm=3.0)


def labels_of(cohort, number):
    """ED labels of an entry."""
    return cohort[number].labels[Phase.ED].voxels


def test_new_images_of_known_label_maps(hearts) -> None:
    """Labels are the source's on the bundle's grid, whatever the vendor; images differ by vendor."""
    cohort = RerenderedCohort(load_bundle(shared_bundle()), hearts, WANTED)
    known = prepare(hearts[0], pixels=SIZE, spacing_mm=SPACING[1])
    for number in (0, 1):
        np.testing.assert_array_equal(labels_of(cohort, number), known.labels[Phase.ED])
    assert cohort.subject_vendors[:2] == [Vendor.A, Vendor.D]
    one, other = (cohort[number].images[Phase.ED].voxels for number in (0, 1))
    assert not np.array_equal(one, other)


def test_vendors_come_in_turn_for_every_subject(hearts) -> None:
    """Copy after copy of one subject has another vendor's style, and subjects begin with different ones."""
    bundle = load_bundle(shared_bundle())
    known = vendors_of(bundle.description.styles)
    wanted = [(number, None) for _ in known for number in (0, 1)]
    vendors = RerenderedCohort(bundle, hearts, wanted).subject_vendors
    assert vendors[:2] == list(known[:2])
    for number in (0, 1):
        assert sorted(vendors[number::2]) == sorted(known)


def test_varied_entries_differ_from_their_source_and_from_each_other(hearts) -> None:
    """Each entry is bent in its own way, the same each time; the fingerprint tells varied from plain.

    Entry 1 is bent by 2.6 mm, of which half a pixel of 6 mm is left at many places; entry 0 by too little to be seen.
    """
    bundle = load_bundle(shared_bundle())
    plain, varied = (RerenderedCohort(bundle, hearts, WANTED, varied=varied) for varied in (False, True))
    again = RerenderedCohort(bundle, hearts, WANTED, varied=True)
    assert not np.array_equal(labels_of(varied, 1), labels_of(plain, 1))
    assert not np.array_equal(labels_of(varied, 0), labels_of(varied, 1))
    np.testing.assert_array_equal(labels_of(again, 1), labels_of(varied, 1))
    assert plain.fingerprint() != varied.fingerprint() == again.fingerprint()


def test_maps_that_are_kept_change_nothing(hearts, tmp_path: Path) -> None:
    """Subjects that were brought to the bundle's grid once are rendered as if they had been brought there anew."""
    bundle = load_bundle(shared_bundle())
    plain = RerenderedCohort(bundle, hearts, WANTED, varied=True)
    kept = RerenderedCohort(bundle, hearts, WANTED, varied=True, maps=tmp_path / "maps")
    kept.keep_maps()
    assert kept.fingerprint() == plain.fingerprint()
    for number in range(len(WANTED)):
        one, other = plain[number], kept[number]
        assert (one.subject_id, one.body) == (other.subject_id, other.body)
        for phase in Phase:
            np.testing.assert_array_equal(one.labels[phase].voxels, other.labels[phase].voxels)
            np.testing.assert_array_equal(one.images[phase].voxels, other.images[phase].voxels)


def test_missing_tissues_are_labelled(hearts, tmp_path: Path) -> None:
    """A bundle that renders nine tissues labels those of a cohort of hearts; without a segmentor it is refused."""
    acdc = Acdc(simulate(hearts, tmp_path / "acdc", layout="acdc", workers=1))
    cohort = RerenderedCohort(load_bundle(shared_bundle()), acdc, WANTED)
    assert labels_of(cohort, 0).max() > max(HEART)
    whole = load_bundle(make_bundle(tmp_path / "whole"))
    networks = {name: whole.network(name) for name in whole.description.networks if name != SEGMENTOR}
    fields = whole.description.model_dump(exclude={"networks", "files", "schema_"}) | {"name": "bare"}
    bare = save_bundle(tmp_path / "bare", fields, networks, {})
    with pytest.raises(InputError, match=SEGMENTOR):
        RerenderedCohort(bare, acdc, WANTED)
