"""Paint the heart of one slice over a painted thorax: complex signal per sub-slice, fine labels at the mid-plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.hearts.geometry import PhaseGeometry
from synthgen.hearts.subject import VirtualSubject
from synthgen.hearts.signal import Fine
from synthgen.labels import Phase


@dataclass(frozen=True, kw_only=True, eq=False)
class SliceCanvas:
    """What one slice is painted on. `signal` and `labels` are changed in place.

    Attributes
    ----------
    x_mm, y_mm
        `(rows, columns)` heart-frame coordinates of the pixel centres (image rotation and breath-hold shift taken out).
    z_mm
        `(Q,)` heart-frame z of the sub-slices, Q odd; the middle one is the mid-plane that labels are taken at.
    pixel_mm
        Pixel size, for anti-aliasing.
    signal
        `(Q, rows, columns)` complex64, the painted background.
    labels
        `(rows, columns)` uint8 `Fine` codes of the background at the mid-plane.
    value
        Signal of a tissue, broadcastable to `signal`.
    texture, coarse_texture
        `(rows, columns)` unit-variance smooth noise (sigma about 1.4 mm and 2.6 mm) that trabeculae are made from.
    """

    x_mm: NDArray[np.float32]
    y_mm: NDArray[np.float32]
    z_mm: NDArray[np.float32]
    pixel_mm: float
    signal: NDArray[np.complex64]
    labels: NDArray[np.uint8]
    value: Callable[[Fine], NDArray[np.complex64] | complex]
    texture: NDArray[np.float32]
    coarse_texture: NDArray[np.float32]


def extent(subject: VirtualSubject, geometry: PhaseGeometry, z_mm: NDArray) -> tuple[float, float, float]:
    """Return `(x, y, radius)` in mm, heart frame: the disc outside which `paint_heart` changes nothing; radius 0 = nothing."""
    raise SystemExit("signature only, body follows")


def paint_heart(
    canvas: SliceCanvas, subject: VirtualSubject, geometry: Mapping[Phase, PhaseGeometry], phase: Phase
) -> None:
    """Paint atria, great vessels, fat, pericardium, both ventricles, trabeculae, moderator band, scar and papillaries."""
    raise SystemExit("signature only, body follows")


def heart_labels(
    subject: VirtualSubject, geometry: PhaseGeometry, x_mm: NDArray, y_mm: NDArray, z_mm: float
) -> NDArray[np.uint8]:
    """Return the `(rows, columns)` heart labels (`Tissue` 0..3) of the plane at `z_mm`, without painting anything."""
    raise SystemExit("signature only, body follows")
