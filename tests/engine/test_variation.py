"""Label variation: the body follows the heart, phases follow each other, and nothing is a matter of chance twice."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from synthgen.cohorts.preprocess import prepare
from synthgen.engine.variation import Variation, draw_variation, vary
from synthgen.hearts.virtual_hearts import VirtualHearts
from synthgen.labels import HEART, Phase, Tissue
from synthgen.seeding import numpy_stream

STILL = Variation(elastic_mm=0.0, growth_mm=0.0, field=1)
SPACING = (9.0, 1.5, 1.5)


@pytest.fixture(scope="module")
def labels():
    """Nine tissues of a virtual heart at both phases."""
    return prepare(VirtualHearts(1, seed=4)[0]).labels


def areas(stack):
    """Pixels of heart, LV, MYO and RV."""
    return np.array([np.isin(stack, HEART).sum(), *((stack == code).sum() for code in HEART)], float)


def test_no_variation_changes_nothing(labels):
    """Without bending and growth, both maps come back as they were."""
    for phase, stack in vary(labels, SPACING, STILL).items():
        np.testing.assert_array_equal(stack, labels[phase])


def test_a_variation_survives_json_and_decides_everything():
    """The record of a draw rebuilds it; another stream is another variation."""
    one, other = (draw_variation(numpy_stream(0, key)) for key in (1, 2))
    assert Variation(**json.loads(json.dumps(one.record))) == one != other


@pytest.mark.parametrize(("growth_mm", "sign"), [(3.0, 1), (-1.5, -1)])
def test_growth_moves_the_outline(labels, growth_mm, sign):
    """A dilated heart is larger, an eroded one smaller, by about its outline times the growth; its cavity stays."""
    made = vary(labels, SPACING, replace(STILL, growth_mm=growth_mm))
    for phase in Phase:
        before, after = areas(labels[phase]), areas(made[phase])
        assert sign * (after[0] - before[0]) > 0.05 * before[0]
        assert after[1] == before[1]
        assert sign * (after[2] - before[2]) > 0


@pytest.mark.parametrize("growth_mm", [3.0, -1.5])
def test_nothing_is_left_empty_and_walls_stay_closed(labels, growth_mm):
    """Around the heart there is tissue where there was tissue, and no cavity of the LV touches what is not heart."""
    made = vary(labels, SPACING, Variation(elastic_mm=3.0, growth_mm=growth_mm, field=5))
    for phase in Phase:
        near = ndimage.binary_dilation(np.isin(made[phase], HEART), np.ones((1, 5, 5), bool))
        assert (made[phase][near] == Tissue.BACKGROUND).mean() < 0.02
        opened = ndimage.binary_dilation(made[phase] == Tissue.LV, np.ones((1, 3, 3), bool))
        before = ndimage.binary_dilation(labels[phase] == Tissue.LV, np.ones((1, 3, 3), bool))
        open_before = (before & ~np.isin(labels[phase], (Tissue.LV, Tissue.MYO))).sum()
        assert (opened & ~np.isin(made[phase], (Tissue.LV, Tissue.MYO))).sum() <= 1.5 * open_before + 20


def test_bending_moves_by_what_it_says_and_both_phases_alike(labels):
    """Tissue that both phases share goes the same way in both; the displacement is of the size that was drawn."""
    variation = Variation(elastic_mm=4.0, growth_mm=0.0, field=7)
    bent = vary(labels, SPACING, variation)
    shared = vary(dict.fromkeys(Phase, labels[Phase.ED]), SPACING, variation)
    np.testing.assert_array_equal(shared[Phase.ED], shared[Phase.ES])
    np.testing.assert_array_equal(shared[Phase.ED], bent[Phase.ED])
    moved = [
        np.array(ndimage.center_of_mass(a == Tissue.LV)) - np.array(ndimage.center_of_mass(b == Tissue.LV))
        for a, b in zip(bent[Phase.ED], labels[Phase.ED], strict=True)
        if (a == Tissue.LV).any() and (b == Tissue.LV).any()
    ]
    assert 0.2 < np.abs(np.array(moved) * 1.5).mean() < 8.0
