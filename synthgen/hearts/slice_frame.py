"""`SliceFrame`: the heart's surfaces as signed distances on the pixels of one slice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synthgen.hearts.geometry import PhaseGeometry, warp
from synthgen.hearts.polar import ABSENT, ANGLES
from synthgen.hearts.right_ventricle import outline_radius
from synthgen.hearts.subject import RightShape, VirtualSubject

FloatMap = NDArray[np.float32]

FAR_MM: Final = 99.0
"""Distance that says: this surface does not exist here."""

_FINE = 1440  # angles of an interpolated row: 0.25 degrees, a tenth of a pixel at the free wall
_LEAST_RADIUS_MM = 4.0  # below, the slope of a radius over the angle says nothing about the surface


@lru_cache(maxsize=1)
def _refinement() -> FloatMap:
    """Return the `(ANGLES, _FINE + 1)` matrix of periodic linear interpolation, at the angles of `_bins`."""
    place = np.arange(_FINE + 1) * (ANGLES / _FINE) - ANGLES / 2
    low = np.floor(place).astype(int)
    out = np.zeros((ANGLES, _FINE + 1), np.float32)
    np.add.at(out, (low % ANGLES, np.arange(_FINE + 1)), 1.0 - (place - low))
    np.add.at(out, ((low + 1) % ANGLES, np.arange(_FINE + 1)), place - low)
    return out


def _bins(y: FloatMap, x: FloatMap) -> NDArray[np.int32]:
    """Return the index of the direction (x, y) among `_FINE + 1` angles from -pi to pi."""
    return (np.arctan2(y, x) * np.float32(_FINE / (2.0 * np.pi)) + np.float32(_FINE / 2 + 0.5)).astype(np.int32)


@dataclass(frozen=True, eq=False)
class SliceFrame:
    """Pixels of one slice in the undeformed heart, for `Q` sub-slices.

    Attributes
    ----------
    x, y, radius
        `(rows, columns)` position and distance from the LV axis in mm.
    bin
        `(rows, columns)` index into a refined row of a polar table.
    z
        `(Q, 1, 1)` depth of the sub-slices in mm.
    """

    geometry: PhaseGeometry
    x: FloatMap
    y: FloatMap
    radius: FloatMap
    bin: NDArray[np.int32]
    z: FloatMap

    @classmethod
    def of(
        cls, subject: VirtualSubject, geometry: PhaseGeometry, x_mm: FloatMap, y_mm: FloatMap, z_mm: FloatMap
    ) -> SliceFrame:
        """Return the frame of the sub-slices `z_mm` `(Q,)`; the deformation is that of the middle one."""
        x, y = warp(
            subject.placement,
            np.asarray(x_mm, np.float32),
            np.asarray(y_mm, np.float32),
            float(z_mm[len(z_mm) // 2]),
        )
        return cls(geometry, x, y, np.sqrt(x * x + y * y), _bins(y, x), np.asarray(z_mm, np.float32)[:, None, None])

    def row(self, table: NDArray[np.float32]) -> FloatMap:
        """Return the table's rows `(Q, width)` at the sub-slices; beside an absent level the nearest row counts."""
        place = (self.z[:, 0, 0].astype(np.float64) - self.geometry.z_mm[0]) / self.geometry.step_mm
        low = np.clip(np.floor(place).astype(int), 0, len(table) - 2)
        part = np.clip(place - low, 0.0, 1.0)[:, None]
        first, second = table[low], table[low + 1]
        absent = (first <= ABSENT + 0.5) | (second <= ABSENT + 0.5)
        mixed = np.where(absent, np.where(part < 0.5, first, second), first * (1.0 - part) + second * part)
        return mixed.astype(np.float32)

    def surface(self, table: NDArray[np.float32]) -> FloatMap:
        """Return the signed distance `(Q, rows, columns)` to a polar surface in mm, negative inside."""
        rows = self.row(table)
        slope = (np.roll(rows, -1, axis=1) - np.roll(rows, 1, axis=1)) * np.float32(ANGLES / (4.0 * np.pi))
        cosine = 1.0 / np.sqrt(1.0 + np.clip(slope / np.maximum(rows, _LEAST_RADIUS_MM), -2.0, 2.0) ** 2)
        rows, cosine = rows @ _refinement(), cosine @ _refinement()
        out = np.full((len(rows), *self.radius.shape), FAR_MM, np.float32)
        for q in np.flatnonzero(rows.max(axis=1) > 0.0):
            out[q] = (self.radius - rows[q].take(self.bin)) * cosine[q].take(self.bin)
        return out

    def weight(self, table: NDArray[np.float32]) -> FloatMap:
        """Return a polar table's value `(Q, rows, columns)` at every pixel."""
        return (self.row(table) @ _refinement())[:, self.bin]

    def left(self, table: NDArray[np.float32]) -> FloatMap:
        """Return `surface(table)`, absent above the LV's base plane."""
        out = self.surface(table)
        out[self.z[:, 0, 0] < self.geometry.base_mm] = FAR_MM
        return out

    def right(self, shape: RightShape) -> FloatMap:
        """Return the signed distance to the RV's outline (the LV is not cut out), absent outside its two ends."""
        geometry = self.geometry
        out = np.full((len(self.z), *self.radius.shape), FAR_MM, np.float32)
        angles = (np.arange(_FINE + 1) * (2.0 * np.pi / _FINE) - np.pi)[None]
        outlines = self.row(geometry.rv_outline)
        span = geometry.rv_apex_mm - geometry.rv_base_mm
        for q, z in enumerate(self.z[:, 0, 0]):
            if not geometry.rv_base_mm <= z < geometry.rv_apex_mm:
                continue
            a, b, centre_x, centre_y, tilt = outlines[q]
            lobes = outline_radius(shape.outline_modes, angles, np.array([[(z - geometry.rv_base_mm) / span]]))[
                0
            ].astype(np.float32)
            cosine, sine = np.cos(tilt), np.sin(tilt)
            u = (self.x * cosine + self.y * sine - centre_x) / a
            v = (self.y * cosine - self.x * sine - centre_y) / b
            reach = np.sqrt(u * u + v * v) + np.float32(1e-5)
            gradient = np.sqrt((u / a) ** 2 + (v / b) ** 2) / reach
            out[q] = (reach - lobes.take(_bins(v, u))) / np.maximum(gradient, np.float32(1e-3))
        return out
