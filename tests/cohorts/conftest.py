"""Hearts made of discs and files made by hand, for the readers of cohorts."""

from __future__ import annotations

import gzip
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from synthgen.labels import Pathology, Phase, Sex, Tissue, Vendor
from synthgen.subjects import Body, SourceSubject
from synthgen.volumes import Volume, stack_affine


def _short_axis_rotation():
    """Voxel axes of a real short-axis view in RAS: image right, image down, base to apex."""
    axis = np.array([-0.586, 0.586, -0.559])
    axis /= np.linalg.norm(axis)
    down = np.array([0.0, 0.0, -1.0]) - (-axis[2]) * axis
    down /= np.linalg.norm(down)
    return np.stack([np.cross(axis, down), down, axis], axis=1)


SHORT_AXIS = _short_axis_rotation()


def disc_heart(slices, size, spacing, scale):
    """Labels of a tapering LV in a ring with the RV to its left and a little lower; base at z 0."""
    y, x = np.mgrid[:size, :size].astype(float)
    y, x = (y - size / 2) * spacing[1], (x - size / 2) * spacing[2]
    label = np.zeros((slices, size, size), np.uint8)
    for z in range(slices):
        shrink = 1.0 - 0.6 * z / slices
        inner, outer = 22 * scale * shrink, (22 * scale + 9) * shrink
        label[z][np.hypot(y - 6, x + 30 * shrink) < 26 * scale * shrink] = Tissue.RV
        radius = np.hypot(y, x)
        label[z][radius < outer] = Tissue.MYO
        label[z][radius < inner] = Tissue.LV
    return label


def picture(label, rng):
    """An image whose blood is bright, muscle dark and surroundings darker, with noise."""
    table = np.array([40.0, 300.0, 110.0, 280.0, 30, 100, 250, 90, 290])
    return (table[label] + rng.normal(0, 8, label.shape)).clip(0).astype(np.float32)


def build_subject(subject_id="s1", pathology=Pathology.NOR, **options):
    """A `SourceSubject` of discs; options: vendor, slices, size, spacing, rotation, body, seed."""
    spacing = options.get("spacing", (10.0, 1.5, 1.5))
    slices, size = options.get("slices", 8), options.get("size", 80)
    affine = stack_affine(spacing, (slices, size, size), options.get("rotation", SHORT_AXIS))
    rng = np.random.default_rng(options.get("seed", 0))
    labels = {
        phase: Volume(disc_heart(slices, size, spacing, scale), spacing, affine)
        for phase, scale in ((Phase.ED, 1.0), (Phase.ES, 0.75))
    }
    return SourceSubject(
        subject_id=subject_id,
        pathology=pathology,
        vendor=options.get("vendor", Vendor.A),
        body=options.get("body", Body(height_cm=172.0, weight_kg=71.5, sex=Sex.F)),
        images={phase: label.with_voxels(picture(label.voxels, rng)) for phase, label in labels.items()},
        labels=labels,
    )


class ListCohort(list):
    """Subjects in memory as a cohort."""

    name, licence, citation, label_scheme, of_patients = "list", "none", "", "heart", False

    @property
    def subject_pathologies(self):
        return [subject.pathology for subject in self]

    @property
    def subject_vendors(self):
        return [subject.vendor for subject in self]

    def fingerprint(self):
        return str(len(self))


def nifti_bytes(array, *, spacing=(1.5, 1.5, 10.0), patch=None, affine=None):
    """An uncompressed NIfTI-1 file of `array` (x, y, z[, t]); `patch` edits the header before it is written."""
    affine = np.diag([*spacing, 1.0]) if affine is None else affine
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_zooms((*spacing, 1.0)[: array.ndim])
    image.set_sform(affine, code=1)
    header = image.header.copy()
    header["magic"], header["vox_offset"] = b"n+1", 352
    for name, value in (patch or {}).items():
        header[name] = value
    return header.binaryblock + bytes(4) + array.astype(array.dtype.newbyteorder("<")).tobytes(order="F")


@pytest.fixture
def nifti():
    """Return the maker of raw NIfTI bytes."""
    return nifti_bytes


@pytest.fixture
def subject():
    """Return the maker of disc hearts."""
    return build_subject


@pytest.fixture(scope="session")
def cohort():
    """Return a maker of cohorts: one disc heart per pathology, each another slice count."""

    def make(count=5, **options):
        pathologies = [*Pathology][:count]
        return ListCohort(
            build_subject(f"heart{i}", p, slices=7 + i, seed=i, **options) for i, p in enumerate(pathologies)
        )

    return make


@pytest.fixture
def pack():
    """Return gzip without a time stamp."""
    return lambda data: gzip.compress(data, 1, mtime=0)


@pytest.fixture
def turn():
    """Return a function that applies one `Move` to all volumes of a subject."""

    def turned(subject, move):
        images = {phase: move.apply(v) for phase, v in subject.images.items()}
        return replace(subject, images=images, labels={phase: move.apply(v) for phase, v in subject.labels.items()})

    return turned
