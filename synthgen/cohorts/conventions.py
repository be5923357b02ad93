"""Label conventions of published cohorts, recognised by geometry: the ring that encloses a cavity is myocardium.

ACDC and M&Ms number the same three structures in opposite order. A cohort read with the wrong table swaps the
ventricles and nothing crashes; so the labels themselves are asked which convention they follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthgen.errors import InputError
from synthgen.labels import HEART, Tissue

Convention = Mapping[int, Tissue]
"""From code in the file to tissue; 0 is background in all of them."""

ACDC_CODES: Convention = {1: Tissue.RV, 2: Tissue.MYO, 3: Tissue.LV}
MNMS_CODES: Convention = {1: Tissue.LV, 2: Tissue.MYO, 3: Tissue.RV}

_NAMES = (("ACDC", ACDC_CODES), ("M&Ms and this project", MNMS_CODES))
_SLICES = 5  # from the middle of the stack, where the ring is closed
_ENCLOSED = 0.6  # share of the cavity inside the filled ring; a wrong pair reaches a few per cent


def to_tissue(voxels: NDArray[np.uint8], convention: Convention) -> NDArray[np.uint8]:
    """Return labels in the codes of `Tissue`; codes outside the convention become background."""
    table = np.zeros(256, np.uint8)
    for code, tissue in convention.items():
        table[code] = tissue
    return table[voxels]


def from_tissue(voxels: NDArray[np.uint8], convention: Convention) -> NDArray[np.uint8]:
    """Return labels in the codes of `convention`; tissues outside the heart become background."""
    table = np.zeros(256, np.uint8)
    for code, tissue in convention.items():
        table[tissue] = code
    return table[voxels]


def check_codes(path: Path, voxels: NDArray[np.uint8], allowed: range, required: tuple[int, ...]) -> None:
    """Refuse labels with codes outside `allowed` or without one of `required`.

    Raises
    ------
    InputError
        Naming the file and the codes it holds.
    """
    found = np.flatnonzero(np.bincount(voxels.ravel(), minlength=allowed.stop)).tolist()
    if any(code not in allowed for code in found):
        raise InputError(path, expected=f"labels {allowed.start} to {allowed.stop - 1}", got=f"labels {found}")
    missing = [code for code in required if code not in found]
    if missing:
        raise InputError(path, expected=f"label {missing[0]} somewhere in the stack", got=f"labels {found}")


def check_geometry(path: Path, voxels: NDArray[np.uint8], convention: Convention) -> None:
    """Refuse labels whose shapes contradict `convention`.

    Parameters
    ----------
    voxels
        Labels `(z, y, x)` in the codes of the file.

    Raises
    ------
    InputError
        If no ring encloses a cavity, or the ring and cavity are other codes than the convention says; the message names
        the convention that the labels look like.
    """
    looks = recognise(voxels)
    if looks is None:
        raise InputError(path, expected="a ring of myocardium around a cavity", got="none in the middle of the stack")
    if looks == dict(convention):
        return
    name = next((name for name, codes in _NAMES if dict(codes) == looks), "no known cohort")
    raise InputError(
        path,
        expected=f"labels in the order {_spell(convention)}",
        got=f"an order that looks like {_spell(looks)}, as in {name}",
        hint="Check which cohort these labels come from",
    )


def recognise(voxels: NDArray[np.uint8]) -> dict[int, Tissue] | None:
    """Return the convention that labels with codes 1 to 3 follow, or None if no ring encloses a cavity.

    The ring is the code whose filled outline holds most of another code; that other code is the LV cavity.
    """
    heart = voxels * (voxels <= len(HEART))
    deep = np.flatnonzero([len(np.unique(plane)) > len(HEART) for plane in heart])
    if not deep.size:
        deep = np.flatnonzero(heart.any(axis=(1, 2)))
    middle = len(deep) // 2
    chosen = deep[max(middle - _SLICES // 2, 0) : middle + _SLICES // 2 + 1]
    planes = heart[chosen]
    best, best_share = None, 0.0
    filled = {code: _fill(planes == code) for code in (1, 2, 3)}
    for ring, cavity, other in permutations((1, 2, 3)):
        total = np.count_nonzero(planes == cavity)
        share = np.count_nonzero(filled[ring] & (planes == cavity)) / total if total else 0.0
        if share > best_share:
            best, best_share = {ring: Tissue.MYO, cavity: Tissue.LV, other: Tissue.RV}, share
    return best if best_share >= _ENCLOSED else None


def _fill(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, columns = (np.flatnonzero(masks.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    filled = np.zeros_like(masks)
    if rows.size:
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        for plane, out in zip(masks, filled, strict=True):
            out[box] = ndimage.binary_fill_holes(plane[box])
    return filled


def _spell(convention: Convention) -> str:
    return ", ".join(f"{code} {convention[code].name}" for code in sorted(convention))
