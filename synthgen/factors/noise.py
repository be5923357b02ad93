"""Localised noise: where arithmetic took place, and noise that is smooth through a stack.

Fig. 3 of Thermos et al. 2021, doi 10.1007/978-3-030-87199-4_15: a blurred mask of the factors times Gaussian noise. The
paper mixes single slices with white noise; in a stack that would deform every slice another way.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

REACH = 3.0
"""Standard deviations after which a kernel is cut off: beyond, the mask is exactly 0."""

BLUR_PIXELS = 3.0
"""Standard deviation of the Gaussian that blurs the mask of what the arithmetic touched."""

Smoothing = tuple[float, float, float]
"""Standard deviations in millimetres along `(z, y, x)`."""

SMOOTHING: Smoothing = (10.0, 3.0, 3.0)
"""About a slice through the stack, two pixels in plane: walls bend, they do not fray."""


def blurred(touched: NDArray[np.bool_], pixels: float) -> NDArray[np.float32]:
    """Return the weight of noise in [0, 1], the paper's Phi: `touched (..., H, W)` blurred by a Gaussian in plane.

    Parameters
    ----------
    touched
        Where the arithmetic took place.
    pixels
        Standard deviation of the kernel. Farther than three of them from `touched` the weight is exactly 0.
    """
    sigma = (0.0,) * (touched.ndim - 2) + (pixels, pixels)
    weight = ndimage.gaussian_filter(touched.astype(np.float32), sigma, mode="constant", truncate=REACH)
    return np.clip(weight, 0.0, 1.0)


def smooth_noise(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    stream: np.random.Generator,
    smoothing_mm: Smoothing = SMOOTHING,
) -> NDArray[np.float32]:
    """Return Gaussian noise `(z, H, W)` of mean 0 and variance 1 at every voxel, correlated over `smoothing_mm`.

    One draw serves both phases of a subject: the same place moves the same way. Independent of where a stack ends,
    its ends are no more alike than any two slices as far apart.
    """
    sigma = [s / mm for s, mm in zip(smoothing_mm, spacing_mm, strict=True)]
    margin = [math.ceil(REACH * s) for s in sigma]
    drawn = stream.standard_normal([n + 2 * m for n, m in zip(shape, margin, strict=True)], dtype=np.float32)
    smooth = ndimage.gaussian_filter(drawn, sigma, mode="wrap", truncate=REACH)
    inner = smooth[tuple(slice(m, m + n) for n, m in zip(shape, margin, strict=True))]
    return (inner / _amplitude(sigma)).astype(np.float32)


def _amplitude(sigma: list[float]) -> float:
    """Return the standard deviation that filtering leaves of white noise: the kernel's energy along each axis."""
    return math.prod(_kernel_norm(s) for s in sigma)


def _kernel_norm(sigma: float) -> float:
    radius = int(REACH * sigma + 0.5)
    if sigma <= 0 or radius == 0:
        return 1.0
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return float(np.linalg.norm(kernel / kernel.sum()))
