"""Pathology classifier F: which disease a level of the heart shows.

Thermos et al. 2021 (DAA-GAN), doi 10.1007/978-3-030-87199-4_15: a VGG16 (arXiv 1409.1556) cut to seven convolutions
with batch norm and ReLU and three dense layers. Theirs sees one slice of one phase; this one sees the same level at ED
and ES, since three of the five classes are defined by how well the heart ejects.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as fn
from torch import Tensor, nn

from synthgen.labels import Pathology, Phase
from synthgen.networks.batching import apply_in_parts

GRID = 4
"""Height and width that the last features are pooled to, so that one network serves every image size."""

_POOLED = (0, 1, 2, 4, 6)
"""Convolutions that a max-pool of 2 follows: five halvings, as in VGG16."""

SUB_BATCH = 8
"""Levels per forward pass of `probabilities`."""

CLASSES = tuple(Pathology)
"""What the classifier tells apart, in the order of its outputs."""


class PathologyClassifier(nn.Module):
    """Seven convolutions, three dense layers.

    Parameters
    ----------
    widths
        Channels of the seven convolutions.
    hidden
        Width of the two hidden dense layers.
    dropout
        In per cent, before the second and third dense layer.
    """

    def __init__(
        self, *, widths: Sequence[int] = (16, 32, 128, 256, 256, 256, 256), hidden: int = 512, dropout: int = 50
    ) -> None:
        super().__init__()
        self.arguments = {"widths": list(widths), "hidden": hidden, "dropout": dropout}
        if len(widths) != 7:
            raise ValueError(f"seven widths are needed, not {len(widths)}")
        pairs = zip((len(Phase), *widths[:-1]), widths, strict=True)
        self.blocks = nn.ModuleList(_block(a, b) for a, b in pairs)
        self.hidden, self.share = hidden, dropout / 100
        self.dense = nn.ModuleList(
            nn.Linear(a, b) for a, b in ((widths[-1] * GRID**2, hidden), (hidden, hidden), (hidden, len(CLASSES)))
        )

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return logits `(B, 5)` in the order of `Pathology` of images `(B, 2 phases, H, W)` in [-1, 1].

        Parameters
        ----------
        kept
            `(2, B, hidden)` of 0 and 1: which hidden values dropout keeps; None keeps all.
        """
        x = images
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _POOLED and min(x.shape[2:]) > GRID:
                x = fn.max_pool2d(x, 2)
        x = fn.adaptive_avg_pool2d(x, GRID).flatten(1)
        for number, layer in enumerate(self.dense):
            x = layer(x)
            if number < len(self.dense) - 1:
                x = fn.relu(x)
                x = x if kept is None else x * kept[number] / (1 - self.share)
        return x

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return class probabilities `(N, 5)` of levels `(N, 2 phases, H, W)`; evaluation mode, independent of N."""
        self.eval()
        return apply_in_parts(lambda part: self(part).softmax(1), images.to(torch.float32), SUB_BATCH)


def subject_confidence(probabilities: Tensor) -> Tensor:
    """Return one distribution `(5,)` over the classes for a subject, from those of its levels `(N, 5)`.

    The normalised geometric mean: levels vote with their log-probabilities, and a level that knows nothing does not
    matter.
    """
    return probabilities.clamp(min=1e-6).log().mean(0).softmax(0)


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )
