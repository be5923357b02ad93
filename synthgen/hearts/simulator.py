"""One virtual subject through one scanner: anatomy, style and grid in, ED and ES images and labels out.

Labels are the anatomy at the slice mid-plane (unbiased by Cavalieri's principle), images the average over the slice
profile. Chance comes from three streams: THORAX (shape of the body, breath-holds), TEXTURE (tissue of the patient) and
ACQUISITION (the scanner). Changing the style changes the use of the last one only, so labels do not move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synthgen.hearts import geometry as heart_geometry
from synthgen.hearts.geometry import PhaseGeometry
from synthgen.hearts.heart_painter import extent, paint_heart
from synthgen.hearts.scanner import acquire, coil_map, coil_positions, off_resonance_map
from synthgen.hearts.scene import STRIDE, FloatMap, Scene, smooth_noise, upsample
from synthgen.hearts.signal import (
    BANDS,
    CODES,
    TEXTURE_FIELD,
    TEXTURE_SD,
    Fine,
    Texture,
    band_profiles,
    draw_tissues,
    on_resonance_signals,
)
from synthgen.hearts.slice_canvas import SliceCanvas
from synthgen.hearts.stack import SUB_SLICES, ImageFrame, StackGrid
from synthgen.hearts.styles import ScannerStyle
from synthgen.hearts.subject import VirtualSubject
from synthgen.hearts.thorax import paint_thorax
from synthgen.hearts.vessels import TREES, grow, splat
from synthgen.labels import Phase
from synthgen.seeding import Stage, numpy_stream
from synthgen.volumes import Volume

BREATH_HOLD_SD_MM: Final = 2.0
"""Standard deviation of the diaphragm's position between breath-holds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """ED and ES of one subject on one grid: float32 images, uint8 nine-tissue labels, and the drawn style's record."""

    images: Mapping[Phase, Volume]
    labels: Mapping[Phase, Volume]
    style: ScannerStyle
    grid: StackGrid


def simulate(
    subject: VirtualSubject,
    style: ScannerStyle,
    grid: StackGrid,
    geometry: Mapping[Phase, PhaseGeometry] | None = None,
    *,
    artefacts: bool = True,
) -> Simulation:
    """Simulate ED and ES of `subject` with `style` on `grid`.

    Parameters
    ----------
    geometry
        What `geometry.build(subject)` returns; built here when None.
    artefacts
        Whether breath-holds differ between slices, B0 is inhomogeneous, tissue is textured, and noise, ghosts and coil
        shading appear.
    """
    solved = heart_geometry.build(subject) if geometry is None else geometry
    frame = ImageFrame(subject, solved[Phase.ED], grid)
    shifts = breath_hold_shifts(subject, len(grid.levels_mm)) if artefacts else np.zeros(len(grid.levels_mm))
    scanner_rng = numpy_stream(subject.seed, subject.index, subject.attempt, Stage.ACQUISITION)
    texture_rng = numpy_stream(subject.seed, subject.index, subject.attempt, Stage.TEXTURE)
    scene = _background(subject, style, frame, shifts, (texture_rng, scanner_rng if artefacts else None))
    textures = _Textures.draw(texture_rng, grid)
    coil = None
    if artefacts:
        loops = coil_positions(subject.thorax.half_depth_mm)
        coil = coil_map(grid.pixels, frame.corner, frame.steps, np.asarray(grid.levels_mm), loops)
    affine, spacing = frame.affine, (grid.spacing_mm, grid.pixel_mm, grid.pixel_mm)
    images, labels = {}, {}
    for phase in Phase:
        signal, fine = _paint_phase(scene, (subject, solved), phase, frame, shifts, textures)
        if artefacts:
            signal *= textures.factor(fine)
        image = acquire(signal, style, grid.pixel_mm, scanner_rng if artefacts else None, coil)
        images[phase] = Volume(image, spacing, affine)
        labels[phase] = Volume(CODES[fine], spacing, affine)
    return Simulation(images=images, labels=labels, style=style, grid=grid)


def breath_hold_shifts(subject: VirtualSubject, count: int) -> NDArray[np.float64]:
    """Return the superior shift in mm of what breathing moves, per slice; ED and ES of a slice share it."""
    rng = numpy_stream(subject.seed, subject.index, subject.attempt, Stage.THORAX).spawn(1)[0]
    return rng.normal(0, BREATH_HOLD_SD_MM, count)


@dataclass(frozen=True, eq=False)
class _Textures:
    """Random fields of one subject, `(slices, rows, columns)` each, sd 1; `fields` is indexed by `Texture`."""

    fields: tuple[FloatMap, FloatMap, FloatMap]
    trabeculae: FloatMap
    coarse_trabeculae: FloatMap

    @classmethod
    def draw(cls, rng: np.random.Generator, grid: StackGrid) -> _Textures:
        k, n = len(grid.levels_mm), grid.pixels
        scale = 1.3 / grid.pixel_mm
        fine = smooth_noise(rng, (k, n, n), (0.0, 0.8, 0.8))
        medium: FloatMap = upsample(smooth_noise(rng, (k, n // 2 + 1, n // 2 + 1), (0.5, 1.3, 1.3)), 2, n)
        strands = smooth_noise(rng, (k, n, n), (0.0, 0.6, 3.0))
        eddies: FloatMap = upsample(smooth_noise(rng, (k, n // 4 + 1, n // 4 + 1), (0.5, 1.6, 1.6)), 4, n)
        return cls(
            (_mix(fine, 0.45, medium, 0.65), _mix(strands, 0.7, medium, 0.5), _mix(eddies, 0.7, medium, 0.6)),
            smooth_noise(rng, (k, n, n), (0.4, 1.1 * scale, 1.1 * scale)),
            smooth_noise(rng, (k, n, n), (0.3, 2.0 * scale, 2.0 * scale)),
        )

    def factor(self, fine: NDArray[np.uint8]) -> FloatMap:
        """Return the multiplicative texture of a fine label map."""
        which = TEXTURE_FIELD[fine]
        field = np.where(which == Texture.FIBRE, self.fields[Texture.FIBRE], self.fields[Texture.GRAIN])
        field = np.where(which == Texture.FLOW, self.fields[Texture.FLOW], field)
        return np.maximum(1 + TEXTURE_SD[fine] * field, np.float32(0.1))


def _mix(a: FloatMap, a_share: float, b: FloatMap, b_share: float) -> FloatMap:
    return np.float32(a_share) * a + np.float32(b_share) * b


def _background(
    subject: VirtualSubject,
    style: ScannerStyle,
    frame: ImageFrame,
    shifts: NDArray[np.float64],
    streams: tuple[np.random.Generator, np.random.Generator | None],
) -> Scene:
    """Paint everything but the heart."""
    grid, (texture_rng, scanner_rng) = frame.grid, streams
    k, n = len(grid.levels_mm), grid.pixels
    side = (n - 1) // STRIDE + 2
    hertz = np.zeros((k, side, side), np.float32)
    if scanner_rng is not None:
        hertz = off_resonance_map(scanner_rng, style, k, n, grid.pixel_mm)
    signals = on_resonance_signals(style.sequence, draw_tissues(texture_rng))
    signals[Fine.STOMACH_FLUID] *= subject.thorax.stomach_brightness
    profiles = band_profiles(hertz, style.sequence)
    scene = Scene((k, SUB_SLICES, n), grid.pixel_mm, signals, upsample(profiles, STRIDE, n).astype(np.complex64))
    left, posterior, superior = frame.patient(grid.sub_levels_mm)
    for name, field in (("left", left), ("posterior", posterior), ("superior", superior)):
        scene.add_field(name, field)
    scene.add_field("moving", superior - shifts.astype(np.float32)[:, None, None, None])
    rng = numpy_stream(subject.seed, subject.index, subject.attempt, Stage.THORAX).spawn(2)[1]
    side = n // 4 + 1
    for name, sigma in (("slow", 4.0), ("quick", 3.0)):
        wave = sigma * 1.4 / grid.pixel_mm
        scene.add_field(name, upsample(smooth_noise(rng, (k, side, side), (0.8, wave, wave)), 4, n)[:, None])
    paint_thorax(scene, subject, rng)
    for tree in TREES:
        points, radii = grow(tree, rng)
        splat(scene, tree, frame.to_pixels(points), radii, grid.sub_levels_mm)
    return scene


def _paint_phase(
    scene: Scene,
    heart: tuple[VirtualSubject, Mapping[Phase, PhaseGeometry]],
    phase: Phase,
    frame: ImageFrame,
    shifts: NDArray[np.float64],
    textures: _Textures,
) -> tuple[NDArray[np.complex64], NDArray[np.uint8]]:
    """Paint the heart of one phase over the background; return slice-averaged signal and mid-plane fine labels."""
    (subject, geometry), weights = heart, _profile_weights()
    signal = np.tensordot(scene.signal, weights, ([1], [0]))
    fine = scene.labels[:, SUB_SLICES // 2].copy()
    motion = np.stack([frame.right, frame.down, frame.axis])[:, 2]
    for k, levels in enumerate(frame.grid.sub_levels_mm):
        moved = motion * shifts[k]
        planes = (levels - moved[2]).astype(np.float32)
        rows, columns = _heart_window(frame, extent(subject, geometry[phase], planes), moved)
        if rows.stop <= rows.start or columns.stop <= columns.start:
            continue
        canvas = SliceCanvas(
            x_mm=frame.x_mm[rows, columns] - np.float32(moved[0]),
            y_mm=frame.y_mm[rows, columns] - np.float32(moved[1]),
            z_mm=planes,
            pixel_mm=frame.grid.pixel_mm,
            signal=scene.signal[k, :, rows, columns].copy(),
            labels=fine[k, rows, columns],
            value=_TissueValues(scene, k, rows, columns),
            texture=textures.trabeculae[k, rows, columns],
            coarse_texture=textures.coarse_trabeculae[k, rows, columns],
        )
        paint_heart(canvas, subject, geometry, phase)
        signal[k, rows, columns] = np.tensordot(canvas.signal, weights, ([0], [0]))
    return signal, fine


def _profile_weights() -> NDArray[np.complex64]:
    """Weights of the sub-slices: a soft slice profile, lower at both ends."""
    weights = np.ones(SUB_SLICES)
    weights[[0, -1]] = 0.75
    return (weights / weights.sum()).astype(np.complex64)


def _heart_window(
    frame: ImageFrame, disc: tuple[float, float, float], moved: NDArray[np.float64]
) -> tuple[slice, slice]:
    x, y, radius = disc
    if radius <= 0:
        return slice(0, 0), slice(0, 0)
    grid = frame.grid
    centre = frame.to_pixels((frame.origin + (x + moved[0]) * frame.right + (y + moved[1]) * frame.down)[None])[0, :2]
    reach = radius / grid.pixel_mm + 1
    low = np.clip(np.floor(centre - reach), 0, grid.pixels).astype(int)
    high = np.clip(np.ceil(centre + reach) + 1, 0, grid.pixels).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


class _TissueValues:
    """Signal of a tissue in one window, computed once per tissue."""

    def __init__(self, scene: Scene, k: int, rows: slice, columns: slice) -> None:
        self._signals, self._profiles = scene.signals, scene.profiles[:, k, rows, columns]
        self._known: dict[Fine, NDArray[np.complex64]] = {}

    def __call__(self, tissue: Fine) -> NDArray[np.complex64]:
        if tissue not in self._known:
            self._known[tissue] = self._signals[tissue] * self._profiles[BANDS[tissue]]
        return self._known[tissue]
