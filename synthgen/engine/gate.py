"""Validity gates: what a heart must satisfy before it is rendered, with limits calibrated on the source cohort."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthgen.diagnosis import CLASS_RULES, judge
from synthgen.engine.topology import CRITERIA, violations
from synthgen.errors import InputError
from synthgen.indices import Indices, measure
from synthgen.labels import HEART, Pathology, Phase, Sex, Tissue
from synthgen.subjects import Body
from synthgen.volumes import Volume

ENFORCED_RATE = 0.9
"""A class criterion that fewer source subjects of the class satisfy is not enforced."""

_QUANTILE = 0.99
_LV_EF = (5.0, 85.0)  # per cent
_LV_EDV = (30.0, 600.0)  # mL
_WALL = (3.0, 35.0)  # mm
_MASS_DIFFERENCE = 0.35  # of the mean; experts' contours of ACDC differ by up to 0.34 (99th percentile)
_STROKE_DIFFERENCE = 0.5

_RANGED = {  # index -> unit, structure
    "lv_ef_percent": ("%", Tissue.LV),
    "rv_ef_percent": ("%", Tissue.RV),
    "wall_ed_max_mm": ("mm", Tissue.MYO),
}
_RANGE_SD = 2.5
_RANGE_SUBJECTS = 10

Gates = Mapping[str, Any]
"""What `calibrate` returns and a bundle stores; empty for no calibration: fixed limits, every class rule enforced."""


@dataclass(frozen=True)
class Verdict:
    """One gate's outcome.

    Attributes
    ----------
    name
        Gate and criterion, such as `topology: lv_open`.
    value
        What was measured; NaN where it could not be.
    limit
        What it had to reach or stay within, in words.
    """

    name: str
    passed: bool
    value: float
    limit: str

    def as_dict(self) -> dict[str, object]:
        """Return the verdict as JSON values."""
        value = None if math.isnan(self.value) else round(self.value, 4)
        return {"name": self.name, "passed": self.passed, "value": value, "limit": self.limit}


@dataclass(frozen=True)
class Measurement:
    """What the gates look at: who it is, clinical indices, violated criteria by name.

    Attributes
    ----------
    carriers
        Structures that are of the class; of a mixture, those that travelled. The others need not look like it.
    """

    pathology: Pathology
    sex: Sex | None
    indices: Indices
    violations: Mapping[str, int]
    complete: bool
    carriers: tuple[Tissue, ...] = HEART


def examine(
    pathology: Pathology,
    labels: Mapping[Phase, Volume],
    body: Body | None,
    carriers: tuple[Tissue, ...] = HEART,
) -> Measurement:
    """Measure one subject's labels, of a source cohort or decoded; codes above 3 count as background."""
    stacks = {phase: labels[phase].voxels for phase in Phase}
    complete = all((stack == structure).any() for stack in stacks.values() for structure in HEART)
    differ = not np.array_equal(stacks[Phase.ED], stacks[Phase.ES])
    return Measurement(
        pathology=pathology,
        sex=body.sex if body else None,
        indices=measure(labels, body),
        violations=violations(stacks),
        complete=complete and differ,
        carriers=carriers,
    )


def calibrate(cohort: Sequence[Measurement]) -> dict[str, dict]:
    """Return limits from the measurements of a source cohort, as JSON values for a bundle.

    A criterion of topology allows what 99 % of the source subjects stay within, and at least one slice. A class
    criterion that fewer than 90 % of the source subjects of the class satisfy is recorded with its rate and not
    enforced, except ARV's, which is the point of asking for that class. The range of a class is mean +- 2.5 SD of its
    source subjects, for ejection fractions and wall thickness; a class of fewer than 10 has none.

    Raises
    ------
    InputError
        If the cohort is empty.
    """
    if not cohort:
        raise InputError("gate calibration", expected="at least one source subject", got="none")
    counts = {name: np.array([m.violations[name] for m in cohort]) for name in CRITERIA}
    topology = {name: max(int(np.quantile(v, _QUANTILE, method="higher")), 1) for name, v in counts.items()}
    differences = [_differences(m.indices) for m in cohort]
    mass = np.array([d["mass_difference"] for d in differences])
    stroke = np.array([d["stroke_difference"] for d in differences])
    ratio = np.array([m.indices.lv_mass_ed_g / m.indices.lv_mass_es_g for m in cohort if m.indices.lv_mass_es_g > 0])
    thinnest = np.array([d["wall_thinnest_mm"] for d in differences if math.isfinite(d["wall_thinnest_mm"])])
    return {
        "source": {"subjects": len(cohort)},
        "topology": topology,
        "physiology": {
            "mass_ratio": round(float(np.median(ratio)), 4) if ratio.size else 1.0,
            "mass_difference": round(max(_MASS_DIFFERENCE, float(np.quantile(mass, _QUANTILE))), 4),
            "stroke_difference": round(max(0.1, float(np.quantile(stroke, _QUANTILE))), 4),
            "wall_thinnest_mm": round(min([_WALL[0], *np.quantile(thinnest, [1 - _QUANTILE])]), 4)
            if thinnest.size
            else _WALL[0],
        },
        "class_rule": {p.value: _rates([m for m in cohort if m.pathology is p]) for p in Pathology},
        "class_range": {p.value: _ranges([m.indices for m in cohort if m.pathology is p]) for p in Pathology},
    }


def mass_ratio_of(gates: Gates) -> float:
    """Return the mass of the myocardium at ED over that at ES, as the source cohort is contoured; 1 if unknown."""
    return float(gates.get("physiology", {}).get("mass_ratio", 1.0))


def check(measurement: Measurement, gates: Gates) -> list[Verdict]:
    """Return the verdict of every gate: structure, topology, physiology, class rule, class range."""
    return [
        *_structure(measurement),
        *_topology(measurement, gates.get("topology", {})),
        *_physiology(measurement.indices, gates.get("physiology", {})),
        *_class_rule(measurement, gates.get("class_rule", {})),
        *_class_range(measurement, gates.get("class_range", {})),
    ]


def _rates(members: Sequence[Measurement]) -> dict[str, dict]:
    out: dict[str, dict] = {}
    for m in members:
        for verdict in judge(m.pathology, m.indices, m.sex):
            if verdict.judged:
                entry = out.setdefault(verdict.criterion.name, {"judged": 0, "satisfied": 0})
                entry["judged"] += 1
                entry["satisfied"] += verdict.passed
    for entry in out.values():
        rate = entry["satisfied"] / entry["judged"]
        entry["rate"] = round(rate, 4)
        entry["enforced"] = rate >= ENFORCED_RATE or members[0].pathology is Pathology.ARV
    return out


def _ranges(members: Sequence[Indices]) -> dict[str, list[float]]:
    out = {}
    for name in _RANGED:
        values = np.array([value for m in members if math.isfinite(value := getattr(m, name))])
        if values.size >= _RANGE_SUBJECTS:
            reach = _RANGE_SD * values.std(ddof=1)
            out[name] = [round(float(values.mean() - reach), 2), round(float(values.mean() + reach), 2)]
    return out


def _structure(measurement: Measurement) -> list[Verdict]:
    name = "structure: LV, MYO and RV in both phases, which differ"
    return [Verdict(name, measurement.complete, float(measurement.complete), "1")]


def _topology(measurement: Measurement, limits: Mapping[str, Any]) -> list[Verdict]:
    out = []
    for name, value in measurement.violations.items():
        limit = int(limits.get(name, 1))
        out.append(Verdict(f"topology: {name}", value <= limit, float(value), f"at most {limit} slices"))
    return out


def _physiology(indices: Indices, limits: Mapping[str, Any]) -> list[Verdict]:
    measured = _differences(indices)
    mass = float(limits.get("mass_difference", _MASS_DIFFERENCE))
    stroke = float(limits.get("stroke_difference", _STROKE_DIFFERENCE))
    thinnest = float(limits.get("wall_thinnest_mm", _WALL[0]))
    return [
        _within("physiology: LV ejection fraction", indices.lv_ef_percent, _LV_EF, "%"),
        _within("physiology: LV end-diastolic volume", indices.lv_edv_ml, _LV_EDV, "mL"),
        _within("physiology: RV end-systolic share of its volume", 1 - indices.rv_ef_percent / 100, (0.0, 1.0), ""),
        _within("physiology: thinnest level of the wall", measured["wall_thinnest_mm"], (thinnest, _WALL[1]), "mm"),
        _within("physiology: thickest level of the wall", indices.wall_ed_max_mm, _WALL, "mm"),
        _within("physiology: mass ED against ES", measured["mass_difference"], (0.0, mass), ""),
        _within("physiology: stroke volume LV against RV", measured["stroke_difference"], (0.0, stroke), ""),
    ]


def _class_rule(measurement: Measurement, table: Mapping[str, Any]) -> list[Verdict]:
    known = table.get(measurement.pathology.value, {})
    enforced = {c.name: known.get(c.name, {}).get("enforced", True) for c in CLASS_RULES[measurement.pathology]}
    return [
        Verdict(
            f"class {measurement.pathology}: {v.criterion.name}",
            v.passed,
            v.value,
            _in_words(v.criterion.terms, measurement.sex),
        )
        for v in judge(measurement.pathology, measurement.indices, measurement.sex)
        if enforced[v.criterion.name] and v.judged
    ]


def _class_range(measurement: Measurement, table: Mapping[str, Any]) -> list[Verdict]:
    gate = f"class range {measurement.pathology}"
    return [
        _within(f"{gate}: {name}", getattr(measurement.indices, name), limits, _RANGED[name][0])
        for name, limits in table.get(measurement.pathology.value, {}).items()
        if _RANGED[name][1] in measurement.carriers
    ]


def _in_words(terms: Sequence, sex: Sex | None) -> str:
    return " or ".join(f"{t.index} {t.relation} {t.limit_for(sex):g}" for t in terms)


def _differences(indices: Indices) -> dict[str, float]:
    mass = (indices.lv_mass_ed_g, indices.lv_mass_es_g)
    stroke = (indices.lv_sv_ml, indices.rv_sv_ml)
    levels = [indices.wall_ed_basal_mm, indices.wall_ed_mid_mm, indices.wall_ed_apical_mm]
    found = [v for v in levels if math.isfinite(v)]
    return {
        "mass_difference": _relative(*mass),
        "stroke_difference": _relative(*stroke),
        "wall_thinnest_mm": min(found) if found else math.nan,
    }


def _relative(first: float, second: float) -> float:
    mean = (abs(first) + abs(second)) / 2
    return abs(first - second) / mean if mean > 0 else 0.0


def _within(name: str, value: float, limits: Sequence[float], unit: str) -> Verdict:
    words = f"{limits[0]:g} to {limits[1]:g} {unit}".strip()
    return Verdict(name, bool(limits[0] <= value <= limits[1]), float(value), words)
