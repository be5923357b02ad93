"""Segmentor of nine tissues: a U-Net together with the grid and the grey scale that it works on.

Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123), section 3.1: five resolutions, leaky ReLU, batch norm,
dropout of one half, trained on simulated images only. What a slice is brought to before it is seen, and the views of it
that are averaged, belong to the network: they must be the same in training and in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from synthgen.errors import InputError
from synthgen.labels import Tissue
from synthgen.networks.batching import apply_in_parts
from synthgen.networks.unet import UNet

SUB_BATCH: Final = 8
"""Slices per forward pass of `probabilities`; fixed, so that a slice's result does not depend on their number."""

ZOOMS: Final = (0.7, 0.8, 1.0, 1.25, 1.4)
"""Views of a slice whose probabilities are averaged: hearts and bodies come in many sizes."""

_DARK, _BRIGHT = 0.01, 0.99
_OVERSHOOT = 1.5


class Segmentor(nn.Module):
    """Slices to tissue probabilities.

    Parameters
    ----------
    widths
        Channels per resolution, finest first.
    pixel_um
        Edge of a pixel in micrometres.
    dropout
        Percent of the coarsest resolution's channels that training takes away.

    Attributes
    ----------
    pixel_mm
        Edge of a pixel of the slices that it segments.
    share
        Dropout as a fraction.
    """

    def __init__(
        self, *, widths: Sequence[int] = (16, 32, 48, 64, 96), pixel_um: int = 2000, dropout: int = 50
    ) -> None:
        super().__init__()
        self.arguments = {"widths": list(widths), "pixel_um": pixel_um, "dropout": dropout}
        self.unet = UNet(classes=len(Tissue), widths=widths, leak=1)
        self.pixel_mm, self.share = pixel_um / 1000, dropout / 100

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return logits `(B, 9, H, W)` of `normalised` images `(B, 1, H, W)`; `kept` as in `UNet`."""
        return self.unet(images, kept)

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return tissue probabilities `(N, 9, H, W)` of slices `(N, H, W)` with pixels of `pixel_mm`, any grey scale.

        The mean over `ZOOMS`; evaluation mode, independent of N.
        """
        self.eval()
        multiple = 2 ** (len(self.unet.down) - 1)
        height, width = images.shape[1:]
        missing = (-width % multiple, -height % multiple)
        padded = fn.pad(normalised(images.float()[:, None]), (0, missing[0], 0, missing[1]), mode="replicate")
        return apply_in_parts(self._averaged, padded, SUB_BATCH)[:, :, :height, :width]

    def _averaged(self, images: Tensor) -> Tensor:
        total = torch.zeros(())
        for zoom in ZOOMS:
            view = _zoomed(images, zoom).contiguous(memory_format=torch.channels_last)
            total = total + _zoomed(self(view).softmax(1), 1 / zoom)
        return total / len(ZOOMS)


def normalised(images: Tensor) -> Tensor:
    """Return slices `(B, 1, H, W)` on the common grey scale: each one's 1st percentile at -1, its 99th at 1.

    By slice and not by stack: the gain of real stacks differs from slice to slice. What is brighter is cut off at 1.5.

    Raises
    ------
    InputError
        If the images have not four axes.
    """
    if images.ndim != 4:
        raise InputError("slices", expected="a tensor (B, 1, H, W)", got=f"one of shape {tuple(images.shape)}")
    low, high = _percentiles(images.flatten(1))
    scaled = (images - low[:, None, None, None]) / (high - low + 1e-3 * high.abs() + 1e-6)[:, None, None, None]
    return (scaled * 2 - 1).clamp(-1, _OVERSHOOT)


def _percentiles(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the 1st and the 99th percentile of each row; `torch.quantile` refuses large images."""
    count = values.shape[1]
    ordered = values.sort(dim=1).values
    return ordered[:, round(_DARK * (count - 1))], ordered[:, round(_BRIGHT * (count - 1))]


def _zoomed(x: Tensor, zoom: float) -> Tensor:
    """Return `(B, C, H, W)` enlarged about the centre on the same grid; beyond its edge it goes on as it ends."""
    if zoom == 1:
        return x
    matrix = torch.tensor([[1 / zoom, 0.0, 0.0], [0.0, 1 / zoom, 0.0]])
    grid = fn.affine_grid(matrix.expand(len(x), 2, 3), list(x.shape), align_corners=False).to(x.device)
    return fn.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
