"""Indices are measured on bodies whose volume and thickness are known in closed form."""

import math
import time

import numpy as np
import pytest

from synthgen.errors import InputError
from synthgen.indices import measure, wall
from synthgen.labels import Phase, Sex, Tissue
from synthgen.subjects import Body
from synthgen.volumes import Volume, stack_affine

BODY = Body(height_cm=180.0, weight_kg=80.0, sex=Sex.M)


def volume(voxels, spacing=(10.0, 1.0, 1.0)):
    """Labels on a plain grid."""
    return Volume(voxels, spacing, stack_affine(spacing, voxels.shape))


def heart(inner, outer, *, spacing=(10.0, 1.0, 1.0), slices=9, size=128, rv=True):
    """A tube of inner and outer radius (mm) with a crescent RV to its left."""
    y, x = np.mgrid[:size, :size].astype(float)
    centre = (size - 1) / 2 + 0.3
    radius = np.hypot((y - centre) * spacing[1], (x - centre) * spacing[2])
    flat = np.zeros((size, size), np.uint8)
    if rv:
        flat[np.hypot((y - centre) * spacing[1], (x - centre) * spacing[2] + outer) < outer] = Tissue.RV
    flat[radius < outer] = Tissue.MYO
    flat[radius < inner] = Tissue.LV
    return volume(np.repeat(flat[None], slices, axis=0), spacing)


def test_volumes_of_a_tube_match_the_closed_form():
    """Cavity volume, mass and ejection fraction of a tube are pi r^2 h, 1.05 times the shell, and 1 - (r/R)^2."""
    got = measure({Phase.ED: heart(25, 34), Phase.ES: heart(15, 29)}, BODY)
    assert got.lv_edv_ml == pytest.approx(math.pi * 2.5**2 * 9, rel=0.005)
    assert got.lv_mass_ed_g == pytest.approx(1.05 * math.pi * (3.4**2 - 2.5**2) * 9, rel=0.01)
    assert got.lv_ef_percent == pytest.approx(100 * (1 - (15 / 25) ** 2), abs=0.5)
    assert got.lv_sv_ml == pytest.approx(got.lv_edv_ml - got.lv_esv_ml)
    assert got.lv_edvi_ml_m2 == pytest.approx(got.lv_edv_ml / 2.0)
    assert got.bsa_m2 == pytest.approx(2.0)


@pytest.mark.parametrize("spacing", [(10.0, 1.0, 1.0), (8.0, 1.5, 1.5), (10.0, 1.2, 0.8)])
def test_wall_of_a_tube_is_the_difference_of_its_radii(spacing):
    """Wall thickness of a concentric tube is outer minus inner radius at every level, isotropic voxels or not."""
    got = measure({Phase.ED: heart(25, 34, spacing=spacing), Phase.ES: heart(15, 29, spacing=spacing)}, None)
    for name in ("wall_ed_basal_mm", "wall_ed_mid_mm", "wall_ed_apical_mm", "wall_ed_max_mm"):
        assert getattr(got, name) == pytest.approx(9.0, abs=0.25)
    assert got.wall_ed_segment_max_mm == pytest.approx(9.0, abs=0.5)
    assert got.wall_es_mean_mm == pytest.approx(14.0, abs=0.3)
    assert got.segments_over_15mm == 0


def ellipsoid_shell(inner, outer, spacing, slices):
    """Half an ellipsoid shell, base at z 0."""
    size = 110
    z, y, x = np.mgrid[:slices, :size, :size].astype(float)
    z = (z + 0.5) * spacing[0]
    y, x = ((g - size / 2 + 0.4) * s for g, s in ((y, spacing[1]), (x, spacing[2])))
    r = np.hypot(y, x)
    label = np.zeros(z.shape, np.uint8)
    label[(r / outer[0]) ** 2 + (z / outer[1]) ** 2 < 1] = Tissue.MYO
    label[(r / inner[0]) ** 2 + (z / inner[1]) ** 2 < 1] = Tissue.LV
    return volume(label, spacing)


