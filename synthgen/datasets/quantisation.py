"""Between float32 intensities and the 9-bit integers that every container holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synthgen.datasets.record import Intensity
from synthgen.errors import InputError
from synthgen.labels import Phase

BITS: Final = 9
"""Bits of a stored intensity. In the files of ACDC blood lies at 200 to 400, which is as many; a step is a tenth
of the noise in blood and a quarter of that in lung, and each further bit would store noise in 4 % of the raw size."""

LEVELS: Final = 2**BITS - 1
"""Highest stored intensity."""


def quantise(images: Mapping[Phase, NDArray]) -> tuple[dict[Phase, NDArray[np.int16]], Intensity]:
    """Return 9-bit images and the scale that brings them back, one scale for both phases.

    The error is at most half a step, (max - min) / 1022, plus float32 rounding.

    Raises
    ------
    InputError
        If an image has a value that is not finite or cannot be told from others in float32.
    """
    low = float(np.min([image.min() for image in images.values()]))
    high = float(np.max([image.max() for image in images.values()]))
    if not (np.isfinite(low) and np.isfinite(high) and max(abs(low), abs(high)) < np.finfo(np.float32).max / 4):
        raise InputError("image", expected="finite float32 intensities", got=f"values from {low} to {high}")
    # float32, because that is what a NIfTI header and every reader compute with
    offset, scale = np.float32(low), np.float32((high - low) / LEVELS)
    if scale < np.finfo(np.float32).tiny:
        scale = np.float32(1.0)
    step = 1.0 / float(scale)
    stored = {}
    for phase, image in images.items():
        scaled = np.subtract(image, offset, dtype=np.float32)
        np.multiply(scaled, np.float32(step), out=scaled)
        np.rint(scaled, out=scaled)
        stored[phase] = np.clip(scaled, 0, LEVELS, out=scaled).astype("<i2")
    return stored, Intensity(scale=float(scale), offset=float(offset), bits=BITS)


def dequantise(stored: NDArray[np.int16], intensity: Intensity) -> NDArray[np.float32]:
    """Return the float32 intensities of a stored volume."""
    image = stored.astype(np.float32)
    image *= np.float32(intensity.scale)
    image += np.float32(intensity.offset)
    return image
