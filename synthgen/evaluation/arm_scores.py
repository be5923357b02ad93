"""`ArmScores`: how the networks of one arm did, by training seed and test subject, and differences between arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.evaluation.bootstrap import Interval, difference
from synthgen.evaluation.overlap import AVERAGE, Spread
from synthgen.labels import HEART

STRUCTURES = (*(tissue.name.lower() for tissue in HEART), AVERAGE)

MEASURES = MappingProxyType({"accuracy": "right", "dice": f"dice/{AVERAGE}", "hd95_mm": f"hd95_mm/{AVERAGE}"})
"""What differences are told of, by where a subject's scores have it."""

_RARE = "rare_"


@dataclass(frozen=True, kw_only=True)
class ArmScores:
    """The test subjects' scores.

    Attributes
    ----------
    name
        Of the arm.
    trained, added
        Subjects of the arm, and how many of them are not the original ones (repeated ones included).
    subjects
        One mapping per training seed: a test subject's id to its scores, JSON values: `class`, `vendor`, `rare`,
        `guess`, `probabilities`, `right` (1 or 0) and, where segmentation was measured, `dice` in [0, 1] and
        `hd95_mm`, both by structure and their `mean`.
    """

    name: str
    trained: int
    added: int
    subjects: Sequence[Mapping[str, Mapping[str, Any]]]

    def table(self, place: str, *, rare: bool = False) -> NDArray[np.float64]:
        """Return one score as `(seeds, subjects)`; NaN where it was not measured.

        Parameters
        ----------
        place
            Where it is: `right`, `dice/rv`, `hd95_mm/mean`.
        rare
            Of the rare test subjects alone; subjects are in the order of their ids.
        """
        names = sorted(name for name, scores in self.subjects[0].items() if scores["rare"] or not rare)
        rows = [[_at(scores[name], place) for name in names] for scores in self.subjects]
        return np.array(rows, np.float64).reshape(len(rows), len(names))

    def spread(self, place: str, *, rare: bool = False) -> Spread:
        """Return mean and standard deviation over the training seeds of the mean over the test subjects."""
        table = self.table(place, rare=rare)
        return Spread.of([Spread.of(row).mean for row in table.tolist()])

    def summary(self) -> dict[str, Spread]:
        """Return the spreads of all scores, `rare_` before those of the rare test subjects."""
        places = ["right", *(f"{kind}/{structure}" for kind in ("dice", "hd95_mm") for structure in STRUCTURES)]
        shown = {"right": "accuracy"}
        return {
            f"{_RARE if rare else ''}{shown.get(place, place)}": self.spread(place, rare=rare)
            for rare in (False, True)
            for place in places
        }

    def against(self, control: ArmScores, *, seed: int = 0) -> dict[str, Interval]:
        """Return the differences to another arm of the same study by measure, `rare_` before the rare subjects'.

        Raises
        ------
        InputError
            If the arms were tested on other subjects or with other numbers of seeds.
        """
        if [sorted(scores) for scores in self.subjects] != [sorted(scores) for scores in control.subjects]:
            raise InputError(f"arm {self.name}", expected=f"the seeds and subjects of {control.name}", got="others")
        return {
            f"{_RARE if rare else ''}{name}": difference(
                self.table(place, rare=rare), control.table(place, rare=rare), seed=seed
            )
            for rare in (False, True)
            for name, place in MEASURES.items()
        }


def _at(scores: Mapping[str, Any], place: str) -> float:
    kind, _, structure = place.partition("/")
    value = scores.get(kind)
    if value is None:
        return float("nan")
    return float(value[structure] if structure else value)
