"""Folds of a cross-validation that keep both phases of a subject together and every class and vendor in each fold."""

from __future__ import annotations

from collections.abc import Iterable

from synthgen.datasets.record import SubjectEntry

FOLDS = 5
"""What nnU-Net and Auto3DSeg divide into."""


def assign_folds(entries: Iterable[SubjectEntry]) -> dict[str, int]:
    """Return the fold of each subject by its id, from 0.

    Subjects are dealt out in turn, class by class and vendor by vendor; fewer than five subjects give fewer folds.
    """
    ordered = sorted(entries, key=lambda entry: (entry.pathology, entry.vendor, entry.id))
    return {entry.id: place % FOLDS for place, entry in enumerate(ordered)}
