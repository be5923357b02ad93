"""SDNet: an image as binary spatial factors (anatomy) and a short vector (modality), and back.

Chartsias et al. 2019, doi 10.1016/j.media.2019.101535, reimplemented from the paper. Four networks: anatomy encoder,
modality encoder, segmentor, decoder. Four things differ from the text, each where it says one thing and needs another:

- Factors are the one-hot vector of the largest channel. The paper rounds the softmax, which is the same wherever a
  channel has more than half, and claims no channel at all elsewhere although section 3.1.1 asks for exactly one.
- The modality encoder reads the factors and does not shape them: no gradient goes from z into the anatomy.
- Features are pooled to a fixed grid before the modality encoder's dense layer, so that one network serves every size.
- With `logit_norm` every channel competes for pixels from the start; without, some never win one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from synthgen.errors import InputError
from synthgen.labels import HEART
from synthgen.networks.batching import apply_together
from synthgen.networks.film_decoder import SLOPE, FilmDecoder
from synthgen.networks.unet import UNet

CLASSES = 1 + len(HEART)
"""What the segmentor tells apart: background and the heart's three structures, in the codes of `Tissue`."""

LOGIT_NORMS = ("none", "batch")
"""What `SDNet` may do to the anatomy's logits."""

GRID = 4
"""Height and width that the modality encoder's features are pooled to."""

SUB_BATCH = 8
"""Slices per forward pass of the inference helpers; fixed, so that a slice's result does not depend on their number."""


class Decomposition(NamedTuple):
    """What SDNet makes of a batch of images.

    Attributes
    ----------
    factors
        `(B, C, H, W)`, exactly one channel 1 at every pixel.
    mean, log_variance
        `(B, n_z)`, of the posterior of z.
    reconstruction
        `(B, 1, H, W)` in (-1, 1).
    logits
        `(B, 4, H, W)` of the segmentation; channel c is `Tissue` code c.
    """

    factors: Tensor
    mean: Tensor
    log_variance: Tensor
    reconstruction: Tensor
    logits: Tensor


