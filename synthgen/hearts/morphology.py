"""Draws of shape: ventricles, papillary muscles, the heart's place in the body, the body around it.

What the clinical targets do not fix. Angles in the heart frame: 0 lateral, 90 degrees inferior, 180 septal, 270
anterior. Ranges without a source are set to the variety seen in cine images; lengths, fullness and what systole changes
so that areas, extents and ends of labels, level by level, are in the mean near those of ACDC's experts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from synthgen.hearts.chance import Marginal
from synthgen.hearts.subject import (
    Hypertrophy,
    Infarct,
    LeftShape,
    Papillary,
    Placement,
    RadialMode,
    RightShape,
    Ripple,
    ThoraxShape,
)
from synthgen.labels import Pathology, Sex

REFERENCE_BMI: Final = 25.0

RIPPLE_LENGTH_MM: Final = 12.0
"""Correlation length of the in-plane deformation."""

RIPPLE_RMS_MM: Final = 1.0
"""Root mean square displacement per axis of the in-plane deformation."""

_RIPPLES = 10
_RIPPLE_DEPTH_MM = 30.0  # correlation length along the stack

# Coronary territories: centre angle, angular width, centre level, share of patients.
_TERRITORIES: Final = {
    "LAD": (4.1, 1.05, 0.78, 0.50),
    "RCA": (1.9, 0.75, 0.35, 0.25),
    "LCX": (0.35, 0.75, 0.45, 0.25),
}

# The first slice that readers label at ED lies below both annuli, by up to the distance of two slices: so much of a
# valve plane's excursion shows in no label. On ACDC the LV's first labelled plane hardly moves, the RV's half-way.
_BELOW_ANNULI_MM: Final = (5.0, 11.0)

# The RV's first plane against the LV's. The septal tricuspid leaflet is attached apically of the mitral valve, by less
# than 8 mm/m2 in health (Attenhofer Jost et al. 2007, doi 10.1161/CIRCULATIONAHA.106.619338); the outflow rises above.
_RV_RISE_MM: Final = (-3.0, 3.0)

# Phenotypes of hypertrophy: share of patients, range of the wall's relative gain. Septal form: 62 % of patients
# (Sultan 2021, clinicalimagingscience.org).
_HYPERTROPHIES: Final = {
    "septal": (0.70, (1.2, 2.1)),
    "concentric": (0.15, (0.5, 0.9)),
    "apical": (0.15, (0.6, 1.0)),
}


@dataclass(frozen=True)
class ShapeRow:
    """Class-dependent shape. Length = `length` x EDV^(1/3) (mm, mL); excursions of the valve planes and apex in mm.

    `rv_length` is the RV's length in parts of the LV's, `systolic_muscle` the muscle drawn at ES in parts of ED's.
    """

    length: Marginal
    mapse: Marginal
    tapse: Marginal
    bluntness: tuple[float, float]
    apical_thinning: tuple[float, float]
    basal_thickening: tuple[float, float]
    rv_length: tuple[float, float]
    rv_fullness: Marginal
    rv_wall_mm: tuple[float, ...]
    trabeculation: float
    apex_rise: Marginal
    systolic_muscle: float


# Papillary muscles weigh 6.6 g/m2 in hypertrophic hearts and 4.0 in carriers without hypertrophy (Gommans et al. 2016,
# doi 10.1007/s12471-016-0805-y): 1.28 times the radius.
_THICK_HEADS: Final = 1.28
_THICK_TRABECULAE: Final = 1.2

# Long-axis excursions: healthy MAPSE 12-15 mm, TAPSE 20-24 mm; sphericity of DCM: smaller length factor.
SHAPES: Final[dict[Pathology, ShapeRow]] = {
    Pathology.NOR: ShapeRow(
        Marginal(16.0, 0.9, 13.8, 18.2), Marginal(14, 1.8, 9, 19), Marginal(22, 3, 14, 30),
        (2.0, 2.4), (0.35, 0.50), (0.02, 0.15), (0.88, 1.08), Marginal(1.2, 0.3, 0.7, 2.2), (2.8,), 1.0,
        Marginal(3.5, 1.5, 0.5, 7), 1.17,
    ),
    Pathology.MINF: ShapeRow(
        Marginal(15.1, 0.9, 12.8, 17.4), Marginal(8, 1.8, 3, 13), Marginal(18, 3, 9, 27),
        (2.0, 2.5), (0.35, 0.50), (0.10, 0.28), (0.74, 1.02), Marginal(1.35, 0.4, 0.7, 2.6), (2.8,), 1.0,
        Marginal(1.5, 1.2, 0, 5), 1.14,
    ),
    Pathology.DCM: ShapeRow(
        Marginal(14.7, 0.7, 13.0, 16.4), Marginal(6, 1.5, 2, 10), Marginal(13, 4, 5, 24),
        (2.3, 2.8), (0.30, 0.45), (0.06, 0.20), (0.78, 1.06), Marginal(1.5, 0.5, 0.8, 3.0), (2.8,), 1.25,
        Marginal(1.2, 1.0, 0, 4), 1.08,
    ),
    Pathology.HCM: ShapeRow(
        Marginal(17.8, 1.0, 15.4, 20.2), Marginal(10, 2.0, 4, 16), Marginal(19, 3, 10, 28),
        (1.8, 2.1), (0.30, 0.45), (0.0, 0.10), (0.72, 0.98), Marginal(1.25, 0.4, 0.7, 2.6), (3.5,), 0.8,
        Marginal(8.5, 4.0, 1, 17), 1.18,
    ),
    Pathology.ARV: ShapeRow(
        Marginal(15.7, 0.9, 13.5, 17.9), Marginal(11, 2.0, 5, 17), Marginal(13, 4, 5, 25),
        (1.9, 2.3), (0.35, 0.50), (0.04, 0.18), (0.96, 1.2), Marginal(1.7, 0.6, 0.9, 3.5), (2.2, 5.0), 1.0,
        Marginal(2.8, 1.5, 0, 7), 1.15,
    ),
}  # fmt: skip


def left_shape(rng: np.random.Generator, pathology: Pathology, edv_ml: float) -> LeftShape:
    """Draw the left ventricle's shape for an end-diastolic volume."""
    row = SHAPES[pathology]
    thick = pathology is Pathology.HCM
    length = row.length.draw(rng) * edv_ml ** (1.0 / 3.0)
    overloaded = pathology is Pathology.ARV  # pressure or volume load of the RV flattens the septum
    return LeftShape(
        length_mm=length,
        descent_mm=_labelled_descent(rng, row.mapse.draw(rng) * min(1.0, length / 88.0)),
        apex_rise_mm=row.apex_rise.draw(rng),
        systolic_muscle=Marginal(row.systolic_muscle, 0.07, 0.95, 1.4).draw(rng),
        equator=rng.uniform(0.24, 0.36),
        bluntness=rng.uniform(*row.bluntness),
        ellipticity=rng.normal(0.015, 0.02),
        ellipse_angle_rad=rng.uniform(0.0, np.pi),
        septal_flattening_ed=rng.uniform(0.08, 0.20) if overloaded else max(0.0, rng.normal(0.03, 0.015)),
        septal_flattening_es=rng.uniform(0.06, 0.22) if overloaded else max(0.0, rng.normal(0.02, 0.01)),
        apical_thinning=rng.uniform(*row.apical_thinning),
        basal_thickening=rng.uniform(*row.basal_thickening),
        radial_modes=tuple(radial_mode(rng, order, 0.09 / order**2, 1.2) for order in (2, 3, 4, 5)),
        wall_modes=tuple(radial_mode(rng, order, sd, 0.0) for order, sd in ((2, 0.04), (3, 0.03))),
        hypertrophy=_hypertrophy(rng) if pathology is Pathology.HCM else None,
        infarct=_infarct(rng) if pathology is Pathology.MINF else None,
        papillaries=_papillaries(rng, _THICK_HEADS if thick else 1.0),
        trabeculation=rng.uniform(0.7, 1.2) * (_THICK_TRABECULAE if thick else row.trabeculation),
    )


