"""Modality arithmetic with a trained SDNet: what an image looks like in another style, and what each style number does.

Chartsias et al. 2019, doi 10.1016/j.media.2019.101535, sections 5.3.2 and 5.5. Arithmetic on the anatomy is
`factors.channels`; its result is drawn by `SDNet.decode_factors`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.errors import InputError
from synthgen.networks.sdnet import SDNet

Images = NDArray[np.float32]
REACH, STEPS = 3.0, 7
"""Range of a traversal in standard deviations of the prior, and how many values it takes (paper, Fig. 8)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Traversal:
    """What every number of z does to one image.

    Attributes
    ----------
    values
        `(steps,)`, what the number is set to.
    images
        `(n_z, steps, H, W)` in (-1, 1).
    correlation
        `(n_z, H, W)`, Pearson's r of value and grey level over the steps; 0 where the grey level does not move.
    difference
        `(n_z, H, W)`, grey level at the last value minus that at the first, in [0, 1] units as in the paper.
    """

    values: NDArray[np.float64]
    images: Images
    correlation: NDArray[np.float32]
    difference: NDArray[np.float32]


def swap_styles(net: SDNet, first: Images, second: Images) -> tuple[Images, Images]:
    """Return each image with its own anatomy in the other's style (section 5.3.2).

    Parameters
    ----------
    first, second
        `(N, H, W)` in [-1, 1], paired.

    Returns
    -------
    tuple
        g(s_first, z_second) and g(s_second, z_first), `(N, H, W)`. Against itself an image gives its reconstruction.
    """
    (s_1, z_1), (s_2, z_2) = (net.encode_images(_paired(images, first)) for images in (first, second))
    return net.decode_factors(s_1, z_2).cpu().numpy(), net.decode_factors(s_2, z_1).cpu().numpy()


def blend_styles(net: SDNet, first: Images, second: Images, *, steps: int = STEPS) -> Images:
    """Return the anatomy of `first (H, W)` in styles from its own to that of `second (H, W)`: `(steps, H, W)`."""
    factors, z = net.encode_images(_paired(np.stack([first, second]), np.stack([first, second])))
    share = torch.linspace(0, 1, steps, device=z.device)[:, None]
    return net.decode_factors(factors[:1].expand(steps, -1, -1, -1), torch.lerp(z[:1], z[1:], share)).cpu().numpy()


def traverse_modality(net: SDNet, image: Images, *, reach: float = REACH, steps: int = STEPS) -> Traversal:
    """Return `image (H, W)` with one number of z at a time set to values from `-reach` to `reach` (section 5.5).

    Raises
    ------
    InputError
        If there are fewer than two steps, or the image is not one slice.
    """
    if image.ndim != 2 or steps < 2:
        raise InputError("traversal", expected="one image (H, W), at least 2 steps", got=f"{image.shape}, {steps}")
    factors, z = net.encode_images(_paired(image[None], image[None]))
    values = torch.linspace(-reach, reach, steps, device=z.device)
    many = z.repeat(net.n_z * steps, 1).reshape(net.n_z, steps, net.n_z)
    own = torch.arange(net.n_z, device=z.device)
    many[own, :, own] = values
    made = net.decode_factors(factors.expand(len(own) * steps, -1, -1, -1), many.flatten(0, 1))
    images = made.reshape(net.n_z, steps, *image.shape).cpu().numpy()
    axis = values.cpu().numpy().astype(np.float64)
    return Traversal(
        values=axis,
        images=images,
        correlation=_correlation(axis, images),
        difference=(images[:, -1] - images[:, 0]) / 2,
    )


def _correlation(values: NDArray[np.float64], images: Images) -> NDArray[np.float32]:
    centred = images - images.mean(axis=1, keepdims=True, dtype=np.float64)
    axis = values - values.mean()
    spread = np.sqrt((centred**2).sum(axis=1) * (axis**2).sum())
    product = np.einsum("k,nkhw->nhw", axis, centred)
    moves = spread > 1e-6
    return np.divide(product, spread, out=np.zeros_like(product), where=moves).astype(np.float32)


def _paired(images: Images, other: Images) -> torch.Tensor:
    if images.ndim != 3 or images.shape != other.shape:
        got = f"{images.shape} and {other.shape}"
        raise InputError("images", expected="two arrays (N, H, W) of one shape", got=got)
    return torch.from_numpy(np.ascontiguousarray(images, np.float32))
