import json

import numpy as np
import pytest

from synthgen.engine.gate import calibrate, check, examine
from synthgen.errors import InputError
from synthgen.labels import Pathology, Phase, Sex
from synthgen.subjects import Body
from synthgen.volumes import Volume, stack_affine

SPACING = (9.0, 1.5, 1.5)
SIZE, SLICES = 96, 9
BODY = Body(height_cm=172, weight_kg=70, sex=Sex.M)


def volume(lv_mm, wall_mm, rv_mm):
    """A half-ellipsoid of rings with a right ventricle beside them."""
    y, x = (np.indices((SIZE, SIZE)) - (SIZE - 1) / 2) * SPACING[1]
    out = np.zeros((SLICES, SIZE, SIZE), np.uint8)
    for z in range(SLICES):
        taper = np.sqrt(1 - (z / (SLICES + 1)) ** 2)
        lv, rv, outer = lv_mm * taper, rv_mm * taper, lv_mm * taper + wall_mm
        out[z][np.hypot(y, x + outer) <= rv] = 3
        out[z][np.hypot(y, x) <= outer] = 2
        out[z][np.hypot(y, x) <= lv] = 1
    return Volume(out, SPACING, stack_affine(SPACING, out.shape))


def heart(ed=(24, 9, 28), es=(16, 12, 18)):
    """Return both phases of a plausible normal heart."""
    return {Phase.ED: volume(*ed), Phase.ES: volume(*es)}


def failed(labels, pathology=Pathology.NOR, gates=None, body=BODY):
    """Return the names of the gates that refuse a heart."""
    verdicts = check(examine(pathology, labels, body), gates if gates is not None else {})
    return {verdict.name for verdict in verdicts if not verdict.passed}


def test_a_sound_heart_passes():
    """A plausible normal heart passes every gate, calibrated or not."""
    source = [examine(Pathology.NOR, heart((24 + k / 5, 9, 28), (16, 12, 18)), BODY) for k in range(-5, 6)]
    assert failed(heart()) == set()
    assert failed(heart(), gates=calibrate(source)) == set()


def test_structure_asks_for_both_ventricles_and_two_phases():
    """A missing structure fails, and so do two equal phases."""
    without = heart()
    without[Phase.ES].voxels[without[Phase.ES].voxels == 3] = 0
    assert any(name.startswith("structure") for name in failed(without))
    same = {phase: volume(24, 9, 26) for phase in Phase}
    assert any(name.startswith("structure") for name in failed(same))


def test_topology_tolerates_what_the_source_cohort_shows():
    """A fault that source subjects have in three slices is allowed in three and not in four."""

    def holed(count):
        labels = heart()
        labels[Phase.ED].voxels[:count, 46:49, 46:49] = 2
        return labels

    gates = calibrate([examine(Pathology.NOR, holed(3), BODY)] * 20)
    assert "topology: lv_holes" not in failed(holed(3), gates=gates)
    assert "topology: lv_holes" in failed(holed(4), gates=gates)
    assert "topology: lv_holes" in failed(holed(3))


def test_physiology_refuses_impossible_hearts():
    """A heart that fills in systole, or whose muscle doubles, is refused with the reason."""
    assert "physiology: LV ejection fraction" in failed(heart(ed=(16, 12, 28), es=(24, 9, 18)))
    assert "physiology: mass ED against ES" in failed(heart(es=(16, 22, 18)))
    assert "physiology: stroke volume LV against RV" in failed(heart(es=(16, 12, 27.5)))


def test_the_class_rule_of_arv_is_always_enforced():
    """A normal right ventricle is not accepted as ARV, not even when the source cohort says so."""
    source = [examine(Pathology.ARV, heart(), BODY)] * 5
    gates = calibrate(source)
    rule = gates["class_rule"]["ARV"]["RV is dilated or ejects poorly"]
    assert (rule["rate"], rule["enforced"]) == (0.0, True)
    assert any(name.startswith("class ARV") for name in failed(heart(), Pathology.ARV, gates))
    assert (
        failed(heart(ed=(24, 9, 40), es=(16, 12, 34)), Pathology.ARV, gates | {"physiology": {"stroke_difference": 2}})
        == set()
    )


def test_criteria_that_the_source_cohort_misses_are_recorded_and_not_enforced():
    """Where fewer than nine in ten source subjects satisfy a criterion, it is told and not asked for."""
    source = [examine(Pathology.HCM, heart(), BODY)] * 5
    gates = calibrate(source)
    assert gates["class_rule"]["HCM"]["myocardium is heavy"] == {
        "judged": 5, "satisfied": 0, "rate": 0.0, "enforced": False
    }  # fmt: skip
    assert not any("heavy" in name for name in failed(heart(), Pathology.HCM, gates))
    assert any("heavy" in name for name in failed(heart(), Pathology.HCM))


def test_a_heart_outside_the_range_of_its_class_is_refused():
    """Ten subjects of a class give a range of ejection fraction; nine give none."""
    source = [examine(Pathology.NOR, heart((24 + k / 5, 9, 28)), BODY) for k in range(-5, 5)]
    limits = calibrate(source)["class_range"]
    low, high = limits["NOR"]["lv_ef_percent"]
    found = np.array([m.indices.lv_ef_percent for m in source])
    assert (low + high) / 2 == pytest.approx(found.mean(), abs=0.01)
    assert (high - low) / 5 == pytest.approx(found.std(ddof=1), abs=0.01)
    weak = heart(es=(22, 12, 24))
    assert "class range NOR: lv_ef_percent" in failed(weak, gates={"class_range": limits})
    assert not any("range" in name for name in failed(weak, gates=calibrate(source[:9])))


def test_an_indexed_rule_is_not_judged_without_body_size():
    """Without height and weight, what is left of the rule is judged, and nothing is guessed."""
    assert failed(heart(), body=None) == set()


def test_gates_and_verdicts_are_json():
    """What goes into a bundle and into a record has a JSON form."""
    measured = examine(Pathology.NOR, heart(), None)
    json.dumps(calibrate([measured]))
    text = json.dumps([verdict.as_dict() for verdict in check(measured, {})])
    assert "NaN" not in text


def test_an_empty_cohort_calibrates_nothing():
    """Calibration needs something to calibrate on."""
    with pytest.raises(InputError, match="at least one"):
        calibrate([])
