"""Critic on the masked heart: tells the heart of a scan from one that was put together.

The least-squares discriminator of Thermos et al. 2021 (DAA-GAN), doi 10.1007/978-3-030-87199-4_15, equation 1: it sees
nothing but the heart. Patches instead of one verdict, so that it judges seams rather than hearts, and no batch norm:
with it the published network cannot take a batch of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as fn
from torch import Tensor, nn

from synthgen.networks.discriminators import PatchDiscriminator


class HeartCritic(nn.Module):
    """One PatchGAN on `mask * image`.

    Parameters
    ----------
    widths
        Channels per stride-2 convolution.
    """

    def __init__(self, *, widths: Sequence[int] = (64, 128, 256)) -> None:
        super().__init__()
        self.arguments = {"widths": list(widths)}
        self.patches = PatchDiscriminator(1, widths)

    def forward(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return patch scores and their weights `(B, 1, h, w)` of images and heart masks `(B, 1, H, W)`.

        A patch without heart has weight 0; outside the mask images are black (-1), in real and made ones alike.
        """
        _, scores = self.patches((images + 1) * masks - 1)
        return scores, fn.adaptive_max_pool2d(masks, scores.shape[2:])
