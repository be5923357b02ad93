"""A handful of 32-pixel slices and tiny objectives that several test modules use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from network_cases import blobs

from synthgen.networks.initialise import initialise
from synthgen.networks.perceptual import TissueNet
from synthgen.seeding import numpy_stream, torch_stream
from synthgen.training.data import TrainingSlices
from synthgen.training.objectives import PerceptualObjective, SpadeObjective, VaeObjective
from synthgen.training.presets import TINY

Objective = VaeObjective | PerceptualObjective | SpadeObjective


def slices(count: int = 12, subjects: int = 3) -> TrainingSlices:
    """Discs whose grey value is their label, with noise."""
    labels = blobs(count, 32).numpy()
    grey = labels / 8 * 1.6 - 0.8 + 0.05 * numpy_stream(5).standard_normal(labels.shape)
    return TrainingSlices(
        labels=labels,
        images=np.clip(grey, -1, 1).astype(np.float16),
        subjects=np.arange(count, dtype=np.int64) * subjects // count,
        positions=np.linspace(0, 1, count, dtype=np.float32),
    )


def objective(name: str, *, samples: int | None = None, seed: int = 0) -> Objective:
    """A fresh tiny objective by name."""
    settings = {"vae": TINY.vae, "perceptual": TINY.perceptual, "spade": TINY.spade}[name]
    settings = settings if samples is None else replace(settings, samples=samples)
    if name == "spade":
        features = initialise(TissueNet(widths=[4, 4]), torch_stream(3))
        return SpadeObjective(slices(), settings, features=features, seed=seed)
    return {"vae": VaeObjective, "perceptual": PerceptualObjective}[name](slices(), settings, seed=seed)
