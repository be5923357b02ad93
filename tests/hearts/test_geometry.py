"""Bi-ventricular geometry: volumes against targets, conservation, topology, deformation, painting."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from synthgen.errors import SynthgenError
from synthgen.hearts.geometry import PhaseGeometry, build, warp
from synthgen.hearts.heart_painter import extent, heart_labels, paint_heart
from synthgen.hearts.left_ventricle import MYOCARDIUM_G_PER_ML, profile
from synthgen.hearts.polar import ANGLES, coverage, find_root, volume_ml
from synthgen.hearts.population import sample
from synthgen.hearts.signal import CODES, Fine
from synthgen.hearts.slice_canvas import SliceCanvas
from synthgen.hearts.subject import VirtualSubject
from synthgen.labels import Pathology, Phase, Tissue
from synthgen.seeding import Stage, numpy_stream

SLICE_MM, PIXEL_MM = 2.0, 1.5
CASES = [(pathology, index) for pathology in Pathology for index in range(2)]
SIGNALS = {Fine.LV_BLOOD: 1.0, Fine.RV_BLOOD: 0.95, Fine.MYOCARDIUM: 0.3, Fine.PAPILLARY: 0.3, Fine.FAT: -0.7}


@lru_cache(maxsize=32)
def heart(pathology: Pathology, index: int) -> tuple[VirtualSubject, dict[Phase, PhaseGeometry]]:
    """Return one subject and its geometry, solved once."""
    subject = sample(3, index, pathology)
    return subject, build(subject)


def grid(pixel_mm: float = PIXEL_MM) -> tuple[np.ndarray, np.ndarray]:
    """Return heart-frame x and y of a field that holds any heart."""
    x, y = np.meshgrid(np.arange(-110, 65, pixel_mm), np.arange(-85, 85, pixel_mm))
    return x.astype(np.float32), y.astype(np.float32)


def muscle_ml(subject: VirtualSubject, phase: Phase) -> float:
    """Return the muscle that readers contour: the mass at ED, more at ES."""
    drawn = subject.left.systolic_muscle if phase is Phase.ES else 1.0
    return drawn * subject.targets.lv_mass_g / MYOCARDIUM_G_PER_ML


def rasterised(subject: VirtualSubject, geometry: PhaseGeometry, plane_mm: float) -> np.ndarray:
    """Count voxels of 2 mm slices, one of their borders at `plane_mm`; return mL by tissue code."""
    x, y = grid()
    counts = np.zeros(4)
    first = plane_mm + SLICE_MM * (np.floor((-16.0 - plane_mm) / SLICE_MM) + 0.5)
    for z in np.arange(first, subject.left.length_mm + 20.0, SLICE_MM):
        counts += np.bincount(heart_labels(subject, geometry, x, y, float(z)).ravel(), minlength=4)
    return counts * SLICE_MM * PIXEL_MM**2 / 1000.0


@pytest.mark.parametrize(("pathology", "index"), CASES)
def test_tables_enclose_targets(pathology, index):
    """The solved tables enclose the sampled cavity volumes and the muscle, more of it at ES, within 0.1 %."""
    subject, geometry = heart(pathology, index)
    targets = subject.targets
    for phase, lv, rv in (
        (Phase.ED, targets.lv_edv_ml, targets.rv_edv_ml),
        (Phase.ES, targets.lv_esv_ml, targets.rv_esv_ml),
    ):
        volumes = geometry[phase].volumes_ml
        assert volumes["lv"] == pytest.approx(lv, rel=1e-3)
        assert volumes["myo"] == pytest.approx(muscle_ml(subject, phase), rel=1e-3)
        assert volumes["rv"] == pytest.approx(rv, rel=1e-3)


@pytest.mark.parametrize(("pathology", "index"), CASES)
def test_label_volumes_meet_targets(pathology, index):
    """Labels counted in 2 mm slices hold the sampled LV volumes, mass and RV EDV within 2 %, RV ESV within 4 %.

    A slice border lies at the valve plane of the counted chamber: otherwise a stack counts up to half a slice of the
    base too much or too little, which is the stack's error and not the geometry's.
    """
    subject, geometry = heart(pathology, index)
    targets = subject.targets
    for phase, lv, rv, rv_tolerance in (
        (Phase.ED, targets.lv_edv_ml, targets.rv_edv_ml, 0.02),
        (Phase.ES, targets.lv_esv_ml, targets.rv_esv_ml, 0.04),
    ):
        here = geometry[phase]
        left = rasterised(subject, here, here.base_mm)
        assert left[Tissue.LV] == pytest.approx(lv, rel=0.02)
        assert left[Tissue.MYO] == pytest.approx(muscle_ml(subject, phase), rel=0.02)
        assert rasterised(subject, here, here.rv_base_mm)[Tissue.RV] == pytest.approx(rv, rel=rv_tolerance)


@pytest.mark.parametrize("pathology", Pathology)
def test_topology(pathology):
    """From base to the last cavity every plane has one LV, closed in by one ring of MYO, and at most one RV."""
    subject, geometry = heart(pathology, 0)
    x, y = grid()
    for here in geometry.values():
        for z in np.linspace(here.base_mm + 1.0, here.apex_mm - 6.0, 6):
            labels = heart_labels(subject, here, x, y, float(z))
            assert [label(labels == tissue)[1] for tissue in (Tissue.LV, Tissue.MYO)] == [1, 1]
            assert label(labels == Tissue.RV)[1] <= 1
            around = labels[binary_dilation(labels == Tissue.LV) & (labels != Tissue.LV)]
            assert set(around.tolist()) == {int(Tissue.MYO)}


def test_same_record_same_tables():
    """Building twice gives the same bits."""
    subject, geometry = heart(Pathology.HCM, 1)
    again = build(subject)
    for phase in Phase:
        assert np.array_equal(again[phase].endo, geometry[phase].endo)
        assert np.array_equal(again[phase].rv_outline, geometry[phase].rv_outline)


def test_no_contour_below_the_diastolic_cavity():
    """Beyond the cavity's end at ED no muscle is labelled at either phase, though there is some."""
    subject, geometry = heart(Pathology.NOR, 0)
    x, y = grid()
    end = subject.left.length_mm
    for here in geometry.values():
        assert here.epi[np.searchsorted(here.z_mm, end + 2.0)].max() > 0
        inside, beyond = (heart_labels(subject, here, x, y, end + step) for step in (-1.0, 1.0))
        assert (inside == Tissue.MYO).any()
        assert not (beyond == Tissue.MYO).any()