def right_shape(rng: np.random.Generator, pathology: Pathology) -> RightShape:
    """Draw the right ventricle's shape. The wall is thin in arrhythmogenic, thick in pressure-loaded abnormal RVs."""
    row = SHAPES[pathology]
    lobe = RadialMode(order=3, amplitude=0.05, phase_rad=2.3, twist_rad=0.0)
    spread = ((2, 0.030), (3, 0.035), (4, 0.025), (5, 0.020))
    free_wall = tuple(radial_mode(rng, order, sd, 1.5) for order, sd in spread)
    return RightShape(
        length_fraction=rng.uniform(*row.rv_length),
        fullness=row.rv_fullness.draw(rng),
        height=float(np.exp(rng.normal(0.0, 0.13))),
        rotation_rad=rng.normal(0.05, 0.10),
        rise_mm=rng.uniform(*_RV_RISE_MM),
        descent_mm=_labelled_descent(rng, row.tapse.draw(rng)),
        wall_mm=row.rv_wall_mm[rng.integers(len(row.rv_wall_mm))] * rng.uniform(0.9, 1.15),
        band_level=rng.uniform(0.45, 0.72),
        band_angle_rad=rng.normal(1.2, 0.2),
        outline_modes=(lobe, *free_wall),
    )


def _labelled_descent(rng: np.random.Generator, excursion_mm: float) -> float:
    """Return how far the first labelled plane moves from ED to ES when the valve plane moves by `excursion_mm`."""
    return max(0.0, excursion_mm - rng.uniform(*_BELOW_ANNULI_MM))


