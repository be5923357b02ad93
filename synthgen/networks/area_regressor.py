"""Area of the left ventricle in a slice, from SDNet's factors.

Chartsias et al. 2019, doi 10.1016/j.media.2019.101535, section 5.2: two convolutions and two dense layers regress the
number of its pixels; slices add up to the volume. Between the two the features are averaged over the image here, so
that the number of weights does not grow with it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

WIDTH = 16
"""Channels of both convolutions and of the first dense layer (paper)."""

PIXELS_PER_UNIT = 1000.0
"""What the network counts in, so that its numbers are near 1."""


class AreaRegressor(nn.Module):
    """Factors to a number of pixels.

    Parameters
    ----------
    factors
        Channels C of the anatomy.
    """

    def __init__(self, *, factors: int = 8) -> None:
        super().__init__()
        self.arguments = {"factors": factors}
        self.conv_0 = nn.Conv2d(factors, WIDTH, 3, padding=1)
        self.conv_1 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.dense_0 = nn.Linear(WIDTH, WIDTH)
        self.dense_1 = nn.Linear(WIDTH, 1)

    def own_weights(self, generator: torch.Generator) -> None:  # noqa: ARG002 - the protocol's argument
        """Start above 0: the last ReLU passes no gradient below it, and nothing would ever lift the output again."""
        self.dense_1.bias.fill_(1.0)

    def forward(self, factors: Tensor) -> Tensor:
        """Return areas `(B,)` in pixels of factors `(B, C, H, W)`."""
        x = fn.relu(self.conv_1(fn.relu(self.conv_0(factors))))
        sums = x.mean((2, 3)) * (x.shape[2] * x.shape[3] / PIXELS_PER_UNIT)
        return fn.relu(self.dense_1(fn.relu(self.dense_0(sums))))[:, 0] * PIXELS_PER_UNIT
