"""FiLM decoder: spatial factors and a modality vector to an image.

SDNet's decoder (Chartsias et al. 2019, doi 10.1016/j.media.2019.101535, section 3.3 and Fig. 2): what z says enters
only as one scale and one offset per feature map (FiLM, Perez et al. 2018, arXiv 1709.07871), so that z cannot carry
anatomy.
"""

from __future__ import annotations

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

SLOPE = 0.3
"""Negative slope of every leaky ReLU (the published value)."""


class FilmDecoder(nn.Module):
    """Four residual blocks of two convolutions, the second modulated by z, then one convolution and tanh.

    Parameters
    ----------
    factors
        Channels C of the anatomy.
    n_z
        Length of the modality vector.
    width
        Feature maps of the blocks; the published decoder has as many as factors (8).
    blocks
        Number of modulated blocks.
    """

    def __init__(self, *, factors: int, n_z: int, width: int, blocks: int = 4) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(factors if i == 0 else width, width, n_z) for i in range(blocks))
        self.head = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, factors: Tensor, z: Tensor) -> Tensor:
        """Return images `(B, 1, H, W)` in (-1, 1) of factors `(B, C, H, W)` and modality vectors `(B, n_z)`."""
        x = factors
        for block in self.blocks:
            x = block(x, z)
        return torch.tanh(self.head(x))


class _Block(nn.Module):
    def __init__(self, before: int, after: int, n_z: int) -> None:
        super().__init__()
        self.conv_0 = nn.Conv2d(before, after, 3, padding=1)
        self.conv_1 = nn.Conv2d(after, after, 3, padding=1)
        self.hidden = nn.Linear(n_z, 2 * after)
        self.film = nn.Linear(2 * after, 2 * after)
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def own_weights(self, generator: torch.Generator) -> None:  # noqa: ARG002 - the protocol's argument
        """Start with scales around 1: gamma is not 1 + something, and around 0 it would close the block at first."""
        width = len(self.film.bias) // 2
        self.film.bias[:width] = 1.0

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Return FiLM(conv(conv(x))) + x with FiLM(F) = gamma F + beta, both from z."""
        gamma, beta = self.film(fn.leaky_relu(self.hidden(z), SLOPE))[:, :, None, None].chunk(2, dim=1)
        y = self.conv_1(fn.leaky_relu(self.conv_0(x), SLOPE))
        return fn.leaky_relu(gamma * y + beta, SLOPE) + self.shortcut(x)
