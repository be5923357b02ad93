"""Bi-ventricular geometry of a virtual subject: polar tables of every cardiac surface, solved to the sampled volumes.

Heart frame: x = image right (septum to lateral wall), y = image down (anterior to inferior), z = base to apex, in mm;
origin on the LV axis at the end-diastolic base plane. Angle 0 is lateral, 90 degrees inferior, 180 septal, 270 anterior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthgen.hearts.subject import VirtualSubject
from synthgen.labels import Phase


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseGeometry:
    """Surfaces of one phase as tables `[level, angle]` of radii about the LV axis (mm); below 0 the surface is absent.

    Levels are `z_mm` (constant step), angles are `2 pi j / ANGLES`. The LV exists for `base_mm <= z`, the RV for
    `rv_base_mm <= z < rv_apex_mm`; tables go on beyond the base so that they can be interpolated, painters gate by z.

    Attributes
    ----------
    endo, epi
        LV endocardium and epicardium.
    epi_extended
        Epicardium continued above the LV base, so that the RV keeps its medial border there.
    pericardium, paracardial
        Outer surface of the epicardial fat, and of the fat pads outside the pericardium.
    infarct
        Scar weight 0..1.
    rv_outline
        `[level, 5]`: semi-axes a (x) and b (y), centre x and y, tilt (rad) of the RV's outline.
    scale_mm
        Radius scale of the cavity.
    volumes_ml
        `lv`, `myo`, `rv`: what the tables enclose.
    """

    phase: Phase
    z_mm: NDArray[np.float64]
    step_mm: float
    base_mm: float
    apex_mm: float
    rv_base_mm: float
    rv_apex_mm: float
    scale_mm: float
    endo: NDArray[np.float32]
    epi: NDArray[np.float32]
    epi_extended: NDArray[np.float32]
    pericardium: NDArray[np.float32]
    paracardial: NDArray[np.float32]
    infarct: NDArray[np.float32]
    rv_outline: NDArray[np.float32]
    volumes_ml: dict[str, float]


def build(subject: VirtualSubject) -> dict[Phase, PhaseGeometry]:
    """Solve ED and ES of `subject`; deterministic, no chance involved."""
    raise SystemExit("signature only, body follows")
