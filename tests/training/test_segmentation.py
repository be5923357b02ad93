"""The U-Net by labels alone: what its optional losses and changes do."""

from __future__ import annotations

from dataclasses import replace

import torch
from training_cases import SEGMENTATION, slices

from synthgen.training.segmentation import SegmentationObjective


def objective(**changes: object) -> SegmentationObjective:
    """A fresh tiny U-Net."""
    return SegmentationObjective(slices(), replace(SEGMENTATION, **changes))


def trained(steps: int, **changes: object) -> tuple[SegmentationObjective, dict[str, float]]:
    """One after some steps, and what the last said."""
    unet, said = objective(**changes), {}
    for step in range(steps):
        said = unet.step(torch.arange(4).numpy(), step)
    return unet, said


def test_cross_entropy_reaches_the_background() -> None:
    """With a weight, what is claimed wrongly of the background is unlearnt sooner."""
    said = [trained(12, cross_entropy=weight, learning_rate=1e-2)[1]["cross_entropy"] for weight in (0.0, 2.0)]
    assert said[1] < said[0]


def test_scans_differ_from_step_to_step_and_the_same_step_is_the_same() -> None:
    """Training with other scanners is repeatable and is another training than without."""
    weights = [trained(2, randomised=flag)[0].unet.state_dict() for flag in (True, True, False)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_a_randomised_net_does_not_mind_gain_and_offset() -> None:
    """Every slice is brought to one grey scale; without, grey values count."""
    images = torch.from_numpy(slices().images[:3]).float()
    for flag in (True, False):
        unet = trained(3, randomised=flag, learning_rate=1e-2)[0].unet.eval()
        net = objective(randomised=flag)
        net.unet.load_state_dict(unet.state_dict())
        same = torch.equal(net.segment(images), net.segment(images * 40 + 100))
        assert same == flag
