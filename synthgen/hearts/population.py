"""The virtual population: class-conditional draws of body, clinical targets and anatomy.

Class means follow the 100 training subjects of ACDC (Bernard et al. 2018, doi 10.1109/TMI.2018.2837502), from the
public feature table of Khened et al. 2019 (doi 10.1016/j.media.2018.10.004), whose mass is the muscle's volume in mL;
class rules follow the challenge's pages.
One rule is left out: HCM above 110 g/m2. ACDC's own HCM subjects measure 177 +- 56 g, about 95 g/m2, with papillary
muscles in the cavity; rule and table cannot both hold, and the table is what images look like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from synthgen.errors import SynthgenError
from synthgen.hearts import left_ventricle
from synthgen.hearts.base_shape import base_shape
from synthgen.hearts.chance import Marginal, correlated
from synthgen.hearts.left_ventricle import LeftVentricle
from synthgen.hearts.morphology import left_shape, placement, right_shape, thorax_shape
from synthgen.hearts.polar import ANGLES
from synthgen.hearts.subject import Targets, VirtualSubject
from synthgen.labels import Pathology, Phase, Sex
from synthgen.seeding import Stage, numpy_stream

MAX_ATTEMPTS: Final = 64
"""Draws after which a subject counts as unreachable; the busiest class needs about two on average."""

_SHARE_OF_WOMEN = 0.45
_HEIGHT_CM: Final = {Sex.M: (176.0, 7.0), Sex.F: (163.0, 6.5)}
_BMI = Marginal(25.5, 3.8, 18.0, 38.0)

# Factors for women on indexed values (Petersen et al. 2017, doi 10.1186/s12968-017-0327-9).
_WOMEN_LVEDV, _WOMEN_RVEDV, _WOMEN_MASS = 0.93, 0.90, 0.83

# Limits of the class rules, drawn inside by a margin so that coarse slices rarely measure the other side.
_NOR_LVEDVI: Final = {Sex.M: 88.0, Sex.F: 78.0}
_ARV_RVEDVI: Final = {Sex.M: 113.0, Sex.F: 103.0}
_NOR_RVEDVI = 97.5
_DCM_LVEDVI = 103.0
_ARV_RVEF_BORDERLINE = (39.0, 46.0)  # 40-45 % is excluded by ACDC
_NORMAL_WALL_MM = 11.5  # rule: 12 mm
_THICK_SEGMENT_MM = 15.4  # rule: 15 mm in several segments
_THICK_SEGMENTS = 2


@dataclass(frozen=True)
class TargetRow:
    """Clinical targets of one class; values for men, per m2 of body surface where indexed.

    `stroke_ratio` is RV over LV stroke volume: near 1 in health, off 1 by regurgitation and by how contours are drawn.
    `rv_loading` and `mass_loading` couple RV volume and mass to the shared heart-size factor.
    """

    lv_edv: Marginal
    lv_ef: Marginal
    rv_edv: Marginal
    stroke_ratio: Marginal
    rv_ef_range: tuple[float, float]
    lv_mass: Marginal
    rv_loading: float
    mass_loading: float


_LV_LOADING = 0.95

TARGETS: Final[dict[Pathology, TargetRow]] = {
    Pathology.NOR: TargetRow(
        Marginal(74, 12, 50, 88), Marginal(61, 5.5, 51.5, 74), Marginal(90, 15, 58, 97.5),
        Marginal(1.07, 0.08, 0.85, 1.3), (44, 72), Marginal(61, 10, 40, 86), 0.90, 0.75,
    ),
    Pathology.MINF: TargetRow(
        Marginal(95, 22, 58, 150), Marginal(43, 12, 13, 39), Marginal(66, 18, 36, 110),
        Marginal(1.25, 0.22, 0.7, 1.9), (35, 75), Marginal(71, 10, 48, 96), 0.20, 0.45,
    ),
    Pathology.DCM: TargetRow(
        Marginal(155, 26, 103.5, 220), Marginal(18.5, 8, 7, 38.5), Marginal(96, 36, 42, 180),
        Marginal(1.03, 0.32, 0.4, 1.9), (7, 70), Marginal(96, 15, 60, 135), 0.55, 0.25,
    ),
    Pathology.HCM: TargetRow(
        Marginal(68, 18, 36, 108), Marginal(68, 9, 56.5, 88), Marginal(62, 17, 34, 104),
        Marginal(0.84, 0.11, 0.55, 1.2), (44, 80), Marginal(83, 28, 46, 165), 0.72, 0.60,
    ),
    Pathology.ARV: TargetRow(
        Marginal(59, 20, 28, 108), Marginal(56, 6, 42, 70), Marginal(104, 26, 66, 180),
        Marginal(1.15, 0.36, 0.3, 2.2), (7, 66), Marginal(46, 13, 24, 82), 0.40, 0.75,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class WallThickness:
    """End-diastolic wall thickness of a solved left ventricle, mm, as a reader measures it ring by ring.

    Rings whose cavity is below a tenth of the largest are left out. The levels are thirds of the rings.
    """

    slice_means: tuple[float, ...]
    segments: tuple[float, ...]

    @classmethod
    def of(cls, ventricle: LeftVentricle) -> WallThickness:
        """Measure `ventricle`: slice means base first, and the 16 AHA segments (6 basal, 6 mid, 4 apical)."""
        area = np.square(np.maximum(ventricle.endo, 0.0)).mean(axis=1)
        rings = np.flatnonzero((area >= 0.1 * area.max()) & (ventricle.level >= 0.0))
        segments: list[float] = []
        for rows, count in zip(np.array_split(ventricle.wall[rings], 3), (6, 6, 4), strict=True):
            # Angle 180 degrees is the middle of the septum: segments of 60 degrees meet there, of 90 are centred there.
            turn = 0 if count == 6 else ANGLES // count // 2
            parts = np.roll(rows, turn, axis=1).reshape(len(rows), count, -1)
            segments.extend(parts.mean(axis=(0, 2)).tolist())
        return cls(tuple(ventricle.wall[rings].mean(axis=1).tolist()), tuple(segments))


def sample(seed: int, index: int, pathology: Pathology) -> VirtualSubject:
    """Draw subject `index` of the population with root `seed`.

    The draw satisfies the ACDC rule of `pathology` (ejection fractions, indexed volumes, wall thickness of the solved
    wall); a refused draw is repeated with the next attempt's streams.

    Raises
    ------
    SynthgenError
        If `MAX_ATTEMPTS` draws do not satisfy the rule.
    """
    for attempt in range(MAX_ATTEMPTS):
        subject = _draw(seed, index, attempt, pathology)
        if _satisfies(subject):
            return subject
    raise SynthgenError(f"virtual heart {index} of seed {seed}: no {pathology} within {MAX_ATTEMPTS} draws.")


def _draw(seed: int, index: int, attempt: int, pathology: Pathology) -> VirtualSubject:
    rng = numpy_stream(seed, index, attempt, Stage.POPULATION)
    sex = Sex.F if rng.random() < _SHARE_OF_WOMEN else Sex.M
    height = rng.normal(*_HEIGHT_CM[sex])
    bmi = _BMI.draw(rng)
    weight = bmi * (height / 100.0) ** 2
    targets = _targets(rng, pathology, sex, float(np.sqrt(height * weight / 3600.0)))
    shapes = numpy_stream(seed, index, attempt, Stage.ANATOMY)
    return VirtualSubject(
        seed=seed,
        index=index,
        attempt=attempt,
        pathology=pathology,
        sex=sex,
        height_cm=height,
        weight_kg=weight,
        targets=targets,
        left=left_shape(shapes, pathology, targets.lv_edv_ml),
        right=right_shape(shapes, pathology),
        placement=placement(shapes, bmi),
        thorax=thorax_shape(shapes, sex, bmi),
        base=base_shape(shapes, sex),
    )


def _targets(rng: np.random.Generator, pathology: Pathology, sex: Sex, surface_m2: float) -> Targets:
    row = TARGETS[pathology]
    woman = sex is Sex.F
    size = rng.normal()  # one heart size for all chambers
    lv_edvi = row.lv_edv.scaled(_WOMEN_LVEDV if woman else 1.0)
    rv_edvi = row.rv_edv.scaled(_WOMEN_RVEDV if woman else 1.0)
    if pathology is Pathology.NOR:
        lv_edvi, rv_edvi = lv_edvi.below(_NOR_LVEDVI[sex]), rv_edvi.below(_NOR_RVEDVI)
    if pathology is Pathology.DCM:
        lv_edvi = lv_edvi.above(_DCM_LVEDVI)
    lv_edv = lv_edvi.at(correlated(rng, size, _LV_LOADING)) * surface_m2
    rv_edv = rv_edvi.at(correlated(rng, size, row.rv_loading)) * surface_m2
    mass = row.lv_mass.scaled(_WOMEN_MASS if woman else 1.0).at(correlated(rng, size, row.mass_loading)) * surface_m2
    lv_ef = row.lv_ef.draw(rng)
    low, high = row.rv_ef_range
    rv_ef = float(np.clip(row.stroke_ratio.draw(rng) * lv_ef * lv_edv / rv_edv, low, high))
    return Targets(
        lv_edv_ml=lv_edv,
        lv_esv_ml=lv_edv * (1.0 - lv_ef / 100.0),
        rv_edv_ml=rv_edv,
        rv_esv_ml=rv_edv * (1.0 - rv_ef / 100.0),
        lv_mass_g=mass,
    )


def _satisfies(subject: VirtualSubject) -> bool:
    """Return whether the draw meets the class rule; ranges of the targets are kept by `TARGETS` already."""
    pathology = subject.pathology
    if pathology is Pathology.ARV:
        rv_ef = subject.targets.rv_ef_percent
        low, high = _ARV_RVEF_BORDERLINE
        dilated = subject.targets.rv_edv_ml / subject.body.surface_m2 > _ARV_RVEDVI[subject.sex]
        return rv_ef < low or (dilated and rv_ef > high)
    if pathology is Pathology.MINF:
        return True
    levels = np.arange(-6.0, subject.left.length_mm + 40.0, 2.0)
    thickness = WallThickness.of(left_ventricle.solve(subject, Phase.ED, levels))
    if pathology is Pathology.HCM:
        return sum(value > _THICK_SEGMENT_MM for value in thickness.segments) >= _THICK_SEGMENTS
    return max(thickness.slice_means) < _NORMAL_WALL_MM
