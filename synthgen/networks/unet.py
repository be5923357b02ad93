"""U-Net: SDNet's anatomy encoder, and by itself the supervised segmentor that SDNet is compared with.

Ronneberger et al. 2015, doi 10.1007/978-3-319-24574-4_28, as SDNet uses it (Chartsias et al. 2019,
doi 10.1016/j.media.2019.101535, Fig. 2): two 3 x 3 convolutions per resolution, each with batch norm and ReLU, max
pooling down, interpolation and a skip connection up.
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
    """

    def __init__(self, *, classes: int = 4, widths: Sequence[int] = (64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        self.arguments = {"classes": classes, "widths": list(widths)}
        self.down = nn.ModuleList(_double(a, b) for a, b in zip((1, *widths[:-1]), widths, strict=True))
        self.up = nn.ModuleList(_double(low + high, high) for high, low in pairwise(widths))
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(B, K, H, W)` of images `(B, 1, H, W)` in [-1, 1]."""
        features, x = [], images
        for level, block in enumerate(self.down):
            x = block(fn.max_pool2d(x, 2) if level else x)
            features.append(x)
        for block, skip in zip(reversed(self.up), reversed(features[:-1]), strict=True):
            x = block(torch.cat([fn.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return self.head(x)

    @torch.inference_mode()
    def segment(self, images: Tensor) -> Tensor:
        """Return label maps `(N, H, W)` uint8 of images `(N, H, W)`; evaluation mode, independent of N."""
        self.eval()
        return apply_in_parts(lambda part: self(part[:, None]).argmax(1).to(torch.uint8), images.float(), SUB_BATCH)


def _double(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )
