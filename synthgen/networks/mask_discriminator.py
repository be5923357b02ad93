"""Mask discriminator: tells hearts that somebody drew from hearts that a network guessed.

SDNet's least-squares discriminator over masks (Chartsias et al. 2019, doi 10.1016/j.media.2019.101535, section 3.2):
a DCGAN discriminator (Radford et al. 2016, arXiv 1511.06434) without batch norm, here with spectral normalisation in
the place of the published code's spectral penalty.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as fn
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

GRID = 4
"""Height and width that the last features are pooled to, so that one network serves every image size."""


class MaskDiscriminator(nn.Module):
    """Stride-2 4 x 4 convolutions, then one number for the whole mask.

    Parameters
    ----------
    classes
        Channels of a mask, background not among them: where the heart is says where it is not.
    widths
        Channels per convolution.
    """

    def __init__(self, *, classes: int = 3, widths: Sequence[int] = (64, 64, 64, 64)) -> None:
        super().__init__()
        self.arguments = {"classes": classes, "widths": list(widths)}
        pairs = zip((classes, *widths[:-1]), widths, strict=True)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in pairs)
        self.head = nn.Linear(widths[-1] * GRID**2, 1)

    def forward(self, masks: Tensor) -> Tensor:
        """Return scores `(B,)` of masks `(B, classes, H, W)`: 1 for a real one, 0 for a made one."""
        x = masks
        for layer in self.layers:
            x = fn.leaky_relu(layer(x), 0.2)
        return self.head(fn.adaptive_avg_pool2d(x, GRID).flatten(1))[:, 0]
