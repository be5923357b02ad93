"""`balance`: which subjects a cohort lacks, so that none of its classes, or none of its vendors, is rarer than another.

Thermos et al. 2021 (DAA-GAN), doi 10.1007/978-3-030-87199-4_15, section 3: a rare class (ARV of M&Ms, +168) or a rare
vendor (D of M&Ms, +101) is filled up to the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from synthgen.counts import LARGEST_COUNT
from synthgen.engine.recipe import Condition, Method
from synthgen.errors import InputError
from synthgen.labels import Pathology, Vendor

By = Literal["class", "vendor"]
Kind = tuple[Pathology, Vendor]


def balance(kinds: Sequence[Kind], by: By, method: Method = "latent", fill: int = 1) -> tuple[Condition, ...]:
    """Return what fills every class or every vendor of a cohort up to its largest, or `fill` times as many subjects.

    Parameters
    ----------
    kinds
        Class and vendor of each subject.
    by
        `class`: each class gets what it lacks, in the styles of all vendors in turn. `vendor`: each vendor gets what it
        lacks, its classes in the proportions of the whole cohort.
    fill
        How many times over what is lacking is asked for.

    Raises
    ------
    InputError
        If the cohort is empty or lacks nothing, or `fill` is below 1 or asks for too many.
    """
    cells: Counter = Counter(kind[0] if by == "class" else kind[1] for kind in kinds)
    largest = max(cells.values(), default=0)
    lacking = {cell: largest - count for cell, count in cells.items() if count < largest}
    if not 1 <= fill <= LARGEST_COUNT // max(largest, 1):
        raise InputError("--fill", expected=f"1 or more, and fewer than {LARGEST_COUNT} subjects", got=str(fill))
    if not lacking:
        got = ", ".join(f"{cell} {count}" for cell, count in sorted(cells.items())) or "an empty cohort"
        raise InputError("--balance", expected=f"a cohort in which a {by} is rarer than another", got=got)
    if by == "class":
        return tuple(Condition(pathology=p, count=fill * lacking[p], method=method) for p in Pathology if p in lacking)
    classes = Counter(pathology for pathology, _ in kinds)
    return tuple(
        Condition(pathology=pathology, vendor=vendor, count=fill * count, method=method)
        for vendor in Vendor
        if vendor in lacking
        for pathology, count in _shared(lacking[vendor], classes).items()
    )


def _shared(count: int, weights: Counter[Pathology]) -> dict[Pathology, int]:
    """Divide `count` in the proportions of `weights`, exactly; the largest remainders are rounded up."""
    total = sum(weights.values())
    exact = {p: count * weights[p] / total for p in Pathology if p in weights}
    out = {p: int(share) for p, share in exact.items()}
    rest = sorted(exact, key=lambda p: (out[p] - exact[p], list(Pathology).index(p)))
    for p in rest[: count - sum(out.values())]:
        out[p] += 1
    return {p: number for p, number in out.items() if number}
