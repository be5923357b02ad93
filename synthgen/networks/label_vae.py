"""Label VAE: a heart label map as 16 numbers and back.

The deformation model of Pathology Synthesis (Amirrajab et al. 2022, doi 10.1007/978-3-031-23443-9_4), with two
corrections to its public code: the fully connected layers have a non-linearity between them, and the features are
pooled before the first of them, which keeps most weights out of a layer that only memorises positions.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as fn
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from synthgen.errors import InputError
from synthgen.labels import Tissue
from synthgen.networks.batching import apply_in_parts

SLOPE = 0.01
"""Negative slope of every leaky ReLU (the published value)."""

GRID = 4
"""Height and width of the coarsest feature map, in the encoder after pooling and in the decoder before upsampling."""

SUB_BATCH = 8
"""Slices per forward pass of the inference helpers; fixed, so that a slice's result does not depend on their number."""


class LabelVAE(nn.Module):
    """Variational autoencoder of one-hot heart labels; channel c is `Tissue` code c.

    Parameters
    ----------
    image_size
        Height and width in pixels; a multiple of `2 ** len(encoder_widths)` and of the decoder's last size.
    channels
        Label classes, background included.
    latent_dim
        Length of the latent vector (n_z = 16 in the paper).
    encoder_widths
        Channels per stride-2 block.
    decoder_widths
        Channels per upsampling block; the first starts at 4 x 4. Logits come out at `4 * 2 ** len(decoder_widths)`
        pixels and are interpolated to `image_size`, which makes smooth boundaries and saves the finest level.
    hidden
        Width of the fully connected layers.
    depth
        3 x 3 convolutions per block.

    Raises
    ------
    InputError
        If the sizes do not fit.
    """

    def __init__(
        self,
        *,
        image_size: int = 128,
        channels: int = 4,
        latent_dim: int = 16,
        encoder_widths: Sequence[int] = (16, 32, 64, 128),
        decoder_widths: Sequence[int] = (128, 64, 32, 32),
        hidden: int = 256,
        depth: int = 2,
    ) -> None:
        super().__init__()
        coarse, fine = image_size // 2 ** len(encoder_widths), GRID * 2 ** len(decoder_widths)
        if not encoder_widths or not decoder_widths or image_size % fine or coarse < GRID or coarse % GRID:
            raise InputError(
                "label VAE",
                expected=f"a multiple of {GRID} after the encoder and a multiple of the decoder's {fine}",
                got=f"size {image_size}, {coarse} after the encoder",
            )
        self.arguments = {
            "image_size": image_size, "channels": channels, "latent_dim": latent_dim, "hidden": hidden, "depth": depth,
            "encoder_widths": list(encoder_widths), "decoder_widths": list(decoder_widths),
        }  # fmt: skip
        self.image_size, self.channels, self.latent_dim = image_size, channels, latent_dim
        stages: list[nn.Module] = []
        for before, after in zip((channels, *encoder_widths[:-1]), encoder_widths, strict=True):
            stages += [_conv(before, after, stride=2), *(_conv(after, after) for _ in range(depth - 1))]
        flat = encoder_widths[-1] * GRID**2
        self.encoder = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(GRID), nn.Flatten(), *_dense(flat, hidden))
        self.moments = nn.Linear(hidden, 2 * latent_dim)
        start = decoder_widths[0] * GRID**2
        self.expand = nn.Sequential(*_dense(latent_dim, hidden), *_dense(hidden, start))
        stages = []
        for before, after in zip((decoder_widths[0], *decoder_widths[:-1]), decoder_widths, strict=True):
            stages += [
                nn.Upsample(scale_factor=2),
                _conv(before, after),
                *(_conv(after, after) for _ in range(depth - 1)),
            ]
        self.decoder = nn.Sequential(*stages, nn.Conv2d(decoder_widths[-1], channels, 3, padding=1))

    def encode(self, one_hot: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance `(B, latent_dim)` of the posterior of `one_hot (B, channels, H, W)`."""
        mean, log_variance = self.moments(self.encoder(one_hot)).chunk(2, dim=1)
        return mean, log_variance.clamp(-12.0, 6.0)

    def decode(self, z: Tensor) -> Tensor:
        """Return logits `(B, channels, H, W)` of latents `(B, latent_dim)`."""
        grid = self.expand(z).reshape(len(z), GRID, GRID, -1).permute(0, 3, 1, 2)
        logits = self.decoder(grid)
        return fn.interpolate(logits, size=(self.image_size, self.image_size), mode="bilinear", align_corners=False)

    def forward(self, one_hot: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, mean and log-variance; `noise (B, latent_dim)` is the reparameterisation's standard normal."""
        mean, log_variance = self.encode(one_hot)
        return self.decode(mean + noise * torch.exp(0.5 * log_variance)), mean, log_variance

    def encode_labels(self, labels: Tensor) -> Tensor:
        """Return posterior means `(N, latent_dim)` of label maps `(N, H, W)` uint8; other tissues are background.

        Deterministic and independent of N. For many calls hold a `LabelCodec`.
        """
        return LabelCodec(self).encode_labels(labels)

    def decode_labels(self, z: Tensor) -> Tensor:
        """Return label maps `(N, H, W)` uint8 of latents `(N, latent_dim)`; see `LabelCodec.decode_labels`."""
        return LabelCodec(self).decode_labels(z)


class LabelCodec:
    """Inference form of a `LabelVAE`: batch norm folded, channels last, fixed sub-batches."""

    def __init__(self, vae: LabelVAE) -> None:
        self.vae = _fuse(copy.deepcopy(vae).eval()).to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it

    @torch.inference_mode()
    def encode_labels(self, labels: Tensor) -> Tensor:
        """Return posterior means `(N, latent_dim)` float32 of label maps `(N, H, W)` uint8."""
        return apply_in_parts(
            lambda part: self.vae.encode(heart_one_hot(part, self.vae.channels))[0], labels, SUB_BATCH
        )

    @torch.inference_mode()
    def decode_labels(self, z: Tensor) -> Tensor:
        """Return label maps `(N, H, W)` uint8, the class of the largest logit, of latents `(N, latent_dim)`."""
        return apply_in_parts(
            lambda part: self.vae.decode(part).argmax(1).to(torch.uint8), z.to(torch.float32), SUB_BATCH
        )


def heart_one_hot(labels: Tensor, channels: int = 4) -> Tensor:
    """Return `(N, channels, H, W)` float32 of label maps `(N, H, W)` uint8; codes from `channels` up are background."""
    kept = torch.where(labels < channels, labels, int(Tissue.BACKGROUND))
    return fn.one_hot(kept.to(torch.int64), channels).permute(0, 3, 1, 2).to(torch.float32)


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


def _dense(before: int, after: int) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(before, after), nn.LeakyReLU(SLOPE, inplace=True)


def _fuse(module: nn.Module) -> nn.Module:
    """Fold every batch norm into the layer before it, in place."""
    for name, child in module.named_children():
        pairs = list(child.children()) if isinstance(child, nn.Sequential) else []
        if len(pairs) == 3 and isinstance(pairs[0], nn.Conv2d) and isinstance(pairs[1], nn.BatchNorm2d):
            setattr(module, name, nn.Sequential(fuse_conv_bn_eval(pairs[0], pairs[1]), pairs[2]))
        else:
            _fuse(child)
    return module
