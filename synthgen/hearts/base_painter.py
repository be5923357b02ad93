"""Painter of what lies above the ventricles: fat of the groove, atria, outflow tract, aortic root."""

from __future__ import annotations

from typing import Final

import numpy as np

from synthgen.hearts.base_shape import OUTER_RADIUS_MM
from synthgen.hearts.right_ventricle import outline_radius
from synthgen.hearts.signal import Fine
from synthgen.hearts.slice_canvas import SliceCanvas
from synthgen.hearts.slice_frame import FloatMap, SliceFrame
from synthgen.hearts.subject import BaseShape, Chamber, Tube
from synthgen.labels import Phase

_DIASTOLIC: Final = 0.88
"""Radii of the atria at the end of diastole against those at its beginning."""

_RIM_WALL: Final = 0.27
"""Thickness of the muscle's rim in parts of the left ventricle's outer radius."""


def paint_base(canvas: SliceCanvas, shape: BaseShape, frame: SliceFrame, size_mm: float) -> None:
    """Paint the atrioventricular fat, atria with the left auricle, the outflow tract and the aortic root.

    Atria fill while the ventricles empty; blood looks like that of the ventricle which it comes from or goes to.
    `size_mm` is the left ventricle's outer radius: what lies beside it moves with its border, what lies above it grows.
    """
    here = frame.geometry
    base, right, grown = here.base_mm, here.rv_base_mm, size_mm / OUTER_RADIUS_MM
    above = np.clip((base + 5.0 - frame.z) / 5.0, 0.0, 1.0)
    around = Chamber(offset_mm=(-4, 2, -1), radii_mm=(size_mm + 7, size_mm + 5, 13), lobes=(), wall_mm=0.0)
    canvas.paint(Fine.FAT, _chamber(frame, around, (-4, 2, base - 1), 1.0), 0.0, above)
    _paint_rim(canvas, shape, frame, _RIM_WALL * size_mm)
    filling = 1.0 if here.phase is Phase.ES else _DIASTOLIC
    for chamber, floor, place, scale, blood in (
        (shape.left_atrium, base, grown, grown, Fine.LV_BLOOD),
        (shape.right_atrium, right, _beside(shape.right_atrium.offset_mm, size_mm), 1.0, Fine.RV_BLOOD),
        (shape.auricle, base, grown, 1.0, Fine.LV_BLOOD),
    ):
        x, y, z = chamber.offset_mm
        distance = _chamber(frame, chamber, (x * place, y * place, floor + z), scale * filling)
        distance = np.maximum(distance, frame.z - np.float32(floor))
        canvas.paint(Fine.RV_WALL, distance, -chamber.wall_mm)
        canvas.paint(Fine.ATRIUM, distance, looks=blood)
    for tube, floor, place, blood in (
        (shape.outflow, right - 2.0, _beside(shape.outflow.start_mm, size_mm), Fine.RV_BLOOD),
        (shape.aorta, base - 1.0, 1.0, Fine.LV_BLOOD),
    ):
        x, y = tube.start_mm
        vessel = np.maximum(_tube(frame, tube, (x * place, y * place), floor), frame.z - np.float32(floor))
        canvas.paint(Fine.FAT, vessel, -1.7 - tube.wall_mm, 0.8)
        canvas.paint(Fine.RV_WALL, vessel, -tube.wall_mm)
        canvas.paint(Fine.VESSEL, vessel, looks=blood)


def _paint_rim(canvas: SliceCanvas, shape: BaseShape, frame: SliceFrame, wall_mm: float) -> None:
    """Paint what the left ventricle's muscle goes on to above its labelled base, and blood inside it."""
    outer = frame.surface(frame.geometry.epi_extended)
    above = np.float32(frame.geometry.base_mm) - frame.z
    height = shape.rim_mm * (0.5 + 0.5 * np.cos(np.arctan2(frame.y, frame.x) - np.float32(shape.rim_angle_rad)))
    canvas.paint(Fine.RV_WALL, np.maximum(outer, above - height), looks=Fine.MYOCARDIUM)
    inside = np.maximum(outer + np.float32(wall_mm), above - np.float32(shape.rim_mm))
    canvas.paint(Fine.ATRIUM, inside, looks=Fine.LV_BLOOD)


def _chamber(frame: SliceFrame, shape: Chamber, centre: tuple[float, float, float], scale: float) -> FloatMap:
    """Return the signed distance to an atrium whose centre is here, in mm, its radii scaled."""
    u, v, w = (
        (values - np.float32(middle)) * np.float32(1.0 / (radius * scale))
        for values, middle, radius in zip((frame.x[None], frame.y[None], frame.z), centre, shape.radii_mm, strict=True)
    )
    angle = np.arctan2(v, u)
    lobes = outline_radius(shape.lobes, angle, np.zeros_like(angle)).astype(np.float32)
    return (np.sqrt((u * u + v * v) / (lobes * lobes) + w * w) - 1.0) * np.float32(min(shape.radii_mm) * scale)


def _tube(frame: SliceFrame, shape: Tube, start_mm: tuple[float, float], floor_mm: float) -> FloatMap:
    """Return the signed distance to a vessel that climbs from `start_mm` at the plane `floor_mm`, open downwards."""
    climb = np.clip(np.float32(floor_mm) - frame.z, 0.0, 200.0)
    u, v = (
        (values[None] - np.float32(start) - np.float32(slope) * climb) * np.float32(1.0 / radius)
        for values, start, slope, radius in zip((frame.x, frame.y), start_mm, shape.climb, shape.radii_mm, strict=True)
    )
    return (np.sqrt(u * u + v * v) - 1.0) * np.float32(min(shape.radii_mm))


def _beside(offset_mm: tuple[float, ...], size_mm: float) -> float:
    """Return the factor that moves a place as the border of a left ventricle with this outer radius moves."""
    return 1.0 + (size_mm - OUTER_RADIUS_MM) / float(np.hypot(offset_mm[0], offset_mm[1]))
