"""A handful of 32-pixel slices and tiny objectives that several test modules use."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from heart_phantoms import heart_slices, sdnet
from network_cases import blobs

from synthgen.networks.initialise import initialise
from synthgen.networks.perceptual import TissueNet
from synthgen.seeding import numpy_stream, torch_stream
from synthgen.training.area import AreaObjective
from synthgen.training.data import TrainingSlices
from synthgen.training.objectives import PerceptualObjective, SpadeObjective, VaeObjective
from synthgen.training.presets import TINY, AreaSettings, SegmentationSettings
from synthgen.training.sdnet import SdnetObjective, Supervision
from synthgen.training.segmentation import SegmentationObjective
from synthgen.training.segmentor import SegmentorObjective

Objective = (
    VaeObjective | PerceptualObjective | SpadeObjective | SdnetObjective | SegmentationObjective | SegmentorObjective
)

NAMES = ("vae", "perceptual", "spade", "sdnet", "area", "segmentation", "segmentor")
"""What `objective` makes."""

SEGMENTATION = SegmentationSettings(network={"widths": [8, 8]}, samples=40)
AREA = AreaSettings(**{f.name: getattr(TINY.sdnet, f.name) for f in fields(TINY.sdnet)})


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
    table = {
        "vae": TINY.vae, "perceptual": TINY.perceptual, "spade": TINY.spade,
        "sdnet": TINY.sdnet, "area": AREA, "segmentation": SEGMENTATION, "segmentor": TINY.segmentor,
    }  # fmt: skip
    settings = table[name] if samples is None else replace(table[name], samples=samples)
    if name == "spade":
        features = initialise(TissueNet(widths=[4, 4]), torch_stream(3))
        return SpadeObjective(slices(), settings, features=features, seed=seed)
    if name in ("sdnet", "area"):
        hearts = heart_slices(12)
        supervision = Supervision(hearts.subjects == 0)
        if name == "sdnet":
            return SdnetObjective(hearts, settings, supervision=supervision, seed=seed)
        start, known = sdnet(**settings.network), hearts.subjects < 2
        return AreaObjective(hearts, settings, start=start, supervision=supervision, known=known, seed=seed)
    kinds = {
        "vae": VaeObjective, "perceptual": PerceptualObjective, "segmentation": SegmentationObjective,
        "segmentor": SegmentorObjective,
    }  # fmt: skip
    return kinds[name](slices(), settings, seed=seed)
