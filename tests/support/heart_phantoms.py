"""Slices of a schematic heart in a chest, and SDNets that know it: small enough to learn in seconds."""

from __future__ import annotations

import numpy as np
import torch

from synthgen.labels import Tissue
from synthgen.networks.initialise import initialise
from synthgen.networks.sdnet import SDNet
from synthgen.seeding import numpy_stream, torch_stream
from synthgen.training.data import TrainingSlices

GREY = {Tissue.LV: 0.8, Tissue.MYO: -0.2, Tissue.RV: 0.5, Tissue.LUNG: -0.9, Tissue.MUSCLE: 0.1}


def heart_slices(count: int = 24, per_subject: int = 4) -> TrainingSlices:
    """Ring, cavity and crescent among lung and muscle, 32 x 32, each slice with a contrast of its own."""
    stream, (y, x) = numpy_stream(3), np.mgrid[:32, :32]
    labels = np.full((count, 32, 32), Tissue.MUSCLE, np.uint8)
    images = np.zeros((count, 32, 32))
    for label, image in zip(labels, images, strict=True):
        (cy, cx), cavity, wall = 15.5 + stream.uniform(-3, 3, 2), stream.uniform(3.5, 5.5), stream.uniform(2, 3)
        label[:5], label[:, :5] = Tissue.LUNG, Tissue.LUNG
        label[np.hypot(y - cy, x - cx + cavity + wall) <= cavity + 2] = Tissue.RV
        label[np.hypot(y - cy, x - cx) <= cavity + wall] = Tissue.MYO
        label[np.hypot(y - cy, x - cx) <= cavity] = Tissue.LV
        grey = np.array([GREY.get(tissue, -1.0) for tissue in Tissue])
        image[:] = stream.uniform(0.5, 1.0) * grey[label] + 0.05 * stream.standard_normal((32, 32))
    return TrainingSlices(
        labels=labels,
        images=np.clip(images, -1, 1).astype(np.float16),
        subjects=np.arange(count, dtype=np.int64) // per_subject,
        positions=np.zeros(count, np.float32),
    )


def sdnet(factors: int = 8, n_z: int = 8, **arguments: object) -> SDNet:
    """A small SDNet with random weights and batch statistics that differ from the identity."""
    sizes = {"widths": [8, 8], "imaging_widths": [8, 8], "segmentor_width": 8, **arguments}
    net = initialise(SDNet(factors=factors, n_z=n_z, **sizes), torch_stream(1)).train()
    images = torch.from_numpy(heart_slices(8).images.astype(np.float32))[:, None]
    with torch.no_grad():
        for seed in range(2):
            net(images, torch.randn((8, n_z), generator=torch_stream(seed)))
    return net.eval()