def placement(rng: np.random.Generator, bmi: float) -> Placement:
    """Draw how the heart lies: about 45 degrees to the body's planes, more horizontal the heavier the body.

    Elevation and position are set so that chest wall and diaphragm lie in the image as they do in ACDC's stacks; a
    heart that would reach into the chest wall is moved back when the stack is planned.
    """
    degree = np.pi / 180.0
    azimuth = Marginal(45.0, 7.0, 25.0, 65.0).draw(rng)
    elevation = Marginal(26.0 - 0.9 * (bmi - REFERENCE_BMI), 7.0, 8.0, 50.0).draw(rng)
    tilt = Marginal(0.0, 4.5, -10.0, 10.0)
    slope = float(np.tan(tilt.draw(rng) * degree)), float(np.tan(tilt.draw(rng) * degree))
    return Placement(
        azimuth_rad=azimuth * degree,
        elevation_rad=elevation * degree,
        rotation_rad=rng.normal(0.0, 12.0) * degree,
        position_mm=(38.0 + rng.normal(0.0, 6.0), -36.0 + rng.normal(0.0, 5.0), 0.0),
        axis_slope=slope,
        ripples=tuple(_ripple(rng) for _ in range(_RIPPLES)),
    )


def thorax_shape(rng: np.random.Generator, sex: Sex, bmi: float) -> ThoraxShape:
    """Draw the body around the heart for sex and body-mass index."""
    male = sex is Sex.M
    excess = bmi - REFERENCE_BMI
    return ThoraxShape(
        half_width_mm=(168.0 if male else 152.0) + 2.2 * excess + rng.normal(0.0, 6.0),
        half_depth_mm=(114.0 if male else 103.0) + 2.6 * excess + rng.normal(0.0, 5.0),
        exponent=rng.uniform(2.2, 2.7),
        fat_mm=max(4.0, (11.0 if male else 17.0) + 1.6 * excess + rng.normal(0.0, 2.5)),
        muscle_mm=rng.uniform(15.0, 20.0) if male else rng.uniform(11.0, 15.0),
        breast_mm=0.0 if male else max(8.0, 24.0 + 1.5 * excess + rng.normal(0.0, 6.0)),
        arm_offset_mm=rng.uniform(38.0, 75.0),
        arm_posterior_mm=rng.uniform(-15.0, 40.0),
        arm_scale=rng.uniform(0.85, 1.15),
        anterior_mediastinum_mm=max(0.0, rng.normal(5.0, 3.0)),
        dome_right_mm=rng.normal(1.0, 7.0),
        dome_left_mm=rng.normal(-15.0, 9.0),
        dome_centre_mm=rng.normal(-25.0, 7.0),
        stomach_fluid=rng.uniform(0.15, 0.9),
        stomach_brightness=rng.uniform(0.3, 1.2),
        stomach_size=rng.uniform(0.7, 1.15),
        epicardial_fat_mm=max(0.3, rng.normal(0.8 + 0.12 * (bmi - 22.0), 0.6)),
        paracardial_fat_mm=max(0.5, rng.normal(2.0 + 0.6 * (bmi - 24.0), 2.5)),
    )


