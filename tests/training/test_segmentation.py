"""The U-Net by labels alone: what random views change."""

from __future__ import annotations

from dataclasses import replace

import torch
from training_cases import SEGMENTATION, slices

from synthgen.training.randomisation import Ranges
from synthgen.training.segmentation import SegmentationObjective

VIEWS = Ranges(pixels=slices().image_size)


def objective(**changes: object) -> SegmentationObjective:
    """A fresh tiny U-Net."""
    return SegmentationObjective(slices(), replace(SEGMENTATION, **changes))


def trained(steps: int, **changes: object) -> SegmentationObjective:
    """One after some steps."""
    unet = objective(**changes)
    for step in range(steps):
        unet.step(torch.arange(4).numpy(), step)
    return unet


def test_views_are_repeatable_and_are_used() -> None:
    """Training on random views is repeatable and is another training than without."""
    weights = [trained(2, views=views).unet.state_dict() for views in (VIEWS, VIEWS, None)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_a_randomised_net_does_not_mind_gain_and_offset() -> None:
    """Every slice is brought to one grey scale; without, grey values count."""
    images = torch.from_numpy(slices().images[:3]).float()
    for views in (VIEWS, None):
        unet = trained(3, views=views, learning_rate=1e-2).unet.eval()
        net = objective(views=views)
        net.unet.load_state_dict(unet.state_dict())
        same = torch.equal(net.segment(images), net.segment(images * 40 + 100))
        assert same == (views is not None)
