"""Vessels of lung and liver: tapered random segments, splatted where they cross a slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synthgen.hearts.scene import FloatMap, Scene
from synthgen.hearts.signal import BANDS, Fine

POINTS_PER_SEGMENT: Final = 48
_REACH: Final = 4
"""Half-width in pixels of the patch that one point paints."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """How one organ's vessels scatter; lengths in mm.

    Attributes
    ----------
    organ
        Only pixels of this tissue are painted.
    count
        Number of segments.
    root, spread
        Hilum, and standard deviation of the segments' start around it.
    decay
        Distance from the hilum over which the radius falls by e.
    radius
        Largest radius.
    length
        Range of a segment's length.
    wander
        Standard deviation of the direction around the radial one.
    opacity
        Share of blood signal in the middle of a vessel.
    labelled
        Whether the vessel takes over the label from its organ.
    """

    organ: Fine
    count: int
    root: tuple[float, float, float]
    spread: tuple[float, float, float]
    decay: float
    radius: float
    length: tuple[float, float]
    wander: float
    opacity: float
    labelled: bool


TREES: Final = (
    Tree(
        organ=Fine.LUNG,
        count=420,
        root=(42.0, 18.0, 28.0),
        spread=(40.0, 42.0, 56.0),
        decay=46.0,
        radius=3.4,
        length=(10.0, 36.0),
        wander=0.5,
        opacity=0.95,
        labelled=True,
    ),
    Tree(
        organ=Fine.LUNG,
        count=200,
        root=(-42.0, 18.0, 28.0),
        spread=(40.0, 42.0, 56.0),
        decay=46.0,
        radius=3.4,
        length=(10.0, 36.0),
        wander=0.5,
        opacity=0.95,
        labelled=True,
    ),
    Tree(
        organ=Fine.LIVER,
        count=60,
        root=(-42.0, 5.0, -62.0),
        spread=(36.0, 34.0, 26.0),
        decay=60.0,
        radius=5.0,
        length=(30.0, 80.0),
        wander=0.25,
        opacity=0.65,
        labelled=False,
    ),
)
"""Left lung, right lung, liver."""


def grow(tree: Tree, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centre points `(n, 3)` in the patient frame and their radii `(n,)`."""
    root = np.asarray(tree.root)
    start = root + rng.normal(size=(tree.count, 3)) * np.asarray(tree.spread)
    outward = start - root
    distance = np.linalg.norm(outward, axis=1, keepdims=True)
    direction = outward / (distance + 1e-6) + rng.normal(0, tree.wander, (tree.count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = rng.uniform(*tree.length, tree.count)[:, None, None]
    scale = np.exp(-distance[:, 0] / tree.decay) * rng.uniform(0.6, 1.3, tree.count)
    radius = np.clip(tree.radius * scale, 0.55, tree.radius)
    t = np.linspace(0, 1, POINTS_PER_SEGMENT)[None, :, None]
    bend = rng.normal(0, 1, (tree.count, 1, 3)) * t**2 * (0.18 * length)
    points = start[:, None] + direction[:, None] * length * t + bend
    return points.reshape(-1, 3), (radius[:, None] * (1 - 0.45 * t[..., 0])).ravel()


def splat(
    scene: Scene, tree: Tree, pixels: NDArray[np.float64], radii: NDArray[np.float64], levels_mm: FloatMap
) -> None:
    """Paint vessel points into the scene.

    Parameters
    ----------
    pixels
        `(n, 3)`: column and row in pixels, position along the stack in mm.
    radii
        `(n,)` in mm.
    levels_mm
        `(slices, sub-slices)` positions of the painted planes along the stack.
    """
    edge, size = _REACH + 1, scene.pixels
    inside = ((pixels[:, :2] > edge) & (pixels[:, :2] < size - edge - 1)).all(1)
    pixels, radii = pixels[inside], radii[inside]
    for k in range(scene.slices):
        off_plane = np.abs(pixels[:, 2:] - levels_mm[k]).min(1)
        crossing = off_plane < np.maximum(radii, 0.9)
        if not crossing.any():
            continue
        in_plane = np.sqrt(np.maximum(radii[crossing] ** 2 - off_plane[crossing] ** 2, 0.3)) / scene.pixel_mm
        cover = _discs(pixels[crossing, :2], in_plane, size) * np.float32(tree.opacity)
        blood = scene.signals[Fine.VESSEL] * scene.profiles[BANDS[Fine.VESSEL], k]
        for q in range(scene.subs):
            masked = cover * (scene.labels[k, q] == tree.organ)
            scene.signal[k, q] += masked * (blood - scene.signal[k, q])
            if tree.labelled:
                scene.labels[k, q][masked > 0.6] = Fine.VESSEL


def _discs(centres: NDArray[np.float64], radii_px: NDArray[np.float64], size: int) -> FloatMap:
    """Return the union of anti-aliased discs, `(size, size)`."""
    column, row = centres[:, 0, None, None], centres[:, 1, None, None]
    step = np.arange(-_REACH, _REACH + 1)
    columns = np.rint(column).astype(int) + step[None, None, :]
    rows = np.rint(row).astype(int) + step[None, :, None]
    cover = np.clip(0.5 - np.hypot(columns - column, rows - row) + radii_px[:, None, None], 0, 1).astype(np.float32)
    out = np.zeros(size * size, np.float32)
    np.maximum.at(out, (rows * size + columns).ravel(), cover.ravel())
    return out.reshape(size, size)