@pytest.mark.parametrize("pathology", Pathology)
def test_right_ventricle_is_a_triangle_that_hangs(pathology):
    """At mid-ventricle the RV reaches farthest from the septum inferiorly, and it is smaller there than at the base."""
    subject, geometry = heart(pathology, 0)
    x, y = grid()
    here = geometry[Phase.ED]
    span = here.rv_apex_mm - here.rv_base_mm
    upper, middle = (
        heart_labels(subject, here, x, y, here.rv_base_mm + part * span) == Tissue.RV for part in (0.15, 0.5)
    )
    row, column = np.nonzero(middle)
    farthest = column <= np.quantile(column, 0.1)
    assert y[row[farthest], 0].mean() > y[row, 0].mean()
    assert np.count_nonzero(middle) < np.count_nonzero(upper)


def test_infarct_does_not_thicken():
    """From ED to ES an infarct's wall hardly thickens, the remote wall thickens much more."""
    subject, geometry = heart(Pathology.MINF, 0)
    ed, es = geometry[Phase.ED], geometry[Phase.ES]
    rows = np.abs(es.z_mm - (es.base_mm + subject.left.infarct.level * (es.apex_mm - es.base_mm))) < 8.0
    rows &= es.endo.min(axis=1) > 0
    thickness = {here.phase: here.epi - here.endo for here in (ed, es)}
    scar, remote = es.infarct[rows] > 0.9, es.infarct[rows] < 0.1
    growth = thickness[Phase.ES][rows] - thickness[Phase.ED][rows]
    assert scar.any()
    assert remote.any()
    assert growth[scar].mean() < 1.2
    assert growth[remote].mean() > 1.5 * growth[scar].mean()


def test_deformation_keeps_area():
    """The in-plane deformation moves points by millimetres and keeps the area of a disc."""
    subject, _ = heart(Pathology.NOR, 0)
    x, y = grid(0.5)
    u, v = warp(subject.placement, x, y, 40.0)
    assert 0.3 < np.sqrt(np.mean((u - x) ** 2 + (v - y) ** 2)) < 6.0
    inside = np.count_nonzero((u + 20) ** 2 + v**2 < 30**2) * 0.25
    assert inside == pytest.approx(np.pi * 30**2, rel=5e-3)


def test_cylinder_volume():
    """A table of constant radius encloses the volume of a cylinder, for planes that cut through levels."""
    z = np.arange(0.0, 60.0, 1.5)
    table = np.full((len(z), ANGLES), 20.0)
    weight = coverage(z, 10.2, 31.9)
    assert volume_ml(table, 1.5, weight) == pytest.approx(np.pi * 400 * 21.7 / 1000, rel=1e-9)


def test_profile_ends():
    """The LV's profile is 1 at the equator, 0 at the apex, open at the base, negative beyond the apex."""
    values = profile(np.array([[0.0], [0.3], [1.0], [1.1]]), 0.3, 2.3, 0.8)[:, 0]
    assert values[1] == 1.0
    assert values[2] == 0.0
    assert 0.8 < values[0] < 1.0
    assert values[3] < 0


def test_unsolvable_is_said():
    """A root that is not bracketed is an error that names what was solved for."""
    with pytest.raises(SynthgenError, match="wall thickness"):
        find_root(lambda x: x + 1.0, 0.0, 1.0, 1e-6, "wall thickness")


