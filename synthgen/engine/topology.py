"""Anatomical criteria of short-axis label maps, counted slice by slice.

After the short-axis criteria of Painchaud et al. 2020 (doi 10.1109/TMI.2020.3003240): holes, second components, gaps
between structures, detached structures, forbidden contacts, roundness. Real contours break some of them (an open ring
at the outflow tract, a cut through the apical cap), so the counts are held against those of the source cohort.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthgen.engine.tidy import IN_PLANE_8, holes
from synthgen.labels import HEART, Phase, Tissue

LEAST_ROUNDNESS = 0.2
BASAL_SHARE = 0.25
"""Share of the stack, from the base, where the ring may be open: the outflow tract."""

CRITERIA = (
    "lv_holes",
    "myo_holes",
    "rv_holes",
    "lv_components",
    "myo_components",
    "rv_components",
    "gaps",
    "rv_detached",
    "lv_touches_rv",
    "lv_open",
    "lv_roundness",
    "myo_roundness",
    "lv_interrupted",
    "myo_interrupted",
    "rv_interrupted",
)
"""Each counts slices of both phases; `interrupted` those without the structure between slices with it."""


def violations(labels: Mapping[Phase, NDArray[np.uint8]]) -> dict[str, int]:
    """Count the slices that break each criterion, over both phases.

    Parameters
    ----------
    labels
        `(z, H, W)` per phase, codes above 3 count as background, z index 0 at the base.
    """
    total = dict.fromkeys(CRITERIA, 0)
    for phase in Phase:
        for name, count in _of_stack(_crop(labels[phase])).items():
            total[name] += count
    return total


def _of_stack(stack: NDArray[np.uint8]) -> dict[str, int]:
    lv, myo, rv = (stack == structure for structure in HEART)
    union = lv | myo
    heart = union | rv
    touching = _neighbours(lv)
    found = {
        "lv_holes": holes(lv),
        "myo_holes": holes(union),
        "rv_holes": holes(rv),
        "gaps": holes(heart),
        "lv_touches_rv": touching & rv,
        "lv_open": (touching & ~heart) & _below_base(union)[:, None, None],
    }
    out = {name: _slices(mask) for name, mask in found.items()}
    for name, mask in (("lv", lv), ("myo", myo), ("rv", rv)):
        out[f"{name}_components"] = _slices_with_several(mask)
        out[f"{name}_interrupted"] = _interruptions(mask)
    near_myo = _neighbours(myo)
    both = rv.any(axis=(1, 2)) & myo.any(axis=(1, 2))
    out["rv_detached"] = int((both & ~(rv & near_myo).any(axis=(1, 2))).sum())
    out["lv_roundness"] = _angular(lv)
    out["myo_roundness"] = _angular(union)
    return out


def _crop(stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the heart's in-plane box with a margin of two pixels of background."""
    heart = np.where(stack <= Tissue.RV, stack, np.uint8(0))
    rows, columns = (np.flatnonzero(heart.any(axis=(0, other))) for other in (2, 1))
    if not rows.size:
        return np.zeros((len(stack), 4, 4), dtype=np.uint8)
    return np.pad(heart[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], ((0, 0), (2, 2), (2, 2)))


def _below_base(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which slices lie below the basal quarter of the stack that `mask` spans."""
    present = np.flatnonzero(mask.any(axis=(1, 2)))
    out = np.zeros(len(mask), dtype=bool)
    if present.size:
        out[present[0] + int(np.ceil(BASAL_SHARE * present.size)) :] = True
    return out


def _neighbours(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels that have a 4-neighbour in `mask`, those of `mask` among them."""
    out = np.zeros_like(mask)
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    out[:, :, 1:] |= mask[:, :, :-1]
    out[:, :, :-1] |= mask[:, :, 1:]
    return out


def _slices(mask: NDArray[np.bool_]) -> int:
    return int(mask.any(axis=(1, 2)).sum())


def _slices_with_several(mask: NDArray[np.bool_]) -> int:
    regions, count = ndimage.label(mask, structure=IN_PLANE_8)
    if count < 2:
        return 0
    # Every component lies in one slice: count the distinct components of each.
    pairs = np.unique(np.stack([np.nonzero(regions)[0], regions[regions > 0]]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def _interruptions(mask: NDArray[np.bool_]) -> int:
    present = np.flatnonzero(mask.any(axis=(1, 2)))
    return int(present[-1] - present[0] + 1 - present.size) if present.size else 0


def _angular(mask: NDArray[np.bool_]) -> int:
    """Count the slices with 4 pi A / P^2 below 0.2; pi / 4 turns edges of a grid into a perimeter."""
    area = mask.sum(axis=(1, 2))
    edges = (mask[:, 1:] != mask[:, :-1]).sum(axis=(1, 2)) + (mask[:, :, 1:] != mask[:, :, :-1]).sum(axis=(1, 2))
    perimeter = np.pi / 4 * np.maximum(edges, 1)
    return int(((area > 0) & (4 * np.pi * area / perimeter**2 < LEAST_ROUNDNESS)).sum())