class SDNet(nn.Module):
    """Spatial decomposition network.

    Parameters
    ----------
    factors
        Number C of binary channels of the anatomy (8 in the paper, 12 in DAA-GAN).
    n_z
        Length of the modality vector.
    names
        What each channel shows, from `factors.channels.match_channels`; empty before that is known. The order of
        channels differs between trainings (paper, Fig. 3), so nothing may find a structure by index.
    widths
        Channels per resolution of the anatomy encoder, a U-Net.
    imaging_widths
        Channels per stride-2 convolution of the modality encoder.
    segmentor_width
        Channels of the segmentor's two convolutions.
    decoder_width
        Feature maps of the decoder.
    logit_norm
        `batch`: over a batch every channel's logits have mean 0 and variance 1 before the softmax. `none`, the paper:
        a channel whose logits start low is the largest nowhere, serves nobody and stays so. Of five channels that are
        not the heart's such trainings kept one to four; where it was one, lung, fat and organs were all the same.

    Raises
    ------
    InputError
        If there are names, but not one for every factor, or `logit_norm` is neither.
    """

    def __init__(
        self,
        *,
        factors: int = 8,
        n_z: int = 8,
        names: Sequence[str] = (),
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        imaging_widths: Sequence[int] = (16, 16, 16, 16),
        segmentor_width: int = 64,
        decoder_width: int = 8,
        logit_norm: str = "none",
    ) -> None:
        super().__init__()
        if logit_norm not in LOGIT_NORMS:
            raise InputError("logit_norm", expected=f"one of {', '.join(LOGIT_NORMS)}", got=repr(logit_norm))
        self.arguments = {
            "factors": factors, "n_z": n_z, "widths": list(widths), "imaging_widths": list(imaging_widths),
            "segmentor_width": segmentor_width, "decoder_width": decoder_width, "logit_norm": logit_norm,
        }  # fmt: skip
        self.factors, self.n_z = factors, n_z
        self.names = tuple(names)
        self.anatomy = UNet(classes=factors, widths=widths)
        self.logit_norm = nn.BatchNorm2d(factors, affine=False) if logit_norm == "batch" else nn.Identity()
        self.imaging = _ModalityEncoder(factors, n_z, imaging_widths)
        self.segmentor = _segmentor(factors, segmentor_width)
        self.decoder = FilmDecoder(factors=factors, n_z=n_z, width=decoder_width)

    @property
    def names(self) -> tuple[str, ...]:
        """What each channel shows; part of `arguments`, so that it is stored with the weights."""
        return self._names

    @names.setter
    def names(self, names: tuple[str, ...]) -> None:
        if names and len(names) != self.factors:
            raise InputError("names of factors", expected=f"{self.factors} or none", got=f"{len(names)}")
        self._names = names
        self.arguments["names"] = list(names)

    def decompose(self, images: Tensor) -> Tensor:
        """Return factors `(B, C, H, W)` of images `(B, 1, H, W)`: one-hot, with the gradient of the softmax."""
        return straight_through(self.logit_norm(self.anatomy(images)).softmax(dim=1))

    def encode_modality(self, images: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance `(B, n_z)` of the posterior of z given image and factors."""
        return self.imaging(images, factors)

    def forward(self, images: Tensor, noise: Tensor) -> Decomposition:
        """Take images `(B, 1, H, W)` apart and put them together; `noise (B, n_z)` is z's standard normal."""
        factors = self.decompose(images)
        mean, log_variance = self.encode_modality(images, factors.detach())
        reconstruction = self.decoder(factors, sample(mean, log_variance, noise))
        return Decomposition(factors, mean, log_variance, reconstruction, self.segmentor(factors))

    @torch.inference_mode()
    def encode_images(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return factors `(N, C, H, W)` uint8 and posterior means `(N, n_z)` of images `(N, H, W)` in [-1, 1].

        Evaluation mode, independent of N.
        """
        self.eval()

        def encode(part: Tensor) -> tuple[Tensor, Tensor]:
            factors = self.decompose(part[:, None])
            return factors.to(torch.uint8), self.encode_modality(part[:, None], factors)[0]

        factors, z = apply_together(encode, (images.to(torch.float32),), SUB_BATCH)
        return factors, z

    @torch.inference_mode()
    def decode_factors(self, factors: Tensor, z: Tensor) -> Tensor:
        """Return images `(N, H, W)` of factors `(N, C, H, W)` and modality vectors `(N, n_z)`, independent of N."""
        self.eval()
        pair = (factors, z.to(torch.float32))
        return apply_together(lambda s, part: (self.decoder(s.to(torch.float32), part)[:, 0],), pair, SUB_BATCH)[0]

    @torch.inference_mode()
    def segment_factors(self, factors: Tensor) -> Tensor:
        """Return label maps `(N, H, W)` uint8 of factors `(N, C, H, W)`, independent of N."""
        self.eval()
        return apply_together(
            lambda part: (self.segmentor(part.to(torch.float32)).argmax(1).to(torch.uint8),), (factors,), SUB_BATCH
        )[0]

    def segment(self, images: Tensor) -> Tensor:
        """Return label maps `(N, H, W)` uint8 of images `(N, H, W)`."""
        return self.segment_factors(self.encode_images(images)[0])


def straight_through(probability: Tensor) -> Tensor:
    """Return the one-hot vector of the largest channel; gradients pass as if it were `probability (B, C, H, W)`.

    Bengio et al. 2013, arXiv 1308.3432.
    """
    one_hot = largest(probability).to(probability.dtype)
    # Written so that the value is exactly 0 or 1: `p + (one_hot - p)` is not, in floating point.
    return one_hot + (probability - probability.detach())


def largest(scores: Tensor) -> Tensor:
    """Return which channel of `scores (B, C, H, W)` is the largest, bool, exactly one per pixel; of equals the first.

    Ten times as fast as `argmax` along the channels and `one_hot`.
    """
    hot = scores == scores.amax(dim=1, keepdim=True)
    if hot.sum() != hot.numel() // hot.shape[1]:
        hot &= hot.cumsum(dim=1) == 1
    return hot


def sample(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Return draws of N(mean, variance) made of standard normal `noise`; all `(B, D)`."""
    return mean + noise * torch.exp(0.5 * log_variance)


class _ModalityEncoder(nn.Module):
    """Image and factors to the moments of z."""

    def __init__(self, factors: int, n_z: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(SLOPE)
                )
                for a, b in zip((1 + factors, *widths[:-1]), widths, strict=True)
            ),
            nn.AdaptiveAvgPool2d(GRID),
            nn.Flatten(),
            nn.Linear(widths[-1] * GRID**2, 32),
            nn.LeakyReLU(SLOPE),
            nn.Linear(32, 2 * n_z),
        )

    def forward(self, images: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.layers(torch.cat([images, factors], dim=1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-12.0, 6.0)


def _segmentor(factors: int, width: int) -> nn.Sequential:
    """Return two convolutions and a 1 x 1: it refines masks that are in the factors, and sees 5 pixels, no further."""
    layers: list[nn.Module] = []
    for before in (factors, width):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.Conv2d(width, CLASSES, 1))
