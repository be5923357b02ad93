"""Bi-ventricular geometry of a virtual subject: polar tables of every cardiac surface, solved to the sampled volumes.

Heart frame: x = image right (septum to lateral wall), y = image down (anterior to inferior), z = base to apex, in
mm; origin on the LV axis at the end-diastolic base plane. Angle 0 is lateral, 90 degrees inferior, 180 septal, 270
anterior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from synthgen.hearts import left_ventricle, right_ventricle
from synthgen.hearts.left_ventricle import LeftVentricle
from synthgen.hearts.polar import ABSENT, ANGLES, THETA, Table, bump, coverage, volume_ml
from synthgen.hearts.right_ventricle import RightVentricle
from synthgen.hearts.subject import Placement, ThoraxShape, VirtualSubject
from synthgen.labels import Phase

STEP_MM: Final = 1.5
"""Distance of the tables' levels."""

SYSTOLIC_RV_WALL: Final = 1.35
"""Thickening of the RV's free wall from ED to ES."""

_ABOVE_BASE_MM, _BELOW_APEX_MM = 70.5, 40.0
_DRIFT_CENTRE_MM = 40.0  # depth at which the drifting axis crosses the frame's own; about mid-cavity
_ANTERIOR_GROOVE, _INFERIOR_GROOVE = 4.3, 1.9  # angles of the interventricular grooves


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseGeometry:
    """Surfaces of one phase as tables `[level, angle]` of radii about the LV axis (mm); below 0 the surface is absent.

    Levels are `z_mm` (constant step), angles are `2 pi j / ANGLES`. The LV exists for `base_mm <= z`, the RV for
    `rv_base_mm <= z < rv_apex_mm`; tables go on beyond the base so that they can be interpolated, painters gate by z.

    Attributes
    ----------
    contoured_to_mm
        Level below which no muscle is labelled: where readers see no cavity at end-diastole they draw no contour.
    endo, epi
        LV endocardium and epicardium.
    epi_extended
        Epicardium continued above the LV base, so that the RV keeps its medial border there.
    pericardium, paracardial
        Outer surface of the epicardial fat, and of the fat pads outside the pericardium.
    infarct
        Scar weight 0..1.
    rv_outline
        `[level, 5]`: semi-axes a (x) and b (y), centre x and y, tilt (rad) of the RV's outline.
    scale_mm
        Radius scale of the cavity.
    volumes_ml
        `lv`, `myo`, `rv`: what the tables enclose.
    """

    phase: Phase
    z_mm: NDArray[np.float64]
    step_mm: float
    base_mm: float
    apex_mm: float
    contoured_to_mm: float
    rv_base_mm: float
    rv_apex_mm: float
    scale_mm: float
    endo: NDArray[np.float32]
    epi: NDArray[np.float32]
    epi_extended: NDArray[np.float32]
    pericardium: NDArray[np.float32]
    paracardial: NDArray[np.float32]
    infarct: NDArray[np.float32]
    rv_outline: NDArray[np.float32]
    volumes_ml: dict[str, float]


def build(subject: VirtualSubject) -> dict[Phase, PhaseGeometry]:
    """Solve ED and ES of `subject`; deterministic, no chance involved.

    Cavity and wall are within 0.1 % of the targets, the RV within 0.1 % of its quadrature.

    Raises
    ------
    SynthgenError
        If the targets cannot be reached by this shape.
    """
    count = int(np.ceil((_ABOVE_BASE_MM + subject.left.length_mm + _BELOW_APEX_MM) / STEP_MM)) + 1
    z_mm = -_ABOVE_BASE_MM + STEP_MM * np.arange(count, dtype=np.float64)
    diastole = left_ventricle.solve(subject, Phase.ED, z_mm)
    systole = left_ventricle.solve(subject, Phase.ES, z_mm, diastole)
    return {
        phase: _assemble(subject, phase, z_mm, left, right_ventricle.solve(subject, phase, z_mm, left))
        for phase, left in ((Phase.ED, diastole), (Phase.ES, systole))
    }


def drift(placement: Placement, z_mm: float) -> tuple[float, float]:
    """Return where the LV axis crosses the plane at `z_mm` (x, y in mm)."""
    depth = z_mm - _DRIFT_CENTRE_MM
    return placement.axis_slope[0] * depth, placement.axis_slope[1] * depth


