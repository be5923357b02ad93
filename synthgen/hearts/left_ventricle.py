"""The left ventricle: endocardium and epicardium of one phase, solved to cavity volume and myocardial mass.

A surface of revolution with a blunt profile, modulated around the axis; the wall follows a thickness pattern (base and
septum thicker, apex thinner, hypertrophy, infarct) whose scale is solved so that the shell has the sampled mass where
readers contour it, which is where they see a cavity at ED. From ED to ES the base plane descends, the cavity's apex
rises, and what readers draw as muscle grows, since trabeculae and papillary muscles close up to it. An infarct keeps
its ED wall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from synthgen.hearts.polar import ABSENT, ANGLES, THETA, Table, bump, coverage, find_root, modes, volume_ml
from synthgen.hearts.subject import LeftShape, VirtualSubject
from synthgen.labels import Phase

MYOCARDIUM_G_PER_ML: Final = 1.05
"""Density of myocardium, as clinical mass is computed from contours."""

TOLERANCE_ML: Final = 2e-3
"""Residual volume at which a solver stops: below 0.1 % of the smallest cavity."""

_BEYOND_BASE_MM = 3.1  # tables go on so far above the base plane, so that slices at the base can interpolate
_BEYOND_APEX_MM = 34.0
_APEX_WALL = 0.62  # thickness at the very apex relative to the wall scale
_APEX_WALL_APICAL_HCM = 1.2
_OPENING = {Phase.ED: 0.8, Phase.ES: 1.3}  # how soon the cavity narrows above its equator; see `profile`
_LEAST_WALL = 0.8  # an epicardium may come no closer than this part of the pattern


@dataclass(frozen=True, kw_only=True, eq=False)
class LeftVentricle:
    """The left ventricle of one phase on the levels it was asked for.

    Attributes
    ----------
    base_mm, apex_mm
        z of base plane and endocardial apex; the cavity lies between.
    scale_mm
        Radius of the cavity at its equator, before modulation.
    endo, epi
        `(levels, ANGLES)` radii in mm, `polar.ABSENT` where there is none.
    wall
        `epi - endo` where there is a cavity, else 0.
    infarct
        Scar weight 0..1, zero without infarct.
    level
        `(levels,)` height in the cavity, 0 base to 1 apex.
    """

    base_mm: float
    apex_mm: float
    scale_mm: float
    endo: Table
    epi: Table
    wall: Table
    infarct: Table
    level: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Frame:
    """What one phase's solver works with; levels are a window of the full grid, `level` is a column."""

    shape: LeftShape
    phase: Phase
    z_mm: NDArray[np.float64]
    base_mm: float
    apex_mm: float
    level: Table
    profile: Table
    outline: Table
    infarct: Table
    weight: NDArray[np.float64]

    @property
    def step_mm(self) -> float:
        return float(self.z_mm[1] - self.z_mm[0])

    def volume(self, radius: Table) -> float:
        return volume_ml(radius, self.step_mm, self.weight)


def profile(level: Table, equator: float, bluntness: float, opening: float) -> Table:
    """Return the normalised radius at `level` (0 base, 1 apex): 1 at the equator, 0 at the apex, negative beyond.

    A superellipse of exponent `bluntness`, above the equator stretched along the axis by 1 / `opening`, so that the
    base stays open. Beyond the apex the radius goes on with negative sign, so that linear interpolation between levels
    closes the surface in the right place.
    """
    distance = np.abs(level - equator) / (1.0 - equator)
    square = 1.0 - np.where(level < equator, opening * distance, distance) ** bluntness
    return np.sign(square) * np.sqrt(np.minimum(np.abs(square), 1.0))


