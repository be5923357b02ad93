"""Polar tables: surfaces as radii about an axis, `[level, angle]`, with the integrals and the root finder they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synthgen.errors import SynthgenError
from synthgen.hearts.subject import RadialMode

ANGLES: Final = 144
"""Number of angles of a table."""

ANGLE_STEP: Final = 2.0 * np.pi / ANGLES
THETA: Final[NDArray[np.float64]] = np.arange(ANGLES, dtype=np.float64) * ANGLE_STEP

ABSENT: Final = -20.0
"""Radius that says: no surface at this level."""

Table = NDArray[np.float64]


def wrap(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `angle` in radians wrapped to [-pi, pi)."""
    return (angle + np.pi) % (2.0 * np.pi) - np.pi


def bump(centre_rad: float, width_rad: float, power: int = 2) -> NDArray[np.float64]:
    """Return `exp(-(distance / width) ** power)` over `THETA`."""
    return np.exp(-((np.abs(wrap(THETA - centre_rad)) / width_rad) ** power))


def modes(kinds: Sequence[RadialMode], level: Table, gain: float = 1.0) -> Table:
    """Return the sum of the harmonics at `level` `(levels, 1)`, a `(levels, ANGLES)` table around 0."""
    out = np.zeros((len(level), ANGLES))
    for mode in kinds:
        twist = mode.twist_rad * np.clip(level, 0.0, 1.0)
        out += gain * mode.amplitude * np.cos(mode.order * (THETA - mode.phase_rad) + twist)
    return out


def coverage(z_mm: NDArray[np.float64], low_mm: float, high_mm: float = np.inf) -> NDArray[np.float64]:
    """Return the part of each level's cell (one step thick, centred on it) that lies between `low_mm` and `high_mm`.

    Whole cells at a base plane are what a level-by-level sum would count: up to 1 mL of error per end.
    """
    half = (z_mm[1] - z_mm[0]) / 2.0
    return np.clip((np.minimum(z_mm + half, high_mm) - np.maximum(z_mm - half, low_mm)) / (2.0 * half), 0.0, 1.0)


def volume_ml(radius: Table, step_mm: float, weight: NDArray[np.float64]) -> float:
    """Return the volume inside a table; `weight` is `coverage` of its levels, negative radii enclose nothing."""
    area = 0.5 * ANGLE_STEP * np.square(np.maximum(radius, 0.0)).sum(axis=1)
    return float(area @ weight) * step_mm / 1000.0


def find_root(function: Callable[[float], float], low: float, high: float, tolerance: float, subject: str) -> float:
    """Return x in [low, high] with `|function(x)| <= tolerance` (regula falsi, Illinois variant).

    Raises
    ------
    SynthgenError
        If the function has one sign at both ends or 60 steps do not suffice; `subject` says what was solved for.
    """
    f_low, f_high = function(low), function(high)
    if f_low * f_high > 0:
        raise SynthgenError(f"{subject}: no solution between {low:g} and {high:g} (residuals {f_low:g}, {f_high:g}).")
    side = 0
    for _ in range(60):
        middle = (low * f_high - high * f_low) / (f_high - f_low)
        value = function(middle)
        if abs(value) <= tolerance:
            return middle
        if value * f_high > 0:
            high, f_high = middle, value
            f_low *= 0.5 if side == -1 else 1.0
            side = -1
        else:
            low, f_low = middle, value
            f_high *= 0.5 if side == 1 else 1.0
            side = 1
    raise SynthgenError(f"{subject}: not solved to {tolerance:g} in 60 steps.")
