"""The virtual population: keys, records, class rules, class means."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pytest

from synthgen.errors import InputError
from synthgen.hearts import left_ventricle
from synthgen.hearts.chance import Marginal
from synthgen.hearts.left_ventricle import MYOCARDIUM_G_PER_ML
from synthgen.hearts.population import WallThickness, sample
from synthgen.hearts.subject import VirtualSubject
from synthgen.labels import Pathology, Phase, Sex

DRAWS = 200
ACDC_SUBJECTS = 20

# Mean and SD of the 20 training subjects of each class: Khened et al. 2019, doi 10.1016/j.media.2018.10.004, feature
# table; `wall` is the largest slice mean of wall thickness at ED. What the table calls mass is the muscle's volume in
# mL: the experts' labels hold 98 mL in NOR.
COLUMNS = ("lv_edv", "lv_esv", "lv_ef", "rv_edv", "rv_esv", "rv_ef", "mass", "mass_per_volume", "wall")
ACDC = {
    "NOR": ((130, 26), (52, 12), (60.3, 5.1), (153, 37), (69, 20), (55, 8), (98, 25), (0.75, 0.10), (8.3, 1.1)),
    "MINF": ((172, 43), (119, 36), (31.0, 8.1), (119, 36), (55, 24), (56, 11), (117, 18), (0.71, 0.14), (9.2, 1.2)),
    "DCM": ((285, 48), (233, 49), (18.4, 6.7), (178, 67), (126, 64), (32, 18), (162, 31), (0.57, 0.10), (8.6, 1.2)),
    "HCM": ((129, 35), (42, 18), (67.4, 8.9), (118, 34), (46, 13), (60, 11), (169, 53), (1.33, 0.31), (12.9, 2.1)),
    "ARV": ((107, 38), (49, 21), (54.7, 6.1), (196, 49), (134, 45), (31, 15), (74, 24), (0.71, 0.19), (7.4, 1.5)),
}


@lru_cache(maxsize=5)
def population(pathology: Pathology) -> tuple[VirtualSubject, ...]:
    """Return the first subjects of a class, drawn once."""
    return tuple(sample(0, index, pathology) for index in range(DRAWS))


def wall(subject: VirtualSubject) -> WallThickness:
    """Measure the solved ED wall."""
    levels = np.arange(-6.0, subject.left.length_mm + 40.0, 1.5)
    return WallThickness.of(left_ventricle.solve(subject, Phase.ED, levels))


@pytest.mark.parametrize("pathology", Pathology)
def test_class_means(pathology):
    """Means over 200 draws of volumes, EF, mass, M/V and ED wall lie within two standard errors of ACDC's."""
    rows = []
    for subject in population(pathology):
        t = subject.targets
        left, right = (t.lv_edv_ml, t.lv_esv_ml, t.lv_ef_percent), (t.rv_edv_ml, t.rv_esv_ml, t.rv_ef_percent)
        rows.append((*left, *right, t.lv_mass_g, t.lv_mass_g / t.lv_edv_ml))
    thickest = [max(wall(subject).slice_means) for subject in population(pathology)[:40]]
    means = (*np.mean(rows, axis=0), np.mean(thickest))
    for name, found, row in zip(COLUMNS, means, ACDC[pathology], strict=True):
        mean, sd = np.array(row) * (MYOCARDIUM_G_PER_ML if name.startswith("mass") else 1.0)
        assert abs(found - mean) <= 2 * sd / np.sqrt(ACDC_SUBJECTS), f"{name}: {found:.2f} against {mean}"


@pytest.mark.parametrize("pathology", Pathology)
def test_class_rules(pathology):
    """Every draw satisfies the ACDC rule of its class."""
    for subject in population(pathology):
        targets, surface, woman = subject.targets, subject.body.surface_m2, subject.sex is Sex.F
        lv_edvi, rv_edvi = targets.lv_edv_ml / surface, targets.rv_edv_ml / surface
        rules = {
            Pathology.NOR: targets.lv_ef_percent > 50
            and lv_edvi < (80 if woman else 90)
            and rv_edvi < 100
            and targets.rv_ef_percent > 40,
            Pathology.MINF: targets.lv_ef_percent < 40 and subject.left.infarct is not None,
            Pathology.DCM: targets.lv_ef_percent < 40 and lv_edvi > 100,
            Pathology.HCM: targets.lv_ef_percent > 55 and subject.left.hypertrophy is not None,
            Pathology.ARV: (rv_edvi > (100 if woman else 110) or targets.rv_ef_percent < 40)
            and not 40 <= targets.rv_ef_percent <= 45,
        }
        assert rules[pathology], subject
    for subject in population(pathology)[:30]:
        thickness = wall(subject)
        if pathology in (Pathology.NOR, Pathology.DCM):
            assert max(thickness.slice_means) < 12
        if pathology is Pathology.HCM:
            assert sum(value > 15 for value in thickness.segments) >= 2


def test_chambers_correlate():
    """Hearts differ in size as a whole: LV and RV volumes correlate in healthy subjects about as in ACDC (0.92)."""
    volumes = np.array([(s.targets.lv_edv_ml, s.targets.rv_edv_ml) for s in population(Pathology.NOR)])
    assert 0.8 < np.corrcoef(volumes.T)[0, 1] < 0.97


def test_key_alone_decides():
    """A subject depends on seed, index and class only, and differs when one of them does."""
    first = sample(5, 3, Pathology.DCM)
    sample(5, 2, Pathology.HCM)
    assert sample(5, 3, Pathology.DCM) == first
    assert sample(5, 4, Pathology.DCM) != first
    assert sample(6, 3, Pathology.DCM) != first
    assert sample(5, 3, Pathology.ARV).targets != first.targets


@pytest.mark.parametrize("pathology", Pathology)
def test_record_survives_json(pathology):
    """A subject written as JSON and read back is equal, to the last bit."""
    for index in range(6):
        subject = sample(1, index, pathology)
        assert VirtualSubject.from_dict(json.loads(json.dumps(subject.to_dict()))) == subject


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda data: data.pop("targets"), "targets"),
        (lambda data: data["left"].update(length_mm="long"), "length_mm"),
        (lambda data: data["placement"].update(ripples=3), "ripples"),
        (lambda data: data.update(pathology="XYZ"), "XYZ"),
        (lambda data: data["thorax"].update(extra=1.0), "thorax"),
        (lambda data: data.update(seed=True), "seed"),
    ],
)
def test_damaged_record_is_refused(change, named):
    """A record with a missing, unknown or wrong field is refused by name."""
    data = sample(1, 0, Pathology.NOR).to_dict()
    change(data)
    with pytest.raises(InputError, match=named):
        VirtualSubject.from_dict(data)


def test_truncated_marginal_stays_inside():
    """A truncated normal keeps its limits for any score and its median at the middle of the kept probability."""
    marginal = Marginal(10.0, 4.0, 8.0, 12.0)
    values = [marginal.at(score) for score in (-40.0, -3.0, 0.0, 3.0, 40.0)]
    assert values == sorted(values)
    assert values[0] >= 8.0
    assert values[-1] <= 12.0
    assert values[2] == pytest.approx(10.0)