def radial_mode(rng: np.random.Generator, order: int, sd: float, twist_sd: float) -> RadialMode:
    """Draw a harmonic of some order whose amplitude has standard deviation `sd`, and its twist `twist_sd`."""
    return RadialMode(
        order=order,
        amplitude=rng.normal(0.0, sd),
        phase_rad=rng.uniform(0.0, 2.0 * np.pi),
        twist_rad=rng.normal(0.0, twist_sd) if twist_sd else 0.0,
    )


def _pick(rng: np.random.Generator, shares: dict[str, float]) -> str:
    names = list(shares)
    return names[rng.choice(len(names), p=np.array(list(shares.values())) / sum(shares.values()))]


def _hypertrophy(rng: np.random.Generator) -> Hypertrophy:
    kind = _pick(rng, {name: share for name, (share, _) in _HYPERTROPHIES.items()})
    wide = kind == "concentric"
    return Hypertrophy(
        kind=kind,
        gain=rng.uniform(*_HYPERTROPHIES[kind][1]),
        angle_rad=np.pi + rng.normal(0.45, 0.25),  # anteroseptal
        width_rad=rng.uniform(1.8, 2.4) if wide else rng.uniform(0.75, 1.1),
    )


def _infarct(rng: np.random.Generator) -> Infarct:
    territory = _pick(rng, {name: row[3] for name, row in _TERRITORIES.items()})
    angle, width, level, _ = _TERRITORIES[territory]
    return Infarct(
        territory=territory,
        angle_rad=angle + rng.normal(0.0, 0.15),
        width_rad=width * rng.uniform(0.85, 1.15),
        level=level + rng.normal(0.0, 0.05),
        height=0.45,
        thinning=rng.uniform(0.25, 0.50),
        bulge=rng.uniform(0.0, 0.06),
    )


def _papillaries(rng: np.random.Generator, thickness: float) -> tuple[Papillary, ...]:
    """Two to four heads: the anterolateral and the posteromedial muscle, each in one piece or split in two."""
    heads: list[Papillary] = []
    for centre, spread in ((-0.75, 0.18), (1.25, 0.22)):
        angle, radius = centre + rng.normal(0.0, spread), rng.uniform(3.8, 5.8) * thickness
        offset = rng.uniform(0.68, 0.80)
        split = rng.random() < 0.45
        apart, share = rng.uniform(0.17, 0.30), rng.uniform(0.55, 0.80)
        parts = ((angle - apart, radius * share), (angle + apart, radius * 0.7)) if split else ((angle, radius),)
        heads.extend(
            Papillary(
                angle_rad=place,
                radius_mm=size,
                stretch=rng.uniform(0.75, 1.30),
                level_from=rng.uniform(0.18, 0.33),
                level_to=rng.uniform(0.68, 0.86),
                offset=offset * rng.uniform(0.95, 1.05),
            )
            for place, size in parts
        )
    return tuple(heads)


def _ripple(rng: np.random.Generator) -> Ripple:
    """Draw one plane wave of a random field with Gaussian covariance (spectral sampling)."""
    kx, ky = rng.normal(0.0, 1.0 / RIPPLE_LENGTH_MM, 2)
    return Ripple(
        kx=float(kx),
        ky=float(ky),
        kz=rng.normal(0.0, 1.0 / _RIPPLE_DEPTH_MM),
        phase_rad=rng.uniform(0.0, 2.0 * np.pi),
        amplitude_mm=RIPPLE_RMS_MM * float(np.sqrt(4.0 / _RIPPLES)),
    )
