"""Levels of schematic hearts, a small SDNet and the objectives of F and J on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from heart_phantoms import heart_slices, sdnet

from synthgen.labels import Pathology, Tissue
from synthgen.networks.classifier import CLASSES, PathologyClassifier
from synthgen.networks.initialise import initialise
from synthgen.seeding import torch_stream
from synthgen.training.classification import ClassifierObjective
from synthgen.training.mixing import MixingObjective
from synthgen.training.pairs import LevelPairs
from synthgen.training.presets import TINY

NAMES = ("lv", "myo", "rv", "lung", "muscle", "mixed", "empty", "fat")


def levels(count: int = 12) -> LevelPairs:
    """Return levels of `count // 2` subjects, two each; classes take turns, and a pathological one is drawn darker."""
    slices = heart_slices(2 * count)
    labels, images = (a.reshape(count, 2, 32, 32) for a in (slices.labels, slices.images))
    subjects = np.arange(count, dtype=np.int64) // 2
    rota = [CLASSES.index(p) for p in (Pathology.NOR, Pathology.ARV, Pathology.HCM)]
    classes = np.array(rota, np.int64)[subjects % 3]
    shade = np.array([0.0, 0.3, 0.6], np.float16)[subjects % 3][:, None, None, None]
    return LevelPairs(
        labels=labels,
        images=np.clip(images - shade, -1, 1).astype(np.float16),
        subjects=subjects,
        levels=np.tile(np.array([0.0, 1.0], np.float32), count // 2),
        classes=classes,
        centres=np.array([_centre(pair) for pair in labels]),
    )


def _centre(pair: np.ndarray) -> np.ndarray:
    left = np.isin(pair, (Tissue.LV, Tissue.MYO))
    return np.array([values.mean() for values in np.nonzero(left)[1:]])


def classification(samples: int | None = None) -> ClassifierObjective:
    """Return a fresh objective of F."""
    settings = TINY.classifier if samples is None else replace(TINY.classifier, samples=samples)
    return ClassifierObjective(levels(), settings)


def mixing(**settings: object) -> MixingObjective:
    """Return a fresh objective of J, on an SDNet and an F that have learnt nothing."""
    model = sdnet()
    model.names = NAMES
    judge = initialise(PathologyClassifier(widths=[8] * 7, hidden=16), torch_stream(2)).eval()
    return MixingObjective(levels(), replace(TINY.mixing, **settings), model=model, classifier=judge)
