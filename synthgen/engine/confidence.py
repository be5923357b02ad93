"""Selection by the classifier F: a mixed heart is kept if F sees the class that it was made for.

Thermos et al. 2021 (DAA-GAN), doi 10.1007/978-3-030-87199-4_15, section 3: mixtures are chosen by F's confidence. How
much is enough is not told there; here it is what nine in ten subjects reach that F classified without having seen them,
within bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from synthgen.engine.gate import Verdict
from synthgen.factors.registration import paired_levels
from synthgen.labels import HEART, Pathology, Phase, Tissue
from synthgen.networks.classifier import CLASSES, PathologyClassifier, subject_confidence

_QUANTILE = 0.1
_LOWEST, _HIGHEST = 0.25, 0.4
"""A threshold stays above chance among five classes. Twice the chance is asked at most: F is sure of a whole heart of
the class, of which a mixture has one part, and of five classes hardly any other has more than two fifths then.
"""

_OF_A_SKETCH = 0.75

Confidence = Mapping[Pathology, float]
Stacks = Mapping[Phase, NDArray]


def confidence_in(classifier: PathologyClassifier, images: Stacks, labels: Stacks, device: str = "cpu") -> Confidence:
    """Return F's probabilities of the classes for one subject.

    Parameters
    ----------
    images, labels
        `(z, H, W)` per phase: in [-1, 1], and in the codes of `Tissue`; labels say which slices show the left ventricle
        and which slices of the phases belong together.

    Raises
    ------
    InputError
        If a phase shows no left ventricle.
    """
    stacks = np.stack([labels[phase] for phase in Phase])
    hearts = np.where(np.isin(stacks, HEART), stacks, np.uint8(Tissue.BACKGROUND)).astype(np.uint8)
    levels = zip(Phase, paired_levels(hearts), strict=True)
    return confidence_of(classifier, np.stack([images[phase][at] for phase, at in levels], axis=1), device)


def confidence_of(classifier: PathologyClassifier, pairs: NDArray[np.floating], device: str = "cpu") -> Confidence:
    """Return F's probabilities of the classes for the levels `(N, 2 phases, H, W)` in [-1, 1] of one subject."""
    pairs = pairs.astype(np.float32)
    found = subject_confidence(classifier.probabilities(torch.from_numpy(pairs).to(device))).cpu()
    return {pathology: float(found[number]) for number, pathology in enumerate(CLASSES)}


def calibrate_confidence(found: Sequence[tuple[Pathology, Confidence]]) -> dict[str, Any]:
    """Return the thresholds of every class, and how right F was, from subjects that F was not trained on.

    Returns
    -------
    dict
        JSON values: `subjects`, `accuracy`, `threshold` by class, `right` by class as [right, judged].
    """
    right = {p: [max(c, key=c.__getitem__) is p for own, c in found if own is p] for p in Pathology}
    own = {p: [c[p] for true, c in found if true is p] for p in Pathology}
    threshold = {
        p.value: round(min(max(float(np.quantile(values, _QUANTILE)), _LOWEST), _HIGHEST), 4)
        for p, values in own.items()
        if values
    }
    judged = sum(len(values) for values in right.values())
    return {
        "subjects": judged,
        "accuracy": round(sum(map(sum, right.values())) / judged, 4) if judged else None,
        "right": {p.value: [sum(values), len(values)] for p, values in right.items() if values},
        "threshold": threshold,
    }


def verdict_of(
    confidence: Confidence, pathology: Pathology, calibration: Mapping[str, Any], *, sketch: bool = False
) -> Verdict:
    """Return whether F is sure enough of `pathology`.

    A class of too few subjects to judge F by asks for the lowest threshold; where F was judged by nobody, nothing is
    asked.
    Of a `sketch`, SDNet's drawing of a few levels, in which F is less sure, three quarters are asked.
    """
    thresholds = calibration.get("threshold")
    own = float(thresholds.get(pathology.value, _LOWEST)) if thresholds else 0.0
    limit = own * (_OF_A_SKETCH if sketch else 1.0)
    value = confidence.get(pathology, math.nan)
    name = f"classifier: confidence in {pathology}{' of a sketch' if sketch else ''}"
    return Verdict(name, value >= limit, value, f"at least {limit:g}")
