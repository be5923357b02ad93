"""Dice coefficients of segmentations: per structure, in 3D, per subject; and their mean and spread over subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.labels import HEART, Phase, Tissue

AVERAGE = "mean"
"""Name of the mean over the structures, beside the structures' own."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One number of several subjects.

    Attributes
    ----------
    mean, sd
        Over the subjects that have it; `sd` divides by their number. NaN if there is none.
    count
        How many have it.
    """

    mean: float
    sd: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarise values; those that are not finite are left out."""
        kept = [value for value in values if np.isfinite(value)]
        if not kept:
            return cls(mean=float("nan"), sd=float("nan"), count=0)
        return cls(mean=float(np.mean(kept)), sd=float(np.std(kept)), count=len(kept))


def dice(guessed: NDArray[np.uint8], truth: NDArray[np.uint8], structure: Tissue) -> float:
    """Return the Dice coefficient of one structure of two label maps of one shape, in [0, 1]; NaN if neither has it.

    Over all voxels at once: of stacks `(z, y, x)` it is the coefficient of the volumes, not a mean over slices, so that
    a slice at the end of the stack with three pixels of heart does not count as much as one with three hundred (Dice
    1945, doi 10.2307/1932409).

    Raises
    ------
    InputError
        If the shapes differ.
    """
    if guessed.shape != truth.shape:
        raise InputError("segmentation", expected=f"the shape of the labels, {truth.shape}", got=f"{guessed.shape}")
    one, other = guessed == structure, truth == structure
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else float("nan")


def dice_of_subject(
    guessed: Mapping[Phase, NDArray[np.uint8]], truth: Mapping[Phase, NDArray[np.uint8]]
) -> dict[str, float]:
    """Return the Dice coefficients of one subject by structure (`lv`, `myo`, `rv`) and their `mean`.

    Each is the mean of the coefficients of the subject's two volumes, stacks `(z, y, x)` at ED and ES. A structure that
    a volume neither has nor is said to have does not count.
    """
    values = {
        structure.name.lower(): Spread.of([dice(guessed[phase], truth[phase], structure) for phase in Phase]).mean
        for structure in HEART
    }
    return {**values, AVERAGE: Spread.of(list(values.values())).mean}


def summarise(subjects: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Return mean and standard deviation over subjects, by the names that they all have."""
    return {name: Spread.of([subject[name] for subject in subjects]) for name in (subjects[0] if subjects else ())}
