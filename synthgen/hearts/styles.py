"""Scanner styles A to D (and S3, a 3 T style): ranges that one subject's acquisition is drawn from.

Styles, not claims about products. Protocols lie around published ones (Philips 1.5 T: doi 10.1186/s12968-015-0144-y);
filters, noise and tone are set so that images differ as multi-vendor cine images do (doi 10.1109/TMI.2021.3090082) and
style A has the grey values, sharpness and noise of ACDC's scans.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Final

import numpy as np

from synthgen.errors import InputError
from synthgen.hearts.signal import Sequence
from synthgen.labels import Vendor

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ScannerStyle:
    """One drawn acquisition. JSON-able by `record`, rebuilt by `ScannerStyle(**record)`.

    Attributes
    ----------
    name
        Letter of the style (`A` to `D`) or `S3`.
    tr_ms, te_ms, flip_deg, field_tesla
        bSSFP protocol.
    read_mm, phase_mm
        Acquired pixel along read-out (x) and phase encoding (y).
    window
        Weight of the cosine k-space filter: 0 rings (Gibbs), 0.7 blurs.
    blur_px, unsharp
        Gaussian blur and amount of unsharp masking after reconstruction.
    blood_snr
        Signal-to-noise ratio of blood at the centre of the field of view.
    bias_exponent
        1 leaves the surface coils' shading in, 0 removes it and amplifies noise far from the coils.
    b0_sd_hz
        Standard deviation of the off-resonance map.
    ghost
        Largest relative modulation of phase-encoding lines.
    gamma, gain
        Tone curve and scale of the reconstructed magnitude.
    pixel_mm, thickness_mm, gap_mm
        The style's own grid.
    """

    name: str
    tr_ms: float
    te_ms: float
    flip_deg: float
    field_tesla: float
    read_mm: float
    phase_mm: float
    window: float
    blur_px: float
    unsharp: float
    blood_snr: float
    bias_exponent: float
    b0_sd_hz: float
    ghost: float
    gamma: float
    gain: float
    pixel_mm: float
    thickness_mm: float
    gap_mm: float

    @property
    def sequence(self) -> Sequence:
        """The bSSFP protocol of this style."""
        return Sequence(tr_ms=self.tr_ms, te_ms=self.te_ms, flip_deg=self.flip_deg, field_tesla=self.field_tesla)

    @property
    def record(self) -> dict[str, float | str]:
        """The draw as plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class StyleRanges:
    """Range `(low, high)` of every number of `ScannerStyle`, drawn uniformly and independently."""

    tr_ms: Range
    te_ms: Range
    flip_deg: Range
    field_tesla: Range
    read_mm: Range
    phase_mm: Range
    window: Range
    blur_px: Range
    unsharp: Range
    blood_snr: Range
    bias_exponent: Range
    b0_sd_hz: Range
    ghost: Range
    gamma: Range
    gain: Range
    pixel_mm: Range
    thickness_mm: Range
    gap_mm: Range


STYLES: Final[dict[str, StyleRanges]] = {
    "A": StyleRanges(  # dark and blurry
        tr_ms=(2.8, 3.1), te_ms=(1.20, 1.40), flip_deg=(50.0, 68.0), field_tesla=(1.5, 1.5), read_mm=(1.60, 2.10),
        phase_mm=(1.90, 2.50), window=(0.45, 0.75), blur_px=(0.25, 0.50), unsharp=(0.0, 0.10), blood_snr=(60.0, 120.0),
        bias_exponent=(0.40, 0.75), b0_sd_hz=(10.0, 18.0), ghost=(0.0, 0.015), gamma=(1.02, 1.25), gain=(0.70, 0.90),
        pixel_mm=(1.25, 1.55), thickness_mm=(8.0, 8.0), gap_mm=(0.8, 2.0),
    ),
    "B": StyleRanges(  # sharp and noisy
        tr_ms=(3.0, 3.3), te_ms=(1.45, 1.62), flip_deg=(52.0, 62.0), field_tesla=(1.5, 1.5), read_mm=(1.50, 1.80),
        phase_mm=(1.65, 2.00), window=(0.10, 0.40), blur_px=(0.0, 0.20), unsharp=(0.35, 0.70), blood_snr=(30.0, 52.0),
        bias_exponent=(0.20, 0.50), b0_sd_hz=(10.0, 18.0), ghost=(0.0, 0.020), gamma=(0.86, 1.02), gain=(0.90, 1.10),
        pixel_mm=(1.18, 1.45), thickness_mm=(8.0, 8.0), gap_mm=(1.7, 2.0),
    ),
    "C": StyleRanges(  # shaded by the coil
        tr_ms=(3.3, 3.7), te_ms=(1.45, 1.65), flip_deg=(42.0, 55.0), field_tesla=(1.5, 1.5), read_mm=(1.65, 2.00),
        phase_mm=(1.90, 2.40), window=(0.25, 0.55), blur_px=(0.0, 0.30), unsharp=(0.0, 0.15), blood_snr=(60.0, 95.0),
        bias_exponent=(0.95, 1.0), b0_sd_hz=(16.0, 26.0), ghost=(0.0, 0.020), gamma=(0.92, 1.06), gain=(0.85, 1.0),
        pixel_mm=(1.30, 1.42), thickness_mm=(8.0, 8.0), gap_mm=(1.8, 2.0),
    ),
    "D": StyleRanges(  # bright and smooth
        tr_ms=(3.4, 3.8), te_ms=(1.70, 1.90), flip_deg=(46.0, 60.0), field_tesla=(1.5, 1.5), read_mm=(1.55, 1.90),
        phase_mm=(1.70, 2.10), window=(0.45, 0.75), blur_px=(0.30, 0.55), unsharp=(0.10, 0.40), blood_snr=(60.0, 110.0),
        bias_exponent=(0.10, 0.35), b0_sd_hz=(12.0, 20.0), ghost=(0.0, 0.015), gamma=(0.70, 0.84), gain=(0.95, 1.10),
        pixel_mm=(1.10, 1.35), thickness_mm=(8.0, 8.0), gap_mm=(1.8, 2.0),
    ),
    "S3": StyleRanges(  # 3 T: shaded, banding at the periphery, less contrast of blood and muscle
        tr_ms=(3.0, 3.4), te_ms=(1.30, 1.55), flip_deg=(34.0, 48.0), field_tesla=(3.0, 3.0), read_mm=(1.55, 1.85),
        phase_mm=(1.80, 2.20), window=(0.28, 0.60), blur_px=(0.0, 0.30), unsharp=(0.0, 0.25), blood_snr=(60.0, 110.0),
        bias_exponent=(0.60, 1.0), b0_sd_hz=(22.0, 38.0), ghost=(0.0, 0.020), gamma=(0.90, 1.05), gain=(0.85, 1.05),
        pixel_mm=(1.30, 1.45), thickness_mm=(6.0, 6.0), gap_mm=(3.0, 4.0),
    ),
}  # fmt: skip
"""The style table. A vendor's letter is its style's name."""


def draw_style(name: str | Vendor, rng: np.random.Generator) -> ScannerStyle:
    """Draw one acquisition of style `name`.

    Raises
    ------
    InputError
        If there is no such style.
    """
    ranges = STYLES.get(str(name))
    if ranges is None:
        raise InputError("style", expected=f"one of {', '.join(STYLES)}", got=repr(str(name)))
    drawn = {f.name: rng.uniform(*getattr(ranges, f.name)) for f in fields(StyleRanges)}
    return ScannerStyle(name=str(name), **drawn)
