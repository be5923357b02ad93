"""Draws of what lies above the ventricles: atria, left auricle, right outflow tract, aortic root.

Where they lie was set on cine stacks looked at: in the slice above the tricuspid valve the right atrium lies inferior,
the outflow tract anterior of the septum, with a notch of fat between. Numbers hold for a left ventricle with an outer
radius of `OUTER_RADIUS_MM` at its base; the painter moves what lies around larger and smaller ones. Both atria have
21 cm2 in the four-chamber view at end-systole (Anderson et al. 2005, J. Cardiovasc. Magn. Reson. 7:671), a circle of
26 mm; outflow tract and root are set to the variety seen.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from synthgen.hearts.morphology import radial_mode
from synthgen.hearts.subject import BaseShape, Chamber, RadialMode, Tube
from synthgen.labels import Sex

OUTER_RADIUS_MM: Final = 33.0
"""Outer radius of the left ventricle's base that places are given for."""


def base_shape(rng: np.random.Generator, sex: Sex) -> BaseShape:
    """Draw the heart's base."""
    return BaseShape(
        rim_mm=rng.uniform(3.0, 12.0),
        rim_angle_rad=rng.normal(0.2, 0.4),
        right_atrium=Chamber(
            offset_mm=(rng.normal(-41.0, 4.0), rng.normal(16.0, 5.0), -rng.uniform(9.0, 17.0)),
            radii_mm=(rng.uniform(21.0, 29.0), rng.uniform(21.0, 30.0), rng.uniform(24.0, 32.0)),
            lobes=_lobes(rng),
            wall_mm=rng.uniform(0.3, 2.0),
        ),
        left_atrium=Chamber(
            offset_mm=(rng.normal(9.0, 3.0), rng.normal(8.0, 3.0), -rng.uniform(22.0, 27.0)),
            radii_mm=(rng.uniform(25.0, 33.0), rng.uniform(21.0, 28.0), rng.uniform(26.0, 32.0)),
            lobes=_lobes(rng),
            wall_mm=rng.uniform(0.5, 2.0),
        ),
        auricle=Chamber(
            offset_mm=(rng.normal(27.0, 3.0), rng.normal(-18.0, 3.0), -rng.uniform(9.0, 13.0)),
            radii_mm=(rng.uniform(6.0, 10.0), rng.uniform(10.0, 17.0), rng.uniform(6.0, 10.0)),
            lobes=_lobes(rng),
            wall_mm=rng.uniform(0.5, 2.0),
        ),
        outflow=Tube(
            start_mm=(rng.normal(-42.0, 4.0), rng.normal(-34.0, 4.0)),
            climb=(rng.normal(0.75, 0.15), rng.normal(-0.15, 0.12)),
            radii_mm=(rng.uniform(11.5, 15.5), rng.uniform(14.0, 19.0)),
            wall_mm=rng.uniform(0.5, 3.0),
        ),
        aorta=Tube(
            start_mm=(rng.normal(-11.0, 2.0), rng.normal(-10.0, 2.0)),
            climb=(rng.normal(-0.15, 0.05), rng.normal(-0.35, 0.08)),
            radii_mm=(_root(rng, sex), _root(rng, sex)),
            wall_mm=rng.uniform(1.0, 2.0),
        ),
    )


def _root(rng: np.random.Generator, sex: Sex) -> float:
    return (14.5 if sex is Sex.M else 13.0) * rng.uniform(0.92, 1.08)


def _lobes(rng: np.random.Generator) -> tuple[RadialMode, ...]:
    return tuple(radial_mode(rng, order, sd, 0.0) for order, sd in ((2, 0.06), (3, 0.06), (4, 0.03)))
