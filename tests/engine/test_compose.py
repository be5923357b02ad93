from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from synthgen.engine.compose import compose, compose_factors, compose_slice, donor_slices, outline, radial_source
from synthgen.engine.donors import Donor
from synthgen.factors.codes import HeartCodes
from synthgen.labels import HEART, Phase, Tissue, Vendor

SIZE = 64


def body_slice(lv, wall, rv, centre=(31.5, 31.5)):
    """Chest wall, lungs, a layer of fat and a thin wall around a heart of these radii."""
    y, x = np.indices((SIZE, SIZE)).astype(float)
    y, x = y - centre[0], x - centre[1]
    out = np.full((SIZE, SIZE), Tissue.LUNG, dtype=np.uint8)
    out[np.hypot(*(np.indices((SIZE, SIZE)) - 31.5)) > 29] = Tissue.MUSCLE
    heart = (np.hypot(y, x) <= lv + wall) | (np.hypot(y, x + lv + wall) <= rv)
    for reach, tissue in ((3.0, Tissue.FAT), (1.5, Tissue.MUSCLE)):
        near = (np.hypot(y, x) <= lv + wall + reach) | (np.hypot(y, x + lv + wall) <= rv + reach)
        out[near & ~heart] = tissue
    out[np.hypot(y, x + lv + wall) <= rv] = Tissue.RV
    out[np.hypot(y, x) <= lv + wall] = Tissue.MYO
    out[np.hypot(y, x) <= lv] = Tissue.LV
    return out


def donor(slices=8, margins=(1, 2)):
    """Return a donor with bare slices on either side of its heart."""
    stack = [body_slice(7 - 0.5 * z, 3, 6 - 0.4 * z) for z in range(slices)]
    bare = np.full((SIZE, SIZE), Tissue.LUNG, dtype=np.uint8)
    whole = np.stack([bare] * margins[0] + stack + [bare] * margins[1])
    systole = np.where(whole == Tissue.LV, Tissue.MYO, whole).astype(np.uint8)
    systole[whole == Tissue.LV] = Tissue.LV
    return Donor(
        subject_id="d",
        vendor=Vendor.A,
        labels={Phase.ED: whole, Phase.ES: systole},
        spacing_mm=(10.0, 1.5, 1.5),
        rotation=np.eye(3),
        body=None,
        drawn_from="d",
    )


def hearts_of(stack):
    """Return the heart labels alone."""
    return np.where(stack <= 3, stack, 0).astype(np.uint8)


def new_hearts(count, lv=10.0, wall=4.0, rv=8.0, centre=(31.5, 31.5)):
    """Return both phases of a heart of another size."""
    one = hearts_of(np.stack([body_slice(lv - 0.5 * z, wall, rv - 0.4 * z, centre) for z in range(count)]))
    return np.stack([one, one])


def test_a_donors_own_heart_returns_the_donor():
    """Composing with oneself is the identity, pixel by pixel, in both phases."""
    own = donor()
    hearts = np.stack([hearts_of(own.labels[phase][own.heart]) for phase in Phase])
    out = compose(hearts, own, with_body=True)
    for phase in Phase:
        np.testing.assert_array_equal(out[phase], own.labels[phase])


@pytest.mark.parametrize("count", [4, 8, 13])
def test_the_heart_is_exactly_the_new_one(count):
    """Heart labels come out as decoded, and no pixel of the donor's heart remains."""
    own, hearts = donor(), new_hearts(count)
    out = compose(hearts, own, with_body=True)
    for number, phase in enumerate(Phase):
        assert out[phase].shape == (count + 3, SIZE, SIZE)
        np.testing.assert_array_equal(hearts_of(out[phase])[1 : 1 + count], hearts[number])
        assert not np.isin(out[phase][0], HEART).any()
        np.testing.assert_array_equal(out[phase][-2:], own.labels[phase][-2:])


def beating(count=6):
    """Return both phases of a heart that is larger than the donor's and does not empty as far."""
    phases = ((12.0, 4.0, 9.0), (9.0, 6.0, 6.0))
    shown = [[body_slice(lv - 0.5 * z, wall, rv - 0.4 * z) for z in range(count)] for lv, wall, rv in phases]
    return np.stack([hearts_of(np.stack(stack)) for stack in shown])


def test_a_body_stands_still_while_the_heart_beats():
    """Beyond the heart at end-diastole both phases show the same tissue; around it the wall follows the beat."""
    own, hearts = donor(slices=6), beating()
    small = np.stack([body_slice(5 - 0.4 * z, 3, 4 - 0.3 * z) for z in range(6)])
    contracted = np.concatenate([own.labels[Phase.ES][:1], small, own.labels[Phase.ES][-2:]])
    own = replace(own, labels={Phase.ED: own.labels[Phase.ED], Phase.ES: contracted})
    out = compose(hearts, own, with_body=True)
    for z in range(6):
        diastole, systole = (out[phase][1 + z] for phase in Phase)
        afar = ndimage.distance_transform_edt(hearts[0, z] == 0) > 8
        assert (diastole != systole)[afar].sum() == 0
        around = ndimage.binary_dilation(hearts[1, z] > 0) & (hearts[1, z] == 0)
        assert np.isin(systole[around], (Tissue.MUSCLE, Tissue.FAT)).mean() > 0.9


def test_factors_of_a_body_stand_still_too():
    """Mixing moves the codes of a body as composing moves its labels; the heart is the new one."""
    hearts, heart = beating(), HeartCodes(lv=(Tissue.LV,), myo=(Tissue.MYO,), rv=(Tissue.RV,))
    codes = np.stack([np.stack([body_slice(lv - 0.4 * z, 3, lv - 1) for z in range(6)]) for lv in (7, 5)])
    out = compose_factors(hearts, codes, heart, 1.5)
    for z in range(6):
        diastole, systole = (out[phase][z] for phase in Phase)
        afar = ndimage.distance_transform_edt(hearts[0, z] == 0) > 8
        assert (diastole != systole)[afar].sum() == 0
        for stack, new in zip((diastole, systole), hearts[:, z], strict=True):
            np.testing.assert_array_equal(heart.show(stack), new > 0)


@settings(max_examples=25, deadline=None)
@given(st.floats(4, 14), st.floats(2, 6), st.floats(2, 10), st.floats(-6, 6), st.floats(-6, 6))
def test_every_pixel_is_one_tissue(lv, wall, rv, dy, dx):
    """Whatever the heart's size and place, the result is a label map: one class per pixel, only classes that exist."""
    heart = hearts_of(body_slice(lv, wall, rv, (31.5 + dy, 31.5 + dx)))
    out = compose_slice(heart, body_slice(7, 3, 6), 20.0)
    assert out.dtype == np.uint8
    assert out.max() < len(Tissue)
    np.testing.assert_array_equal(hearts_of(out), heart)


@pytest.mark.parametrize(("lv", "wall", "rv"), [(11.0, 4.0, 9.0), (5.0, 2.5, 4.0)])
def test_the_wall_and_the_fat_follow_the_heart(lv, wall, rv):
    """Around a larger or smaller heart the thin wall and the fat lie as close as around the donor's."""
    heart = hearts_of(body_slice(lv, wall, rv))
    out = compose_slice(heart, body_slice(7, 3, 6), 20.0)
    edge = outline(heart > 0, np.array([31.5, 31.5]))
    y, x = np.indices((SIZE, SIZE)) - 31.5
    angle = np.rint((np.arctan2(y, x) / (2 * np.pi) * len(edge)) % len(edge)).astype(int) % len(edge)
    beyond = np.hypot(y, x) - edge[angle]
    shell = out[(beyond > 0.8) & (beyond < 2.2)]
    assert np.isin(shell, (Tissue.MUSCLE, Tissue.FAT)).mean() > 0.8


def test_far_from_the_heart_nothing_moves():
    """Beyond the fade the body is the donor's."""
    body = body_slice(7, 3, 6)
    out = compose_slice(hearts_of(body_slice(8, 3, 6)), body, 8.0)
    y, x = np.indices((SIZE, SIZE)) - 31.5
    far = np.hypot(y, x) > 28
    np.testing.assert_array_equal(out[far], body[far])


def test_without_a_new_heart_the_old_one_leaves_no_trace():
    """Where the new heart does not reach, the donor's heart closes."""
    out = compose_slice(np.zeros((SIZE, SIZE), np.uint8), body_slice(7, 3, 6), 20.0)
    assert not np.isin(out, HEART).any()


def test_a_heart_where_the_donor_has_none_pushes_the_tissue_aside():
    """A new heart in a bare slice is put in; tissue classes stay what they were."""
    bare = np.full((SIZE, SIZE), Tissue.LUNG, dtype=np.uint8)
    heart = hearts_of(body_slice(7, 3, 6))
    np.testing.assert_array_equal(compose_slice(heart, bare, 20.0), np.where(heart > 0, heart, bare))


@given(st.floats(0, 40), st.floats(0, 40))
@example(2.220446049250313e-16, 5.0)
def test_the_movement_is_monotone_and_fades(new, old):
    """Along a ray sources never swap order, the outline maps to the outline, and the far end stays."""
    reach = max(20.0, 2.5 * abs(new - old))
    radius = np.linspace(0, 120, 2000)
    source, weight = radial_source(radius, np.full(2000, new), np.full(2000, old), reach)
    assert (np.diff(source) >= -1e-9).all()
    at_edge, _ = radial_source(np.array([new]), np.array([new]), np.array([old]), reach)
    np.testing.assert_allclose(at_edge, old if new > 0 else 0.0)
    np.testing.assert_allclose(source[radius > new + reach], radius[radius > new + reach])
    assert ((weight >= 0) & (weight <= 1)).all()


def test_without_a_body_everything_around_is_background():
    """A bundle that knows heart labels only gives heart labels only."""
    hearts = new_hearts(6)
    out = compose(hearts, donor(), with_body=False)
    np.testing.assert_array_equal(out[Phase.ED][1:7], hearts[0])
    assert not out[Phase.ED][[0, 7, 8]].any()


def test_levels_meet_levels_and_rings_meet_rings():
    """Output slices go through the donor from base to apex, and a slice with a ventricle gets a body that has one."""
    own = donor()
    hearts, body = new_hearts(13)[0], own.labels[Phase.ED]
    chosen = donor_slices(hearts, body, own.heart)
    assert chosen[0] == own.heart.start
    assert chosen[-1] == own.heart.stop - 1
    assert (np.diff(chosen) >= 0).all()
    open_base = body.copy()
    open_base[own.heart.start][np.isin(open_base[own.heart.start], (Tissue.LV, Tissue.MYO))] = Tissue.VESSEL
    assert donor_slices(hearts, open_base, own.heart)[0] == own.heart.start + 1
