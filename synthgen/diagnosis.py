"""The class rules of ACDC as a table of criteria on clinical indices.

Source: Bernard et al. 2018, doi 10.1109/TMI.2018.2837502, and the challenge's page "Databases and classification".
The rules describe how the hospital sorted its patients; indices measured on short-axis contours satisfy them at a rate
below one (papillary muscles lie in the cavity, so mass is low), which is why gates are calibrated on a source cohort.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from synthgen.indices import Indices
from synthgen.labels import Pathology, Sex

Relation = Literal["<", ">", ">="]

_RELATIONS = {"<": operator.lt, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Term:
    """One comparison: `index relation limit`, with the limit of women where it differs."""

    index: str
    relation: Relation
    limit: float
    limit_women: float | None = None

    def limit_for(self, sex: Sex | None) -> float:
        """Return the limit that holds for `sex`; the limit of men when it is unknown."""
        return self.limit_women if sex is Sex.F and self.limit_women is not None else self.limit


@dataclass(frozen=True)
class Criterion:
    """One requirement of a class: met when any of its terms holds."""

    name: str
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Verdict:
    """The outcome of one criterion.

    Attributes
    ----------
    value
        Value of the term that decided; NaN if it could not be measured (an indexed value without body size).
    passed
        Whether the criterion is met. A criterion that could not be judged is not met.
    """

    criterion: Criterion
    value: float
    passed: bool

    @property
    def judged(self) -> bool:
        """Whether the indices it needs were measured."""
        return bool(np.isfinite(self.value))


def _one(name: str, index: str, relation: Relation, limit: float, women: float | None = None) -> Criterion:
    return Criterion(name, (Term(index, relation, limit, women),))


CLASS_RULES: MappingProxyType[Pathology, tuple[Criterion, ...]] = MappingProxyType(
    {
        Pathology.NOR: (
            _one("LV ejects normally", "lv_ef_percent", ">", 50.0),
            _one("LV is not dilated", "lv_edvi_ml_m2", "<", 90.0, 80.0),
            _one("wall is not thickened", "wall_ed_max_mm", "<", 12.0),
            _one("RV is not dilated", "rv_edvi_ml_m2", "<", 100.0),
            _one("RV ejects normally", "rv_ef_percent", ">", 40.0),
        ),
        Pathology.MINF: (_one("LV ejects poorly", "lv_ef_percent", "<", 40.0),),
        Pathology.DCM: (
            _one("LV is dilated", "lv_edvi_ml_m2", ">", 100.0),
            _one("LV ejects poorly", "lv_ef_percent", "<", 40.0),
            _one("wall is not thickened", "wall_ed_max_mm", "<", 12.0),
        ),
        Pathology.HCM: (
            _one("myocardium is heavy", "lv_mass_index_g_m2", ">", 110.0),
            _one("several segments are thick", "segments_over_15mm", ">=", 2.0),
            _one("LV ejects well", "lv_ef_percent", ">", 55.0),
        ),
        Pathology.ARV: (
            Criterion(
                "RV is dilated or ejects poorly",
                (Term("rv_edvi_ml_m2", ">", 110.0, 100.0), Term("rv_ef_percent", "<", 40.0)),
            ),
        ),
    }
)
"""What each class requires. The regional wall motion that tells MINF from DCM is not a global index and is not here."""


def judge(pathology: Pathology, indices: Indices, sex: Sex | None) -> list[Verdict]:
    """Judge `indices` by every criterion of `pathology`; an unknown sex takes the limits of men."""
    return [_judge(criterion, indices, sex) for criterion in CLASS_RULES[pathology]]


def satisfied(verdicts: Sequence[Verdict]) -> bool:
    """Return whether every criterion that could be judged is met, and at least one could."""
    judged = [verdict for verdict in verdicts if verdict.judged]
    return bool(judged) and all(verdict.passed for verdict in judged)


def matching(indices: Indices, sex: Sex | None) -> list[Pathology]:
    """Return every class whose rules `indices` satisfy; classes overlap, and a heart may match none."""
    return [pathology for pathology in Pathology if satisfied(judge(pathology, indices, sex))]


def _judge(criterion: Criterion, indices: Indices, sex: Sex | None) -> Verdict:
    first: float | None = None
    for term in criterion.terms:
        value = float(getattr(indices, term.index))
        if not np.isfinite(value):
            continue
        if _RELATIONS[term.relation](value, term.limit_for(sex)):
            return Verdict(criterion, value, passed=True)
        first = value if first is None else first
    return Verdict(criterion, float("nan") if first is None else first, passed=False)
