"""Generators that read a label map as an image: pix2pix and pix2pixHD, what SPADE is measured against.

Isola et al. 2017 (doi 10.1109/CVPR.2017.632): a U-Net. Wang et al. 2018 (doi 10.1109/CVPR.2018.00917): convolutions
down, residual blocks, convolutions up. Both get what `SpadeGenerator` gets, as channels of one input: the one-hot label
map, the style vector everywhere alike, and one channel of noise, which takes the place of pix2pix's dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

_SLOPE = 0.2


class Pix2PixGenerator(nn.Module):
    """U-Net of stride-2 convolutions with skip connections.

    Parameters
    ----------
    image_size, classes, style_dim
        As `SpadeGenerator`; the size is a multiple of `2 ** len(widths)`.
    widths
        Channels after each halving, finest first.
    """

    def __init__(
        self,
        *,
        image_size: int = 128,
        classes: int = 9,
        style_dim: int = 16,
        widths: Sequence[int] = (32, 64, 128, 160, 192),
    ) -> None:
        super().__init__()
        self.arguments = {
            "image_size": image_size, "classes": classes, "style_dim": style_dim, "widths": list(widths),
        }  # fmt: skip
        self.classes, self.style_dim = classes, style_dim
        first = classes + style_dim + 1
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise((first, *widths)))
        self.down_norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        outwards = [*reversed(widths[:-1]), widths[0]]
        inwards = [widths[-1], *(2 * width for width in reversed(widths[:-1]))]
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, stride=2, padding=1) for a, b in zip(inwards, outwards, strict=True)
        )
        self.up_norms = nn.ModuleList(nn.BatchNorm2d(width) for width in outwards)
        self.head = nn.Conv2d(widths[0], 1, 3, padding=1)

    def forward(self, labels: Tensor, style: Tensor, noise: Tensor, *, tables_from: int | None = None) -> Tensor:  # noqa: ARG002 - the call of `SpadeGenerator`
        """Return images `(B, 1, H, W)` in [-1, 1] of labels `(B, H, W)`, styles `(B, S)`, noise `(B, 1, H, W)`."""
        x = _joined(labels, style, noise, self.classes)
        features = []
        for conv, norm in zip(self.down, self.down_norms, strict=True):
            x = fn.leaky_relu(norm(conv(x)), _SLOPE)
            features.append(x)
        for number, (conv, norm) in enumerate(zip(self.up, self.up_norms, strict=True)):
            x = x if not number else torch.cat([x, features[-1 - number]], dim=1)
            x = fn.relu(norm(conv(x)))
        return torch.tanh(self.head(x))


class Pix2PixHdGenerator(nn.Module):
    """The global generator: a wide first convolution, halvings, residual blocks, doublings.

    Parameters
    ----------
    image_size, classes, style_dim
        As `SpadeGenerator`; the size is a multiple of `2 ** (len(widths) - 1)`.
    widths
        Channels per resolution, finest first.
    blocks
        Residual blocks at the coarsest.
    """

    def __init__(
        self,
        *,
        image_size: int = 128,
        classes: int = 9,
        style_dim: int = 16,
        widths: Sequence[int] = (36, 72, 144),
        blocks: int = 6,
    ) -> None:
        super().__init__()
        self.arguments = {
            "image_size": image_size, "classes": classes, "style_dim": style_dim,
            "widths": list(widths), "blocks": blocks,
        }  # fmt: skip
        self.classes, self.style_dim = classes, style_dim
        self.stem = _normed(nn.Conv2d(classes + style_dim + 1, widths[0], 7, padding=3), widths[0])
        self.down = nn.ModuleList(_normed(nn.Conv2d(a, b, 3, stride=2, padding=1), b) for a, b in pairwise(widths))
        self.blocks = nn.ModuleList(_Residual(widths[-1]) for _ in range(blocks))
        self.up = nn.ModuleList(
            _normed(nn.ConvTranspose2d(b, a, 3, stride=2, padding=1, output_padding=1), a)
            for a, b in reversed(list(pairwise(widths)))
        )
        self.head = nn.Conv2d(widths[0], 1, 7, padding=3)

    def forward(self, labels: Tensor, style: Tensor, noise: Tensor, *, tables_from: int | None = None) -> Tensor:  # noqa: ARG002 - the call of `SpadeGenerator`
        """Return images `(B, 1, H, W)` in [-1, 1] of labels `(B, H, W)`, styles `(B, S)`, noise `(B, 1, H, W)`."""
        x = _joined(labels, style, noise, self.classes)
        x = fn.relu(self.stem(x))
        for layer in self.down:
            x = fn.relu(layer(x))
        for block in self.blocks:
            x = block(x)
        for layer in self.up:
            x = fn.relu(layer(x))
        return torch.tanh(self.head(x))


def _joined(labels: Tensor, style: Tensor, noise: Tensor, classes: int) -> Tensor:
    """Return the one-hot label map, the style everywhere alike, and the noise as channels of one input."""
    one_hot = fn.one_hot(labels.to(torch.int64), classes).permute(0, 3, 1, 2).to(torch.float32)
    spread = style[:, :, None, None].expand(-1, -1, *labels.shape[1:])
    return torch.cat([one_hot, spread, noise], dim=1).contiguous(memory_format=torch.channels_last)


class _Residual(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _normed(nn.Conv2d(channels, channels, 3, padding=1), channels)
        self.second = _normed(nn.Conv2d(channels, channels, 3, padding=1), channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(fn.relu(self.first(x)))


def _normed(convolution: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))
