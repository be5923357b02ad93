"""The right ventricle: in every short-axis plane a leaning ellipse that the left one overlaps, solved to a volume.

The RV is what lies inside the outline and outside the LV's epicardium, from the tricuspid plane to its own apex. Its
size parameter is solved by quadrature over the same outline that the painter draws, cut at the same planes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from synthgen.hearts.left_ventricle import LeftVentricle
from synthgen.hearts.polar import ANGLE_STEP, ANGLES, Table, coverage, find_root
from synthgen.hearts.subject import RadialMode, RightShape, VirtualSubject
from synthgen.labels import Phase

TOLERANCE: Final = 5e-4
"""Relative residual volume at which the solver stops."""

_RAYS, _RINGS = 60, 14  # quadrature nodes per level: equal areas
_SOFT_EDGE_MM = 3.0  # the LV's border is blurred by so much in the quadrature, to be smooth in the size parameter
_NECK = 60.0  # mm over which the LV's outer contour tapers above its base
_LEVEL_STRIDE = 2
_SYSTOLIC_FULLNESS = 0.85  # the apex is squeezed more than the base


@dataclass(frozen=True, kw_only=True, eq=False)
class RightVentricle:
    """The right ventricle of one phase.

    Attributes
    ----------
    base_mm, apex_mm
        It exists for `base_mm <= z < apex_mm`.
    outline
        `(levels, 5)`: semi-axes a (x) and b (y), centre x and y, tilt in rad; see `outline_radius`.
    neighbour
        `(levels, ANGLES)` LV epicardium, tapered above the LV base.
    size
        The solved size parameter (1 is an average diastole).
    volume_ml
        What the quadrature gives for `size`.
    """

    base_mm: float
    apex_mm: float
    outline: Table
    neighbour: Table
    size: float
    volume_ml: float


def outline_radius(kinds: tuple[RadialMode, ...], angle: NDArray, level: NDArray) -> NDArray:
    """Return the outline's radius relative to its ellipse at `angle` about the ellipse's centre.

    `level` (0 base, 1 apex) broadcasts against `angle`. The modes make the free wall less of a perfect arc.
    """
    out = np.ones(np.broadcast_shapes(np.shape(angle), np.shape(level)), dtype=np.result_type(angle, np.float32))
    for mode in kinds:
        out += mode.amplitude * np.cos(mode.order * (angle - mode.phase_rad) + mode.twist_rad * level)
    return out


def solve(subject: VirtualSubject, phase: Phase, z_mm: NDArray[np.float64], left: LeftVentricle) -> RightVentricle:
    """Solve one phase to the subject's right-ventricular volume.

    Raises
    ------
    SynthgenError
        If no size of this shape has that volume.
    """
    shape, systole = subject.right, phase is Phase.ES
    base = -shape.rise_mm + (shape.descent_mm if systole else 0.0)
    apex = shape.length_fraction * subject.left.length_mm - (subject.left.apex_rise_mm + 1.0 if systole else 0.0)
    target = subject.targets.rv_esv_ml if systole else subject.targets.rv_edv_ml
    neighbour = _extended(left, z_mm)
    septum = gaussian_filter1d(neighbour, 4.0, axis=1, mode="wrap")[:, ANGLES // 2]
    level = np.clip((z_mm - base) / (apex - base), 0.0, 1.0)
    quadrature = _Quadrature(shape, z_mm, (base, apex), level, neighbour)
    fullness = shape.fullness * (_SYSTOLIC_FULLNESS if systole else 1.0)

    def volume(size: float) -> float:
        return quadrature.volume_ml(_outline(shape, fullness, level, septum, size))

    size = find_root(lambda x: volume(x) - target, 0.02, 6.0, TOLERANCE * target, "right ventricle")
    outline = _outline(shape, fullness, level, septum, size)
    return RightVentricle(
        base_mm=base, apex_mm=apex, outline=outline, neighbour=neighbour, size=size, volume_ml=volume(size)
    )


def _extended(left: LeftVentricle, z_mm: NDArray[np.float64]) -> Table:
    """Return the LV epicardium continued above its base as a tapering neck: the septum's and aortic root's flank."""
    out = np.maximum(left.epi, 0.0)
    first = int(np.searchsorted(z_mm, left.base_mm + 1.0))
    out[:first] = out[first] * np.clip(1.0 - (left.base_mm + 1.0 - z_mm[:first, None]) / _NECK, 0.3, 1.0)
    return out


def _outline(
    shape: RightShape, fullness: float, level: NDArray[np.float64], septum_mm: NDArray[np.float64], size: float
) -> Table:
    """Return the outline's ellipse per level: its depth scales with `size`, its height less so.

    It hangs towards the diaphragm and leans with its anterior end towards the LV: together with what the LV cuts off
    that is a triangle, whose acute margin lies inferior and away from the septum.
    """
    flank = np.maximum(septum_mm, 12.0)
    narrowing = level**fullness
    depth = 25.5 * size**0.85 * np.maximum(1.0 - narrowing**1.7, 0.0) ** 0.95
    overlap = (0.86 + 0.22 * level) * flank
    half_depth = np.maximum(0.5 * (depth + overlap), 1e-2)
    height = (1.24 - 0.86 * narrowing) * shape.height * (flank / 33.0) ** 0.43 * size**0.53
    half_height = np.maximum(33.0 * height, 1e-2)
    centre_x = -(flank + depth - half_depth)
    centre_y = 13.0 + 5.5 * level
    tilt = shape.rotation_rad + 0.48 - 0.13 * level
    return np.stack([half_depth, half_height, centre_x, centre_y, tilt], axis=1)


class _Quadrature:
    """Volume of outline minus neighbour by equal-area nodes on the unit disc, every other level.

    The nodes' angles are fixed, so the outline's modes are evaluated once.
    """

    def __init__(
        self,
        shape: RightShape,
        z_mm: NDArray[np.float64],
        ends: tuple[float, float],
        level: NDArray[np.float64],
        neighbour: Table,
    ) -> None:
        weight = coverage(z_mm, *ends)
        rows = np.flatnonzero(weight > 0.0)
        # Interior levels by pairs, so that both cut ends keep their own level.
        self._rows, self._thickness = _thinned(rows, weight * (z_mm[1] - z_mm[0]))
        angle = (np.arange(_RAYS) + 0.5) * (2.0 * np.pi / _RAYS)
        radius = np.sqrt((np.arange(_RINGS) + 0.5) / _RINGS)
        lobes = outline_radius(shape.outline_modes, angle, level[self._rows, None]).astype(np.float32)
        reach = lobes[:, None, :] * radius[None, :, None].astype(np.float32)
        self._u = (reach * np.cos(angle).astype(np.float32)).reshape(len(self._rows), -1)
        self._v = (reach * np.sin(angle).astype(np.float32)).reshape(len(self._rows), -1)
        self._square = np.broadcast_to(np.square(lobes)[:, None, :], reach.shape).reshape(len(self._rows), -1)
        self._neighbour = np.ascontiguousarray(neighbour[self._rows], dtype=np.float32)
        self._offset = (np.arange(len(self._rows)) * ANGLES)[:, None]

    def volume_ml(self, outline: Table) -> float:
        a, b, centre_x, centre_y, tilt = (column[:, None].astype(np.float32) for column in outline[self._rows].T)
        x, y = centre_x + a * self._u, centre_y + b * self._v
        cosine, sine = np.cos(tilt), np.sin(tilt)
        x, y = x * cosine - y * sine, x * sine + y * cosine
        angle = np.arctan2(y, x) * np.float32(1.0 / ANGLE_STEP) + np.float32(ANGLES)
        index = np.rint(angle).astype(np.int32) % ANGLES
        border = self._neighbour.ravel()[index + self._offset]
        outside = np.clip(0.5 + (np.sqrt(x * x + y * y) - border) * np.float32(1.0 / _SOFT_EDGE_MM), 0.0, 1.0)
        area = np.pi * (a * b)[:, 0].astype(np.float64) * (outside * self._square).mean(axis=1, dtype=np.float64)
        return float(area @ self._thickness) / 1000.0


def _thinned(rows: NDArray[np.intp], thickness: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return every other inner level, each also standing for half of either neighbour; the two end levels stay."""
    kept = np.unique(np.concatenate([rows[:1], rows[1:-1:_LEVEL_STRIDE], rows[-1:]]))
    out = thickness[kept].copy()
    position = {row: i for i, row in enumerate(kept.tolist())}
    for row in np.setdiff1d(rows, kept).tolist():
        for side in (row - 1, row + 1):
            out[position[side]] += 0.5 * thickness[row]
    return kept, out