def canvas(subject: VirtualSubject, z_mm: float, pixel_mm: float = 1.5) -> SliceCanvas:
    """Return an 8 mm slice around `z_mm` over plain lung."""
    x, y = grid(pixel_mm)
    rng = numpy_stream(0, subject.index, 0, Stage.TEXTURE)
    noise = rng.standard_normal((2, *x.shape)).astype(np.float32)
    return SliceCanvas(
        x_mm=x,
        y_mm=y,
        z_mm=(z_mm + np.linspace(-3.2, 3.2, 5)).astype(np.float32),
        pixel_mm=pixel_mm,
        signal=np.full((5, *x.shape), 0.12, np.complex64),
        labels=np.full(x.shape, Fine.LUNG, np.uint8),
        value=lambda tissue: np.complex64(SIGNALS.get(tissue, 0.5)),
        texture=noise[0],
        coarse_texture=noise[1],
    )


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("pathology", [Pathology.NOR, Pathology.MINF, Pathology.ARV])
def test_painted_labels_are_the_geometry(pathology, phase):
    """Painted labels, folded to nine classes, hold exactly the smooth contours of the mid-plane."""
    subject, geometry = heart(pathology, 1)
    for z in (-4.0, 20.0, 45.0, 65.0):
        page = canvas(subject, z)
        paint_heart(page, subject, geometry, phase)
        nine = CODES[page.labels]
        expected = heart_labels(subject, geometry[phase], page.x_mm, page.y_mm, z)
        assert np.array_equal(np.where(nine <= Tissue.RV, nine, 0), expected)


def test_detail_is_signal_only():
    """Papillary muscles and trabeculae darken the cavity's signal; blood stays the larger part of it."""
    subject, geometry = heart(Pathology.NOR, 0)
    page = canvas(subject, 45.0)
    paint_heart(page, subject, geometry, Phase.ED)
    cavity = np.abs(page.signal.mean(axis=0))[CODES[page.labels] == Tissue.LV]
    assert Fine.PAPILLARY in page.labels
    assert 0.6 < np.mean(cavity > 0.9) < 0.99
    assert np.mean(cavity < 0.6) > 0.01


@pytest.mark.parametrize("phase", Phase)
def test_nothing_outside_extent(phase):
    """What lies outside `extent` is left as it was, and a slice with radius 0 is not changed at all."""
    subject, geometry = heart(Pathology.DCM, 2)
    for z in (-12.0, 40.0, subject.left.length_mm + 60.0):
        page = canvas(subject, z, 2.0)
        x, y, radius = extent(subject, geometry[phase], page.z_mm)
        paint_heart(page, subject, geometry, phase)
        outside = np.hypot(page.x_mm - x, page.y_mm - y) > radius
        assert (page.labels[outside] == Fine.LUNG).all()
        assert (page.signal[:, outside] == np.complex64(0.12)).all()
        assert radius > 0 or z > subject.left.length_mm


def test_base_lies_beside_the_septum():
    """Above the tricuspid plane at ES the atrium lies inferior and the outflow tract anterior of the septum, no RV."""
    areas = []
    for pathology, index in CASES:
        subject, geometry = heart(pathology, index)
        page = canvas(subject, geometry[Phase.ES].rv_base_mm - 5.0)
        paint_heart(page, subject, geometry, Phase.ES)
        x, y = page.x_mm, page.y_mm
        shown = {Fine.ATRIUM: (x < -20) & (y > 0), Fine.VESSEL: (x < -20) & (y < -15)}
        areas.append([(page.labels[where] == tissue).sum() * PIXEL_MM**2 / 100 for tissue, where in shown.items()])
        assert Fine.RV_BLOOD not in page.labels
    atrium, outflow = np.array(areas).T
    assert (atrium > 5).all()
    assert (outflow > 2).all()  # cm2
    assert atrium.std() > 1  # each subject has its own


def test_muscle_in_the_cavity_crowds_at_end_systole():
    """Papillary muscles and trabeculae keep their volume: of a cavity that has become small they fill a larger part."""
    subject, geometry = heart(Pathology.HCM, 0)
    dark = {}
    for phase in Phase:
        here = geometry[phase]
        page = canvas(subject, 0.5 * (here.base_mm + here.apex_mm))
        paint_heart(page, subject, geometry, phase)
        cavity = np.abs(page.signal.mean(axis=0))[CODES[page.labels] == Tissue.LV]
        dark[phase] = np.mean(cavity < 0.65)
    assert dark[Phase.ES] > 1.3 * dark[Phase.ED]


def test_muscle_goes_on_above_the_base_on_the_lateral_side():
    """Above the LV's labelled base there is unlabelled muscle, more of it away from the septum."""
    subject, geometry = heart(Pathology.NOR, 0)
    page = canvas(subject, geometry[Phase.ED].base_mm - 2.0)
    paint_heart(page, subject, geometry, Phase.ED)
    muscle = page.labels == Fine.RV_WALL
    around = np.hypot(page.x_mm, page.y_mm) < 45
    assert (muscle & around & (page.x_mm > 10)).sum() > 2 * (muscle & around & (page.x_mm < -10)).sum()
