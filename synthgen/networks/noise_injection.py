"""Noise injection network J: from mixed factors, whose pieces fit badly, to plausible ones.

Thermos et al. 2021 (DAA-GAN), doi 10.1007/978-3-030-87199-4_15, section 2: four convolutions, localised Gaussian noise
added to the activations of each, a Gumbel-softmax over channels at the end. Beyond the paper: J changes what it is
given (its logits start from the mixed factors, so that an untrained J returns them), its noise may be smooth through a
stack, chance in the Gumbel-softmax is confined to training and to where the arithmetic took place, and so is every
change when a stack is refined.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from synthgen.networks.batching import rows
from synthgen.networks.sdnet import largest

KEEP = 6.0
"""Logit of a pixel's own channel before anything is learnt. Gumbel noise overrules it once in sixty pixels of eight
channels; much more, and the softmax lets no gradient through."""

_HEAD, _STRENGTH = 0.1, 0.1
SUB_BATCH = 4
"""Slices per forward pass of `refine`."""


class NoiseInjector(nn.Module):
    """Four 3 x 3 convolutions with noise.

    Parameters
    ----------
    factors
        Number C of channels of the anatomy.
    widths
        Channels of the three hidden layers; (128, 128, 128) in the paper.
    """

    def __init__(self, *, factors: int = 8, widths: Sequence[int] = (128, 128, 128)) -> None:
        super().__init__()
        self.arguments = {"factors": factors, "widths": list(widths)}
        self.factors = factors
        pairs = zip((factors, *widths), (*widths, factors), strict=True)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        self.strengths = nn.ParameterList(torch.zeros(1, b, 1, 1) for b in (*widths, factors))

    @torch.no_grad()
    def own_weights(self, generator: torch.Generator) -> None:
        """Let J begin close to the identity: small corrections, and noise that is heard but decides nothing yet."""
        head = self.layers[-1]
        for parameter in head.parameters():
            parameter.mul_(_HEAD)
        for strength in self.strengths:
            strength.copy_(_STRENGTH * torch.randn(strength.shape, generator=generator))

    def forward(self, mixed: Tensor, patch: Tensor) -> Tensor:
        """Return logits `(B, C, H, W)` of mixed factors `(B, C, H, W)` and noise patches `(B, 1, H, W)`.

        The noise is the same in every layer; each channel has its own learnt strength.
        """
        x = mixed
        for number, (layer, strength) in enumerate(zip(self.layers, self.strengths, strict=True)):
            x = layer(fn.relu(x) if number else x) + strength * patch
        return KEEP * mixed + x

    @torch.inference_mode()
    def refine(self, mixed: Tensor, weight: Tensor, noise: Tensor) -> Tensor:
        """Return refined factors `(N, C, H, W)` uint8, one active channel per pixel; evaluation mode, independent of N.

        J moves borders: a pixel takes a channel that it or one of its eight neighbours had. Without this rule a trained
        J draws the grey of a partial volume between cavity and wall with the channel of the right ventricle.

        Parameters
        ----------
        mixed
            `(N, C, H, W)`, one active channel per pixel.
        weight
            `(N, H, W)`, the blurred mask of what the arithmetic touched; where it is 0 nothing changes.
        noise
            `(N, H, W)` standard normal, smooth through the stack if the N slices are one.
        """
        self.eval()
        count, parts = len(mixed), []
        for start in range(0, count, SUB_BATCH):
            index = rows(start, SUB_BATCH, count, mixed.device)
            patch = (weight[index] * noise[index])[:, None].to(torch.float32)
            given = mixed[index].to(torch.float32)
            near = fn.max_pool2d(given, 3, stride=1, padding=1) > 0
            best = largest(self(given, patch).masked_fill(~near, -torch.inf))
            parts.append(torch.where(weight[index][:, None] > 0, best, given > 0)[: count - start])
        return torch.cat(parts).to(torch.uint8) if parts else mixed.to(torch.uint8)


def gumbel_softmax(logits: Tensor, noise: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return the one-hot choice with the gradient of the softmax, and the softmax, both `(B, C, H, W)`.

    Jang et al. 2017 (arXiv 1611.01144) and Maddison et al. 2017 (arXiv 1611.00712).

    Parameters
    ----------
    noise
        Standard Gumbel numbers as `logits`; 0 for the most probable choice.
    """
    soft = ((logits + noise) / temperature).softmax(1)
    hard = fn.one_hot(soft.argmax(1), soft.shape[1]).permute(0, 3, 1, 2).to(soft.dtype)
    # Value exactly 0 or 1; `soft + (hard - soft)` is not, in floating point.
    return hard + (soft - soft.detach()), soft


def gumbel(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Return standard Gumbel numbers of a keyed generator (CPU)."""
    uniform = torch.rand(tuple(shape), generator=generator).clamp_(1e-9, 1 - 1e-7)
    return -torch.log(-torch.log(uniform))
