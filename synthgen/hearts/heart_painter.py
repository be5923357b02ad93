"""Paint the heart of one slice over a painted thorax: complex signal per sub-slice, fine labels at the mid-plane.

Detail that makes an image (trabeculae, papillary muscles, the moderator band) is signal only: labels follow the smooth
contours that readers draw, with papillary muscles in the cavity. Labels are taken at the slice's mid-plane: majority
voting over a thick slice loses a twentieth of the myocardium.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from synthgen.hearts.base_painter import paint_base
from synthgen.hearts.geometry import SYSTOLIC_RV_WALL, PhaseGeometry, drift
from synthgen.hearts.scene import occupancy
from synthgen.hearts.signal import Fine
from synthgen.hearts.slice_canvas import SliceCanvas
from synthgen.hearts.slice_frame import FloatMap, SliceFrame
from synthgen.hearts.subject import Papillary, VirtualSubject
from synthgen.labels import Phase, Tissue

_MARGIN_MM = 9.0  # around the outermost surface: the deformation, one pixel, noise
_BASE_REACH_MM = 96.0  # atria and great vessels
_RIM_MM = 3.0
_CARDIAC = (Fine.LV_BLOOD, Fine.PAPILLARY, Fine.MYOCARDIUM, Fine.SCAR, Fine.RV_BLOOD)


def extent(subject: VirtualSubject, geometry: PhaseGeometry, z_mm: NDArray) -> tuple[float, float, float]:
    """Return `(x, y, radius)` in mm, heart frame: the disc outside which `paint_heart` changes nothing.

    `z_mm` are the sub-slices of one slice. A radius of 0 says that the slice misses the heart.
    """
    rows = np.clip(np.rint((z_mm - geometry.z_mm[0]) / geometry.step_mm).astype(int), 0, len(geometry.z_mm) - 1)
    outermost = float(geometry.paracardial[rows].max())
    radius = outermost + _MARGIN_MM if outermost > 0 else 0.0
    if float(np.min(z_mm)) < max(geometry.base_mm, geometry.rv_base_mm) + 6.0:
        radius = max(radius, _BASE_REACH_MM)
    x, y = drift(subject.placement, float(z_mm[len(z_mm) // 2]))
    return x, y, radius


def heart_labels(
    subject: VirtualSubject, geometry: PhaseGeometry, x_mm: NDArray, y_mm: NDArray, z_mm: float
) -> NDArray[np.uint8]:
    """Return the `(rows, columns)` heart labels (`Tissue` 0..3) of the plane at `z_mm`, without painting anything."""
    frame = SliceFrame.of(subject, geometry, x_mm, y_mm, np.array([z_mm], np.float32))
    distances = frame.left(geometry.endo)[0], frame.left(geometry.epi)[0], _right_cavity(subject, frame)[1][0]
    masks = _masks(*distances, contoured=z_mm < geometry.contoured_to_mm)
    out = np.zeros(np.shape(x_mm), np.uint8)
    for mask, tissue in zip(masks, (Tissue.LV, Tissue.MYO, Tissue.RV), strict=True):
        out[mask] = tissue
    return out


def paint_heart(
    canvas: SliceCanvas, subject: VirtualSubject, geometry: Mapping[Phase, PhaseGeometry], phase: Phase
) -> None:
    """Paint atria, great vessels, fat, pericardium, both ventricles, trabeculae, moderator band, scar and papillaries.

    Parameters
    ----------
    canvas
        A window that covers `extent`; smaller windows are fine, what lies outside is left out.
    geometry
        What `geometry.build` returned for the subject.
    """
    here = geometry[phase]
    frame = SliceFrame.of(subject, here, canvas.x_mm, canvas.y_mm, canvas.z_mm)
    _paint_surroundings(canvas, frame)
    if canvas.z_mm[0] < max(here.base_mm, here.rv_base_mm) + 5.0:
        size = float(np.maximum(geometry[Phase.ED].epi_extended[_row_of(here, 6.0)], 0.0).mean())
        paint_base(canvas, subject.base, frame, size)
    outline, cavity = _right_cavity(subject, frame)
    _paint_right(canvas, subject, frame, outline, cavity)
    epi, endo = frame.left(here.epi), frame.left(here.endo)
    _paint_left(canvas, subject, frame, (epi, endo), geometry[Phase.ED].scale_mm / here.scale_mm)
    _settle_labels(canvas, subject, frame, (endo, epi, cavity))


def _row_of(geometry: PhaseGeometry, z_mm: float) -> int:
    return int(np.searchsorted(geometry.z_mm, z_mm))


def _masks(endo: FloatMap, epi: FloatMap, right: FloatMap, *, contoured: bool) -> tuple[NDArray, NDArray, NDArray]:
    """Return LV, MYO (none unless `contoured`) and RV.

    Pixels that the raster cuts off the RV's thin horns are dropped: one piece per plane.
    """
    cavity, outer = endo < 0, epi < 0
    chamber = (right < 0) & ~outer
    pieces, count = label(chamber)
    if count > 1:
        chamber = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return cavity, outer & ~cavity & contoured, chamber


def _right_cavity(subject: VirtualSubject, frame: SliceFrame) -> tuple[FloatMap, FloatMap]:
    """Return signed distances to the RV's outline and to its cavity (outline minus LV)."""
    outline = frame.right(subject.right)
    return outline, np.maximum(outline, -frame.surface(frame.geometry.epi_extended))


