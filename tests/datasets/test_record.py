from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import zarr

from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.record import array_digest, content_id, recipe_id, subject_digest
from synthgen.labels import Phase


def test_the_digest_of_an_array_does_not_depend_on_its_container(tmp_path):
    """C and Fortran order, byte order, views, NIfTI, and Zarr with other chunks and codecs give one digest."""
    array = np.random.default_rng(0).integers(0, 4096, (5, 6, 7)).astype("<i2")
    expected = array_digest(array)
    nib.save(nib.Nifti1Image(array.transpose(2, 1, 0), np.eye(4)), tmp_path / "a.nii.gz")
    nifti = np.asanyarray(nib.load(tmp_path / "a.nii.gz").dataobj).transpose(2, 1, 0)
    stored = zarr.create_array(tmp_path / "a.zarr", data=array, chunks=(2, 3, 7))[:]
    padded = np.zeros((10, 6, 14), "<i2")
    padded[::2, :, ::2] = array
    for same in (np.asfortranarray(array), array.astype(">i2"), padded[::2, :, ::2], nifti, stored):
        assert array_digest(same) == expected


def test_the_digest_of_an_array_tells_type_shape_and_values_apart():
    """Equal bytes of another shape or type have another digest."""
    array = np.zeros((2, 3, 4), np.int16)
    other = array.copy()
    other[0, 0, 0] = 1
    digests = {array_digest(a) for a in (array, array.reshape(3, 2, 4), array.astype(np.uint16), other)}
    assert len(digests) == 4


def test_content_and_recipe_ids_ignore_order_and_show_change():
    """The content id is that of a set of subjects; the recipe id that of a JSON object."""
    assert content_id(["b", "a"]) == content_id(["a", "b"]) != content_id(["a"])
    assert recipe_id({"a": 1, "b": (2,)}) == recipe_id({"b": [2], "a": 1}) != recipe_id({"a": 2})
    assert content_id(["a"]).startswith("sgc1:")
    assert recipe_id({}).startswith("sgr1:")


@pytest.mark.parametrize("field", ["id", "pathology", "vendor", "body", "affine", "intensity", "digests"])
def test_the_subject_digest_covers_what_makes_a_subject(published, field):
    """Voxels, geometry, intensities, class and body change the digest; history, place and files do not."""
    record = StoredDataset(published).record("syn-0000").model_dump(mode="json")
    digest = subject_digest(record)
    assert digest == record["subject_digest"]
    assert subject_digest({**record, "history": {}, "index": 9, "files": []}) == digest
    changed = {
        "id": "other",
        "pathology": "DCM",
        "vendor": "D",
        "body": None,
        "affine": (np.array(record["affine"]) + np.eye(4) * 1e-5).tolist(),
        "intensity": {**record["intensity"], "offset": 0.0},
        "digests": {**record["digests"], "ES": record["digests"]["ED"]},
    }
    assert subject_digest({**record, field: changed[field]}) != digest


def test_the_affine_survives_a_nifti_header(published, tmp_path):
    """Every element of a stored affine is a float32 value, so NIfTI gives it back exactly."""
    subject = StoredDataset(published).read("syn-0001")
    affine = subject.labels[Phase.ED].affine
    nib.save(nib.Nifti1Image(subject.labels[Phase.ED].voxels.transpose(2, 1, 0), affine), tmp_path / "a.nii")
    assert np.array_equal(nib.load(tmp_path / "a.nii").affine, affine)
