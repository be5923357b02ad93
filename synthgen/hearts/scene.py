"""Painter of implicit shapes: anti-aliased occupancy on the complex signal, with coarse-to-fine culling.

A shape is a signed distance in mm, negative inside. It is evaluated on a grid eight times coarser first and then only
inside the bounding box of where it can be, so that a hundred small shapes cost about as much as ten large ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from synthgen.hearts.signal import BANDS, Fine

STRIDE: Final = 8
"""Ratio of the coarse culling grid to the pixel grid."""

FloatMap = NDArray[np.float32]


class Place(SimpleNamespace):
    """Fields of one window of the scene, each broadcastable to `(slices, sub-slices, rows, columns)`."""


Distance = Callable[[Place], FloatMap]


@dataclass(frozen=True)
class Layer:
    """A tissue that fills a shape from `inset_mm` inside its border, with an opacity."""

    tissue: Fine
    inset_mm: float = 0.0
    opacity: float = 1.0


def occupancy(distance: FloatMap, pixel_mm: float) -> FloatMap:
    """Return the covered fraction of a pixel for a signed distance in mm (a linear ramp one pixel wide)."""
    return np.clip(0.5 - distance * np.float32(1.0 / pixel_mm), 0.0, 1.0)


def smooth_minimum(a: FloatMap, b: FloatMap, width_mm: float) -> FloatMap:
    """Return the union of two distances with a fillet of `width_mm` (polynomial smooth minimum)."""
    m = np.clip(0.5 + (b - a) * np.float32(0.5 / width_mm), 0.0, 1.0)
    return b + (a - b) * m - np.float32(width_mm) * m * (1 - m)


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: tuple[float, ...], truncate: float = 2.5
) -> FloatMap:
    """Return a Gaussian-smoothed random field with mean 0 and standard deviation 1."""
    field = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, mode="wrap", truncate=truncate)
    field -= field.mean()
    return field / (field.std() + np.float32(1e-9))


@lru_cache(maxsize=32)
def _interpolation_matrix(coarse: int, factor: int, fine: int) -> FloatMap:
    position = np.minimum(np.arange(fine) / factor, coarse - 1)
    low = np.minimum(np.floor(position).astype(int), coarse - 2)
    matrix = np.zeros((fine, coarse), np.float32)
    matrix[np.arange(fine), low] = 1 - (position - low)
    matrix[np.arange(fine), low + 1] += position - low
    matrix.setflags(write=False)
    return matrix


def upsample(field: NDArray, factor: int, size: int) -> NDArray:
    """Interpolate the last two (square) axes linearly to `size`; coarse sample `i` lies on pixel `i * factor`."""
    matrix = _interpolation_matrix(field.shape[-1], factor, size)
    return np.matmul(np.matmul(matrix, field), matrix.T)


def ellipsoid(centre: Sequence[float], radii: Sequence[float]) -> Distance:
    """Return an ellipsoid in patient coordinates (left, posterior, superior; mm) that moves with breathing."""
    (cl, cp, cs), (rl, rp, rs), scale = map(float, centre), map(float, radii), float(min(radii))

    def distance(v: Place) -> FloatMap:
        return (
            np.sqrt(((v.left - cl) / rl) ** 2 + ((v.posterior - cp) / rp) ** 2 + ((v.moving - cs) / rs) ** 2) - 1
        ) * scale

    return distance


class Scene:
    """The painted stack: complex signal and fine labels, `(slices, sub-slices, rows, columns)`.

    Parameters
    ----------
    shape
        `(slices, sub-slices, pixels)`; slices are square.
    pixel_mm
        Size of a pixel.
    signals
        On-resonance signal per fine tissue.
    profiles
        `(bands, slices, rows, columns)` effect of off-resonance per band.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        pixel_mm: float,
        signals: NDArray[np.complex64],
        profiles: NDArray[np.complex64],
    ) -> None:
        slices, subs, pixels = shape
        self.slices, self.subs, self.pixels, self.pixel_mm = slices, subs, pixels, pixel_mm
        self.signals, self.profiles = signals, profiles
        self.signal = np.zeros((slices, subs, pixels, pixels), np.complex64)
        self.labels = np.zeros((slices, subs, pixels, pixels), np.uint8)
        self.place, self._coarse = Place(), Place()

    def add_field(self, name: str, field: FloatMap) -> None:
        """Make a field available to distances by its name."""
        full = np.asarray(field, np.float32)
        setattr(self.place, name, full)
        setattr(self._coarse, name, full if full.shape[-1] == 1 else full[..., ::STRIDE, ::STRIDE])

    def tissue_signal(self, tissue: int, slices: slice | int, rows: slice, columns: slice) -> NDArray[np.complex64]:
        """Return the signal of a tissue in a window, off-resonance included.

        `(slices, 1, rows, columns)`; `(rows, columns)` where `slices` is one slice.
        """
        profile = self.profiles[BANDS[tissue], slices, rows, columns]
        return self.signals[tissue] * (profile if isinstance(slices, int) else profile[:, None])

    def paint(
        self,
        distance: Distance,
        *layers: Layer,
        weight: Callable[[Place], FloatMap] | None = None,
        grow_mm: float = 0.0,
    ) -> None:
        """Paint layers, in order, where `distance` is negative.

        `weight` scales the opacity place by place; `grow_mm` widens the search for distances that are not 1-Lipschitz.
        """
        window = self._window(distance, min(layer.inset_mm for layer in layers), grow_mm)
        if window is None:
            return
        k, y, x = window
        view = _view(self.place, k, y, x)
        field = distance(view)
        signal, labels = self.signal[k, :, y, x], self.labels[k, :, y, x]
        for layer in layers:
            cover = occupancy(field + np.float32(layer.inset_mm), self.pixel_mm)
            if layer.opacity != 1.0:
                cover = cover * np.float32(layer.opacity)
            if weight is not None:
                cover = cover * weight(view)
            signal += cover * (self.tissue_signal(layer.tissue, k, y, x) - signal)
            labels[np.broadcast_to(cover, labels.shape) > 0.5] = layer.tissue

    def _window(self, distance: Distance, inset_mm: float, grow_mm: float) -> tuple[slice, slice, slice] | None:
        near = (distance(self._coarse) + np.float32(inset_mm)) < STRIDE * self.pixel_mm * 0.8 + grow_mm
        side = -(-self.pixels // STRIDE)
        near = np.broadcast_to(near, (self.slices, self.subs, side, side))
        if not near.any():
            return None
        k, y, x = (np.flatnonzero(near.any(axis)) for axis in ((1, 2, 3), (0, 1, 3), (0, 1, 2)))
        rows, columns = (slice(max(0, (i[0] - 1) * STRIDE), (i[-1] + 1) * STRIDE + 1) for i in (y, x))
        return slice(int(k[0]), int(k[-1]) + 1), rows, columns


def _view(place: Place, k: slice, y: slice, x: slice) -> Place:
    every = slice(None)

    def cut(a: FloatMap) -> FloatMap:
        return a[k if a.shape[0] > 1 else every, :, y if a.shape[-2] > 1 else every, x if a.shape[-1] > 1 else every]

    return Place(**{name: cut(a) for name, a in vars(place).items()})
