"""Style encoder: an image as the mean and log-variance of a pooled style vector.

The role of the ResNet style encoder in Amirrajab et al. 2022 (doi 10.1007/978-3-031-23443-9_4). Theirs ends in a
spatial tensor, through which anatomy can leak into "style"; this one pools over the whole image, mean and deviation of
every feature, so that only what is everywhere survives: contrast, sharpness, noise, shading. Noise is what scanners
differ in most and what a short training finds last, since encoder and generator must find it together: the first two
numbers of a style start as the strength of fine detail.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from synthgen.networks.batching import apply_in_parts

SUB_BATCH = 8
"""Images per forward pass of `encode_images`."""

DETAIL_SCALE = 3.0
"""Steps of a style's first two numbers per neper of fine detail, in which virtual scanners differ by up to one."""

FAINTEST = 0.005
"""Detail below this is no scanner's noise, on the scale from -1 to 1."""

_USUAL = (3.75, 3.2)
"""Usual strengths of noise and edges, as negative logarithms."""


class StyleEncoder(nn.Module):
    """Small residual network, pooled.

    Parameters
    ----------
    style_dim
        Length S of the style vector.
    widths
        Channels per stride-2 residual block.
    """

    def __init__(self, *, style_dim: int = 16, widths: Sequence[int] = (16, 32, 64, 64)) -> None:
        super().__init__()
        self.arguments = {"style_dim": style_dim, "widths": list(widths)}
        self.stem = nn.Conv2d(1, widths[0], 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(_Residual(a, b) for a, b in zip((widths[0], *widths[:-1]), widths, strict=True))
        self.moments = nn.Linear(4 * widths[-1] + 4, 2 * style_dim)
        self.squeeze = nn.Linear(2 * widths[-1], 4 * widths[-1])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance `(B, S)` of images `(B, 1, H, W)` in [-1, 1]."""
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        deviation, mean = torch.std_mean(fn.leaky_relu(x, 0.2), dim=(2, 3), correction=0)
        pooled = fn.leaky_relu(self.squeeze(torch.cat([mean, deviation], dim=1)), 0.2)
        contrast, level = torch.std_mean(images, dim=(2, 3), correction=0)
        detail = DETAIL_SCALE * fine_detail(images)
        mean, log_variance = self.moments(torch.cat([pooled, level, contrast, detail], dim=1)).chunk(2, dim=1)
        return mean + fn.pad(detail, (0, mean.shape[1] - detail.shape[1])), log_variance.clamp(-12.0, 6.0)

    @torch.inference_mode()
    def encode_images(self, images: Tensor) -> Tensor:
        """Return style means `(N, S)` of images `(N, H, W)`; evaluation mode, independent of N."""
        self.eval()
        return apply_in_parts(lambda part: self(part[:, None])[0], images.to(torch.float32), SUB_BATCH)


def fine_detail(images: Tensor) -> Tensor:
    """Return how strong detail of a few pixels is, `(B, 2)`, in nepers over the usual: of noise, of noise and edges.

    Noise is everywhere and is told by the median, edges are at some places and raise the mean.
    """
    fine = without_means(images).abs().flatten(1)
    strengths = torch.stack([fine.median(dim=1).values, fine.mean(dim=1)], dim=1)
    return torch.log(strengths + FAINTEST) + torch.tensor(_USUAL, device=images.device)


def without_means(images: Tensor) -> Tensor:
    """Return what a mean over 3 x 3 pixels takes away from images `(B, 1, H, W)`: their fine detail."""
    return images - fn.avg_pool2d(fn.pad(images, [1] * 4, mode="replicate"), 3, stride=1)


class _Residual(nn.Module):
    """Pre-activation residual block with stride 2 and no normalisation, which would erase contrast and noise level."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv_0 = nn.Conv2d(before, after, 3, stride=2, padding=1)
        self.conv_1 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_1(fn.leaky_relu(self.conv_0(fn.leaky_relu(x, 0.2)), 0.2))
        return y + self.shortcut(fn.avg_pool2d(x, 2))
