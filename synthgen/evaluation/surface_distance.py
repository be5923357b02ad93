"""Distance of the surfaces of segmentations in millimetres: its 95th percentile, per structure, in 3D, per subject."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthgen.errors import InputError
from synthgen.evaluation.overlap import AVERAGE, Spread
from synthgen.labels import HEART, Phase, Tissue

Spacing = tuple[float, float, float]


def hd95(guessed: NDArray[np.uint8], truth: NDArray[np.uint8], structure: Tissue, spacing_mm: Spacing) -> float:
    """Return the 95th percentile of the surface distance of one structure in mm (Huttenlocher et al. 1993).

    The surface are the voxels with a face towards the outside, the edge of the stack included. Of every surface voxel
    of either segmentation the distance to the nearest one of the other is taken, between voxel centres; the larger one
    of both directions' percentiles counts, as in MONAI (doi 10.1109/34.232073 has the maximum instead).

    Parameters
    ----------
    guessed, truth
        Label maps `(z, y, x)` of one shape.
    spacing_mm
        Along `(z, y, x)`.

    Returns
    -------
    float
        NaN if neither has the structure. If only one has, the diagonal of the stack: no error can be larger, and a
        structure that was missed must not look better than one that was found badly.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    if guessed.shape != truth.shape:
        raise InputError("segmentation", expected=f"the shape of the labels, {truth.shape}", got=f"{guessed.shape}")
    one, other = guessed == structure, truth == structure
    if not one.any() and not other.any():
        return float("nan")
    if not one.any() or not other.any():
        return float(np.linalg.norm([(n - 1) * s for n, s in zip(truth.shape, spacing_mm, strict=True)]))
    box = ndimage.find_objects((one | other).astype(np.uint8))[0]
    first, second = (_surface(np.pad(mask[box], 1)) for mask in (one, other))
    return max(_directed(first, second, spacing_mm), _directed(second, first, spacing_mm))


def hd95_of_subject(
    guessed: Mapping[Phase, NDArray[np.uint8]], truth: Mapping[Phase, NDArray[np.uint8]], spacing_mm: Spacing
) -> dict[str, float]:
    """Return the distances of one subject in mm by structure (`lv`, `myo`, `rv`) and their `mean`.

    Each is the mean over the stacks `(z, y, x)` at ED and ES; a structure that a stack neither has nor is said to have
    does not count.
    """
    values = {
        structure.name.lower(): Spread.of([hd95(guessed[p], truth[p], structure, spacing_mm) for p in Phase]).mean
        for structure in HEART
    }
    return {**values, AVERAGE: Spread.of(list(values.values())).mean}


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask & ~ndimage.binary_erosion(mask)


def _directed(source: NDArray[np.bool_], target: NDArray[np.bool_], spacing_mm: Spacing) -> float:
    distance = ndimage.distance_transform_edt(~target, sampling=spacing_mm)
    return float(np.percentile(distance[source], 95))
