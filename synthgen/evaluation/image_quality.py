"""How near a rendered image is to the image of the same anatomy: SSIM, PSNR and NRMSE, slice by slice."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from synthgen.errors import InputError

SPAN: Final = 2.0
"""Width of the grey scale, from -1 to 1."""

MEASURES: Final = ("ssim", "psnr_db", "nrmse")
"""What `image_quality` measures; of the last, less is better."""

_SIGMA_PIXELS = 1.5
_STABILISERS = ((0.01 * SPAN) ** 2, (0.03 * SPAN) ** 2)


def image_quality(made: NDArray[np.floating], real: NDArray[np.floating]) -> dict[str, float]:
    """Return the means over slices of structural similarity, peak signal-to-noise ratio and normalised error.

    SSIM with a Gaussian window of 1.5 pixels (Wang et al. 2004, doi 10.1109/TIP.2003.819861); PSNR in dB against the
    grey scale's width; NRMSE is the root of the mean squared error over that of the real image's deviation from its
    mean, so that a slice of one grey level scores 1.

    Parameters
    ----------
    made, real
        `(slices, H, W)` in [-1, 1], of one shape.

    Raises
    ------
    InputError
        If the shapes differ or are not three-dimensional.
    """
    if made.shape != real.shape or real.ndim != 3 or not len(real):
        got = f"{made.shape} and {real.shape}"
        raise InputError("image quality", expected="two stacks (slices, H, W) of one shape", got=got)
    one, other = np.asarray(made, np.float64), np.asarray(real, np.float64)
    error = ((one - other) ** 2).mean(axis=(1, 2))
    spread = other.var(axis=(1, 2))
    return {
        "ssim": float(np.mean([_structural_similarity(a, b) for a, b in zip(one, other, strict=True)])),
        "psnr_db": float(np.mean(10 * np.log10(SPAN**2 / np.maximum(error, 1e-10)))),
        "nrmse": float(np.mean(np.sqrt(error / np.maximum(spread, 1e-10)))),
    }


def _structural_similarity(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the mean structural similarity of two slices; the rim, half a window wide, is left out."""

    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        smooth: NDArray[np.float64] = gaussian_filter(values, _SIGMA_PIXELS, truncate=3.5)
        return smooth

    mean_one, mean_other = local(one), local(other)
    variances = local(one**2) - mean_one**2 + local(other**2) - mean_other**2
    covariance = local(one * other) - mean_one * mean_other
    first, second = _STABILISERS
    similarity = (2 * mean_one * mean_other + first) * (2 * covariance + second)
    similarity /= (mean_one**2 + mean_other**2 + first) * (variances + second)
    rim = round(3.5 * _SIGMA_PIXELS)
    return float(similarity[rim:-rim, rim:-rim].mean())
