"""AC-GAN, the baseline that DAA-GAN is compared with: images from noise and labels, without any anatomy.

Odena et al. 2017, "Conditional image synthesis with auxiliary classifier GANs" (arXiv 1610.09585). A level of the heart
at ED and ES is one image of two channels. Labels are columns of codes, class and vendor; each has an auxiliary head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as fn
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from synthgen.errors import InputError
from synthgen.labels import Phase
from synthgen.networks.batching import apply_together

GRID = 4
"""Height and width that the discriminator's last features are pooled to."""

SUB_BATCH = 8
"""Levels per forward pass of `draw`."""


class AcGenerator(nn.Module):
    """A dense layer, then one doubling of the resolution with a 3 x 3 convolution per width.

    Parameters
    ----------
    image_size
        Height and width of what is made, in pixels.
    codes
        Number of values of each label.
    noise_dim
        Length of the noise vector.
    widths
        Channels per resolution, coarsest first.

    Raises
    ------
    InputError
        If `image_size` cannot be halved that often.
    """

    def __init__(
        self, *, image_size: int, codes: Sequence[int], noise_dim: int = 64, widths: Sequence[int] = (96, 64, 32, 16)
    ) -> None:
        super().__init__()
        self.arguments = {
            "image_size": image_size, "codes": list(codes), "noise_dim": noise_dim, "widths": list(widths),
        }  # fmt: skip
        self.noise_dim, self.codes = noise_dim, tuple(codes)
        self.start, rest = divmod(image_size, 2 ** len(widths))
        if rest or not self.start:
            raise InputError("image_size", expected=f"a multiple of {2 ** len(widths)}", got=f"{image_size}")
        self.dense = nn.Linear(noise_dim + sum(codes), widths[0] * self.start**2)
        pairs = list(zip(widths, (*widths[1:], widths[-1]), strict=True))
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b in pairs)
        self.head = nn.Conv2d(widths[-1], len(Phase), 3, padding=1)

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return levels `(B, 2 phases, H, W)` in (-1, 1) of noise `(B, noise_dim)` and codes `(B, labels)` int64."""
        told = [fn.one_hot(labels[:, i], size).to(noise.dtype) for i, size in enumerate(self.codes)]
        x = self.dense(torch.cat([noise, *told], dim=1)).unflatten(1, (-1, self.start, self.start))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = fn.relu(norm(layer(fn.interpolate(x, scale_factor=2.0))))
        return torch.tanh(self.head(x))

    @torch.inference_mode()
    def draw(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return levels as `forward` does; evaluation mode, a row's result is independent of how many there are."""
        self.eval()
        return apply_together(lambda z, told: (self(z, told),), (noise, labels), SUB_BATCH)[0]


class AcDiscriminator(nn.Module):
    """Stride-2 4 x 4 convolutions, then one score and the labels' logits.

    Parameters
    ----------
    codes
        Number of values of each label.
    widths
        Channels per convolution.
    """

    def __init__(self, *, codes: Sequence[int], widths: Sequence[int] = (16, 32, 64, 96)) -> None:
        super().__init__()
        self.arguments = {"codes": list(codes), "widths": list(widths)}
        pairs = zip((len(Phase), *widths[:-1]), widths, strict=True)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in pairs)
        self.score = nn.Linear(widths[-1] * GRID**2, 1)
        self.heads = nn.ModuleList(nn.Linear(widths[-1] * GRID**2, size) for size in codes)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores `(B,)` and each label's logits `(B, values)` of levels `(B, 2 phases, H, W)`."""
        x = images
        for layer in self.layers:
            x = fn.leaky_relu(layer(x), 0.2)
        features = fn.adaptive_avg_pool2d(x, GRID).flatten(1)
        return self.score(features)[:, 0], [head(features) for head in self.heads]
