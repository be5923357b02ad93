"""The reference cohort of the repository, built again from its recipe and held against its finished manifest.

What must agree on any machine: the request, the bundle, the subjects and their grids, to the last bit; clinical
indices, which are sums over the labels, and the scale of intensities to half a per cent. With the same versions on the
same kind of processor, labels must agree bit for bit. Images need not: another order of additions moves some voxels by
one of 511 steps. That one machine gives equal bytes twice is tested in `test_build`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthgen.build import build
from synthgen.datasets.documents import parse_document
from synthgen.datasets.manifest import Manifest, load_manifest
from synthgen.engine.recipe import Recipe
from synthgen.labels import Phase
from synthgen.networks.bundle import load_bundle

MANIFESTS = Path(__file__).parents[1] / "manifests"
AGAIN = "make manifests/finished/reference-5.json again: manifests/README.md has the command"


@pytest.fixture(scope="module")
def reference() -> Manifest:
    """Return the finished manifest of the repository."""
    path = MANIFESTS / "finished" / "reference-5.json"
    return parse_document(path.read_bytes(), Manifest, path.name)


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory) -> Manifest:
    """Return the manifest of the cohort built here."""
    folder = tmp_path_factory.mktemp("reference") / "reference-5"
    build(Recipe.load(MANIFESTS / "reference-5.json"), folder, device="cpu")
    return load_manifest(folder)


def test_the_reference_was_made_by_the_shipped_bundle(reference):
    """The finished manifest names the default bundle as it is now; after a new fit it must be made again."""
    files = load_bundle("default").description.files
    assert reference.plan["bundle"] == {name: entry.sha256 for name, entry in files.items()}, AGAIN


def test_request_and_subjects_are_the_same_anywhere(reference, rebuilt):
    """Recipe id, ids, classes, vendors, bodies, grids and label table are exact on every machine."""
    assert rebuilt.recipe_id == reference.recipe_id, AGAIN
    assert (rebuilt.plan, rebuilt.models, rebuilt.legal) == (reference.plan, reference.models, reference.legal), AGAIN
    assert (rebuilt.labels, rebuilt.layout) == (reference.labels, reference.layout)
    for made, known in zip(rebuilt.subjects, reference.subjects, strict=True):
        for name in ("id", "index", "pathology", "vendor", "body", "phases", "shape", "spacing_mm", "anatomy"):
            assert getattr(made, name) == getattr(known, name), (known.id, name)
        np.testing.assert_allclose(made.affine_ras, known.affine_ras, rtol=0, atol=1e-5)


def test_indices_and_intensities_are_the_same_to_half_a_per_cent(reference, rebuilt):
    """Volumes, masses and thicknesses tell of any label that moved; scale and offset of any image that did."""
    for made, known in zip(rebuilt.subjects, reference.subjects, strict=True):
        assert made.indices == pytest.approx(known.indices, rel=5e-3, abs=0.05), known.id
        assert made.intensity.scale == pytest.approx(known.intensity.scale, rel=5e-3), known.id
        assert made.intensity.offset == pytest.approx(known.intensity.offset, rel=5e-3), known.id


def test_labels_are_the_same_to_the_last_bit(reference, rebuilt):
    """With the same versions and the same kind of processor, every label map has the digest of the reference."""
    here, there = ((m.environment, m.extra["compute"]) for m in (rebuilt, reference))
    if here != there:
        pytest.skip(f"labels are compared bit for bit where the reference was made: {there}; this is {here}")
    for made, known in zip(rebuilt.subjects, reference.subjects, strict=True):
        for phase in Phase:
            assert made.digests[phase].label == known.digests[phase].label, (known.id, phase)
