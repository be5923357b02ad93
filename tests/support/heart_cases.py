"""Drawn hearts that several test modules use: nested discs with a crescent, and stacks of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthgen.engine.donors import Donor
from synthgen.labels import Phase, Tissue, Vendor

SIZE = 64


def ring(
    lv: float = 7.0, wall: float = 3.0, rv: float = 7.0, at: tuple[float, float] = (31.0, 33.0), body: int = 0
) -> NDArray[np.uint8]:
    """One slice: a cavity of radius `lv`, a wall around it, and left of it a crescent that reaches `rv` beyond."""
    y, x = np.indices((SIZE, SIZE))
    radius = np.hypot(y - at[0], x - at[1])
    out = np.full((SIZE, SIZE), body, np.uint8)
    out[(np.hypot(y - at[0], x - at[1] + rv) < lv + wall) & (x < at[1])] = Tissue.RV
    out[radius < lv + wall] = Tissue.MYO
    out[radius < lv] = Tissue.LV
    return out


def heart(
    count: int = 8, scale: float = 1.0, at: tuple[float, float] = (31.0, 33.0), wall: float = 3.0, rv: float = 7.0
) -> NDArray[np.uint8]:
    """Both phases `(2, count + 2, SIZE, SIZE)`: a bare slice, a tapering heart, a bare slice; ES is smaller."""
    stacks = np.zeros((2, count + 2, SIZE, SIZE), np.uint8)
    for phase, cavity in enumerate((7.0, 4.5)):
        for z in range(count):
            taper = scale * (1 - 0.5 * z / max(count - 1, 1))
            stacks[phase, z + 1] = ring(cavity * taper, wall + (2.0 * taper if phase else 0), rv * taper, at)
    return stacks


def subject(name: str, stacks: NDArray[np.uint8], spacing_mm: tuple[float, float, float] = (8.0, 1.5, 1.5)) -> Donor:
    """Return label stacks as a donor without a body."""
    labels = dict(zip(Phase, stacks, strict=True))
    return Donor(
        subject_id=name,
        vendor=Vendor.A,
        labels=labels,
        spacing_mm=spacing_mm,
        rotation=np.eye(3),
        body=None,
        drawn_from=name,
    )
