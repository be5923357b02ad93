"""The short-axis stack: where slices and pixels lie in heart and patient, and how the heart sits in the chest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synthgen.hearts.geometry import PhaseGeometry
from synthgen.hearts.scene import FloatMap
from synthgen.hearts.subject import Placement, VirtualSubject
from synthgen.hearts.thorax import chest_wall
from synthgen.labels import Phase
from synthgen.seeding import Stage, numpy_stream

SUB_SLICES: Final = 3
"""Planes that a thick slice is averaged over; odd, the middle one is the mid-plane."""
SLICE_COUNT: Final = (8, 14)
"""Fewest and most slices of a clinical stack."""
_CLEARANCE_MM: Final = 2.0
"""Gap kept between pericardium and chest wall."""
_SEATING_STEP_MM: Final = 2.0
_SEATING_REACH_MM: Final = 50.0
"""How finely and how far the heart may be moved towards the body axis or the back to be clear of the wall."""


@dataclass(frozen=True, kw_only=True)
class StackGrid:
    """The short-axis stack in the heart frame.

    Attributes
    ----------
    pixels
        Rows and columns.
    pixel_mm, thickness_mm, spacing_mm
        In-plane size, slice thickness and distance of slice centres.
    levels_mm
        Position of each slice centre along the LV axis, base first.
    centre_mm
        Image-frame offset (right, down) of the field of view's centre from the LV axis.
    """

    pixels: int
    pixel_mm: float
    thickness_mm: float
    spacing_mm: float
    levels_mm: tuple[float, ...]
    centre_mm: tuple[float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along `(z, y, x)`."""
        return len(self.levels_mm), self.pixels, self.pixels

    @property
    def sub_levels_mm(self) -> FloatMap:
        """Planes that each slice is averaged over, `(slices, SUB_SLICES)`."""
        inside = ((np.arange(SUB_SLICES) + 0.5) / SUB_SLICES - 0.5) * self.thickness_mm
        return (np.asarray(self.levels_mm)[:, None] + inside).astype(np.float32)


def plan_stack(
    subject: VirtualSubject,
    geometry: Mapping[Phase, PhaseGeometry],
    *,
    pixels: int,
    pixel_mm: float,
    thickness_mm: float,
    gap_mm: float,
    clinical: bool = True,
) -> StackGrid:
    """Plan a stack that covers both ventricles, its offset uniform over one spacing.

    With `clinical`, a third of the subjects get a basal slice more, and 8 to 14 slices are kept by widening the gap or
    by adding slices beyond the heart.
    """
    rng = numpy_stream(subject.seed, subject.index, subject.attempt, Stage.THORAX)
    phase_in, extra, centre = rng.uniform(), rng.uniform(), rng.normal(0, 4.0, 2)
    ed = geometry[Phase.ED]
    base = min(ed.rv_base_mm, ed.base_mm)
    apex = max(float(g.z_mm[(g.epi > 0).any(1)].max()) for g in geometry.values())
    spacing = thickness_mm + gap_mm
    if clinical:
        spacing = max(spacing, (apex - base) / (SLICE_COUNT[1] - 2))
    first = base + spacing * (0.5 - phase_in)
    count = int(np.floor((apex - first) / spacing)) + 1
    if clinical and extra < 1 / 3:
        first, count = first - spacing, count + 1
    while clinical and count < SLICE_COUNT[0]:
        first, count = (first, count + 1) if count % 2 else (first - spacing, count + 1)
    return StackGrid(
        pixels=pixels,
        pixel_mm=pixel_mm,
        thickness_mm=thickness_mm,
        spacing_mm=spacing,
        levels_mm=tuple(float(first + spacing * i) for i in range(count)),
        centre_mm=(float(centre[0]) - 8.0, float(centre[1])),
    )