def warp(
    placement: Placement, x_mm: NDArray[np.float32], y_mm: NDArray[np.float32], z_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return where in the undeformed heart the points of the plane at `z_mm` lie.

    The LV axis drifts through the stack, and a smooth deformation makes the outlines less regular. Both keep every
    area: the drift is a shear, the deformation a sequence of plane-wave shears (each moves points along its own wave
    fronts).
    """
    drift_x, drift_y = drift(placement, z_mm)
    x, y = x_mm - np.float32(drift_x), y_mm - np.float32(drift_y)
    for ripple in placement.ripples:
        length = float(np.hypot(ripple.kx, ripple.ky))
        phase = np.float32(ripple.kx) * x + np.float32(ripple.ky) * y + np.float32(ripple.kz * z_mm + ripple.phase_rad)
        shift = np.float32(ripple.amplitude_mm / length) * np.cos(phase)
        x, y = x - np.float32(ripple.ky) * shift, y + np.float32(ripple.kx) * shift
    return x, y


def _assemble(
    subject: VirtualSubject, phase: Phase, z_mm: NDArray[np.float64], left: LeftVentricle, right: RightVentricle
) -> PhaseGeometry:
    level = np.clip((z_mm - right.base_mm) / (right.apex_mm - right.base_mm), 0.0, 1.0)
    wall = subject.right.wall_mm * (SYSTOLIC_RV_WALL if phase is Phase.ES else 1.0)
    heart = _envelope(z_mm, left, right, wall)
    pericardium, paracardial = _fat(subject.thorax, z_mm - left.base_mm, level, heart)
    weight = coverage(z_mm, left.base_mm, subject.left.length_mm)
    cavity = volume_ml(left.endo, STEP_MM, weight)
    tables = {
        "endo": left.endo,
        "epi": left.epi,
        "epi_extended": np.where(right.neighbour > 0, right.neighbour, ABSENT),
        "pericardium": pericardium,
        "paracardial": paracardial,
        "infarct": left.infarct,
        "rv_outline": right.outline,
    }
    return PhaseGeometry(
        phase=phase,
        z_mm=z_mm,
        step_mm=STEP_MM,
        base_mm=left.base_mm,
        apex_mm=left.apex_mm,
        contoured_to_mm=subject.left.length_mm,
        rv_base_mm=right.base_mm,
        rv_apex_mm=right.apex_mm,
        scale_mm=left.scale_mm,
        volumes_ml={"lv": cavity, "myo": volume_ml(left.epi, STEP_MM, weight) - cavity, "rv": right.volume_ml},
        **{name: table.astype(np.float32) for name, table in tables.items()},
    )


def _envelope(z_mm: NDArray[np.float64], left: LeftVentricle, right: RightVentricle, wall_mm: float) -> Table:
    """Return the outer border of both ventricles, with the notches at the RV's insertions filled."""
    a, b, centre_x, centre_y, tilt = (column[:, None] for column in right.outline.T)
    cosine, sine = np.cos(THETA), np.sin(THETA)
    ux = cosine * np.cos(tilt) + sine * np.sin(tilt)
    uy = -cosine * np.sin(tilt) + sine * np.cos(tilt)
    # Far crossing of the ray from the LV axis with the ellipse.
    square = ux**2 / a**2 + uy**2 / b**2
    linear = ux * centre_x / a**2 + uy * centre_y / b**2
    discriminant = linear**2 - square * (centre_x**2 / a**2 + centre_y**2 / b**2 - 1.0)
    far = 1.05 * (linear + np.sqrt(np.maximum(discriminant, 0.0))) / square
    exists = ((z_mm >= right.base_mm) & (z_mm < right.apex_mm))[:, None]
    has_rv = (discriminant > 0) & exists & (far > right.neighbour + 0.5)
    heart = np.maximum(np.maximum(left.epi, 0.0), np.where(has_rv, far + wall_mm, 0.0))
    heart = np.maximum(heart, np.where(z_mm[:, None] < left.base_mm, right.neighbour, 0.0))
    return np.maximum(heart, gaussian_filter1d(heart, 6.0, axis=1, mode="wrap"))


def _fat(
    thorax: ThoraxShape, below_base_mm: NDArray[np.float64], level: NDArray[np.float64], heart: Table
) -> tuple[Table, Table]:
    """Return the outer surfaces of the epicardial fat (grooves, RV side, base) and of the pads beyond it."""
    grooves = bump(_ANTERIOR_GROOVE, 0.40) + 0.7 * bump(_INFERIOR_GROOVE, 0.35)
    right_side = 0.30 * bump(np.pi + 0.2, 0.9) * (1.0 - 0.5 * level[:, None])
    base = 0.9 * np.exp(-((below_base_mm[:, None] / 12.0) ** 2))
    epicardial = 0.4 + thorax.epicardial_fat_mm * (0.10 + grooves + right_side + base)
    pads = 0.02 + 0.9 * bump(3.75, 0.40) + 1.1 * bump(2.35, 0.40) + 0.25 * bump(np.pi, 0.6)
    exists = np.broadcast_to(heart.max(axis=1, keepdims=True) > 0, (len(heart), ANGLES))
    pericardium = gaussian_filter1d(heart + epicardial, 2.0, axis=1, mode="wrap")
    paracardial = pericardium + 0.8 + thorax.paracardial_fat_mm * pads
    return np.where(exists, pericardium, ABSENT), np.where(exists, paracardial, ABSENT)