def _paint_surroundings(canvas: SliceCanvas, frame: SliceFrame) -> None:
    """Paint the fat pads, the pericardium as a thin dark line, and the epicardial fat."""
    here = frame.geometry
    canvas.paint(Fine.FAT, frame.surface(here.paracardial))
    sac = frame.surface(here.pericardium)
    exists = (frame.z > min(here.rv_base_mm, here.base_mm) - 1.0).astype(np.float32)
    canvas.paint(Fine.PERICARDIUM, sac, -1.0, 0.40 * exists)
    canvas.paint(Fine.FAT, sac, 0.0, exists)


def _fingers(noise: FloatMap) -> FloatMap:
    """Return the part of a noise field that trabeculae grow from."""
    return np.maximum(noise - np.float32(0.15), 0.0)


def _paint_right(
    canvas: SliceCanvas, subject: VirtualSubject, frame: SliceFrame, outline: FloatMap, cavity: FloatMap
) -> None:
    """Paint the RV's wall, its blood, trabeculae growing towards the apex, and the moderator band."""
    inside = cavity < 0
    if not inside.any():
        return
    here = frame.geometry
    systole = here.phase is Phase.ES
    medial = -frame.surface(here.epi_extended)
    wall = subject.right.wall_mm * (SYSTOLIC_RV_WALL if systole else 1.0)
    canvas.paint(Fine.RV_WALL, np.maximum(outline - np.float32(wall), medial - 1.0))
    canvas.paint(Fine.RV_BLOOD, cavity)
    depth = np.clip((frame.z - here.rv_base_mm) / (here.rv_apex_mm - here.rv_base_mm), 0.0, 1.0)
    amount, fingers = subject.left.trabeculation, _fingers(canvas.coarse_texture)
    ragged = outline + fingers * ((3.6 if systole else 2.6) + 4.0 * depth**2) * np.float32(amount)
    free = occupancy(np.maximum(ragged, medial + 0.5 * fingers), canvas.pixel_mm)
    canvas.blend(Fine.RV_WALL, (1.0 - free) * inside * np.float32(0.92))
    zone = np.clip(1.0 + outline / ((8.0 if systole else 5.0) + 12.0 * depth**2), 0.0, 1.0)
    islands = (zone * (1.0 + 0.4 * depth) * np.float32(amount) + 0.45 * canvas.texture - 1.12) * 1.8
    canvas.blend(Fine.RV_WALL, np.clip(islands, 0.0, 0.75) * inside)
    _paint_band(canvas, subject, frame, inside)


