"""The U-Net by labels alone: what random views change."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from training_cases import SEGMENTATION, slices

from synthgen.errors import InputError
from synthgen.labels import HEART, Tissue
from synthgen.networks.unet import UNet
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


def test_it_starts_from_a_segmentor_of_tissues() -> None:
    """Before any step it finds the heart where the segmentor does; what is no heart there is background here."""
    layers = {name: value for name, value in objective().unet.arguments.items() if name != "classes"}
    known = UNet(classes=len(Tissue), **layers)
    with torch.no_grad():
        known.head.bias[Tissue.BACKGROUND + 1 :] -= 0.2  # some of everything
    tuned = SegmentationObjective(slices(), SEGMENTATION, start=known)
    images = torch.from_numpy(slices().images[:2]).float()[:, None]
    with torch.inference_mode():
        expected, got = known.eval()(images), tuned.unet.eval()(images)
    assert torch.allclose(got[:, 1:], expected[:, list(HEART)], atol=1e-5)
    others = [tissue for tissue in Tissue if tissue not in HEART]
    assert torch.allclose(got[:, 0], expected[:, others].mean(1), atol=1e-5)
    assert tuned.identity != objective().identity, "another start is another training"
    weights = {name: value.clone() for name, value in known.state_dict().items()}
    tuned.step(torch.arange(4).numpy(), 0)
    assert all(torch.equal(value, known.state_dict()[name]) for name, value in weights.items()), "it has its own"
    again = SegmentationObjective(slices(), SEGMENTATION, start=tuned.unet).unet.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in tuned.unet.state_dict().items())
    with pytest.raises(InputError, match="start"):
        SegmentationObjective(slices(), SEGMENTATION, start=UNet(classes=len(Tissue), widths=(4, 4)))
