"""Repair of decoded heart labels, slice by slice: one component per structure, no holes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthgen.factors.codes import window
from synthgen.labels import HEART

IN_PLANE_8 = np.zeros((3, 3, 3), dtype=bool)
IN_PLANE_8[1] = True
"""Eight neighbours within a slice, none across slices: a whole stack is labelled in one call."""

IN_PLANE_4 = np.zeros((3, 3, 3), dtype=bool)
IN_PLANE_4[1] = [[False, True, False], [True, True, True], [False, True, False]]


def tidy(stack: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Keep the largest component of LV, MYO and RV in every slice and fill enclosed background.

    A removed or filled pixel takes the label of the nearest pixel that stays. Codes above 3 do not occur here.

    Parameters
    ----------
    stack
        Heart labels `(slices, H, W)`.

    Returns
    -------
    tidied, changed
        A new stack and the number of pixels that differ.
    """
    around = (slice(None), *window(stack.max(axis=0) > 0))  # with a rim of background, where the frame has one
    heart, out = stack[around], stack.copy()
    vacant = holes(heart > 0)
    for structure in HEART:
        vacant |= _small_components(heart == structure)
    for z in np.flatnonzero(vacant.any(axis=(1, 2))):
        rows, columns = ndimage.distance_transform_edt(vacant[z], return_distances=False, return_indices=True)
        out[around][z] = heart[z][rows, columns]
    return out, int((out != stack).sum())


def holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels outside `mask` `(slices, H, W)` that are cut off from the border of their slice."""
    regions, count = ndimage.label(~mask, structure=IN_PLANE_4)
    enclosed = np.ones(count + 1, dtype=bool)
    enclosed[0] = False
    for edge in (regions[:, 0], regions[:, -1], regions[:, :, 0], regions[:, :, -1]):
        enclosed[edge] = False
    return enclosed[regions]


def _small_components(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return all but the largest component of every slice; of equal ones the first in reading order stays."""
    regions, count = ndimage.label(mask, structure=IN_PLANE_8)
    if count == 0:
        return np.zeros_like(mask)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    # Every component lies in one slice; its first pixel in reading order tells which.
    _, first = np.unique(regions, return_index=True)
    has_background = regions.ravel()[first[0]] == 0
    slice_of = (first[1:] if has_background else first) // mask[0].size
    keep = np.zeros(count + 1, dtype=bool)
    order = np.lexsort((np.arange(count), -sizes[1:], slice_of))
    leaders = order[np.unique(slice_of[order], return_index=True)[1]]
    keep[leaders + 1] = True
    keep[0] = True
    return ~keep[regions]
