"""What a cohort lacks."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.engine.balance import balance
from synthgen.errors import InputError
from synthgen.labels import Pathology, Vendor

KINDS = st.lists(st.tuples(st.sampled_from(Pathology), st.sampled_from(Vendor)), min_size=2, max_size=60)


@given(kinds=KINDS, by=st.sampled_from(["class", "vendor"]), fill=st.integers(1, 3))
def test_with_what_it_lacks_every_cell_is_as_large_as_the_largest(kinds: list, by: str, fill: int) -> None:
    """Each class, or vendor, of a cohort gets what it lacks to be as large as the largest, so many times over."""
    place = 0 if by == "class" else 1
    before = Counter(kind[place] for kind in kinds)
    if len(set(before.values())) == 1:
        with pytest.raises(InputError, match="rarer"):
            balance(kinds, by)
        return
    added: Counter = Counter()
    for condition in balance(kinds, by, fill=fill):
        added[condition.pathology if by == "class" else condition.vendor] += condition.count
    assert {cell: fill * (max(before.values()) - before[cell]) for cell in before} == {c: added[c] for c in before}
    assert set(added) <= set(before)


def test_a_vendor_is_filled_in_the_proportions_of_the_cohort() -> None:
    """Classes of a rare vendor come in the shares they have everywhere; the largest remainder is rounded up."""
    kinds = [(Pathology.NOR, Vendor.A)] * 6 + [(Pathology.HCM, Vendor.A)] * 3 + [(Pathology.NOR, Vendor.D)] * 2
    conditions = balance(kinds, "vendor", "mix")
    assert [(c.pathology, c.vendor, c.count, c.method) for c in conditions] == [
        (Pathology.NOR, Vendor.D, 5, "mix"),
        (Pathology.HCM, Vendor.D, 2, "mix"),
    ]


def test_an_empty_cohort_lacks_nothing() -> None:
    """There is nothing to be like."""
    with pytest.raises(InputError, match="empty"):
        balance([], "class")
