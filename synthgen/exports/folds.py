"""Folds of a cross-validation that keep a heart together and every class and vendor in each fold."""

from __future__ import annotations

from collections.abc import Iterable

from synthgen.datasets.division import divide
from synthgen.datasets.record import SubjectEntry

FOLDS = 5
"""What nnU-Net and Auto3DSeg divide into."""


def assign_folds(entries: Iterable[SubjectEntry]) -> dict[str, int]:
    """Return the fold of each subject by its id, from 0.

    Both phases of a subject, and all subjects of one `heart`, have the same fold. Fewer than five hearts give fewer
    folds.
    """
    hearts: dict[str, list[SubjectEntry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.pathology, entry.vendor, entry.id)):
        hearts.setdefault(entry.heart, []).append(entry)
    count = min(FOLDS, len(hearts))
    kinds = [[(entry.pathology, entry.vendor) for entry in group] for group in hearts.values()]
    parts = divide(kinds, [1 / count] * count)
    return {entry.id: part for group, part in zip(hearts.values(), parts, strict=True) for entry in group}
