"""Localised noise: where it acts, how large it is, how it hangs together."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen.factors.noise import blurred, smooth_noise
from synthgen.seeding import numpy_stream


def test_the_weight_is_local() -> None:
    """1 deep inside, one half at a straight edge, exactly 0 beyond three standard deviations."""
    touched = np.zeros((2, 48, 48), bool)
    touched[0, :, :24] = True
    weight = blurred(touched, 2.0)
    assert weight[0, 24, 12] == pytest.approx(1, abs=1e-5)
    assert (weight[0, 24, 23] + weight[0, 24, 24]) / 2 == pytest.approx(0.5, abs=1e-3)
    assert (weight[0, :, 30:] == 0).all()
    assert (weight[1] == 0).all()


@pytest.mark.parametrize("smoothing", [(10.0, 3.0, 3.0), (0.0, 2.0, 2.0)])
def test_noise_is_standard_and_smooth(smoothing: tuple) -> None:
    """Variance 1 everywhere, ends included; neighbouring slices correlate as the Gaussian says."""
    draws = np.stack([smooth_noise((6, 20, 20), (8.0, 1.5, 1.5), numpy_stream(k), smoothing) for k in range(300)])
    assert draws.mean() == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(draws.var(axis=(0, 2, 3)), 1, atol=0.12)
    neighbours = (draws[:, 1:] * draws[:, :-1]).mean()
    expected = np.exp(-((8.0 / (2 * smoothing[0])) ** 2)) if smoothing[0] else 0.0
    assert neighbours == pytest.approx(expected, abs=0.06)


def test_noise_depends_on_its_stream_alone() -> None:
    """The same key gives the same bits, another key others."""
    first, again, other = (smooth_noise((3, 8, 8), (8.0, 1.5, 1.5), numpy_stream(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
