"""`SliceCanvas`: what one slice of a heart is painted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.hearts.scene import occupancy
from synthgen.hearts.signal import Fine
from synthgen.hearts.slice_frame import FloatMap


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

    @property
    def middle(self) -> int:
        """Index of the mid-plane."""
        return len(self.z_mm) // 2

    def blend(self, tissue: Fine, amount: FloatMap) -> None:
        """Mix `amount` (0..1, `(Q, rows, columns)`) of a tissue into the signal, the labels stay."""
        rows, columns = (np.flatnonzero(amount.any(axis=axes)) for axes in ((0, 2), (0, 1)))
        if not rows.size:
            return
        box = np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        value = np.broadcast_to(np.asarray(self.value(tissue), np.complex64), self.signal.shape)
        self.signal[box] += amount[box] * (value[box] - self.signal[box])

    def paint(
        self,
        tissue: Fine,
        distance: FloatMap,
        inset_mm: float = 0.0,
        opacity: FloatMap | float = 1.0,
        looks: Fine | None = None,
    ) -> None:
        """Fill what lies deeper than `inset_mm` inside `distance`: a tissue's label, its signal or that of `looks`."""
        amount = occupancy(distance + np.float32(inset_mm), self.pixel_mm) * np.asarray(opacity, np.float32)
        self.blend(tissue if looks is None else looks, amount)
        self.labels[amount[self.middle] > 0.5] = tissue
