from collections import Counter

import pytest

from synthgen.engine.plan import plan
from synthgen.engine.recipe import Condition, Recipe
from synthgen.errors import InputError
from synthgen.labels import Pathology, Vendor


def arv(count, **changes):
    """Return a condition for so many ARV subjects."""
    return Condition(pathology=Pathology.ARV, count=count, **changes)


def planned(bundle, *conditions, seed=0):
    """Return the plan of a recipe with these conditions."""
    return plan(Recipe(conditions=conditions, seed=seed), bundle)


def test_counts_are_exact_and_vendors_balanced(bundle):
    """As many subjects as asked for, in turn over the bundle's vendors where none is named."""
    specs = planned(bundle, arv(7), Condition(pathology=Pathology.DCM, vendor=Vendor.D, count=5))
    assert Counter((s.pathology, s.vendor) for s in specs) == {
        (Pathology.ARV, Vendor.A): 3,
        (Pathology.ARV, Vendor.B): 2,
        (Pathology.ARV, Vendor.D): 2,
        (Pathology.DCM, Vendor.D): 5,
    }
    assert [s.subject_id for s in specs[:4]] == ["ARV-A-0001", "ARV-B-0002", "ARV-D-0003", "ARV-A-0004"]


def test_a_plan_grows_without_changing(bundle):
    """The first subjects of a larger request are the subjects of the smaller one."""
    assert planned(bundle, arv(20))[:6] == planned(bundle, arv(6))


def test_other_conditions_do_not_touch_a_subject(bundle):
    """A condition's subjects are the same beside other conditions and in another order."""
    hcm = Condition(pathology=Pathology.HCM, count=3)
    alone = set(planned(bundle, arv(4)))
    assert alone <= set(planned(bundle, hcm, arv(4)))
    assert alone <= set(planned(bundle, arv(4), hcm))


def test_ids_are_unique_where_conditions_overlap(bundle):
    """Two conditions that may give the same class and vendor get different ids."""
    of_b = arv(6, vendor=Vendor.B)
    specs = planned(bundle, arv(6), arv(6, vendor=Vendor.A), arv(6, severity=(0.2, 0.4)))
    assert len({s.subject_id for s in specs}) == 18
    assert len({s.key for s in specs}) == 18
    mixed = planned(bundle, arv(6, vendor=Vendor.A), of_b, arv(6), arv(6, vendor=Vendor.A, severity=(0.2, 0.4)))
    assert len({s.subject_id for s in mixed}) == 24
    assert specs[6].subject_id == "ARV-A-2-0001"


def test_severity_and_recipients_are_drawn_within_the_request(bundle):
    """Severity stays in its range and varies; recipients are normal subjects of the bundle and vary."""
    specs = planned(bundle, arv(60, severity=(0.3, 0.5)))
    severities = [s.severity for s in specs]
    assert 0.3 <= min(severities) < 0.33
    assert 0.47 < max(severities) <= 0.5
    assert len({s.recipient for s in specs}) > 8
    assert all(s.recipient.startswith("NOR") for s in specs)


def test_the_seed_decides(bundle):
    """Equal seeds plan equally, seed 0 among them; another seed plans other draws under the same ids."""
    assert planned(bundle, arv(5)) == planned(bundle, arv(5))
    other = planned(bundle, arv(5), seed=1)
    assert [s.subject_id for s in other] == [s.subject_id for s in planned(bundle, arv(5))]
    assert [s.severity for s in other] != [s.severity for s in planned(bundle, arv(5))]


def test_what_the_bundle_lacks_is_refused_by_name(bundle):
    """The message names the vendor and what there is instead."""
    with pytest.raises(InputError, match=r"vendor C: expected .*A, B, D"):
        planned(bundle, arv(1, vendor=Vendor.C))
