from __future__ import annotations

import numpy as np
import pytest
import zarr

from synthgen.exports.ome_zarr import export_ome_zarr
from synthgen.labels import Phase


@pytest.fixture(scope="module")
def root(dataset, tmp_path_factory):
    """Return the export of six phantoms."""
    return export_ome_zarr(dataset, tmp_path_factory.mktemp("ome") / "rings.ome.zarr")


def test_zarr_reads_what_the_dataset_holds(root, source):
    """zarr-python sees the collection, and in each image the stored integers that the scale turns into intensities."""
    group = zarr.open_group(root, mode="r")
    assert group["OME"].attrs["ome"]["series"] == list(source.ids)
    for subject in source:
        node = group[subject.subject_id]
        intensity = node.attrs["synthgen"]["intensity"]
        for place, phase in enumerate(Phase):
            image = node["0"][place].astype(np.float32) * intensity["scale"] + intensity["offset"]
            np.testing.assert_allclose(image, subject.images[phase].voxels, atol=1e-6)
            np.testing.assert_array_equal(node["labels/tissue/0"][place], subject.labels[phase].voxels)
        window = node.attrs["ome"]["omero"]["channels"][0]["window"]
        assert (window["min"], window["max"]) == (0, 511)
        heart = source.manifest.subject(subject.subject_id).heart
        assert node.attrs["synthgen"]["heart"] == heart  # which the root tells not to divide


def test_the_root_says_what_the_collection_is(root, source):
    """Description, disclaimer and licence stand in the root, since a viewer shows no other file."""
    about = zarr.open_group(root, mode="r").attrs["synthgen"]
    assert about["description"].startswith("Synthetic short-axis cardiac MR")
    assert (about["disclaimer"], about["licence"]) == (source.manifest.disclaimer, source.manifest.legal.licence)


def test_a_validator_accepts_root_images_and_labels(root, source):
    """yaozarrs, which checks metadata and arrays against OME-Zarr 0.5, accepts the root, each image and each label."""
    yaozarrs = pytest.importorskip("yaozarrs", reason="needs yaozarrs: pip install '.[test]'")
    for path in ("", *source.ids, *(f"{name}/labels/tissue" for name in source.ids)):
        yaozarrs.validate_zarr_store(str(root / path))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_another_reader_opens_it(root, source):
    """ngff-zarr, a reader that is not ours, finds axes, spacing and voxels."""
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="needs ngff-zarr, more than 100 MB")
    entry = source.manifest.subjects[1]
    image = ngff_zarr.from_ngff_zarr(str(root / entry.id), version="0.5").images[0]
    assert image.dims == ("t", "z", "y", "x")
    assert [image.scale[axis] for axis in "zyx"] == pytest.approx(entry.spacing_mm)
    stored = source.stored(entry.id).volumes["image"]
    np.testing.assert_array_equal(np.asarray(image.data), np.stack([stored[phase] for phase in Phase]))
