"""Modality arithmetic: swapping, blending, traversing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from heart_phantoms import heart_slices, sdnet

from synthgen.engine.arithmetic import blend_styles, swap_styles, traverse_modality
from synthgen.errors import InputError

IMAGES = heart_slices(5).images.astype(np.float32)
NET = sdnet()


def reconstruction(images: np.ndarray) -> np.ndarray:
    """Images taken apart and put together."""
    return NET.decode_factors(*NET.encode_images(torch.from_numpy(images))).numpy()


def test_an_image_in_its_own_style_is_its_reconstruction() -> None:
    """Swapping an image's style with its own is the identity, bit for bit."""
    first, second = swap_styles(NET, IMAGES, IMAGES)
    assert np.array_equal(first, reconstruction(IMAGES))
    assert np.array_equal(second, first)


def test_swapped_styles_are_swapped() -> None:
    """What comes back has one image's factors and the other's z, and differs from both reconstructions."""
    factors, z = NET.encode_images(torch.from_numpy(IMAGES))
    first, second = swap_styles(NET, IMAGES[:2], IMAGES[2:4])
    assert np.array_equal(first, NET.decode_factors(factors[:2], z[2:4]).numpy())
    assert np.array_equal(second, NET.decode_factors(factors[2:4], z[:2]).numpy())
    assert not np.array_equal(first, reconstruction(IMAGES[:2]))


def test_blending_goes_from_ones_own_style_to_the_others() -> None:
    """The ends of a blend are the reconstruction and the swap."""
    steps = blend_styles(NET, IMAGES[0], IMAGES[1], steps=4)
    assert steps.shape == (4, 32, 32)
    np.testing.assert_allclose(steps[0], reconstruction(IMAGES[:1])[0], atol=1e-6)
    np.testing.assert_allclose(steps[-1], swap_styles(NET, IMAGES[:1], IMAGES[1:2])[0][0], atol=1e-6)


def test_a_traversal_moves_one_number_at_a_time() -> None:
    """Row i sets z_i to -3 ... 3 and nothing else; at the image's own value the row shows the reconstruction."""
    made = traverse_modality(NET, IMAGES[0])
    assert made.images.shape == (8, 7, 32, 32)
    assert made.values.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    factors, z = NET.encode_images(torch.from_numpy(IMAGES[:1]))
    z = z.clone()
    z[0, 5] = 2.0
    np.testing.assert_allclose(made.images[5, 5], NET.decode_factors(factors, z).numpy()[0], atol=1e-6)


def test_correlation_and_difference_are_those_of_the_paper() -> None:
    """Pearson's r agrees with numpy's; the difference is last minus first on a scale of 0 to 1."""
    made = traverse_modality(NET, IMAGES[0])
    r = np.corrcoef(made.values, made.images[2, :, 16, 9])[0, 1]
    assert made.correlation[2, 16, 9] == pytest.approx(r, abs=1e-3)
    assert np.abs(made.correlation).max() <= 1.001
    np.testing.assert_allclose(made.difference, (made.images[:, 6] - made.images[:, 0]) / 2)


def test_shapes_that_do_not_fit_are_refused() -> None:
    """Unpaired images, stacks where a slice is wanted, and a traversal of one step are input errors."""
    with pytest.raises(InputError, match="images"):
        swap_styles(NET, IMAGES[:2], IMAGES[:3])
    with pytest.raises(InputError, match="traversal"):
        traverse_modality(NET, IMAGES)
    with pytest.raises(InputError, match="traversal"):
        traverse_modality(NET, IMAGES[0], steps=1)
