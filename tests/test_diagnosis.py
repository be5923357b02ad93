"""The class rules of ACDC on hand-made indices."""

import dataclasses

import pytest

from synthgen.diagnosis import CLASS_RULES, judge, matching, satisfied
from synthgen.indices import Indices
from synthgen.labels import Pathology, Sex

NORMAL = Indices(
    **{
        **{field.name: 0.0 for field in dataclasses.fields(Indices)},
        "lv_ef_percent": 60.0,
        "rv_ef_percent": 55.0,
        "lv_edvi_ml_m2": 75.0,
        "rv_edvi_ml_m2": 80.0,
        "lv_mass_index_g_m2": 55.0,
        "wall_ed_max_mm": 8.0,
    }
)

TEXTBOOK = {
    Pathology.NOR: {},
    Pathology.MINF: {"lv_ef_percent": 30.0, "lv_edvi_ml_m2": 95.0},
    Pathology.DCM: {"lv_ef_percent": 20.0, "lv_edvi_ml_m2": 150.0},
    Pathology.HCM: {
        "lv_mass_index_g_m2": 120.0,
        "segments_over_15mm": 4.0,
        "lv_ef_percent": 68.0,
        "wall_ed_max_mm": 16.0,
    },
    Pathology.ARV: {"rv_edvi_ml_m2": 125.0},
}


def heart(**changes):
    """The normal heart with some indices changed."""
    return dataclasses.replace(NORMAL, **changes)


@pytest.mark.parametrize("pathology", Pathology)
def test_a_textbook_heart_satisfies_its_own_class(pathology):
    """The textbook case of each class passes all criteria of that class."""
    verdicts = judge(pathology, heart(**TEXTBOOK[pathology]), None)
    assert len(verdicts) == len(CLASS_RULES[pathology])
    assert all(v.passed and v.judged for v in verdicts)


@pytest.mark.parametrize("pathology", [p for p in Pathology if p is not Pathology.NOR])
def test_a_diseased_heart_is_not_normal_and_a_normal_one_not_diseased(pathology):
    """No textbook disease passes as normal, and the normal heart passes as nothing else."""
    assert Pathology.NOR not in matching(heart(**TEXTBOOK[pathology]), None)
    assert matching(NORMAL, None) == [Pathology.NOR]


@pytest.mark.parametrize(
    ("changes", "sex", "expected"),
    [
        ({"rv_edvi_ml_m2": 105.0}, None, False),
        ({"rv_edvi_ml_m2": 105.0}, Sex.M, False),
        ({"rv_edvi_ml_m2": 105.0}, Sex.F, True),
        ({"rv_edvi_ml_m2": 70.0, "rv_ef_percent": 39.0}, Sex.M, True),
        ({"rv_edvi_ml_m2": 70.0, "rv_ef_percent": 42.0}, Sex.M, False),
        ({"rv_edvi_ml_m2": float("nan"), "rv_ef_percent": 35.0}, None, True),
    ],
)
def test_abnormal_right_ventricle_is_dilated_or_weak(changes, sex, expected):
    """ARV holds when the RV is dilated by the limit of the sex or ejects below 40 %; unknown sex: the limit of men."""
    assert satisfied(judge(Pathology.ARV, heart(**changes), sex)) is expected


def test_limits_of_women_are_lower_for_the_normal_ventricle():
    """An LV of 85 mL/m2 is normal in a man and dilated in a woman."""
    assert satisfied(judge(Pathology.NOR, heart(lv_edvi_ml_m2=85.0), Sex.M))
    assert not satisfied(judge(Pathology.NOR, heart(lv_edvi_ml_m2=85.0), Sex.F))


def test_what_was_not_measured_is_not_judged():
    """Without body size the indexed criteria are neither passed nor judged, and the others decide."""
    nan = float("nan")
    verdicts = judge(Pathology.NOR, heart(lv_edvi_ml_m2=nan, rv_edvi_ml_m2=nan), None)
    assert [v.judged for v in verdicts] == [True, False, True, False, True]
    assert not any(v.passed for v in verdicts if not v.judged)
    assert satisfied(verdicts)


def test_a_verdict_names_its_value():
    """The verdict carries the value that decided, for the log of rejections."""
    verdict = judge(Pathology.MINF, heart(lv_ef_percent=47.0), None)[0]
    assert (verdict.value, verdict.passed, verdict.criterion.name) == (47.0, False, "LV ejects poorly")
