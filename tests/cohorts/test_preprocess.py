"""The common grid: geometry is kept, and what tells a class without anatomy is taken away."""

import time
from dataclasses import replace

import numpy as np
import pytest

from synthgen.cohorts.acdc import Acdc
from synthgen.cohorts.preprocess import prepare
from synthgen.errors import InputError
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.indices import measure
from synthgen.labels import HEART, Pathology, Phase, Tissue
from synthgen.volumes import Volume, stack_affine


def volume_ml(voxels, tissue, spacing):
    """Volume of one tissue in mL."""
    return np.count_nonzero(voxels == tissue) * np.prod(spacing) / 1000


@pytest.mark.parametrize(
    ("spacing", "size", "slices"),
    [((10.0, 0.7, 0.7), 512, 6), ((5.0, 1.95, 1.95), 154, 18), ((8.0, 1.37, 1.37), 224, 9)],
)
def test_the_grid_is_common_and_volumes_are_kept(subject, spacing, size, slices):
    """From the finest and the coarsest matrix of ACDC the grid is 128 x 128 at 1.5 mm and volumes change below 2 %."""
    source = subject(spacing=spacing, size=size, slices=slices)
    got = prepare(source)
    assert got.spacing_mm == (spacing[0], 1.5, 1.5)
    for phase in Phase:
        assert got.images[phase].shape == got.labels[phase].shape == (slices, 128, 128)
        assert (got.images[phase].dtype, got.labels[phase].dtype) == (np.float32, np.uint8)
        for tissue in HEART:
            native = volume_ml(source.labels[phase].voxels, tissue, spacing)
            assert volume_ml(got.labels[phase], tissue, got.spacing_mm) == pytest.approx(native, rel=0.02)


def test_the_affine_follows_the_window(subject):
    """The centroid of the cavity is at the same place in space before and after, within a tenth of a millimetre."""
    source = subject(spacing=(9.0, 1.1, 1.1), size=140)
    got = prepare(source)

    def centroid(voxels, affine):
        z, y, x = np.argwhere(voxels == Tissue.LV).mean(axis=0)
        return (affine @ [x, y, z, 1])[:3]

    before = centroid(source.labels[Phase.ED].voxels, source.labels[Phase.ED].affine)
    np.testing.assert_allclose(centroid(got.labels[Phase.ED], got.affine), before, atol=0.1)


def test_the_heart_is_in_the_middle_wherever_it_was(subject):
    """Moving the heart within its field of view moves nothing in the window."""
    source = subject(size=120)
    shifted = replace(
        source,
        images={p: v.with_voxels(np.roll(v.voxels, (7, -9), (1, 2))) for p, v in source.images.items()},
        labels={p: v.with_voxels(np.roll(v.voxels, (7, -9), (1, 2))) for p, v in source.labels.items()},
    )
    one, two = prepare(source, pixels=64), prepare(shifted, pixels=64)
    for phase in Phase:
        np.testing.assert_array_equal(one.labels[phase], two.labels[phase])
        np.testing.assert_allclose(one.images[phase], two.images[phase], atol=0.05)


def test_on_its_own_grid_nothing_is_resampled(subject):
    """A source at the target spacing whose centroid falls on the grid keeps its labels exactly."""
    source = subject(size=128)
    label = source.labels[Phase.ED].voxels
    heart = np.concatenate([(v.voxels > 0).nonzero()[1] for v in source.labels.values()])
    columns = np.concatenate([(v.voxels > 0).nonzero()[2] for v in source.labels.values()])
    got = prepare(source).labels[Phase.ED]
    shift = [round(63.5 - c.mean()) for c in (heart, columns)]
    moved = np.roll(label, shift, (1, 2))
    assert (moved != got).mean() < 0.01


def test_intensities_lie_between_minus_one_and_one(subject):
    """Percentiles 1 and 99 of both phases together become -1 and 1, and nothing lies beyond."""
    got = prepare(subject(size=200))
    both = np.concatenate([image.ravel() for image in got.images.values()])
    assert (both.min(), both.max()) == (-1.0, 1.0)
    assert (both == -1).mean() == pytest.approx(0.01, abs=0.01)
    assert (both == 1).mean() == pytest.approx(0.01, abs=0.005)


@pytest.mark.parametrize(("scale", "offset"), [(0.05, 0.0), (37.0, 0.0), (1.0, -1000.0)])
def test_the_intensity_scale_of_a_scanner_leaves_no_trace(subject, scale, offset):
    """The same image on another scale gives the same result: a scale that tracks the class cannot be learnt."""
    source = subject()
    scaled = {p: v.with_voxels((v.voxels * scale + offset).astype(np.float32)) for p, v in source.images.items()}
    one, two = prepare(source), prepare(replace(source, images=scaled))
    for phase in Phase:
        np.testing.assert_allclose(one.images[phase], two.images[phase], atol=2e-3)


def test_both_phases_share_one_scale(subject):
    """An ES image twice as bright as ED stays brighter: one normalisation per subject, not per volume."""
    source = subject()
    images = dict(source.images)
    images[Phase.ES] = images[Phase.ES].with_voxels(images[Phase.ES].voxels * 2)
    got = prepare(replace(source, images=images))
    cavity = {p: got.images[p][got.labels[p] == Tissue.LV].mean() for p in Phase}
    assert cavity[Phase.ES] > cavity[Phase.ED] + 0.5


