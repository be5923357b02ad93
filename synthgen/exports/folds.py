"""Folds of a cross-validation that keep a heart together and every class and vendor in each fold."""

from __future__ import annotations

from collections.abc import Iterable

from synthgen.datasets.record import SubjectEntry

FOLDS = 5
"""What nnU-Net and Auto3DSeg divide into."""


def assign_folds(entries: Iterable[SubjectEntry]) -> dict[str, int]:
    """Return the fold of each subject by its id, from 0.

    Hearts are dealt out in turn, class by class and vendor by vendor: both phases of a subject, and all subjects of one
    anatomy, have the same fold. Fewer than five hearts give fewer folds.
    """
    ordered = sorted(entries, key=lambda entry: (entry.pathology, entry.vendor, entry.id))
    turns = {heart: turn for turn, heart in enumerate(dict.fromkeys(entry.heart for entry in ordered))}
    return {entry.id: turns[entry.heart] % FOLDS for entry in ordered}