def solve(
    subject: VirtualSubject, phase: Phase, z_mm: NDArray[np.float64], diastole: LeftVentricle | None = None
) -> LeftVentricle:
    """Solve one phase to the subject's cavity volume and mass.

    Parameters
    ----------
    z_mm
        Levels, equally spaced, from above the base to below the apex.
    diastole
        The solved ED of the same subject on the same levels; needed for ES.

    Raises
    ------
    SynthgenError
        If the targets cannot be reached by this shape.
    """
    base = 0.0 if phase is Phase.ED else subject.left.descent_mm
    apex = _apex(subject, phase)
    window = slice(*np.searchsorted(z_mm, (base - _BEYOND_BASE_MM, apex + _BEYOND_APEX_MM)))
    frame = _frame(subject.left, phase, z_mm[window], (base, apex))
    ed = None if phase is Phase.ED or diastole is None else _Diastole.of(diastole, window)
    cavity = subject.targets.lv_edv_ml if phase is Phase.ED else subject.targets.lv_esv_ml
    scale, endo = _solve_cavity(frame, cavity, ed)
    shell = subject.targets.lv_mass_g / MYOCARDIUM_G_PER_ML
    if phase is Phase.ES:
        shell *= subject.left.systolic_muscle
    epi = _solve_shell(frame, (scale, endo), cavity + shell, ed)
    inside = frame.level <= 1.0
    full = (len(z_mm), ANGLES)
    tables = {}
    for name, values, outside in (
        ("endo", np.maximum(np.where(inside, endo, np.minimum(endo, 0.0)), ABSENT), ABSENT),
        ("epi", epi, ABSENT),
        ("wall", np.where(inside & (endo > 0), epi - endo, 0.0), 0.0),
        ("infarct", frame.infarct, 0.0),
    ):
        tables[name] = np.full(full, outside)
        tables[name][window] = values
    height = np.clip((z_mm - base) / (apex - base), 0.0, 2.0)
    return LeftVentricle(base_mm=base, apex_mm=apex, scale_mm=scale, level=height, **tables)


@dataclass(frozen=True, eq=False)
class _Diastole:
    """What systole needs to know of diastole."""

    scale_mm: float
    wall: Table

    @classmethod
    def of(cls, diastole: LeftVentricle, window: slice) -> _Diastole:
        return cls(diastole.scale_mm, diastole.wall[window])


def _apex(subject: VirtualSubject, phase: Phase) -> float:
    return subject.left.length_mm - (0.0 if phase is Phase.ED else subject.left.apex_rise_mm)


def _frame(shape: LeftShape, phase: Phase, z_mm: NDArray[np.float64], ends: tuple[float, float]) -> _Frame:
    base, apex = ends
    level = ((z_mm - base) / (apex - base))[:, None]
    return _Frame(
        shape=shape,
        phase=phase,
        z_mm=z_mm,
        base_mm=base,
        apex_mm=apex,
        level=level,
        profile=profile(level, shape.equator, shape.bluntness, _OPENING[phase]),
        outline=_outline(shape, level, phase),
        infarct=_infarct_weight(shape, level),
        weight=coverage(z_mm, base, shape.length_mm),
    )


def _outline(shape: LeftShape, level: Table, phase: Phase) -> Table:
    """Return the modulation of the cavity's radius around the axis, a table around 1."""
    diastole = phase is Phase.ED
    flat = shape.septal_flattening_ed if diastole else shape.septal_flattening_es
    septum = 2.0 * flat * bump(np.pi, 0.75)
    ellipse = shape.ellipticity * np.cos(2.0 * (THETA - shape.ellipse_angle_rad))
    waves = modes(shape.radial_modes, level, 1.0 if diastole else 0.6)
    return 1.0 + ellipse - septum * np.cos(1.2 * np.clip(level, 0.0, 1.0)) + waves


def _infarct_weight(shape: LeftShape, level: Table) -> Table:
    infarct = shape.infarct
    if infarct is None:
        return np.zeros((len(level), ANGLES))
    around = bump(infarct.angle_rad, infarct.width_rad, power=4)
    return around * np.exp(-(((level - infarct.level) / infarct.height) ** 4))