def test_outside_the_field_of_view_is_background(subject):
    """A field of view smaller than the window is padded with -1 and background."""
    got = prepare(subject(size=64))
    for phase in Phase:
        assert (got.images[phase][:, :10] == -1).all()
        assert (got.labels[phase][:, :10] == 0).all()


def test_slice_spacing_does_not_change_the_plane(subject):
    """Two stacks that differ only in slice spacing give the same pixels; only the spacing tells them apart."""
    source = subject(spacing=(10.0, 1.5, 1.5))
    affine = stack_affine((5.0, 1.5, 1.5), source.labels[Phase.ED].shape)
    thin = replace(
        source,
        images={p: Volume(v.voxels, (5.0, 1.5, 1.5), affine) for p, v in source.images.items()},
        labels={p: Volume(v.voxels, (5.0, 1.5, 1.5), affine) for p, v in source.labels.items()},
    )
    one, two = prepare(source), prepare(thin)
    np.testing.assert_array_equal(one.images[Phase.ED], two.images[Phase.ED])
    assert (one.spacing_mm[0], two.spacing_mm[0]) == (10.0, 5.0)


def test_indices_are_those_of_the_native_labels(subject):
    """Resampling does not touch the indices."""
    source = subject(spacing=(10.0, 1.95, 1.95), size=100)
    assert prepare(source).indices == measure(source.labels, source.body)


def test_what_cannot_be_prepared_is_refused(subject):
    """A constant image, labels without a heart and phases of two spacings raise InputErrors with the subject's id."""
    source = subject("s7")
    flat = {p: v.with_voxels(np.full_like(v.voxels, 5)) for p, v in source.images.items()}
    empty = {p: v.with_voxels(np.zeros_like(v.voxels)) for p, v in source.labels.items()}
    es = source.images[Phase.ES]
    mixed = {**source.images, Phase.ES: Volume(es.voxels, (5.0, 1.5, 1.5), stack_affine((5.0, 1.5, 1.5), es.shape))}
    for change, match in (({"images": flat}, "contrast"), ({"labels": empty}, "heart"), ({"images": mixed}, "spacing")):
        with pytest.raises(InputError, match=f"s7.*{match}"):
            prepare(replace(source, **change))


@pytest.mark.acdc
def test_real_patients_are_prepared_fast_and_whole(acdc_folder):
    """Every fifth patient fits the window with volumes within 4 %, and takes at most 0.15 s at the median."""
    read, times = Acdc(acdc_folder), []
    for index in range(0, 100, 5):
        source = read[index]
        start = time.process_time()
        got = prepare(source)
        times.append(time.process_time() - start)
        spacing = source.labels[Phase.ED].spacing_mm
        for tissue in HEART:
            native = volume_ml(source.labels[Phase.ED].voxels, tissue, spacing)
            assert volume_ml(got.labels[Phase.ED], tissue, got.spacing_mm) == pytest.approx(native, rel=0.04)
    assert np.median(times) < 0.15


@pytest.mark.acdc
def test_the_real_scale_no_longer_tells_the_class(acdc_folder):
    """Before, the largest intensity separates ARV from the other classes; after, every subject spans -1 to 1."""
    read = Acdc(acdc_folder)
    chosen = [read[i] for i in (*range(0, 80, 16), 81, 90, 99)]
    largest = {s.subject_id: max(v.voxels.max() for v in s.images.values()) for s in chosen}
    assert all(largest[s.subject_id] <= 255 for s in chosen if s.pathology is Pathology.ARV)
    assert any(largest[s.subject_id] > 255 for s in chosen if s.pathology is not Pathology.ARV)
    for source in chosen:
        got = prepare(source)
        assert max(image.max() for image in got.images.values()) == 1.0
        assert min(image.min() for image in got.images.values()) == -1.0


def test_whole_pixels_are_not_interpolated_again():
    """On a grid of the wanted spacing, prepared pixels are the source's; on another grid it makes no difference."""
    hearts = VirtualHearts(1, seed=2, pixels=144, spacing_mm=1.5)
    subject = hearts[0]
    whole = prepare(subject, whole_pixels=True)
    source = subject.images[Phase.ED].voxels
    found = whole.images[Phase.ED]
    place = whole.affine[:3, 3] - subject.images[Phase.ED].affine[:3, 3]
    step = np.linalg.solve(subject.images[Phase.ED].affine[:3, :3], place)
    np.testing.assert_allclose(step, np.rint(step), atol=1e-6)
    column, row = (int(v) for v in np.rint(step[:2]))
    window = source[:, row : row + 128, column : column + 128]
    clipped = np.abs(found) < 1
    correlation = np.corrcoef(found[clipped], window[clipped])[0, 1]
    assert correlation > 1 - 1e-6
    other = VirtualHearts(1, seed=2, pixels=96, spacing_mm=2.0)[0]
    np.testing.assert_array_equal(prepare(other, whole_pixels=True).images[Phase.ED], prepare(other).images[Phase.ED])
