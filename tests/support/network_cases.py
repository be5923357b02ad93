"""Small networks and label maps that several test modules use."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from synthgen.networks.initialise import initialise
from synthgen.networks.spade import SpadeGenerator
from synthgen.seeding import numpy_stream, torch_stream


def blobs(count: int, size: int, classes: int = 9, seed: int = 0) -> Tensor:
    """Label maps `(count, size, size)` uint8 of overlapping discs, all classes present somewhere."""
    stream = numpy_stream(seed)
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((count, size, size), np.uint8)
    for image in labels:
        for label in stream.permutation(classes):
            cy, cx = stream.uniform(0, size, 2)
            image[(y - cy) ** 2 + (x - cx) ** 2 < stream.uniform(0.1, 0.35) ** 2 * size**2] = label
    return torch.from_numpy(labels)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch_stream(seed))


def generator(
    block: str = "lean", *, size: int = 32, classes: int = 9, widths: tuple[int, ...] = (24, 16, 16)
) -> SpadeGenerator:
    """A small generator with random weights and batch statistics that differ from the identity."""
    net = SpadeGenerator(image_size=size, classes=classes, style_dim=4, widths=widths, hidden=8, block=block)
    initialise(net, torch_stream(1)).train()
    with torch.no_grad():
        for seed in range(2):
            net(blobs(4, size, classes, seed), noise(4, 4, seed=seed), noise(4, 1, size, size, seed=seed))
    return net.eval()
