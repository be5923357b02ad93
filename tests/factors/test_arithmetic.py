"""Anatomy arithmetic: identities, partition, the way back, traversals."""

from __future__ import annotations

import numpy as np
import pytest
from heart_cases import heart, ring
from hypothesis import given
from hypothesis import strategies as st

from synthgen.errors import InputError
from synthgen.factors.arithmetic import drawn_in, grow, lifted, mix, mix_stacks, pushed
from synthgen.factors.codes import LABELS, NOBODY, HeartCodes, codes_of, factors_of
from synthgen.factors.swap import TRAVELLERS, donors_for, travellers
from synthgen.labels import HEART, Pathology, Tissue

LEFT, RIGHT = (Tissue.LV, Tissue.MYO), (Tissue.RV,)
CHANNELS = HeartCodes.of_channels(["lung", "rv", "myo", "mixed", "lv", "myo", "empty", "fat"])

sizes = st.floats(0.7, 1.3)
spots = st.tuples(st.floats(27, 36), st.floats(29, 36))
moving = st.sampled_from([LEFT, RIGHT, HEART])


def test_the_table_says_what_travels() -> None:
    """MYO and LV carry MINF, DCM and HCM, RV carries ARV, everything a normal heart."""
    assert travellers(Pathology.NOR, Pathology.HCM) == LEFT
    assert travellers(Pathology.NOR, Pathology.ARV) == RIGHT
    assert travellers(Pathology.DCM, Pathology.NOR) == HEART
    assert set(TRAVELLERS) == set(Pathology) == set(donors_for(Pathology.NOR))


@pytest.mark.parametrize("recipient", [p for p in Pathology if p is not Pathology.NOR])
def test_no_heart_gets_two_diseases(recipient: Pathology) -> None:
    """A diseased heart takes its own disease or a normal heart; another disease is an input error."""
    assert set(donors_for(recipient)) == {Pathology.NOR, recipient}
    other = next(p for p in Pathology if p not in (Pathology.NOR, recipient))
    with pytest.raises(InputError, match="one pathology"):
        travellers(recipient, other)


@given(sizes, spots, moving)
def test_a_heart_mixed_with_itself_is_itself(scale: float, at: tuple[float, float], structures: tuple) -> None:
    """Nothing moves, is claimed twice, filled or lost."""
    own = heart(scale=scale, at=at)
    made = mix_stacks(own, own, structures)
    np.testing.assert_array_equal(made.codes, own)
    assert (made.shift, made.contested, made.filled, made.lost) == ((0, 0), 0, 0, 0)


@given(sizes, spots, sizes, spots, moving, st.integers(5, 9))
def test_every_pixel_has_one_owner(scale, at, donor_scale, donor_at, structures, count) -> None:
    """Travelling structures are the donor's or closed by the RV, the rest the recipient's, and nothing is left over."""
    own, other = heart(scale=scale, at=at), heart(count, donor_scale, donor_at)
    factors = factors_of(mix_stacks(own, other, structures).codes, 4)
    assert (factors.sum(axis=2) == 1).all()
    made = codes_of(factors)
    if structures == RIGHT:
        for tissue in LEFT:
            np.testing.assert_array_equal(made == tissue, own == tissue)


@given(sizes, spots, sizes, spots, moving, st.booleans())
def test_mixing_twice_returns_the_start(scale, at, donor_scale, donor_at, structures, same_outline) -> None:
    """If nothing was contested, filled or lost in any of the three mixtures, both hearts come back exactly."""
    own = heart(scale=scale, at=at)
    other = heart(scale=scale if same_outline else donor_scale, at=donor_at)
    first, second = mix_stacks(own, other, structures), mix_stacks(other, own, structures)
    back, forth = mix_stacks(first.codes, second.codes, structures), mix_stacks(second.codes, first.codes, structures)
    counts = [(m.contested, m.filled, m.lost) for m in (first, second, back, forth)]
    if not np.any(counts):
        np.testing.assert_array_equal(back.codes, own)
        np.testing.assert_array_equal(forth.codes, other)
    if structures == HEART:
        assert not np.any(counts)  # the condition holds for every pair when all travel


def test_thinner_walls_swap_there_and_back() -> None:
    """The condition also holds for a part: cavities of another size in a wall of one outline."""
    own, other = heart(wall=3.0), heart(wall=3.0).copy()
    cavity = own == Tissue.LV
    inner = grow(own, Tissue.LV, -2.0) == Tissue.LV
    other[cavity & ~inner] = Tissue.MYO
    first, second = mix_stacks(own, other, LEFT), mix_stacks(other, own, LEFT)
    np.testing.assert_array_equal(first.codes, other)
    np.testing.assert_array_equal(mix_stacks(first.codes, second.codes, LEFT).codes, own)


def test_outside_the_condition_the_way_back_is_lost() -> None:
    """A larger wall in a smaller place contests the RV's pixels, says so, and cannot be undone exactly."""
    own, other = heart(scale=0.8), heart(scale=1.2)
    first, second = mix_stacks(own, other, LEFT), mix_stacks(other, own, LEFT)
    assert first.contested > 0
    assert not np.array_equal(mix_stacks(first.codes, second.codes, LEFT).codes, own)


@given(sizes, spots, sizes, spots, moving)
def test_factors_mix_as_labels_do(scale, at, donor_scale, donor_at, structures) -> None:
    """Channels in any order, several per structure, give the same structures; the body's channels stay the body's."""
    table = np.array([3, 4, 5, 1], np.uint8)  # body, LV, one of the channels of MYO, RV
    own, other = heart(scale=scale, at=at), heart(scale=donor_scale, at=donor_at)
    plain = mix_stacks(own, other, structures)
    coded = mix_stacks(table[own], table[other], structures, CHANNELS)
    np.testing.assert_array_equal(coded.codes, table[plain.codes])
    np.testing.assert_array_equal(coded.touched, plain.touched)
    assert coded.as_dict() == plain.as_dict()


def test_a_channel_brings_no_distant_muscle() -> None:
    """Only what hangs together with the heart travels or is given up."""
    own, other = heart(), heart(scale=1.2)
    own[:, :, 2:4, 2:6] = Tissue.MYO
    other[:, :, 60:62, 58:62] = Tissue.MYO
    made = mix_stacks(own, other, LEFT).codes
    assert (made[:, :, 2:4, 2:6] == Tissue.MYO).all()
    assert not (made[:, :, 56:] == Tissue.MYO).any()


def test_the_wall_is_never_cut_and_the_right_ventricle_makes_room() -> None:
    """A dilated donor pushes the recipient's RV outwards: it keeps its pixels within a tenth and touches the septum."""
    own, other = heart(scale=0.9), heart(scale=1.25)
    made = mix_stacks(own, other, LEFT)
    assert made.contested > 100
    for phase in range(2):
        before, after = ((stack[phase] == Tissue.RV).sum() for stack in (own, made.codes))
        assert abs(int(after) - int(before)) < 0.1 * before
        np.testing.assert_array_equal(  # the donor's left ventricle is whole
            [(made.codes[phase] == t).sum() for t in LEFT], [(other[phase] == t).sum() for t in LEFT]
        )


def test_what_is_given_up_closes_from_outside() -> None:
    """After a smaller left ventricle came in, the septal gap is the RV's, the rest the body's; no hole remains."""
    own, other = ring(9, 4, 9)[None], ring(6, 3, 7)[None]
    made = mix(own, lifted(other, LEFT, LABELS), LEFT)
    assert made.filled > 0
    septum = made.codes[0, 31, :33]
    assert 0 not in septum[np.flatnonzero(septum == Tissue.RV)[0] : np.flatnonzero(septum == Tissue.LV)[0]]
    assert (made.codes[0, 31, 44:46] == 0).all()


def test_without_an_overlap_nothing_is_pushed() -> None:
    """A structure that is clear of the obstacle comes back as it was."""
    right = np.where(ring() == Tissue.RV, ring(), np.uint8(NOBODY))[None]
    np.testing.assert_array_equal(pushed(right, (ring() == Tissue.LV)[None]), right)


@pytest.mark.parametrize("gap", [0, 1, 2, 5])
def test_a_detached_ventricle_is_drawn_in_until_it_touches(gap: int) -> None:
    """It ends beside the wall, never in it, and nearly as large; one that touches does not move."""
    rows, columns = np.indices((64, 64))
    wall = (np.hypot(rows - 32, columns - 40) <= 10)[None]
    block = (abs(rows - 32) <= 8) & (columns < 30 - gap) & (columns >= 20 - gap)
    structure = np.where(block, np.uint8(Tissue.RV), np.uint8(NOBODY))[None]
    made = drawn_in(structure, wall, np.array([True]))
    shown = made[0] == Tissue.RV
    assert not (shown & wall[0]).any()
    assert (shown[:, :-1] & wall[0][:, 1:]).any()
    assert shown.sum() == pytest.approx(block.sum(), rel=0.25)
    assert np.array_equal(made, structure) == (gap == 0)
    assert np.array_equal(drawn_in(structure, wall, np.array([False])), structure)


def test_a_whole_heart_brings_its_own_gaps() -> None:
    """When everything travels, a right ventricle apart from the wall stays apart: that is how the donor is."""
    own, donor = heart()[0], heart(at=(30, 33))[0]
    apart = donor[6]  # one slice: the others hold the heart together
    right = apart == Tissue.RV
    apart[right] = 0
    apart[np.roll(right, -6, axis=1) & (apart == 0)] = Tissue.RV
    incoming = lifted(donor, HEART, LABELS)
    assert (incoming[6] == Tissue.RV).any()
    ventricle = np.where(incoming == Tissue.RV, incoming, np.uint8(NOBODY))
    moved = drawn_in(ventricle, donor == Tissue.MYO, np.ones(len(donor), np.bool_))
    assert not np.array_equal(moved, ventricle)  # it would be drawn in, if it travelled alone
    made = mix(own, incoming, HEART)
    assert np.array_equal(made.codes == Tissue.RV, incoming == Tissue.RV)
    assert made.filled == 0


def test_the_frame_takes_what_leaves_it_and_says_so() -> None:
    """Pixels that a shift carries over the edge are counted as lost."""
    own, other = heart(at=(31, 10)), heart(scale=1.3, at=(31, 33))
    assert mix_stacks(own, other, RIGHT).lost > 0


@pytest.mark.parametrize(("first", "second"), [((2, 5, 64, 64), (2, 5, 64, 60)), ((2, 5, 64, 64), (1, 5, 64, 64))])
def test_grids_must_agree(first: tuple, second: tuple) -> None:
    """Other pixels or phases are an input error."""
    with pytest.raises(InputError, match="differ in z only"):
        mix_stacks(np.ones(first, np.uint8), np.ones(second, np.uint8), LEFT)


@given(st.sampled_from(HEART), st.floats(1, 3))
def test_growing_is_monotone_and_keeps_the_partition(structure: Tissue, pixels: float) -> None:
    """Dilation contains the structure, erosion is contained in it, 0 is the identity; only it and neighbours change."""
    own = heart()
    larger, smaller = grow(own, structure, pixels), grow(own, structure, -pixels)
    assert ((own == structure) <= (larger == structure)).all()
    assert ((smaller == structure) <= (own == structure)).all()
    assert (larger == structure).sum() > (own == structure).sum() > (smaller == structure).sum()
    np.testing.assert_array_equal(grow(own, structure, 0.0), own)
    np.testing.assert_array_equal(larger[larger != structure], own[larger != structure])
    np.testing.assert_array_equal(smaller[own != structure], own[own != structure])


def test_growth_is_measured_in_pixels() -> None:
    """A dilation by 3 widens a disc of radius 7 to one of 10."""
    area = (grow(ring(7, 3), Tissue.LV, 3.0) == Tissue.LV).sum()
    assert area == pytest.approx(np.pi * 10**2, rel=0.06)
