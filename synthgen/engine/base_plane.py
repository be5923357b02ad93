"""Where a heart's labels begin at the base, as readers of short-axis stacks decide it.

A network that labels slices goes on into the atria, which are as bright as ventricles. Readers stop where muscle no
longer closes around the cavity: a basal slice belongs to the left ventricle if at least half of the blood is surrounded
by myocardium (Schulz-Menger et al. 2020, doi 10.1186/s12968-020-00610-6).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthgen.labels import Tissue

_CLOSED: Final = 0.5
"""Share of the outline of the LV's cavity in a slice from which myocardium closes around it."""

_SEPTAL: Final = 0.15
"""Share of the outline of the RV's cavity that is septum at least; 95 % of simulated slices but the first have 0.22."""

TRICUSPID_BELOW_MITRAL_MM: Final = 8.0
"""By how much the right ventricle begins below the left at end-systole, where both begin together at end-diastole.

The tricuspid annulus descends by 20 to 24 mm in health, the mitral by 12 to 15 (TAPSE, MAPSE). What lies beside the
left ventricle in its first slices then is right atrium and outflow tract, as bright as the ventricle and where it was.
"""


def below_base(heart: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a heart `(z, y, x)`, codes 0 to 3, without its slices above the base.

    The base is at the end whose half of the heart is larger. From there on, slices are emptied up to the first in which
    myocardium touches at least half of the outline of the left ventricle's cavity.
    """
    order = _from_base(heart)
    closed = [enclosure(heart[z]) >= _CLOSED for z in order]
    if not any(closed):
        return heart  # nothing in it looks like a ventricle; emptying all of it would not make it better
    out = heart.copy()
    out[order[: closed.index(True)]] = Tissue.BACKGROUND
    return out


def below_tricuspid(heart: NDArray[np.uint8], spacing_mm: float) -> NDArray[np.uint8]:
    """Return an end-systolic heart `(z, y, x)` whose right ventricle begins below the left, to the nearest slice.

    Parameters
    ----------
    spacing_mm
        Distance of slice centres.
    """
    order = _from_base(heart)
    left = [number for number, z in enumerate(order) if (heart[z] == Tissue.LV).any()]
    if not left:
        return heart
    above = order[: left[0] + round(TRICUSPID_BELOW_MITRAL_MM / spacing_mm)]
    out = heart.copy()
    out[above] = np.where(out[above] == Tissue.RV, Tissue.BACKGROUND, out[above])
    return out


def below_septum(heart: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a heart `(z, y, x)` whose right ventricle begins, from the base, where it has the septum for a wall.

    The right atrium and the outflow tract lie beside the left ventricle too, but touch it at a corner.
    """
    out = heart.copy()
    for z in _from_base(heart):
        right = out[z] == Tissue.RV
        if right.any():
            if _touching(out[z], right) >= _SEPTAL:
                break
            out[z][right] = Tissue.BACKGROUND
    return out


def _from_base(heart: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the slices that show a heart, the base's first: that of the half which is larger."""
    shown = np.flatnonzero(heart.any(axis=(1, 2)))
    areas = (heart > 0).sum(axis=(1, 2))
    half = len(shown) // 2
    return shown[::-1] if half and areas[shown[-half:]].sum() > areas[shown[:half]].sum() else shown


def enclosure(heart: NDArray[np.uint8]) -> float:
    """Return the part of the outline of the LV's cavity that myocardium touches in a slice `(y, x)`; 0 without one."""
    return _touching(heart, ndimage.binary_fill_holes(heart == Tissue.LV))


def _touching(heart: NDArray[np.uint8], cavity: NDArray[np.bool_]) -> float:
    """Return the part of a cavity's outline in a slice that is myocardium; 0 without a cavity."""
    outline = ndimage.binary_dilation(cavity) & ~cavity
    return float((heart[outline] == Tissue.MYO).mean()) if outline.any() else 0.0
