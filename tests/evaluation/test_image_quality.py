"""Image quality: identical images are perfect, and each measure is what its formula says."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen.errors import InputError
from synthgen.evaluation.image_quality import image_quality


def stack(seed: int = 0) -> np.ndarray:
    """Smooth random slices in [-1, 1]."""
    stream = np.random.default_rng(seed)
    coarse = stream.uniform(-1, 1, (3, 8, 8))
    return np.kron(coarse, np.ones((1, 6, 6)))


def test_an_image_is_like_itself() -> None:
    """SSIM 1, no error."""
    found = image_quality(stack(), stack())
    assert found["ssim"] == pytest.approx(1.0)
    assert found["nrmse"] == 0.0
    assert found["psnr_db"] > 90


def test_a_known_error_has_its_numbers() -> None:
    """A constant error of 0.2 on a scale of 2 is 20 dB; NRMSE is the error over the image's own deviation."""
    real = stack() * 0.8
    found = image_quality(real + 0.2, real)
    assert found["psnr_db"] == pytest.approx(20.0)
    assert found["nrmse"] == pytest.approx(np.mean(0.2 / real.std(axis=(1, 2))))


def test_one_grey_level_scores_one() -> None:
    """The mean of a slice in place of the slice has an NRMSE of 1."""
    real = stack()
    assert image_quality(np.broadcast_to(real.mean((1, 2), keepdims=True), real.shape), real)["nrmse"] == pytest.approx(
        1
    )


def test_structure_counts_and_not_only_error() -> None:
    """At equal squared error, noise costs more similarity than an offset."""
    real, stream = stack() * 0.3 + 0.6, np.random.default_rng(1)
    noise = stream.standard_normal(real.shape)
    noisy = real + 0.1 * noise / np.sqrt((noise**2).mean((1, 2), keepdims=True))
    shifted = real + 0.1
    one, other = image_quality(noisy, real), image_quality(shifted, real)
    assert one["psnr_db"] == pytest.approx(other["psnr_db"])
    assert one["ssim"] < other["ssim"] - 0.1


def test_other_shapes_are_refused() -> None:
    """Stacks of different shapes, single slices and empty stacks."""
    for made, real in ((stack()[:2], stack()), (stack()[0], stack()[0]), (stack()[:0], stack()[:0])):
        with pytest.raises(InputError, match="two stacks"):
            image_quality(made, real)
