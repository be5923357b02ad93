"""NIfTI: what nibabel and SimpleITK see, and that nothing changed is read."""

from __future__ import annotations

import json
import zlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torchio as tio

from synthgen.datasets.convert import convert
from synthgen.datasets.nifti_store import decode_nifti, encode_nifti, nifti_path, orthonormal
from synthgen.datasets.quantisation import dequantise
from synthgen.datasets.reader import StoredDataset
from synthgen.datasets.staging import store_subject
from synthgen.errors import DamageError
from synthgen.labels import Phase, Tissue


@pytest.fixture(scope="module")
def root(tmp_path_factory, published):
    """Five phantoms in NIfTI."""
    return convert(published, tmp_path_factory.mktemp("nifti") / "cohort", "nifti")


@pytest.fixture(scope="module")
def stored(phantom):
    """A subject as it is stored."""
    return store_subject(phantom(1), 0)


def test_nibabel_sees_voxels_geometry_and_intensity(root):
    """Voxels, affine (exactly, as sform and qform), millimetres and scale come back through nibabel."""
    dataset = StoredDataset(root)
    for entry in dataset.manifest.subjects:
        stored = dataset.stored(entry.id)
        for phase in Phase:
            image = nib.load(root / nifti_path(entry.id, phase, "image"))
            raw = np.asarray(image.dataobj.get_unscaled()).transpose(2, 1, 0)
            assert np.array_equal(raw, stored.volumes["image"][phase])
            assert np.array_equal(image.affine, entry.affine_ras)
            assert np.allclose(image.header.get_qform(), entry.affine_ras, rtol=0, atol=1e-3)
            assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)
            assert image.header.get_xyzt_units()[0] == "mm"
            assert np.allclose(
                image.get_fdata().transpose(2, 1, 0), dequantise(stored.volumes["image"][phase], entry.intensity)
            )
            label = nib.load(root / nifti_path(entry.id, phase, "label"))
            assert label.get_data_dtype() == np.uint8
            assert np.array_equal(np.asarray(label.dataobj).transpose(2, 1, 0), stored.volumes["label"][phase])


def test_simpleitk_and_torchio_read_it(root):
    """SimpleITK, which checks the axes, reads every file; torchio's own reader gives our voxels and affine."""
    dataset = StoredDataset(root)
    for entry in dataset.manifest.subjects:
        subject = dataset.read(entry.id)
        path = root / nifti_path(entry.id, Phase.ES, "image")
        image = SimpleITK.ReadImage(str(path))
        assert np.allclose(image.GetSpacing()[::-1], entry.spacing_mm, rtol=1e-5)
        assert np.allclose(SimpleITK.GetArrayFromImage(image), subject.images[Phase.ES].voxels, atol=1e-5)
        theirs = tio.ScalarImage(path)
        assert np.allclose(theirs.affine, entry.affine_ras, rtol=0, atol=1e-3)
        label = SimpleITK.ReadImage(str(root / nifti_path(entry.id, Phase.ES, "label")))
        assert label.GetPixelID() == SimpleITK.sitkUInt8


def test_the_tree_is_that_of_nnunet(root):
    """Labels from 0 without gaps, number of cases and ending stand in dataset.json, and the files are there."""
    folder = root / "volumes.nifti"
    content = json.loads((folder / "dataset.json").read_text())
    assert content["labels"] == {tissue.name.lower(): tissue.value for tissue in Tissue}
    images = sorted(path.name for path in (folder / "imagesTr").iterdir())
    labels = sorted(path.name for path in (folder / "labelsTr").iterdir())
    assert len(images) == content["numTraining"] == 10
    assert [name.replace("_0000", "") for name in images] == labels
    assert labels[0] == "syn-0000_ED.nii.gz"


def test_any_changed_bit_is_found(stored):
    """A flipped bit is DamageError, unlike in readers that stop before the CRC, unless the stream still says the same:
    the last byte is filled up, and runs of one label can be repeated from several places.
    """
    good = encode_nifti(stored.volumes["label"][Phase.ED], stored.entry, "label")
    caught = []
    for bit in range(8 * len(good)):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            assert np.array_equal(
                decode_nifti(bytes(changed), stored.entry, "label", "file"), stored.volumes["label"][Phase.ED]
            )
        except DamageError:
            caught.append(bit)
    assert len(caught) > 0.9 * 8 * len(good)


def test_bytes_do_not_depend_on_time_or_machine(stored):
    """The gzip header has no name, no time and no system."""
    good = encode_nifti(stored.volumes["image"][Phase.ED], stored.entry, "image")
    assert good[:10] == b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"
    assert zlib.decompress(good, 31)[:4] == (348).to_bytes(4, "little")


def test_a_bomb_is_not_unpacked(stored):
    """A stream that unpacks to more than the volume is refused at the volume's size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(bytes(50_000_000)) + packer.flush()
    with pytest.raises(DamageError, match="not one whole"):
        decode_nifti(bomb, stored.entry, "image", "file")


def test_another_header_is_refused(stored):
    """A file of another type or shape does not become this volume."""
    label = encode_nifti(stored.volumes["label"][Phase.ED], stored.entry, "label")
    with pytest.raises(DamageError):
        decode_nifti(label, stored.entry, "image", "file")
    z, y, x = stored.entry.shape
    turned = stored.entry.model_copy(update={"shape": (z, x, y)})
    with pytest.raises(DamageError, match="header"):
        decode_nifti(label, turned, "label", "file")


def test_axes_are_made_orthonormal_for_itk(stored):
    """Axes off by 1e-3, which ITK refuses, become the nearest rotation; right ones are not touched."""
    affine = stored.entry.affine_ras
    assert orthonormal(affine) is affine
    skewed = affine.copy()
    skewed[0, 1] += 2e-3
    fixed = orthonormal(skewed)
    axes = fixed[:3, :3] / np.linalg.norm(fixed[:3, :3], axis=0)
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert np.abs(fixed - skewed).max() < 1e-2
