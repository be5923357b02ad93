"""Selection by F: calibration, verdicts, and levels of a subject."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from tiny_bundle import phantom

from synthgen.engine.confidence import calibrate_confidence, confidence_in, verdict_of
from synthgen.labels import Pathology, Phase
from synthgen.networks.classifier import PathologyClassifier, subject_confidence
from synthgen.networks.initialise import initialise
from synthgen.seeding import torch_stream


def sure_of(pathology: Pathology, share: float) -> dict[Pathology, float]:
    """Return confidences that give `share` to one class and divide the rest."""
    return {p: share if p is pathology else (1 - share) / 4 for p in Pathology}


def test_the_threshold_is_what_nine_in_ten_reach() -> None:
    """Of ten subjects with confidences 0.30 to 0.75 the tenth percentile is asked for, within 0.25 and 0.4."""
    shares = [0.30 + 0.05 * k for k in range(10)]
    found = [(Pathology.ARV, sure_of(Pathology.ARV, share)) for share in shares]
    found += [(Pathology.NOR, sure_of(Pathology.NOR, 0.99)), (Pathology.HCM, sure_of(Pathology.NOR, 0.9))]
    calibration = calibrate_confidence(found)
    assert calibration["threshold"]["ARV"] == pytest.approx(np.quantile(shares, 0.1), abs=1e-4)
    assert calibration["threshold"]["NOR"] == 0.4
    assert calibration["threshold"]["HCM"] == 0.25
    assert calibration["right"] == {"NOR": [1, 1], "HCM": [0, 1], "ARV": [10, 10]}
    assert calibration["accuracy"] == pytest.approx(11 / 12, abs=1e-4)
    json.dumps(calibration)


def test_a_verdict_holds_confidence_against_the_threshold() -> None:
    """Below it fails, at it passes; a class too small for its own asks for a quarter."""
    calibration = {"threshold": {"ARV": 0.5}}
    assert not verdict_of(sure_of(Pathology.ARV, 0.49), Pathology.ARV, calibration).passed
    assert verdict_of(sure_of(Pathology.ARV, 0.5), Pathology.ARV, calibration).passed
    assert not verdict_of(sure_of(Pathology.DCM, 0.24), Pathology.DCM, calibration).passed
    assert verdict_of(sure_of(Pathology.DCM, 0.25), Pathology.DCM, calibration).passed
    assert verdict_of(sure_of(Pathology.DCM, 0.01), Pathology.DCM, {"threshold": {}}).passed


def test_nothing_to_calibrate_on_gives_no_threshold() -> None:
    """A cohort too small to hold anyone out selects nobody away."""
    assert calibrate_confidence([])["threshold"] == {}


def test_confidences_are_a_distribution_and_do_not_depend_on_grey_outside_the_levels() -> None:
    """They sum to 1; slices without left ventricle are not looked at."""
    classifier = initialise(PathologyClassifier(widths=[8] * 7, hidden=16), torch_stream(1)).eval()
    labels = phantom(Pathology.HCM, 0)
    images = {phase: (stack / 4 - 1).astype(np.float32) for phase, stack in labels.items()}
    found = confidence_in(classifier, images, labels)
    assert math.isclose(sum(found.values()), 1.0, abs_tol=1e-5)
    dark = {phase: image.copy() for phase, image in images.items()}
    dark[Phase.ED][-1] = dark[Phase.ES][-1] = -1.0
    assert confidence_in(classifier, dark, labels) == found


def test_levels_vote_with_their_logarithms() -> None:
    """A level that knows nothing does not change the answer of one that knows."""
    sure = torch.tensor([[0.8, 0.05, 0.05, 0.05, 0.05]])
    blind = torch.full((1, 5), 0.2)
    assert subject_confidence(torch.cat([sure, blind])).argmax() == 0
    assert torch.allclose(subject_confidence(torch.cat([sure, sure])), sure[0], atol=1e-6)
