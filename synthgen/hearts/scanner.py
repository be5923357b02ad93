"""From complex signal to a magnitude image: surface coils, sampled k-space, noise, ghosts, reconstruction filters.

The order matters: noise is added to the band-limited data, the magnitude makes it Rician (Gudbjartsson 1995,
doi 10.1002/mrm.1910340618), and the coil correction amplifies it far from the coils, as in patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from synthgen.hearts.scene import FloatMap, smooth_noise, upsample
from synthgen.hearts.styles import ScannerStyle

_COIL_REACH_MM: Final = 115.0
_COIL_GAP_MM: Final = 30.0
_COIL_STRIDE: Final = 8
_B0_WAVE_MM: Final = 45.0
"""Correlation length of the off-resonance map."""
_EDGE_PIXELS: Final = 8
"""Mirrored rim around the field of view, so that a body cut by its edge does not ring across the Fourier wrap."""
_UNSHARP_SIGMA_PX: Final = 1.1


def coil_positions(half_depth_mm: float) -> NDArray[np.float64]:
    """Return the loops `(n, 3)` in (left, posterior, superior) mm: six on the chest, four under the back."""
    front, back = -half_depth_mm - _COIL_GAP_MM, half_depth_mm + _COIL_GAP_MM
    anterior = [(left, front, up) for left in (-70, 20, 110) for up in (-60, 55)]
    posterior = [(left, back, up) for left in (-60, 60) for up in (-60, 60)]
    return np.array(anterior + posterior, np.float64)


def coil_map(pixels: int, corner: NDArray, steps: NDArray, levels_mm: NDArray, coils: NDArray) -> FloatMap:
    """Return the root-sum-of-squares sensitivity of all loops, `(slices, rows, columns)`; 1 in each slice's middle.

    Parameters
    ----------
    pixels
        Rows and columns.
    corner
        Patient coordinates of pixel (0, 0) at level 0.
    steps
        `(3, 3)`: patient-frame step per column, per row and per mm along the stack.
    levels_mm
        Position of each slice along the stack.
    coils
        `(n, 3)` positions of the loops.
    """
    side = (pixels - 1) // _COIL_STRIDE + 2
    index = np.arange(side) * float(_COIL_STRIDE)
    place = (
        corner
        + index[None, None, :, None] * steps[0]
        + index[None, :, None, None] * steps[1]
        + np.asarray(levels_mm, np.float64)[:, None, None, None] * steps[2]
    )
    squared = sum((1 + ((place - coil) ** 2).sum(-1) / _COIL_REACH_MM**2) ** -3.0 for coil in coils)
    full = upsample(np.sqrt(squared).astype(np.float32), _COIL_STRIDE, pixels)
    half = max(1, pixels // 7)
    centre = slice(pixels // 2 - half, pixels // 2 + half)
    return full / full[:, centre, centre].mean((1, 2), keepdims=True)


def off_resonance_map(
    rng: np.random.Generator, style: ScannerStyle, slices: int, pixels: int, pixel_mm: float
) -> FloatMap:
    """Return a smooth B0 map in Hz, `(slices, side, side)`, eight times coarser: sample i lies on pixel 8 i."""
    side = (pixels - 1) // _COIL_STRIDE + 2
    u = (np.arange(side) * _COIL_STRIDE - pixels / 2) * pixel_mm
    column, row = (q.astype(np.float32) for q in np.meshgrid(u, u))
    a, b, c = rng.normal(0, (1.0, 1.0, 1.5))
    trend = column / 90 * np.float32(a) + row / 90 * np.float32(b) + (column**2 + row**2) * np.float32(c / 130.0**2)
    wave = _B0_WAVE_MM / (pixel_mm * _COIL_STRIDE)
    noise = smooth_noise(rng, (slices, side, side), (2.0, wave, wave))
    return np.float32(style.b0_sd_hz) * (noise + np.float32(0.8) * trend[None])


@dataclass(frozen=True)
class Filter:
    """The k-space window of one style at one pixel size: separable along phase (rows) and read-out (columns)."""

    phase: FloatMap
    read: FloatMap

    @property
    def energy(self) -> float:
        """Mean square over k-space: the share of white noise power that passes."""
        return float((self.phase**2).mean() * (self.read**2).mean())


def kspace_filter(style: ScannerStyle, size: int, pixel_mm: float) -> Filter:
    """Return the truncation to the acquired resolution times the cosine window `1 - w + w cos^2`."""
    k = np.abs(np.arange(size) - size // 2) / (size / 2)

    def along(acquired_mm: float) -> FloatMap:
        q = k / min(1.0, pixel_mm / acquired_mm)
        taper = (1 - style.window) + style.window * np.cos(np.pi / 2 * np.clip(q, 0, 1)) ** 2
        return np.where(q <= 1, taper, 0.0).astype(np.float32)

    return Filter(along(style.phase_mm), along(style.read_mm))


def acquire(
    signal: NDArray[np.complex64],
    style: ScannerStyle,
    pixel_mm: float,
    rng: np.random.Generator | None,
    coil: FloatMap | None = None,
) -> FloatMap:
    """Return the magnitude image of a complex stack.

    Parameters
    ----------
    signal
        `(slices, rows, columns)`, blood about 1; rows are the phase-encoding direction.
    style
        Resolution, filters, noise level and coil correction.
    pixel_mm
        Size of a pixel of `signal`.
    rng
        Source of noise and ghosts; None acquires without either.
    coil
        Sensitivity, 1 at the centre of the field of view; None for a homogeneous receiver.

    Returns
    -------
    FloatMap
        Float32 like `signal`, at least 0.
    """
    received = signal if coil is None else signal * coil
    rim = _EDGE_PIXELS
    padded = np.pad(received.astype(np.complex64), ((0, 0), (rim, rim), (rim, rim)), mode="reflect")
    image = _measure(padded, style, pixel_mm, rng)[:, rim:-rim, rim:-rim]
    magnitude = np.abs(image)
    if coil is not None:
        magnitude = magnitude / np.maximum(coil, np.float32(0.1)) ** np.float32(1 - style.bias_exponent)
    return _post_process(magnitude.astype(np.float32), style)


def _measure(
    image: NDArray[np.complex64], style: ScannerStyle, pixel_mm: float, rng: np.random.Generator | None
) -> NDArray[np.complex64]:
    rows, columns = image.shape[1:]
    window = kspace_filter(style, rows, pixel_mm)
    lines, samples = (scipy.fft.ifftshift(w) for w in (window.phase, window.read))
    space = scipy.fft.fft2(image, axes=(1, 2))
    if rng is not None:
        # Scaled so that noise has standard deviation 1/SNR per real channel after the window and the inverse transform.
        sd = np.float32(np.sqrt(rows * columns) / (style.blood_snr * np.sqrt(window.energy)))
        space.real += sd * rng.standard_normal(space.shape, dtype=np.float32)
        space.imag += sd * rng.standard_normal(space.shape, dtype=np.float32)
        strength, frequency, phase = rng.uniform(0, style.ghost), rng.uniform(0.18, 0.42), rng.uniform(0, 2 * np.pi)
        ghost = 1 + strength * np.cos(2 * np.pi * frequency * np.arange(rows) + phase)
        lines = lines * scipy.fft.ifftshift(ghost).astype(np.float32)
    space *= lines[None, :, None] * samples[None, None, :]
    return scipy.fft.ifft2(space, axes=(1, 2), overwrite_x=True)


def _post_process(magnitude: FloatMap, style: ScannerStyle) -> FloatMap:
    if style.blur_px > 0:
        magnitude = gaussian_filter(magnitude, (0, style.blur_px, style.blur_px), truncate=3)
    if style.unsharp > 0:
        soft = gaussian_filter(magnitude, (0, _UNSHARP_SIGMA_PX, _UNSHARP_SIGMA_PX), truncate=3)
        magnitude = np.maximum(magnitude + np.float32(style.unsharp) * (magnitude - soft), 0)
    return np.float32(style.gain) * magnitude ** np.float32(style.gamma)