class ImageFrame:
    """Where the pixels of a grid lie: in the heart frame and in the patient frame (left, posterior, superior; mm).

    Attributes
    ----------
    x_mm, y_mm
        `(rows, columns)` heart-frame coordinates of the pixel centres.
    right, down, axis
        Patient-frame unit vectors of heart-frame x, y and z.
    origin
        Patient-frame position of the heart frame's origin.
    """

    def __init__(self, subject: VirtualSubject, end_diastole: PhaseGeometry, grid: StackGrid) -> None:
        self.grid, placement = grid, subject.placement
        self.right, self.down, self.axis = heart_axes(placement)
        self.origin = heart_origin(subject, end_diastole)
        self.cosine, self.sine = float(np.cos(placement.rotation_rad)), float(np.sin(placement.rotation_rad))
        u, w = np.meshgrid(*(self._image_axis(c) for c in grid.centre_mm))
        self.x_mm = (self.cosine * u - self.sine * w).astype(np.float32)
        self.y_mm = (self.sine * u + self.cosine * w).astype(np.float32)

    def _image_axis(self, centre_mm: float) -> NDArray[np.float64]:
        index = np.arange(self.grid.pixels, dtype=np.float64)
        return (index - (self.grid.pixels - 1) / 2) * self.grid.pixel_mm + centre_mm

    @property
    def steps(self) -> NDArray[np.float64]:
        """Patient-frame step per column, per row, and per mm along the stack, `(3, 3)`."""
        column = self.cosine * self.right + self.sine * self.down
        row = -self.sine * self.right + self.cosine * self.down
        return np.stack([column * self.grid.pixel_mm, row * self.grid.pixel_mm, self.axis])

    @property
    def corner(self) -> NDArray[np.float64]:
        """Patient-frame position of pixel (0, 0) at level 0."""
        return self.origin + float(self.x_mm[0, 0]) * self.right + float(self.y_mm[0, 0]) * self.down

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel (x, y, z) to RAS+ mm."""
        to_ras = np.array([-1.0, -1.0, 1.0])
        column, row, along = self.steps
        out = np.eye(4)
        out[:3, :3] = np.stack([column, row, along * self.grid.spacing_mm], axis=1) * to_ras[:, None]
        out[:3, 3] = (self.corner + along * self.grid.levels_mm[0]) * to_ras
        return out

    def patient(self, levels_mm: FloatMap) -> FloatMap:
        """Return left, posterior and superior of every voxel, `(3, slices, sub-slices, rows, columns)`."""
        plane = [self.origin[i] + self.x_mm * float(self.right[i]) + self.y_mm * float(self.down[i]) for i in range(3)]
        along = levels_mm[:, :, None, None]
        return np.stack([(p[None, None] + along * float(self.axis[i])).astype(np.float32) for i, p in enumerate(plane)])

    def to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn patient-frame points `(n, 3)` into column, row (pixels) and level (mm)."""
        x, y, z = np.stack([self.right, self.down, self.axis]) @ (points - self.origin).T
        half = (self.grid.pixels - 1) / 2
        u = (self.cosine * x + self.sine * y - self.grid.centre_mm[0]) / self.grid.pixel_mm + half
        w = (-self.sine * x + self.cosine * y - self.grid.centre_mm[1]) / self.grid.pixel_mm + half
        return np.stack([u, w, z], axis=1)


def heart_origin(subject: VirtualSubject, end_diastole: PhaseGeometry) -> NDArray[np.float64]:
    """Return the heart frame's origin in the patient frame.

    It lies where it was placed, or nearer to the body axis or the back if the heart would touch the chest wall.
    """
    axes = np.stack(heart_axes(subject.placement))
    origin = np.asarray(subject.placement.position_mm) - axes[2] * (0.45 * subject.left.length_mm)
    outline = end_diastole.pericardium[::4, ::4]
    level, column = np.nonzero((outline > 0) & (end_diastole.z_mm[::4, None] >= end_diastole.rv_base_mm))
    angle, radius = column * (2 * np.pi / outline.shape[1]), outline[level, column]
    local = np.stack([radius * np.cos(angle), radius * np.sin(angle), end_diastole.z_mm[::4][level]], axis=1)
    surface = local @ axes + origin
    inward = -origin / np.hypot(origin[0], origin[1]) * (1.0, 1.0, 0.0)
    backward = np.array([0.0, 1.0, 0.0])
    steps = np.arange(0.0, _SEATING_REACH_MM, _SEATING_STEP_MM)
    moves = (steps[:, None, None] * np.stack([inward, backward])).reshape(-1, 3)  # shortest first
    left, posterior, superior = (surface + moves[:, None, :]).astype(np.float32).transpose(2, 0, 1)
    touching = chest_wall(subject.thorax, left, posterior, superior).cavity.max(axis=1) + _CLEARANCE_MM
    free = np.flatnonzero(touching <= 0)
    return origin + moves[free[0] if len(free) else int(touching.argmin())]


def heart_axes(placement: Placement) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return heart-frame x, y and z as unit vectors (left, posterior, superior): right, down, base to apex."""
    azimuth, elevation = placement.azimuth_rad, placement.elevation_rad
    axis = np.array([np.cos(elevation) * np.sin(azimuth), -np.cos(elevation) * np.cos(azimuth), -np.sin(elevation)])
    down = np.array([0.0, 0.0, -1.0]) + axis[2] * axis
    down /= np.linalg.norm(down)
    right = np.cross(axis, down)
    return (right if right[0] > 0 else -right), down, axis
