"""Feature networks for the perceptual loss.

The papers use VGG19 trained on ImageNet (Simonyan & Zisserman 2015, arXiv 1409.1556). Its weights cannot be shipped, so
by default the features are those of a small segmentation network trained on the cohort itself, which knows what tissue
looks like. A bundle says which of the two it was made with.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as fn
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from synthgen.errors import InputError

VGG19_BLOCKS = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512,))
"""Convolutions of VGG19 up to `relu5_1`, by resolution."""

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TissueNet(nn.Module):
    """Small U-Net that segments tissues and tells scanners apart; its encoder's features serve the perceptual loss.

    Parameters
    ----------
    classes
        Label classes K.
    widths
        Channels per resolution, finest first.
    scanners
        Scanners that it tells apart by the moments of its features; 0 for tissues alone.
    """

    def __init__(self, *, classes: int = 9, widths: Sequence[int] = (16, 32, 64, 64), scanners: int = 0) -> None:
        super().__init__()
        self.arguments = {"classes": classes, "widths": list(widths), "scanners": scanners}
        self.down = nn.ModuleList(
            _block(before, after, stride=1 if i == 0 else 2)
            for i, (before, after) in enumerate(zip((1, *widths[:-1]), widths, strict=True))
        )
        self.up = nn.ModuleList(_block(low + high, high) for high, low in pairwise(widths))
        self.head = nn.Conv2d(widths[0], classes, 1)
        self.scanner_head = nn.Linear(2 * sum(widths), scanners) if scanners else None

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the encoder's features, finest first, of images `(B, 1, H, W)` in [-1, 1]."""
        features, x = [], images
        for block in self.down:
            x = block(x)
            features.append(x)
        return features

    def scanners(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits `(B, scanners)` of the images whose features these are."""
        if self.scanner_head is None:
            raise ValueError("this network was not made to tell scanners apart")
        logits: Tensor = self.scanner_head(moments(features))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(B, K, H, W)`."""
        return self.tissues(self.features(images))

    def tissues(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits `(B, K, H, W)` of the images whose features these are."""
        x = features[-1]
        for block, skip in zip(reversed(self.up), reversed(features[:-1]), strict=True):
            x = block(torch.cat([fn.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return self.head(x)


class Vgg19Features(nn.Module):
    """Features of VGG19 at `relu1_1` to `relu5_1`, from a weights file that the user supplies.

    Parameters
    ----------
    weights
        A safetensors file with torchvision's names (`features.0.weight`, ...); further tensors in it are ignored.

    Raises
    ------
    InputError
        If the file cannot be read, or a tensor is missing or has another shape.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        try:
            tensors = load_file(weights)
        except (OSError, SafetensorError) as error:
            raise InputError(weights, expected="a safetensors file with VGG19 weights", got=str(error)) from error
        self.blocks = nn.ModuleList()
        position, before = 0, 3
        for widths in VGG19_BLOCKS:
            convs = nn.ModuleList()
            for width in widths:
                convs.append(_loaded_conv(before, width, tensors, f"features.{position}", weights))
                position, before = position + 2, width  # a ReLU follows every convolution
            self.blocks.append(convs)
            position += 1  # the pooling layer
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1))

    def features(self, images: Tensor) -> list[Tensor]:
        """Return five feature maps, finest first, of images `(B, 1, H, W)` in [-1, 1]."""
        x = ((images + 1) / 2 - self.mean) / self.std
        features = []
        for i, convs in enumerate(self.blocks):
            x = fn.max_pool2d(x, 2) if i else x
            for j, conv in enumerate(cast("nn.ModuleList", convs)):
                x = fn.relu(conv(x))
                if j == 0:
                    features.append(x)
        return features


def moments(features: Sequence[Tensor]) -> Tensor:
    """Return means and standard deviations over the image of every channel of `features`, one row per image.

    What a scanner leaves in an image wherever it looks: sharpness, noise, tone (Huang & Belongie 2017, doi
    10.1109/ICCV.2017.167).
    """
    means = [f.mean((2, 3)) for f in features]
    deviations = [torch.sqrt(f.var((2, 3), correction=0) + 1e-5) for f in features]
    return torch.cat([*means, *deviations], dim=1)


def _block(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(0.2, inplace=True),
    )


def _loaded_conv(before: int, width: int, tensors: dict[str, Tensor], name: str, source: Path) -> nn.Conv2d:
    conv = nn.Conv2d(before, width, 3, padding=1)
    for part, parameter in conv.named_parameters():
        tensor = tensors.get(f"{name}.{part}")
        if tensor is None or tensor.shape != parameter.shape:
            got = "none" if tensor is None else f"shape {tuple(tensor.shape)}"
            raise InputError(source, expected=f"tensor {name}.{part} of shape {tuple(parameter.shape)}", got=got)
        parameter.data.copy_(tensor)
    return conv
