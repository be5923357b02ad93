"""The segmentor of tissues: what it brings slices to, and that a slice's result is its own."""

from __future__ import annotations

import pytest
import torch
from network_cases import noise

from synthgen.networks.initialise import initialise
from synthgen.networks.segmentor import Segmentor, normalised
from synthgen.seeding import torch_stream


def net() -> Segmentor:
    """A small segmentor that has learnt nothing."""
    return initialise(Segmentor(widths=[4, 8, 8]), torch_stream(1)).eval()


def test_probabilities_are_those_of_the_slice_alone() -> None:
    """Of any size, they add up to one, and other slices beside a slice change no bit of them."""
    slices = noise(11, 37, 50)
    found = net().probabilities(slices)
    assert found.shape == (11, 9, 37, 50)
    torch.testing.assert_close(found.sum(1), torch.ones(11, 37, 50))
    assert torch.equal(net().probabilities(slices[9:10]), found[9:10])


def test_scale_and_offset_of_a_slice_do_not_matter() -> None:
    """A scanner's grey scale is arbitrary: hundredfold and shifted, the tissues are the same."""
    slices = noise(2, 32, 32)
    torch.testing.assert_close(net().probabilities(100 * slices + 1000), net().probabilities(slices), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 4000.0])
def test_the_common_grey_scale(scale: float) -> None:
    """The 1st percentile is at -1 and the 99th near 1, what is far brighter is cut off; a constant slice is finite."""
    ramp = torch.linspace(0, scale, 10_201).view(1, 1, 101, 101)
    ramp[0, 0, -1, -1] = 50 * scale
    shown = normalised(ramp)
    assert (shown.min(), shown.max()) == (-1, 1.5)
    assert abs(float((shown <= -1).float().mean()) - 0.01) < 1e-3
    assert abs(float((shown <= 1).float().mean()) - 0.99) < 2e-3
    assert bool(torch.isfinite(normalised(torch.full((1, 1, 8, 8), scale))).all())


def test_dropout_takes_channels_away() -> None:
    """With all of the coarsest channels taken away the result is another one; with factors of one it is the same."""
    images, segmentor = noise(2, 1, 32, 32), net()
    kept = segmentor(images)
    assert torch.equal(segmentor(images, torch.ones(2, 8)), kept)
    assert not torch.allclose(segmentor(images, torch.zeros(2, 8)), kept)