def _paint_band(canvas: SliceCanvas, subject: VirtualSubject, frame: SliceFrame, inside: NDArray) -> None:
    """Paint the moderator band: a thin slab from septum to free wall that bends a little."""
    here, shape = frame.geometry, subject.right
    level = here.rv_base_mm + shape.band_level * (here.rv_apex_mm - here.rv_base_mm)
    row = here.epi_extended[min(_row_of(here, level), len(here.z_mm) - 1)]
    septum = float(np.maximum(row, 0.0)[len(row) // 2])
    along = (frame.x + np.float32(septum + 12.0))[None]
    across = (frame.y + 6.0)[None] * np.float32(np.sin(shape.band_angle_rad))
    across = across + along * np.float32(np.cos(shape.band_angle_rad)) + along**2 * np.float32(0.008)
    slab = np.abs(across) - 1.7 * (1.0 + 0.25 * canvas.texture)
    slab = np.maximum(slab, np.abs(frame.z - np.float32(level)) - 6.0)
    canvas.blend(Fine.RV_WALL, occupancy(slab, canvas.pixel_mm) * np.float32(0.75) * inside)


def _paint_left(
    canvas: SliceCanvas,
    subject: VirtualSubject,
    frame: SliceFrame,
    surfaces: tuple[FloatMap, FloatMap],
    crowding: float,
) -> None:
    """Paint the LV's wall, scar and blood, trabeculae that grow denser towards the apex, and the papillary muscles.

    Muscle keeps its volume: where the cavity's radius has become smaller by `crowding`, what lies in it is so much
    thicker, until little blood is seen in a cavity that ejects nearly all.
    """
    here, (epi, endo) = frame.geometry, surfaces
    rim = epi - np.float32(_RIM_MM) * np.clip(0.75 + 0.5 * canvas.coarse_texture, 0.0, 2.0)
    canvas.blend(Fine.MYOCARDIUM, occupancy(rim, canvas.pixel_mm) * (epi > 0))
    canvas.paint(Fine.MYOCARDIUM, epi)
    if subject.left.infarct is not None:
        scar = (frame.weight(here.infarct) > 0.5) & (epi < 0)
        canvas.blend(Fine.SCAR, scar.astype(np.float32))
    canvas.paint(Fine.LV_BLOOD, endo)
    inside = endo < 0
    if not inside.any():
        return
    depth = np.clip((frame.z - here.base_mm) / (here.apex_mm - here.base_mm), 0.0, 1.0)
    growth, layer = _trabeculae(subject.left.trabeculation, here, depth, crowding)
    free = occupancy(endo + _fingers(canvas.coarse_texture) * growth, canvas.pixel_mm)
    canvas.blend(Fine.MYOCARDIUM, (1.0 - free) * inside * np.float32(0.95))
    zone = np.clip(1.0 + endo / layer.astype(np.float32), 0.0, 1.0)
    islands = (zone * 1.10 + 0.42 * canvas.texture - 1.02) * 2.0
    canvas.blend(Fine.MYOCARDIUM, np.clip(islands, 0.0, 0.85).astype(np.float32) * inside)
    for head in subject.left.papillaries:
        _paint_papillary(canvas, head, frame, crowding, inside)


def _trabeculae(amount: float, here: PhaseGeometry, depth: FloatMap, crowding: float) -> tuple[NDArray, NDArray]:
    """Return how far fingers of trabeculae reach into the cavity and how deep islands of them lie, in mm."""
    growth = (3.8 + 1.5 * depth**1.5) * np.float32(amount * crowding)
    return growth, here.scale_mm * np.minimum((0.20 + 0.16 * depth**2) * (amount * crowding) * crowding, 1.0)


def _paint_papillary(canvas: SliceCanvas, head: Papillary, frame: SliceFrame, crowding: float, inside: NDArray) -> None:
    """Paint one head: an island at a fraction of the cavity's radius, thickest half-way between its ends."""
    here = frame.geometry
    depth = np.clip((frame.z - here.base_mm) / (here.apex_mm - here.base_mm), 0.0, 1.0)
    nearer = 0.89 if here.phase is Phase.ES else 1.0
    place = here.scale_mm * head.offset * nearer * (1.0 - 0.12 * depth)
    swell = head.radius_mm * (0.6 + 0.4 * here.scale_mm * crowding / 25.0) * 1.08
    middle, half = (head.level_from + head.level_to) / 2.0, (head.level_to - head.level_from) / 2.0
    size = swell * (1.0 - 0.35 * np.abs(depth - middle) / half)
    cosine, sine = float(np.cos(head.angle_rad)), float(np.sin(head.angle_rad))
    radial = (frame.x * cosine + frame.y * sine)[None] - place
    tangential = (frame.y * cosine - frame.x * sine)[None]
    island = np.sqrt((radial / 1.15) ** 2 + (tangential / head.stretch) ** 2) - size * (1.0 + 0.20 * canvas.texture)
    island = np.maximum(island, np.maximum(head.level_from - depth, depth - head.level_to) * 40.0)
    amount = occupancy(island, canvas.pixel_mm) * inside
    canvas.blend(Fine.PAPILLARY, amount * np.float32(0.88))
    canvas.labels[amount[canvas.middle] > 0.5] = Fine.PAPILLARY


def _settle_labels(
    canvas: SliceCanvas, subject: VirtualSubject, frame: SliceFrame, distances: tuple[FloatMap, FloatMap, FloatMap]
) -> None:
    """Set the ventricles' labels from the smooth contours of the mid-plane; pixel-share leftovers become RV wall."""
    here = frame.geometry
    contoured = bool(canvas.z_mm[canvas.middle] < here.contoured_to_mm)
    cavity, wall, right = _masks(*(distance[canvas.middle] for distance in distances), contoured=contoured)
    labels = canvas.labels
    papillary = (labels == Fine.PAPILLARY) & cavity
    labels[np.isin(labels, _CARDIAC)] = Fine.RV_WALL
    labels[right] = Fine.RV_BLOOD
    labels[wall] = Fine.MYOCARDIUM
    labels[cavity] = Fine.LV_BLOOD
    labels[papillary] = Fine.PAPILLARY
    if subject.left.infarct is not None:
        labels[wall & (frame.weight(here.infarct)[canvas.middle] > 0.5)] = Fine.SCAR