def test_half_ellipsoid_volume_is_two_thirds_of_its_cylinder():
    """Method of discs on a half ellipsoid shell gives 2/3 pi r^2 L for the cavity and for the whole, within 2 %."""
    shell = ellipsoid_shell((25.0, 80.0), (34.0, 90.0), (5.0, 1.0, 1.0), 20)
    got = measure({Phase.ED: shell, Phase.ES: shell}, None)
    cavity, whole = (2 / 3 * math.pi * r * r * h / 1000 for r, h in ((25, 80), (34, 90)))
    assert got.lv_edv_ml == pytest.approx(cavity, rel=0.02)
    assert got.lv_mass_ed_g == pytest.approx(1.05 * (whole - cavity), rel=0.02)
    assert got.lv_ef_percent == pytest.approx(0.0, abs=1e-9)


def test_a_thick_septal_sector_is_found_where_the_right_ventricle_inserts():
    """A wall thickened over the septal 120 degrees shows in basal and mid segments 0 and 5 and in no lateral one."""
    base = heart(25, 33)
    y, x = np.mgrid[:128, :128].astype(float)
    centre = 63.8
    angle = np.arctan2(y - centre, x - centre)
    radius = np.hypot(y - centre, x - centre)
    label = base.voxels.copy()
    label[:, (np.abs(angle) > 2 * np.pi / 3) & (radius >= 17) & (radius < 33)] = Tissue.MYO
    got = wall(volume(label)).segments()
    assert len(got) == 16
    for level in (got[:6], got[6:12]):
        assert level[[0, 5]].min() > 13
        assert level[[1, 2, 3, 4]].max() < 11
    assert np.argmax(got[12:]) == 0


def test_segments_turn_with_the_heart():
    """Turning heart and right ventricle by a quarter leaves every segment as it was."""
    label = heart(25, 33).voxels.copy()
    label[:, 60:68, 85:96] = Tissue.MYO  # a bump in the lateral wall marks the side
    turned = np.rot90(label, axes=(1, 2)).copy()
    before, after = wall(volume(label)).segments(), wall(volume(turned)).segments()
    np.testing.assert_allclose(before, after, atol=0.35)


def test_a_slice_with_an_open_ring_does_not_count_as_wall():
    """A basal slice with half of its ring missing changes no wall thickness."""
    whole, open_ = heart(25, 34), heart(25, 34).voxels.copy()
    open_[0, :, :64] = np.where(open_[0, :, :64] == Tissue.MYO, 0, open_[0, :, :64])
    assert wall(volume(open_)).slices.tolist() == list(range(1, 9))
    assert wall(whole).slices.tolist() == list(range(9))


def test_other_tissues_do_not_change_the_indices():
    """Lung, fat and vessels around the heart leave every index as it was."""
    bare = heart(25, 34)
    dressed = bare.voxels.copy()
    dressed[(bare.voxels == 0) & (np.arange(128) % 2 == 0)] = Tissue.VESSEL
    one, two = (measure({Phase.ED: v, Phase.ES: heart(15, 29)}, BODY) for v in (bare, volume(dressed)))
    assert one == two


def test_an_empty_label_map_gives_nan_rather_than_a_crash():
    """No heart: volumes are zero, ejection fraction and walls are NaN, no warning is raised."""
    nothing = volume(np.zeros((4, 16, 16), np.uint8))
    got = measure({Phase.ED: nothing, Phase.ES: nothing}, BODY)
    assert got.lv_edv_ml == 0
    assert math.isnan(got.lv_ef_percent)
    assert math.isnan(got.wall_ed_max_mm)
    assert got.segments_over_15mm == 0


def test_indexed_values_are_nan_without_a_body():
    """Without body size the indexed values are NaN and the absolute ones are there."""
    got = measure({Phase.ED: heart(25, 34), Phase.ES: heart(15, 29)}, None)
    assert math.isnan(got.lv_edvi_ml_m2)
    assert got.lv_edv_ml > 0
    assert list(got.as_dict())[:4] == ["lv_edv_ml", "lv_esv_ml", "lv_sv_ml", "lv_ef_percent"]


def test_a_missing_phase_is_refused():
    """Labels of one phase only raise an InputError that names the other."""
    with pytest.raises(InputError, match="ES"):
        measure({Phase.ED: heart(25, 34)}, None)


def test_measuring_is_fast_enough_for_every_draw():
    """The fastest of some runs on a 2 x 11 x 128 x 128 pair takes at most 10 ms of processor time."""
    pair = {Phase.ED: heart(18, 25, spacing=(10.0, 1.5, 1.5), slices=11), Phase.ES: heart(12, 22, slices=11)}
    times = []
    for _ in range(7):
        start = time.process_time()
        measure(pair, BODY)
        times.append(time.process_time() - start)
    assert min(times) < 0.010
