"""A small residual network that names the class, or the vendor, of a level: an observer of another family than F.

He et al. 2016 (doi 10.1109/CVPR.2016.90): basic blocks of two convolutions with batch norm and a shortcut, pooled over
the whole level. F, which selects mixtures, is VGG-like and reads fixed places of a grid; a network of the same kind
would find right what F finds right, so what generated subjects are worth is measured with this one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from synthgen.labels import Phase
from synthgen.networks.batching import apply_in_parts
from synthgen.networks.classifier import CLASSES

SUB_BATCH = 8
"""Levels per forward pass of `probabilities`."""


class ResidualClassifier(nn.Module):
    """A stem, one residual block per width, global average pooling and one dense layer.

    Parameters
    ----------
    widths
        Channels of the blocks; each but the first halves the resolution, and so does the stem.
    classes
        Number K of names; by default there is one per `Pathology`.
    """

    def __init__(self, *, widths: Sequence[int] = (16, 32, 64), classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.arguments = {"widths": list(widths), "classes": classes}
        self.stem = nn.Conv2d(len(Phase), widths[0], 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        pairs = enumerate(zip((widths[0], *widths[:-1]), widths, strict=True))
        self.blocks = nn.ModuleList(_Basic(a, b, stride=2 if number else 1) for number, (a, b) in pairs)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(B, K)` of images `(B, 2 phases, H, W)` in [-1, 1]; of pathologies in their order."""
        x = fn.relu(self.norm(self.stem(images)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(dim=(2, 3)))

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return class probabilities `(N, K)` of levels `(N, 2 phases, H, W)`; evaluation mode, independent of N."""
        self.eval()
        return apply_in_parts(lambda part: self(part).softmax(1), images.to(torch.float32), SUB_BATCH)


class _Basic(nn.Module):
    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _ in range(2))
        self.shortcut = (
            nn.Identity()
            if stride == 1 and before == after
            else nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = fn.relu(self.norms[0](self.first(x)))
        return fn.relu(self.norms[1](self.second(y)) + self.shortcut(x))
