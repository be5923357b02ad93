"""Variation of known label maps: bent, and with a heart that is a little larger or smaller, the body following it.

Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123, section 4.6) deform heart masks elastically and dilate
them just before an image is made. Here the whole map is bent, so that tissues stay neighbours, and what a heart
vacates or claims is settled by `compose`. Both phases are varied alike, and the variation is smooth through the stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthgen.engine.compose import FADE_MM, compose_slice
from synthgen.labels import HEART, Phase, Tissue
from synthgen.seeding import Stage, numpy_stream

WAVE_MM: Final = 25.0
"""Standard deviation of the Gaussian that makes displacements smooth, in every direction."""

_ELASTIC_MM = (0.0, 4.0)
_GROWTH_MM = (-1.5, 3.0)
_THINNEST_MM = 2.5
"""Wall that erosion leaves around the left ventricle."""


@dataclass(frozen=True, kw_only=True)
class Variation:
    """One drawn variation.

    Attributes
    ----------
    elastic_mm
        Root mean square displacement per in-plane axis.
    growth_mm
        How far the heart's outline moves outwards: above 0 a dilation, below 0 an erosion.
    field
        Root seed of the displacement field's own stream.
    """

    elastic_mm: float
    growth_mm: float
    field: int

    @property
    def record(self) -> dict[str, float | int]:
        """The draw as plain values."""
        return asdict(self)


def draw_variation(stream: np.random.Generator) -> Variation:
    """Draw one variation: up to 4 mm of bending, an outline from 1.5 mm inwards to 3 mm outwards."""
    return Variation(
        elastic_mm=float(stream.uniform(*_ELASTIC_MM)),
        growth_mm=float(stream.uniform(*_GROWTH_MM)),
        field=int(stream.integers(1 << 53)),
    )


def vary(
    labels: Mapping[Phase, NDArray[np.uint8]], spacing_mm: tuple[float, float, float], variation: Variation
) -> dict[Phase, NDArray[np.uint8]]:
    """Return label maps `(z, y, x)` of both phases, bent and with another heart.

    Parameters
    ----------
    labels
        Codes of `Tissue`; where only hearts are labelled, what a heart vacates becomes background.
    spacing_mm
        Along `(z, y, x)`.
    """
    shape = labels[Phase.ED].shape
    source = _sources(shape, spacing_mm, variation)
    fade = FADE_MM / spacing_mm[1]
    out = {}
    for phase, stack in labels.items():
        bent = stack[np.arange(shape[0])[:, None, None], *source]
        hearts = (_grown(np.where(np.isin(plane, HEART), plane, 0), spacing_mm[1:], variation) for plane in bent)
        out[phase] = np.stack([compose_slice(heart, body, fade) for heart, body in zip(hearts, bent, strict=True)])
    return out


def _sources(
    shape: tuple[int, ...], spacing_mm: tuple[float, float, float], variation: Variation
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and column that each pixel takes its tissue from, `(z, y, x)` each."""
    stream = numpy_stream(variation.field, stage=Stage.VARIATION)
    out = []
    for axis, grid in enumerate(np.indices(shape, dtype=np.float64)[1:], start=1):
        sigma = [WAVE_MM / mm for mm in spacing_mm]
        smooth = ndimage.gaussian_filter(stream.standard_normal(shape), sigma, mode="wrap")
        smooth *= variation.elastic_mm / spacing_mm[axis] / max(float(np.sqrt((smooth**2).mean())), 1e-12)
        out.append(np.clip(np.rint(grid + smooth), 0, shape[axis] - 1).astype(np.intp))
    return out[0], out[1]


def _grown(heart: NDArray[np.uint8], spacing_mm: tuple[float, float], variation: Variation) -> NDArray[np.uint8]:
    """Return a heart slice, codes 0 to 3, whose outline has moved; an eroded wall stays closed around its cavity."""
    if variation.growth_mm > 0 and heart.any():
        distance, nearest = ndimage.distance_transform_edt(heart == 0, sampling=spacing_mm, return_indices=True)
        grown: NDArray[np.uint8] = np.where(distance <= variation.growth_mm, heart[nearest[0], nearest[1]], 0)
        # A cavity that ends at the outline, such as that of the RV, moves; one that the wall surrounds does not grow.
        return np.where((grown == Tissue.LV) & (heart == 0), np.uint8(Tissue.MYO), grown).astype(np.uint8)
    if variation.growth_mm < 0:
        rim = ndimage.distance_transform_edt(heart > 0, sampling=spacing_mm) <= -variation.growth_mm
        cavity = heart == Tissue.LV
        kept = cavity
        if cavity.any():
            kept = ndimage.distance_transform_edt(~cavity, sampling=spacing_mm) <= _THINNEST_MM
        return np.where(rim & ~kept, 0, heart).astype(np.uint8)
    return heart
