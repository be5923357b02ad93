"""Dice coefficients: closed forms, in 3D and not by slice, and their summary over subjects."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synthgen.errors import InputError
from synthgen.evaluation.overlap import Spread, dice, dice_of_subject, summarise
from synthgen.labels import Phase, Tissue


def stack(*areas: int) -> np.ndarray:
    """A stack of 8 x 8 slices with that many pixels of cavity each, in reading order."""
    out = np.zeros((len(areas), 64), np.uint8)
    for layer, area in zip(out, areas, strict=True):
        layer[:area] = Tissue.LV
    return out.reshape(-1, 8, 8)


def test_equal_maps_have_one_and_disjoint_ones_zero() -> None:
    """A map overlaps itself fully; one that shares no voxel with it, not at all; half of it, two thirds."""
    truth = stack(20, 10)
    assert dice(truth, truth, Tissue.LV) == 1
    assert dice(np.where(truth == Tissue.LV, 0, Tissue.LV).astype(np.uint8), truth, Tissue.LV) == 0
    assert dice(stack(10, 5), truth, Tissue.LV) == pytest.approx(2 / 3)


def test_it_is_of_the_volume_and_not_a_mean_over_slices() -> None:
    """A slice with one pixel that is missed hardly counts beside one of sixty that is right."""
    assert dice(stack(60, 0), stack(60, 1), Tissue.LV) == pytest.approx(120 / 121)


def test_a_structure_that_nobody_has_does_not_count() -> None:
    """Neither map has a right ventricle: NaN, and the mean over structures is of the others."""
    truth = stack(20)
    assert math.isnan(dice(truth, truth, Tissue.RV))
    scores = dice_of_subject(dict.fromkeys(Phase, truth), dict.fromkeys(Phase, truth))
    assert math.isnan(scores["rv"])
    assert (scores["lv"], scores["mean"]) == (1, 1)


def test_a_subject_has_the_mean_of_its_phases() -> None:
    """Fully right at end-diastole and fully wrong at end-systole is one half."""
    truth = {phase: stack(20) for phase in Phase}
    assert dice_of_subject({Phase.ED: stack(20), Phase.ES: stack(0)}, truth)["lv"] == 0.5


def test_shapes_must_agree() -> None:
    """A segmentation of another shape is an input error."""
    with pytest.raises(InputError, match="the shape of the labels"):
        dice(stack(1), stack(1, 1), Tissue.LV)


def test_subjects_are_summarised_by_name() -> None:
    """Mean and standard deviation are over subjects; one that was not measured is left out of its column alone."""
    got = summarise([{"lv": 0.4, "rv": math.nan}, {"lv": 0.8, "rv": 0.5}])
    assert got["lv"].mean == pytest.approx(0.6)
    assert got["lv"].sd == pytest.approx(0.2)
    assert got["rv"] == Spread(mean=0.5, sd=0.0, count=1)
    assert Spread.of([math.nan]).count == 0
