"""Where a heart's labels begin at the base, as readers of short-axis stacks decide it.

A network that labels slices goes on into the atria, which are as bright as ventricles. Readers stop where muscle no
longer closes around the cavity: a basal slice belongs to the left ventricle if at least half of the blood is surrounded
by myocardium (Schulz-Menger et al. 2020, doi 10.1186/s12968-020-00610-6).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthgen.labels import Tissue

_CLOSED = 0.5


def below_base(heart: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a heart `(z, y, x)`, codes 0 to 3, without its slices above the base.

    The base is at the end whose half of the heart is larger. From there on, slices are emptied up to the first in which
    myocardium touches at least half of the outline of the left ventricle's cavity.
    """
    shown = np.flatnonzero(heart.any(axis=(1, 2)))
    if not shown.size:
        return heart
    areas = (heart > 0).sum(axis=(1, 2))
    half = len(shown) // 2
    order = shown[::-1] if half and areas[shown[-half:]].sum() > areas[shown[:half]].sum() else shown
    closed = [enclosure(heart[z]) >= _CLOSED for z in order]
    if not any(closed):
        return heart  # nothing in it looks like a ventricle; emptying all of it would not make it better
    out = heart.copy()
    out[order[: closed.index(True)]] = Tissue.BACKGROUND
    return out


def enclosure(heart: NDArray[np.uint8]) -> float:
    """Return the part of the outline of the LV's cavity that myocardium touches in a slice `(y, x)`; 0 without one."""
    cavity = ndimage.binary_fill_holes(heart == Tissue.LV)
    outline = ndimage.binary_dilation(cavity) & ~cavity
    return float((heart[outline] == Tissue.MYO).mean()) if outline.any() else 0.0
