"""Whole groups in parts: sizes, kinds, and parts that would be empty."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from synthgen.datasets.division import divide

KINDS = ("NOR", "MINF", "DCM", "HCM", "ARV")


def cohort(count: int, largest: int, *, one_kind: bool) -> list[list[tuple[str, str]]]:
    """Return groups of random sizes, of one class each or of several; `count` members in all."""
    rng = np.random.default_rng(0)
    groups: list[list[tuple[str, str]]] = []
    while left := count - sum(map(len, groups)):
        size = min(left, int(rng.integers(1, largest + 1)))
        drawn = rng.integers(0, 5, size)
        groups.append([(KINDS[drawn[0] if one_kind else d], "ABCD"[rng.integers(4)]) for d in drawn])
    return groups


@pytest.mark.parametrize("one_kind", [True, False])
@pytest.mark.parametrize(
    ("largest", "shares"), [(1, (0.75, 0.25)), (8, (0.75, 0.25)), (8, (0.7, 0.15, 0.15)), (6, (0.2,) * 5)]
)
def test_sizes_are_exact_and_kinds_nearly_so(one_kind: bool, largest: int, shares: tuple[float, ...]) -> None:
    """400 subjects in groups of up to eight: each part has its share, and of each kind to within a group."""
    groups = cohort(400, largest, one_kind=one_kind)
    parts = divide(groups, shares)
    found = Counter(part for part, group in zip(parts, groups, strict=True) for _ in group)
    assert [found[part] for part in range(len(shares))] == [round(400 * share) for share in shares]
    kinds = Counter((part, kind) for part, group in zip(parts, groups, strict=True) for m in group for kind in m)
    total = Counter(kind for group in groups for member in group for kind in member)
    for (part, kind), number in kinds.items():
        assert abs(number - shares[part] * total[kind]) < max(largest, 2)


def test_no_part_stays_empty_that_need_not() -> None:
    """Two groups go to two parts, whatever the shares; a part that has a right to no subject gets none."""
    twice = [[("ARV", "A")] * 4, [("ARV", "B")] * 4]
    assert sorted(divide(twice, (0.75, 0.25))) == [0, 1]
    assert sorted(divide(twice, (0.9, 0.1))) == [0, 1]
    assert set(divide(twice, (0.99, 0.01))) == {0}
    assert divide([[("ARV", "A")] * 2, [("ARV", "A")] * 9, [("ARV", "A")]], (0.75, 0.25, 0.0)) == [1, 0, 1]
