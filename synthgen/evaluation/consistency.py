"""Do the slices of a stack belong together? Numbers for the coherence of a label map through the stack.

Components, gaps and Euler numbers do not notice a stack whose slices come from different hearts; second differences of
area and centroid, overlap of neighbouring slices and the ratio of surface areas do (measured on stacks with a share of
their slices exchanged). All of them depend on the slice spacing, so compare stacks of equal spacing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.labels import HEART, Tissue
from synthgen.volumes import Volume


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """Coherence of one label map through its stack; NaN where too few slices hold the structure.

    Attributes
    ----------
    area_second_difference
        By structure: mean of |A(z+1) - 2 A(z) + A(z-1)| over the largest area. Low is smooth.
    centroid_second_difference_mm
        By structure: mean length of the second difference of the in-plane centroid. Low is smooth.
    adjacent_dice
        By structure: mean Dice coefficient of neighbouring slices. High is coherent.
    tv_ratio
        Area of the epicardial steps between slices over the area of the epicardial faces along x; dimensionless, high
        when slices do not fit on each other.
    """

    area_second_difference: dict[Tissue, float]
    centroid_second_difference_mm: dict[Tissue, float]
    adjacent_dice: dict[Tissue, float]
    tv_ratio: float

    def as_dict(self) -> dict[str, float]:
        """Return flat names such as `adjacent_dice_lv`, for tables and comparisons."""
        flat = {
            f"{name}_{tissue.name.lower()}": value
            for name in ("area_second_difference", "centroid_second_difference_mm", "adjacent_dice")
            for tissue, value in getattr(self, name).items()
        }
        return {**flat, "tv_ratio": self.tv_ratio}


def measure_consistency(label: Volume) -> Consistency:
    """Measure one label map `(z, y, x)` in the codes of `Tissue`.

    Only slices that hold a structure count for it, and only where they are neighbours: the ends of a structure are
    anatomy, not incoherence.
    """
    masks = {tissue: label.voxels == tissue for tissue in HEART}
    return Consistency(
        area_second_difference={t: _area_roughness(mask) for t, mask in masks.items()},
        centroid_second_difference_mm={t: _centroid_roughness(mask, label.spacing_mm[1:]) for t, mask in masks.items()},
        adjacent_dice={t: _adjacent_dice(mask) for t, mask in masks.items()},
        tv_ratio=_tv_ratio(masks[Tissue.LV] | masks[Tissue.MYO], label.spacing_mm),
    )


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _second_difference(present: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return second differences along z, of triples of neighbours that are all present."""
    whole = present[:-2] & present[1:-1] & present[2:]
    difference: NDArray[np.float64] = (values[2:] - 2 * values[1:-1] + values[:-2])[whole]
    return difference


def _area_roughness(mask: NDArray[np.bool_]) -> float:
    area = mask.sum(axis=(1, 2)).astype(np.float64)
    return _mean(np.abs(_second_difference(area > 0, area))) / max(float(area.max()), 1.0)


def _centroid_roughness(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> float:
    area = mask.sum(axis=(1, 2))
    number = np.maximum(area, 1)
    y = mask.sum(axis=2) @ np.arange(mask.shape[1]) / number * spacing_mm[0]
    x = mask.sum(axis=1) @ np.arange(mask.shape[2]) / number * spacing_mm[1]
    return _mean(np.linalg.norm(_second_difference(area > 0, np.stack([y, x], axis=1)), axis=1))


def _adjacent_dice(mask: NDArray[np.bool_]) -> float:
    area = mask.sum(axis=(1, 2))
    both = (area[1:] > 0) & (area[:-1] > 0)
    shared = (mask[1:] & mask[:-1]).sum(axis=(1, 2))
    return _mean((2.0 * shared / np.maximum(area[1:] + area[:-1], 1))[both])


def _tv_ratio(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> float:
    count: Callable[[NDArray[np.bool_]], int] = np.count_nonzero
    inside = mask[mask.any(axis=(1, 2))]  # the two ends of the heart are not steps
    z, y, x = spacing_mm
    along_z = count(inside[1:] != inside[:-1]) * y * x
    along_x = count(inside[:, :, 1:] != inside[:, :, :-1]) * z * y
    return along_z / along_x if len(inside) > 1 and along_x else float("nan")
