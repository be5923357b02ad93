"""U-Net: SDNet's anatomy encoder, the supervised segmentor that SDNet is compared with, the segmentor of tissues.

Ronneberger et al. 2015, doi 10.1007/978-3-319-24574-4_28, as SDNet uses it (Chartsias et al. 2019,
doi 10.1016/j.media.2019.101535, Fig. 2): two 3 x 3 convolutions per resolution, each with batch norm and ReLU, max
pooling down, interpolation and a skip connection up. Amirrajab et al. 2022 (doi 10.1016/j.compmedimag.2022.102123,
section 3.1) use leaky ReLU and dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from synthgen.networks.batching import apply_in_parts

SUB_BATCH = 8
"""Slices per forward pass of `segment`; fixed, so that a slice's result does not depend on their number."""


class UNet(nn.Module):
    """Image to one logit per pixel and class.

    Parameters
    ----------
    classes
        Channels K that come out.
    widths
        Channels per resolution, finest first; images must be multiples of `2 ** (len(widths) - 1)` pixels.
    leak
        Slope below zero in percent; 0 is a plain ReLU.

    Attributes
    ----------
    deepest
        Channels at the coarsest resolution, those that dropout may take away.
    """

    def __init__(self, *, classes: int = 4, widths: Sequence[int] = (64, 128, 256, 512, 1024), leak: int = 0) -> None:
        super().__init__()
        self.arguments = {"classes": classes, "widths": list(widths), "leak": leak}
        self.deepest = widths[-1]
        self.down = nn.ModuleList(_double(a, b, leak / 100) for a, b in zip((1, *widths[:-1]), widths, strict=True))
        self.up = nn.ModuleList(_double(low + high, high, leak / 100) for high, low in pairwise(widths))
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return logits `(B, K, H, W)` of images `(B, 1, H, W)` in [-1, 1].

        `kept (B, deepest)` are the factors that dropout multiplies the channels of the coarsest resolution by: 0 takes
        one away, a mean of 1 keeps the scale. None keeps all.
        """
        features, x = [], images
        for level, block in enumerate(self.down):
            x = block(fn.max_pool2d(x, 2) if level else x)
            features.append(x)
        if kept is not None:
            x = x * kept[:, :, None, None]
        for block, skip in zip(reversed(self.up), reversed(features[:-1]), strict=True):
            x = block(torch.cat([fn.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return self.head(x)

    @torch.inference_mode()
    def segment(self, images: Tensor) -> Tensor:
        """Return label maps `(N, H, W)` uint8 of images `(N, H, W)`; evaluation mode, independent of N."""
        self.eval()
        return apply_in_parts(lambda part: self(part[:, None]).argmax(1).to(torch.uint8), images.float(), SUB_BATCH)


def _double(before: int, after: int, slope: float) -> nn.Sequential:
    return nn.Sequential(*_convolution(before, after, slope), *_convolution(after, after, slope))


def _convolution(before: int, after: int, slope: float) -> tuple[nn.Module, ...]:
    activation = nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)
    return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), activation