def _solve_cavity(frame: _Frame, target_ml: float, diastole: _Diastole | None) -> tuple[float, Table]:
    """Return the radius scale and the endocardium that enclose `target_ml`."""
    unit = frame.profile * frame.outline
    if diastole is None or frame.shape.infarct is None:
        scale = float(np.sqrt(target_ml / frame.volume(unit)))
        return scale, scale * unit
    held = diastole.scale_mm * (1.0 + frame.shape.infarct.bulge)
    scar = frame.infarct * held * frame.profile * _outline(frame.shape, frame.level, Phase.ED)

    def endocardium(scale: float) -> Table:
        return (1.0 - frame.infarct) * scale * unit + scar

    scale = find_root(
        lambda x: frame.volume(endocardium(x)) - target_ml, 1.0, 70.0, TOLERANCE_ML, "cavity around an infarct"
    )
    return scale, endocardium(scale)


def _wall_pattern(frame: _Frame) -> Table:
    """Return the relative wall thickness: 1 at mid-cavity, thick at the base, thin at the apex."""
    shape, level = frame.shape, frame.level
    pattern = 1.0 - shape.apical_thinning * np.clip((level - 0.45) / 0.55, 0.0, 1.0) ** 1.5
    pattern = pattern + shape.basal_thickening * np.exp(-((np.maximum(level, 0.0) / 0.38) ** 2))
    pattern = pattern * (1.0 + 0.05 * bump(np.pi, 1.2))
    for mode in shape.wall_modes:
        pattern = pattern * (1.0 + mode.amplitude * np.cos(mode.order * (THETA - mode.phase_rad)))
    thick = shape.hypertrophy
    if thick is not None and thick.kind == "apical":
        pattern = pattern * (1.0 + thick.gain * np.clip((level - 0.35) / 0.5, 0.0, 1.0))
    elif thick is not None:
        along = np.exp(-(((level - 0.35) / 0.45) ** 2))
        pattern = pattern * (1.0 + thick.gain * bump(thick.angle_rad, thick.width_rad) * along)
    if shape.infarct is not None and frame.phase is Phase.ED:
        pattern = pattern * (1.0 - shape.infarct.thinning * frame.infarct)
    return pattern


def _solve_shell(frame: _Frame, cavity: tuple[float, Table], target_ml: float, diastole: _Diastole | None) -> Table:
    """Return the epicardium that encloses `target_ml` (cavity and wall); smoothed, then scaled exactly."""
    scale, endo = cavity
    floor = np.where(frame.level <= 1.0, np.maximum(endo, 0.0), 0.0)
    pattern = _wall_pattern(frame)
    inner = scale * frame.outline
    if diastole is not None and frame.shape.infarct is not None:
        inner = np.where(frame.profile > 0.05, endo / np.maximum(frame.profile, 0.05), inner)
    thick = frame.shape.hypertrophy
    apical = thick is not None and thick.kind == "apical"
    apex_wall = _APEX_WALL_APICAL_HCM if apical else _APEX_WALL
    rim = _LEAST_WALL * np.sqrt(np.clip(frame.profile, 0.0, 1.0))
    length = frame.apex_mm - frame.base_mm

    def epicardium(wall_mm: float) -> Table:
        wall = wall_mm * pattern
        if diastole is not None and frame.shape.infarct is not None:
            wall = (1.0 - frame.infarct) * wall + frame.infarct * diastole.wall
        stretch = length / (length + apex_wall * wall_mm)
        equator, bluntness = frame.shape.equator * stretch, 1.02 * frame.shape.bluntness
        outer = profile(frame.level * stretch, equator, bluntness, _OPENING[frame.phase])
        return np.maximum(outer * (inner + wall), np.where(frame.level <= 1.0, floor + rim * wall, ABSENT))

    wall_mm = find_root(lambda x: frame.volume(epicardium(x)) - target_ml, 0.5, 60.0, 0.05, "wall thickness")
    smooth = gaussian_filter1d(epicardium(wall_mm), 2.0, axis=1, mode="wrap")
    smooth = gaussian_filter1d(smooth, 1.0, axis=0, mode="nearest")
    smooth = np.where(frame.level <= 1.0, np.maximum(smooth, floor + 2.0), smooth)

    def scaled(gain: float) -> Table:
        return np.where(smooth > 0, floor + gain * (smooth - floor), smooth)

    gain = find_root(lambda x: frame.volume(scaled(x)) - target_ml, 0.4, 2.0, TOLERANCE_ML, "myocardial volume")
    return np.maximum(scaled(gain), ABSENT)
