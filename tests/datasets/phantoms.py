"""Small synthetic subjects for tests: rings in an ellipse, made in a millisecond from their number."""

from __future__ import annotations

import math

import numpy as np

from synthgen.labels import Pathology, Phase, Sex, Tissue, Vendor
from synthgen.subjects import Body, SyntheticSubject
from synthgen.volumes import Volume, stack_affine

GREY = np.array([0.0, 0.9, 0.25, 0.85, 0.05, 0.3, 0.7, 0.4, 0.8], np.float32)


def make_phantom(number: int, shape: tuple[int, int, int] = (3, 24, 28), *, subject_id: str = "") -> SyntheticSubject:
    """Return subject `number`: class, vendor, size, oblique affine and noise follow from the number."""
    rng = np.random.default_rng(number)
    spacing = (10.0, 1.5 + 0.01 * number, 1.5)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    affine = stack_affine(spacing, shape, axes)
    images, labels = {}, {}
    for phase, radius in ((Phase.ED, 0.2), (Phase.ES, 0.13)):
        tissue = _tissues(shape, radius)
        noise = rng.normal(0, 0.05, shape)
        images[phase] = Volume((GREY[tissue] * 2 - 1 + noise).astype(np.float32), spacing, affine)
        labels[phase] = Volume(tissue, spacing, affine)
    return SyntheticSubject(
        subject_id=subject_id or f"syn-{number:04d}",
        pathology=list(Pathology)[number % 5],
        vendor=list(Vendor)[number % 4],
        body=None if number % 3 == 2 else Body(height_cm=170.0 + number, weight_kg=70.0, sex=Sex.M),
        images=images,
        labels=labels,
        indices={"lv_ef_percent": 55.0 + number / 7, "lv_edv_ml": 140.5, "rv_ef_percent": math.nan},
        record={"attempts": [{"seed": number, "rejected": "none"}], "severity": np.float32(0.7)},
    )


def _tissues(shape: tuple[int, int, int], radius: float) -> np.ndarray:
    slices, rows, columns = shape
    tissue = np.zeros(shape, np.uint8)
    y, x = np.mgrid[:rows, :columns]
    y, x = (y + 0.5) / rows - 0.5, (x + 0.5) / columns - 0.5
    for level in range(slices):
        shrink = 1 - 0.4 * level / slices
        tissue[level][np.hypot(y, x) < 0.48] = Tissue.MUSCLE
        tissue[level][np.hypot(y, x + 0.22) < 0.16 * shrink] = Tissue.RV
        tissue[level][np.hypot(y, x) < (radius + 0.08) * shrink] = Tissue.MYO
        tissue[level][np.hypot(y, x) < radius * shrink] = Tissue.LV
    return tissue
