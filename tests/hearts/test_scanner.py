"""The acquisition chain against what is known exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synthgen.errors import InputError
from synthgen.hearts.scanner import acquire, coil_map, coil_positions, kspace_filter, off_resonance_map
from synthgen.hearts.styles import STYLES, ScannerStyle, draw_style

PIXEL_MM = 1.5


def plain_style(**changes: float) -> ScannerStyle:
    """Return a style that keeps every frequency and filters nothing."""
    neutral = {"read_mm": PIXEL_MM, "phase_mm": PIXEL_MM, "window": 0.0, "blur_px": 0.0, "unsharp": 0.0,
               "blood_snr": 40.0, "bias_exponent": 1.0, "ghost": 0.0, "gamma": 1.0, "gain": 1.0}  # fmt: skip
    return replace(draw_style("A", np.random.default_rng(0)), **{**neutral, **changes})


def disc(size: int = 96) -> np.ndarray:
    """Return two slices with a disc of blood in air, complex."""
    y, x = np.indices((size, size)) - size / 2
    return np.repeat((np.hypot(y, x) < 20)[None].astype(np.complex64), 2, axis=0)


def test_neutral_chain_is_the_identity() -> None:
    """Without noise, filters and band limit the image is the magnitude of the signal."""
    signal = disc() * np.complex64(np.exp(0.7j))
    np.testing.assert_allclose(acquire(signal, plain_style(), PIXEL_MM, None), np.abs(signal), atol=2e-5)


def test_coil_shading_is_undone() -> None:
    """With a bias exponent of 0 the coil's shading cancels; with 1 the image is the shaded signal."""
    size = 96
    signal = np.ones((2, size, size), np.complex64)
    coil = np.linspace(0.5, 1.5, size, dtype=np.float32)[None, None] * np.ones((2, size, 1), np.float32)
    np.testing.assert_allclose(acquire(signal, plain_style(bias_exponent=0.0), PIXEL_MM, None, coil), 1.0, atol=1e-4)
    np.testing.assert_allclose(acquire(signal, plain_style(), PIXEL_MM, None, coil), coil, atol=1e-4)


def test_noise_has_the_requested_ratio() -> None:
    """In uniform blood the standard deviation is 1 / SNR, whatever the acquired resolution and window."""
    signal = np.ones((4, 128, 128), np.complex64)
    for style in (plain_style(), plain_style(read_mm=2.0, phase_mm=2.4, window=0.6)):
        image = acquire(signal, style, PIXEL_MM, np.random.default_rng(1))
        assert image.mean() == pytest.approx(1.0, abs=0.01)
        assert image.std() == pytest.approx(1 / 40.0, rel=0.06)


def test_air_is_rician() -> None:
    """Where there is no signal the magnitude is Rayleigh: mean sqrt(pi/2) sigma, deviation sqrt(2 - pi/2) sigma."""
    image = acquire(np.zeros((4, 128, 128), np.complex64), plain_style(), PIXEL_MM, np.random.default_rng(2))
    assert image.mean() == pytest.approx(np.sqrt(np.pi / 2) / 40, rel=0.02)
    assert image.std() == pytest.approx(np.sqrt(2 - np.pi / 2) / 40, rel=0.03)


def test_band_limit_keeps_the_mean_and_loses_energy() -> None:
    """A coarser acquisition keeps the mean signal and never adds energy; rows (phase) lose more than columns (read)."""
    style = plain_style(read_mm=1.8, phase_mm=2.6, window=0.4)
    signal = disc()
    image = acquire(signal, style, PIXEL_MM, None)
    assert (image**2).sum() < (np.abs(signal) ** 2).sum()
    assert image[:, 40:56, 40:56].mean() == pytest.approx(1.0, abs=0.02)
    steep_rows, steep_columns = (np.abs(np.diff(image, axis=axis)).max() for axis in (1, 2))
    assert steep_rows < steep_columns
    window = kspace_filter(style, 112, PIXEL_MM)
    assert 0 < window.energy < 1
    assert window.phase.max() == window.read.max() == 1.0


def test_blur_and_unsharp_work_in_opposite_directions() -> None:
    """Blurring lowers and unsharp masking raises the steepest step of an image."""
    steepest = [
        np.abs(np.diff(acquire(disc(), plain_style(**change), PIXEL_MM, None), axis=2)).max()
        for change in ({"blur_px": 0.6}, {}, {"unsharp": 0.6})
    ]
    assert steepest[0] < steepest[1] < steepest[2]


def test_ghost_repeats_along_phase() -> None:
    """A ghost moves a little energy along rows' direction and none along columns'."""
    signal = disc()
    image = acquire(signal, plain_style(ghost=0.5, blood_snr=1e6), PIXEL_MM, np.random.default_rng(5))
    outside = np.abs(image - np.abs(signal))[0]
    assert outside[:20, 38:58].mean() + outside[-20:, 38:58].mean() > 10 * outside[38:58, :20].mean()


def test_coils_are_brighter_in_front() -> None:
    """The sensitivity is 1 in the middle and larger towards the anterior loops."""
    steps = np.array([[PIXEL_MM, 0, 0], [0, PIXEL_MM, 0], [0, 0, 1.0]])  # axial: column = left, row = posterior
    corner = np.array([-72.0, -90.0, 0.0])
    coil = coil_map(96, corner, steps, np.array([0.0, 10.0]), coil_positions(110.0))
    assert coil.shape == (2, 96, 96)
    assert coil[:, 40:56, 40:56].mean() == pytest.approx(1.0, abs=0.05)
    assert coil[0, :8].mean() > 1.5 * coil[0, 48:56].mean()


def test_off_resonance_has_the_style_s_size() -> None:
    """The smooth part of the B0 map has about the standard deviation of the style, and 3 T has more than 1.5 T."""
    sizes = {}
    for name in ("A", "S3"):
        maps = [
            off_resonance_map(np.random.default_rng(i), draw_style(name, np.random.default_rng(i)), 8, 144, 1.5)
            for i in range(8)
        ]
        sizes[name] = float(np.mean([m.std() for m in maps]))
    assert 8 < sizes["A"] < 40 < 2 * sizes["S3"]
    assert sizes["S3"] > sizes["A"]


def test_styles_stay_in_their_ranges() -> None:
    """Every drawn number lies in its range, and draws of one style differ."""
    for name, ranges in STYLES.items():
        a, b = (draw_style(name, np.random.default_rng(i)) for i in (0, 1))
        assert a != b
        for key, (low, high) in vars(ranges).items():
            assert low <= a.record[key] <= high
        assert ScannerStyle(**a.record) == a


def test_unknown_style_is_refused() -> None:
    """A style that is not in the table is an input error that lists the table."""
    with pytest.raises(InputError, match="A, B, C, D, S3"):
        draw_style("E", np.random.default_rng(0))
